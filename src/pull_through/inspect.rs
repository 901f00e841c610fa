//! Inspects blobs before the gate serves them. A blob that a client could read as a manifest is a manifest, wherever it
//! is stored and whatever its media type. This module classifies blobs; the gate decides whether to serve them.
//!
//! A blob that does not begin as a JSON object is classified by its first bytes and streamed at once. A blob that does
//! is read to its end, verified and scanned once; the result is remembered by digest. Clients accept manifests of any
//! length, so a JSON object that is too large to read here counts as a manifest. The upstream's statement of a length is
//! never evidence.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use moka::Equivalent;
use moka::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::PullThrough;
use super::blob_stream::{BlobStream, Origin};
use super::error::{BlobError, FetchError, NotWhole};
use crate::oci::recognize::{could_begin_manifest, looks_like_manifest};
use crate::oci::{Digest, Registry, RepositoryRef};
use crate::parsing;
use crate::registry_client::{ByteRange, Part, UpstreamError};

/// The largest blob that begins as a JSON object and is served without an admission, in bytes. Large SBOMs have several
/// MiB.
const MAX_JSON_BLOB: usize = 20 << 20;
/// The number of digests whose classification is cached.
const MAX_KNOWN: u64 = 50_000;
/// The largest blob that is scanned on the calling thread and kept in memory for its request, in bytes.
const SMALL: usize = 64 << 10;
/// How many bytes of larger blobs may be in memory at once while they are read.
const MAX_HELD: usize = 64 << 20;
/// The blob size in bytes from which HEAD first asks the upstream for the beginning of a blob only.
const LARGE: u64 = 1 << 20;
/// The first bytes of a blob.
const BEGINNING: ByteRange = ByteRange::Between { first: 0, last: 4_095 };
/// The unit of permits, in bytes.
const UNIT: usize = 1 << 10;
/// How long a request waits for a permit.
const PATIENCE: Duration = Duration::from_secs(10);

/// The classification of a blob.
#[derive(Debug)]
pub enum Inspected {
    /// Not a manifest; its bytes follow.
    Blob(BlobStream),
    /// A client could read it as a manifest.
    Manifest,
}

/// Classifications by digest. They never change. All clones share them.
#[derive(Clone)]
pub(super) struct Natures {
    known: Cache<(Registry, Digest), Nature>,
    room: Arc<Semaphore>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    Manifest,
    Other,
}

/// A borrowed key. It contains the registry: a digest from one registry says nothing about another registry.
#[derive(Hash)]
struct Sought<'a>(&'a Registry, &'a Digest);

impl Equivalent<(Registry, Digest)> for Sought<'_> {
    fn equivalent(&self, key: &(Registry, Digest)) -> bool {
        *self.1 == key.1 && *self.0 == key.0
    }
}

impl Natures {
    pub(super) fn new() -> Self {
        let room = Arc::new(Semaphore::new(MAX_HELD / UNIT));
        Self { known: Cache::new(MAX_KNOWN), room }
    }

    fn remember(&self, registry: &Registry, digest: &Digest, nature: Nature) {
        self.known.insert((registry.clone(), *digest), nature);
    }

    async fn room_for(&self, bytes: usize) -> Result<OwnedSemaphorePermit, BlobError> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        match timeout(PATIENCE, self.room.clone().acquire_many_owned(units)).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(BlobError::NoRoom),
        }
    }
}

/// The result of reading a stream from its beginning.
enum Read {
    /// Its first bytes show that it is not a manifest.
    Stream(BlobStream),
    /// The whole blob, verified against its digest; or a manifest, because it exceeds [`MAX_JSON_BLOB`].
    Whole(Nature, Whole),
}

/// A whole blob after it was scanned.
enum Whole {
    InMemory(BlobStream),
    /// Too large to keep in memory for one client.
    Dropped,
}

