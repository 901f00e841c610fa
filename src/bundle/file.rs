//! An opened bundle. Opening checks the tar, the layout and the list of contents; the content of a blob is checked when
//! it is read as a whole, or by its reader.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use super::blob::Blob;
use super::contents::{Contents, InvalidContents, MAX_CONTENTS};
use super::documents::{self, CONTENTS, InvalidArtifact, MAX_ARTIFACT};
use super::layout::{Index, InvalidIndex, MAX_INDEX, OCI_LAYOUT};
use super::source::{Source, SourceError};
use super::tar::read::{ENTRY_SIZE, Extent, Table, TarError};
use crate::oci::Digest;

/// The longest document in bytes, except the list of contents.
pub const MAX_DOCUMENT: u64 = 64 << 20;

/// The most memory in bytes that one value in `index.json`, `contents.json` or the bundle artifact takes, without its
/// text: a list of empty texts takes 48.
const MEMORY_OF_VALUE: u64 = 64;

/// Why a file is not a bundle.
#[derive(Debug, Error)]
#[error("{}: {problem}", super::shown_path(.path))]
pub struct OpenError {
    pub path: PathBuf,
    pub problem: Problem,
}

/// What is wrong with a bundle.
#[derive(Debug, Error)]
pub enum Problem {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("it is not a bundle: {0}")]
    Tar(#[from] TarError),
    #[error("it is not a bundle: `{0}` is missing")]
    Missing(&'static str),
    #[error("it is not a bundle: `oci-layout` is not that of version 1.0.0")]
    Layout,
    #[error("`index.json` is invalid: {0}")]
    Index(#[from] InvalidIndex),
    #[error("the bundle artifact is invalid: {0}")]
    Artifact(#[from] InvalidArtifact),
    #[error("`contents.json` is invalid: {0}")]
    Contents(#[from] InvalidContents),
    #[error("`contents.json` and the files of the bundle disagree about {0}")]
    Disagree(String),
    #[error("`index.json` lists {0}, which the bundle does not contain in this size")]
    Unlisted(Digest),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Why content of a bundle cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    #[error("cannot read the bundle: {0}")]
    Io(#[from] io::Error),
    #[error("{what} has {size} bytes; the limit is {most}")]
    TooLong { what: String, size: u64, most: u64 },
    #[error("the content of {asked} has the digest {got}")]
    Mismatch { asked: Digest, got: Digest },
    #[error("the bundle lists the document {0:?} but does not contain it in this size")]
    NoDocument(String),
}

/// An opened bundle. Holds its files open: a file that is replaced or removed meanwhile stays readable.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    source: Arc<Source>,
    table: Arc<Table>,
    index: Index,
    documents: BTreeMap<String, (Digest, u64)>,
    contents: Contents,
    memory: u64,
}

impl Bundle {
    /// Opens the bundle `path`: this file, or, if it does not exist, its volumes `path.001`, …. Blocks.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let read = || Self::read(path, Source::open(path)?);
        read().map_err(|problem| OpenError { path: path.to_owned(), problem })
    }

    /// Opens the bundle with these bytes, which is named `path` in messages.
    pub fn in_memory(path: &Path, content: Bytes) -> Result<Self, Problem> {
        Self::read(path, Source::memory(content))
    }

    fn read(path: &Path, source: Source) -> Result<Self, Problem> {
        let source = Arc::new(source);
        let table = Arc::new(Table::read(&source)?);
        let mut memory = ENTRY_SIZE.saturating_mul(table.len() as u64);
        let mut parsed = |text: &Bytes| memory = memory.saturating_add(memory_of(text));
        let layout = table.oci_layout.ok_or(Problem::Missing("oci-layout"))?;
        let index = table.index.ok_or(Problem::Missing("index.json"))?;
        if layout.size != OCI_LAYOUT.len() as u64 {
            return Err(Problem::Layout);
        }
        if whole(&source, layout, "oci-layout", layout.size)? != OCI_LAYOUT {
            return Err(Problem::Layout);
        }
        let index = whole(&source, index, "index.json", MAX_INDEX)?;
        parsed(&index);
        let index = Index::parse(&index)?;
        let listed = [index.artifact].into_iter();
        let listed = listed.chain(index.images.iter().map(|image| image.manifest));
        let mut listed = listed.chain(index.attached.iter().map(|attached| attached.manifest));
        let is_there = |digest: &Digest, size| table.blob(digest).is_some_and(|it| it.size == size);
        if let Some(missing) = listed.find(|it| !is_there(&it.digest, it.size)) {
            return Err(Problem::Unlisted(missing.digest));
        }
        let artifact = index.artifact.digest;
        let manifest = checked(&source, &table, &artifact, "the bundle artifact", MAX_ARTIFACT)?;
        let manifest = manifest.ok_or(Problem::Unlisted(artifact))?;
        parsed(&manifest);
        let documents = documents::parse(&manifest)?;
        if let Some((title, _)) = documents.iter().find(|(_, (at, size))| !is_there(at, *size)) {
            return Err(ReadError::NoDocument(title.clone()).into());
        }
        let (contents, _) = documents.get(CONTENTS).ok_or(Problem::Missing(CONTENTS))?;
        let contents = checked(&source, &table, contents, CONTENTS, MAX_CONTENTS)?;
        let contents = contents.ok_or(Problem::Missing(CONTENTS))?;
        parsed(&contents);
        let contents = Contents::parse(&contents)?;
        agree(&contents, &index, &table)?;
        Ok(Self { path: path.to_owned(), source, table, index, documents, contents, memory })
    }

    /// The path with which it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The most memory in bytes that the bundle and its catalog take while it is open.
    pub(super) fn memory(&self) -> u64 {
        self.memory
    }

    /// The length of the tar in bytes.
    pub fn size(&self) -> u64 {
        self.source.len()
    }

    /// The digest of the bundle artifact, which names all documents.
    pub fn artifact(&self) -> &Digest {
        &self.index.artifact.digest
    }

    /// The manifest of the bundle artifact, whose digest was checked. Blocks.
    pub fn artifact_manifest(&self) -> Result<Option<Bytes>, ReadError> {
        checked(&self.source, &self.table, self.artifact(), "the bundle artifact", MAX_ARTIFACT)
    }

    /// The images and what is attached to them.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The exporter's list of contents. It names only content that the bundle contains or assumes.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The names and the sizes of all documents, sorted by name.
    pub fn documents(&self) -> impl Iterator<Item = (&str, u64)> {
        self.documents_in("")
    }

    /// The same of the documents whose names begin with `folder`, such as `notaryv1/`.
    pub fn documents_in(&self, folder: &str) -> impl Iterator<Item = (&str, u64)> {
        let from = (Bound::Included(folder), Bound::Unbounded);
        let documents = self.documents.range::<str, _>(from);
        let inside = documents.take_while(move |(title, _)| title.starts_with(folder));
        inside.map(|(title, (_, size))| (title.as_str(), *size))
    }

    /// The document `title`, whose digest was checked; `None` if the bundle does not list it. Blocks.
    pub fn document(&self, title: &str) -> Result<Option<Bytes>, ReadError> {
        let Some((digest, _)) = self.documents.get(title) else { return Ok(None) };
        checked(&self.source, &self.table, digest, title, MAX_DOCUMENT)
    }

    /// The blob `digest`, in pieces and unchecked; `None` if the bundle does not contain it.
    pub fn blob(&self, digest: &Digest) -> Option<Blob> {
        Blob::find(&self.source, &self.table, digest)
    }

    /// The whole blob `digest`, which may have at most `most` bytes and whose digest was checked. Blocks.
    pub fn whole_blob(&self, digest: &Digest, most: u64) -> Result<Option<Bytes>, ReadError> {
        checked(&self.source, &self.table, digest, &digest.to_string(), most)
    }

    /// All blobs and their sizes, sorted by digest.
    pub fn blobs(&self) -> impl Iterator<Item = (Digest, u64)> {
        self.table.blobs()
    }

    /// Compares volumes with their list of checksums, if there is one. Reads everything: slow.
    pub fn check_volumes(&self) -> Result<(), OpenError> {
        let failed =
            |error: SourceError| OpenError { path: self.path.clone(), problem: error.into() };
        self.source.check_volumes().map_err(failed)
    }
}

fn whole(source: &Source, extent: Extent, what: &str, most: u64) -> Result<Bytes, ReadError> {
    let Extent { offset, size } = extent;
    let length = usize::try_from(size).ok().filter(|_| size <= most);
    let length = length.ok_or_else(|| ReadError::TooLong { what: what.to_owned(), size, most })?;
    let mut content = vec![0; length];
    source.read_exact_at(&mut content, offset)?;
    Ok(content.into())
}

fn checked(
    source: &Source,
    table: &Table,
    digest: &Digest,
    what: &str,
    most: u64,
) -> Result<Option<Bytes>, ReadError> {
    let Some(extent) = table.blob(digest) else { return Ok(None) };
    let content = whole(source, extent, what, most)?;
    match Digest::of(&content) {
        got if got == *digest => Ok(Some(content)),
        got => Err(ReadError::Mismatch { asked: *digest, got }),
    }
}

/// The most memory that the values of a JSON text take. Each has a separator before it.
fn memory_of(text: &[u8]) -> u64 {
    let values = text.iter().filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{')).count();
    (values as u64).saturating_mul(MEMORY_OF_VALUE).saturating_add(text.len() as u64)
}

/// Whether the list of contents agrees with the files: it lists each image, and each blob is there in its size or
/// assumed, never both.
fn agree(contents: &Contents, index: &Index, table: &Table) -> Result<(), Problem> {
    let disagree = |what: &str| Problem::Disagree(super::shown(what));
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for image in &contents.images {
        let assumed: std::collections::BTreeSet<&str> =
            image.assumed.iter().map(String::as_str).collect();
        for blob in &image.blobs {
            let digest: Digest = blob.digest.parse().map_err(|_| disagree(&blob.digest))?;
            let found = table.blob(&digest);
            let agrees = match found {
                Some(extent) => extent.size == blob.size && !assumed.contains(blob.digest.as_str()),
                None => assumed.contains(blob.digest.as_str()),
            };
            if !agrees {
                return Err(disagree(&blob.digest));
            }
        }
        names.extend(image.names.iter().map(|name| (name.as_str(), image.digest.as_str())));
    }
    let mut listed = 0;
    for image in &index.images {
        let name = image.name.to_string();
        if names.get(name.as_str()) != Some(&image.manifest.digest.to_string().as_str()) {
            return Err(disagree(&name));
        }
        listed += 1;
    }
    if listed != names.len() {
        return Err(disagree("the names of images"));
    }
    Ok(())
}
