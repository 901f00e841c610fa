//! Writes a bundle: first a [`Plan`] with the size of every blob, then the bytes in the order of the plan. Needs memory
//! for the plan and one buffer; publishes the files at the end.
//!
//! ```text
//! Documents ─ artifact ─► Artifact ─┐
//! Index ────────────────────────────┴─► Plan ─ small, layer ─► Writer::create ─ next_blob, write … ─► Writer::finish
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use thiserror::Error;

use super::layout::{Index, InvalidIndex, MAX_INDEX, OCI_LAYOUT};
use super::output::Output;
use super::tar::read::tar_size;
use super::tar::write::TarWriter;
use super::tar::{MAX_ENTRIES, Name};
use crate::oci::{Algorithm, Digest, Hasher};

/// Why a bundle cannot be written.
#[derive(Debug, Error)]
pub enum WriteError {
    #[error("cannot write the bundle: {0}")]
    Io(#[from] io::Error),
    #[error("a bundle cannot contain {0}: only sha256 digests")]
    Algorithm(Digest),
    #[error("the sizes {0} and {1} are listed for {2}")]
    Sizes(u64, u64, Digest),
    #[error("the bundle would have more than {MAX_ENTRIES} files")]
    TooMany,
    #[error("index.json would have more than {MAX_INDEX} bytes")]
    IndexTooLong,
    #[error("index.json cannot be encoded: {0}")]
    Json(#[from] serde_json::Error),
    #[error("index.json would be invalid: {0}")]
    Index(#[from] InvalidIndex),
    #[error("index.json lists {0}, which is not in the bundle")]
    Unlisted(Digest),
    #[error("expected {size} bytes of {digest}, received {got}")]
    Length { digest: Digest, size: u64, got: u64 },
    #[error("the content of {asked} has the digest {got}")]
    Mismatch { asked: Digest, got: Digest },
    #[error("{0} was not written")]
    Missing(Digest),
    #[error("content after the last blob")]
    TooMuch,
}

/// Everything that a bundle will contain.
#[derive(Clone, Debug)]
pub struct Plan {
    index: Index,
    /// Manifests, documents, signatures.
    small: BTreeMap<Digest, u64>,
    layers: BTreeMap<Digest, u64>,
    docker_manifest: Option<Bytes>,
}

impl Plan {
    /// A plan with the given `index.json` and no content.
    pub fn new(index: Index) -> Self {
        Self { index, small: BTreeMap::new(), layers: BTreeMap::new(), docker_manifest: None }
    }

    /// Adds a manifest, a config, a document, or another small blob of `size` bytes. Small blobs precede all layers.
    pub fn small(&mut self, digest: Digest, size: u64) -> Result<(), WriteError> {
        check(&self.small, digest, size)?;
        check(&self.layers, digest, size)?;
        self.layers.remove(&digest);
        self.small.insert(digest, size);
        Ok(())
    }

    /// Adds a layer of `size` bytes.
    pub fn layer(&mut self, digest: Digest, size: u64) -> Result<(), WriteError> {
        check(&self.small, digest, size)?;
        check(&self.layers, digest, size)?;
        if !self.small.contains_key(&digest) {
            self.layers.insert(digest, size);
        }
        Ok(())
    }

    /// Adds `manifest.json` for `docker load`.
    pub fn docker_manifest(&mut self, content: impl Into<Bytes>) {
        self.docker_manifest = Some(content.into());
    }

    /// All blobs with their sizes, in the order in which [`Writer`] expects them.
    pub fn blobs(&self) -> impl Iterator<Item = (Digest, u64)> {
        self.small.iter().chain(&self.layers).map(|(digest, size)| (*digest, *size))
    }

    /// The size of the blobs together, in bytes.
    pub fn content_size(&self) -> u64 {
        self.blobs().map(|(_, size)| size).fold(0, u64::saturating_add)
    }

    fn has(&self, digest: &Digest) -> bool {
        self.small.contains_key(digest) || self.layers.contains_key(digest)
    }
}

fn check(known: &BTreeMap<Digest, u64>, digest: Digest, size: u64) -> Result<(), WriteError> {
    if digest.algorithm() != Algorithm::Sha256 {
        return Err(WriteError::Algorithm(digest));
    }
    match known.get(&digest) {
        Some(other) if *other != size => Err(WriteError::Sizes(*other, size, digest)),
        Some(_) | None => Ok(()),
    }
}

/// A finished bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// One file, or the list of checksums and all volumes.
    pub files: Vec<PathBuf>,
    /// The length of the tar in bytes.
    pub size: u64,
}

/// Writes the blobs of a [`Plan`] one after the other, and checks their digests. Dropping it removes what was written.
/// Blocks.
#[derive(Debug)]
pub struct Writer {
    tar: TarWriter<Output>,
    left: VecDeque<(Digest, u64)>,
    current: Option<Current>,
    docker_manifest: Option<Bytes>,
    size: u64,
}

#[derive(Debug)]
struct Current {
    digest: Digest,
    size: u64,
    got: u64,
    hasher: Hasher,
}

impl Writer {
    /// Begins the bundle `path`, in volumes of `volume_size` bytes if that is given. The final name does not exist, or
    /// keeps its old content, until [`Self::finish`].
    pub fn create(path: &Path, volume_size: Option<u64>, plan: &Plan) -> Result<Self, WriteError> {
        let index = plan.index.to_json()?;
        if index.len() as u64 > MAX_INDEX {
            return Err(WriteError::IndexTooLong);
        }
        let parsed = Index::parse(&index)?;
        let listed = [parsed.artifact].into_iter();
        let listed = listed.chain(parsed.images.iter().map(|image| image.manifest));
        let mut listed = listed.chain(parsed.attached.iter().map(|attached| attached.manifest));
        if let Some(pointer) = listed.find(|pointer| !plan.has(&pointer.digest)) {
            return Err(WriteError::Unlisted(pointer.digest));
        }
        let docker_manifest = plan.docker_manifest.clone();
        let left: VecDeque<(Digest, u64)> = plan.blobs().collect();
        if left.len() + 3 > MAX_ENTRIES {
            return Err(WriteError::TooMany);
        }
        let named = [OCI_LAYOUT.len(), index.len()].into_iter();
        let named = named.chain(docker_manifest.as_ref().map(Bytes::len)).map(|size| size as u64);
        let size = tar_size(named.chain(left.iter().map(|(_, size)| *size)));
        let mut tar = TarWriter::new(Output::create(path, volume_size)?);
        tar.entry(Name::OciLayout, OCI_LAYOUT)?;
        tar.entry(Name::Index, &index)?;
        Ok(Self { tar, left, current: None, docker_manifest, size })
    }

    /// Checks that the current blob is complete, and begins the next one: returns its digest and size. `None`: all
    /// blobs are written.
    pub fn next_blob(&mut self) -> Result<Option<(Digest, u64)>, WriteError> {
        self.end()?;
        let Some((digest, size)) = self.left.pop_front() else { return Ok(None) };
        self.tar.begin(Name::Blob(digest), size)?;
        let hasher = Hasher::new(Algorithm::Sha256);
        self.current = Some(Current { digest, size, got: 0, hasher });
        Ok(Some((digest, size)))
    }

    /// Writes the next bytes of the current blob.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let current = self.current.as_mut().ok_or(WriteError::TooMuch)?;
        let Current { digest, size, got, hasher } = current;
        *got += bytes.len() as u64;
        if *got > *size {
            return Err(WriteError::Length { digest: *digest, size: *size, got: *got });
        }
        hasher.update(bytes);
        self.tar.content(bytes)?;
        Ok(())
    }

    fn end(&mut self) -> Result<(), WriteError> {
        let Some(Current { digest, size, got, hasher }) = self.current.take() else {
            return Ok(());
        };
        if got != size {
            return Err(WriteError::Length { digest, size, got });
        }
        let found = hasher.finish();
        if found != digest {
            return Err(WriteError::Mismatch { asked: digest, got: found });
        }
        self.tar.end()?;
        Ok(())
    }

    /// Writes the end of the tar, syncs the files, and gives them their final names.
    pub fn finish(mut self) -> Result<Published, WriteError> {
        self.end()?;
        if let Some((digest, _)) = self.left.front() {
            return Err(WriteError::Missing(*digest));
        }
        if let Some(content) = self.docker_manifest.take() {
            self.tar.entry(Name::DockerManifest, &content)?;
        }
        let files = self.tar.finish()?.publish()?;
        Ok(Published { files, size: self.size })
    }
}