impl PullThrough {
    /// Streams the blob `digest`, or a range of it, unless a client could read it as a manifest. With `steady`, streams
    /// as [`PullThrough::steady_blob`] does.
    pub async fn inspected_blob(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
        range: Option<ByteRange>,
        steady: bool,
    ) -> Result<Inspected, NotWhole> {
        let open = async |range| match steady {
            true => self.steady_blob(repository, digest, range).await,
            false => Ok(self.blob(repository, digest, range).await?),
        };
        match self.natures.known.get(&Sought(&repository.registry, digest)) {
            Some(Nature::Manifest) => return Ok(Inspected::Manifest),
            Some(Nature::Other) => return Ok(Inspected::Blob(open(range).await?)),
            None => {}
        }
        // A part of a blob does not show what the whole blob is, so the whole blob is opened, whatever the range.
        let mut whole = open(None).await?;
        // Boxed, so that a request for a known blob does not need memory for this future.
        Box::pin(async {
            if whole.origin() == Origin::Store {
                match (self.kept_nature(repository, digest).await, range) {
                    (Some(Nature::Manifest), _) => return Ok(Inspected::Manifest),
                    (Some(Nature::Other), None) => return Ok(Inspected::Blob(whole)),
                    (Some(Nature::Other), Some(_)) => {
                        return Ok(Inspected::Blob(open(range).await?));
                    }
                    // As for a blob that is not stored: the store knows by now that the disk hangs or that the blob is
                    // lost.
                    (None, _) => whole = open(None).await?,
                }
            }
            let read = self.read(&repository.registry, whole).await?;
            if range.is_none() {
                return Ok(match read {
                    Read::Stream(stream) | Read::Whole(Nature::Other, Whole::InMemory(stream)) => {
                        Inspected::Blob(stream)
                    }
                    Read::Whole(Nature::Other, Whole::Dropped) => {
                        Inspected::Blob(open(None).await?)
                    }
                    Read::Whole(Nature::Manifest, _) => Inspected::Manifest,
                });
            }
            let is_verified = match &read {
                Read::Whole(Nature::Manifest, _) => return Ok(Inspected::Manifest),
                Read::Whole(Nature::Other, _) => true,
                Read::Stream(_) => false,
            };
            // Gives back the turn of the request for the whole blob, so that the next one does not wait for it.
            drop(read);
            let stream = open(range).await?;
            // If the whole blob was not verified, the upstream may answer the range with other bytes. But a client
            // cannot read a manifest without its first byte.
            let starts_later = matches!(stream.part(), Part::Range(part) if part.first > 0);
            if is_verified || starts_later {
                return Ok(Inspected::Blob(stream));
            }
            Ok(match beginning(stream).await? {
                Some(stream) => Inspected::Blob(stream),
                None => Inspected::Manifest,
            })
        })
        .await
    }

    /// The length of the blob `digest` in bytes, classified as [`Self::inspected_blob`] does: `None` if it is a manifest,
    /// `Some(None)` if the upstream has it but does not state its length.
    pub async fn inspected_length(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
    ) -> Result<Option<Option<u64>>, NotWhole> {
        let known = self.natures.known.get(&Sought(&repository.registry, digest));
        if known == Some(Nature::Manifest) {
            return Ok(None);
        }
        let length = self.blob_length(repository, digest).await?;
        if known.is_some() {
            return Ok(Some(length));
        }
        let is_large = length.is_none_or(|length| length > LARGE);
        if is_large && self.begins_as_no_manifest(repository, digest).await? {
            return Ok(Some(length));
        }
        let inspected = self.inspected_blob(repository, digest, None, false);
        match Box::pin(inspected).await? {
            Inspected::Blob(_) => Ok(Some(length)),
            Inspected::Manifest => Ok(None),
        }
    }

    /// Whether the first bytes of the blob show that it is not a manifest; [`Self::inspected_blob`] reads no more of such
    /// a blob. Avoids the download of a large layer. False if they do not show it.
    async fn begins_as_no_manifest(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
    ) -> Result<bool, NotWhole> {
        match self.blob(repository, digest, Some(BEGINNING)).await {
            Ok(stream) => Ok(beginning(stream).await?.is_some()),
            // The blob is shorter than the upstream stated.
            Err(FetchError::Upstream(UpstreamError::RangeUnsatisfiable { .. })) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Classifies content of the store, which was verified when it was stored. `None` if it is no longer stored, or if
    /// the disk does not answer in time.
    async fn kept_nature(&self, repository: &RepositoryRef, digest: &Digest) -> Option<Nature> {
        let store = self.store.as_ref()?;
        let content = store.look_up(repository, digest).await?;
        content.make_beginning_ready(store, SMALL).await?;
        let bytes = content.bytes().clone();
        let begins = could_begin_manifest(&bytes[..bytes.len().min(SMALL)]);
        let nature = match begins {
            Some(false) => Nature::Other,
            Some(true) if bytes.len() > MAX_JSON_BLOB => Nature::Manifest,
            Some(true) | None => {
                // The scan takes long but reads no disk: in the read lane it would look like a disk that hangs.
                content.make_beginning_ready(store, MAX_JSON_BLOB).await?;
                parsing::run(bytes.len().min(MAX_JSON_BLOB), 0, move || kept_nature(&bytes)).await
            }
        };
        self.natures.remember(&repository.registry, digest, nature);
        Some(nature)
    }

    /// Reads `stream`, a whole blob from its beginning, until it can be classified.
    async fn read(&self, registry: &Registry, mut stream: BlobStream) -> Result<Read, NotWhole> {
        let digest = *stream.digest();
        let (mut ahead, mut begins) = (BytesMut::new(), None);
        let mut room: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = stream.frame().await {
            let Ok(piece) = frame?.into_data() else { continue };
            if begins.is_none() {
                begins = could_begin_manifest(&piece);
            }
            if ahead.is_empty() && begins == Some(false) {
                return Ok(Read::Stream(stream.after(piece, None)));
            }
            let held = room.as_ref().map_or(SMALL, |room| SMALL + room.num_permits() * UNIT);
            if ahead.len() + piece.len() > held {
                // Reserves memory for bytes that arrived, not for bytes that the upstream announces.
                let more = self.natures.room_for(ahead.len() + piece.len() - held).await?;
                match &mut room {
                    Some(room) => room.merge(more),
                    None => room = Some(more),
                }
            }
            ahead.extend_from_slice(&piece);
            if begins == Some(false) {
                return Ok(Read::Stream(stream.after(ahead.freeze(), room)));
            }
            if ahead.len() > MAX_JSON_BLOB {
                return Ok(Read::Whole(Nature::Manifest, Whole::Dropped));
            }
        }
        let ahead = ahead.freeze();
        let nature = scan(ahead.clone()).await;
        self.natures.remember(registry, &digest, nature);
        let whole = match room {
            None => Whole::InMemory(stream.after(ahead, None)),
            Some(_) => Whole::Dropped,
        };
        Ok(Read::Whole(nature, whole))
    }
}

/// Returns `stream`, a range that starts at the first byte of a blob, if it cannot be the beginning of a manifest.
async fn beginning(mut stream: BlobStream) -> Result<Option<BlobStream>, NotWhole> {
    let mut ahead = BytesMut::new();
    while let Some(frame) = stream.frame().await {
        let Ok(piece) = frame?.into_data() else { continue };
        let begins = could_begin_manifest(&piece);
        ahead.extend_from_slice(&piece);
        match begins {
            Some(false) => return Ok(Some(stream.after(ahead.freeze(), None))),
            Some(true) => return Ok(None),
            None if ahead.len() > SMALL => return Ok(None),
            None => {}
        }
    }
    Ok(None)
}

/// Classifies `content`, a whole blob.
async fn scan(content: Bytes) -> Nature {
    if could_begin_manifest(&content) != Some(true) {
        return Nature::Other;
    }
    let is_large = content.len() > SMALL;
    let scan = move || nature_of(&content);
    // If the scan panics, the content counts as a manifest, which needs an admission.
    if is_large { spawn_blocking(scan).await.unwrap_or(Nature::Manifest) } else { scan() }
}

/// Classifies `content`, a whole blob of any length.
fn kept_nature(content: &[u8]) -> Nature {
    match could_begin_manifest(&content[..content.len().min(MAX_JSON_BLOB)]) {
        Some(false) => Nature::Other,
        Some(true) | None if content.len() > MAX_JSON_BLOB => Nature::Manifest,
        Some(true) | None => nature_of(content),
    }
}

fn nature_of(content: &[u8]) -> Nature {
    match looks_like_manifest(content) {
        true => Nature::Manifest,
        false => Nature::Other,
    }
}
