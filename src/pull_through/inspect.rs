//! Blobs that are looked at before they are given away: one that reads as a manifest is a manifest, wherever it is
//! stored and whatever it is called. Says which it is; whether it may be served is not known here.
//!
//! A blob that does not begin as a JSON object is decided by its first bytes, and streams at once. A blob that does is
//! read whole, verified, scanned once, and remembered by its digest. Clients read manifests of any length, so one that
//! is too large to be read here is taken for a manifest. What upstream says of a length is never evidence.

use std::io::ErrorKind;
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
use crate::oci::{Digest, Registry, Repository};
use crate::upstream::{ByteRange, Part, UpstreamError};

/// The largest blob that begins as a JSON object and is served without an admission: large SBOMs have some MiB.
const MAX_JSON_BLOB: usize = 20 << 20;
/// The most digests whose nature is remembered.
const MAX_KNOWN: u64 = 50_000;
/// Up to how many bytes a blob is scanned on the spot, and kept in memory for the one who asked for it.
const SMALL: usize = 64 << 10;
/// The most bytes of larger blobs that are in memory at once until they are whole.
const MAX_HELD: usize = 64 << 20;
/// From how many bytes on HEAD asks upstream for the first bytes of a blob before it asks for all of it.
const LARGE: u64 = 1 << 20;
/// The first bytes of a blob.
const BEGINNING: ByteRange = ByteRange::Between { first: 0, last: 4_095 };
/// Permits are counted in such pieces.
const UNIT: usize = 1 << 10;
/// How long one waits for room.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a blob turned out to be.
#[derive(Debug)]
pub enum Inspected {
    /// No manifest, and on its way.
    Blob(BlobStream),
    /// Some client could read it as a manifest.
    Manifest,
}

/// What content is, by digest: a fact that never changes. The clones are one.
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

/// A key to look with. The registry is a part of it so that what one gave tells nothing of another.
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

/// What came of reading a stream from its beginning.
enum Read {
    /// Its first bytes tell that it is no manifest.
    Stream(BlobStream),
    /// All of it, verified against its digest; or more than [`MAX_JSON_BLOB`], taken for a manifest.
    Whole(Nature, Whole),
}

/// A whole blob after it was scanned.
enum Whole {
    InMemory(BlobStream),
    /// It was too large to be kept for one client.
    Dropped,
}

impl PullThrough {
    /// The blob `digest`, or a range of it, as it comes, unless it reads as a manifest. With `steady`, as
    /// [`PullThrough::steady_blob`] gives it.
    pub async fn inspected_blob(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
        range: Option<ByteRange>,
        steady: bool,
    ) -> Result<Inspected, NotWhole> {
        let open = async |range| match steady {
            true => self.steady_blob(registry, repository, digest, range).await,
            false => Ok(self.blob(registry, repository, digest, range).await?),
        };
        match self.natures.known.get(&Sought(registry, digest)) {
            Some(Nature::Manifest) => return Ok(Inspected::Manifest),
            Some(Nature::Other) => return Ok(Inspected::Blob(open(range).await?)),
            None => {}
        }
        let stream = open(range).await?;
        // On the heap, so that whoever finds a known one does not carry the room for this around.
        Box::pin(async {
            if stream.origin() == Origin::Store {
                return Ok(match self.kept_nature(registry, repository, digest).await? {
                    Nature::Manifest => Inspected::Manifest,
                    Nature::Other => Inspected::Blob(stream),
                });
            }
            if let Part::Range(part) = stream.part() {
                // A part tells nothing of the whole.
                let whole = open(None).await?;
                return Ok(match self.read(registry, whole).await? {
                    Read::Whole(Nature::Other, _) => Inspected::Blob(stream),
                    Read::Whole(Nature::Manifest, _) => Inspected::Manifest,
                    // The whole is not verified, and upstream may answer the range with other bytes. Nobody can
                    // read a manifest without its first byte.
                    Read::Stream(_) if part.first > 0 => Inspected::Blob(stream),
                    Read::Stream(_) => match beginning(stream).await? {
                        Some(stream) => Inspected::Blob(stream),
                        None => Inspected::Manifest,
                    },
                });
            }
            Ok(match self.read(registry, stream).await? {
                Read::Stream(stream) | Read::Whole(Nature::Other, Whole::InMemory(stream)) => {
                    Inspected::Blob(stream)
                }
                Read::Whole(Nature::Other, Whole::Dropped) => Inspected::Blob(open(range).await?),
                Read::Whole(Nature::Manifest, _) => Inspected::Manifest,
            })
        })
        .await
    }

    /// The length in bytes of the blob `digest`, judged as [`Self::inspected_blob`] judges it: `Some(None)` if
    /// upstream has it and does not say its length, `None` if it reads as a manifest.
    pub async fn inspected_length(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Option<u64>>, NotWhole> {
        let known = self.natures.known.get(&Sought(registry, digest));
        if known == Some(Nature::Manifest) {
            return Ok(None);
        }
        let length = self.blob_length(registry, repository, digest).await?;
        if known.is_some() {
            return Ok(Some(length));
        }
        let is_large = length.is_none_or(|length| length > LARGE);
        if is_large && self.begins_as_no_manifest(registry, repository, digest).await? {
            return Ok(Some(length));
        }
        let inspected = self.inspected_blob(registry, repository, digest, None, false);
        match Box::pin(inspected).await? {
            Inspected::Blob(_) => Ok(Some(length)),
            Inspected::Manifest => Ok(None),
        }
    }

    /// Whether the first bytes of the blob show that it is no manifest, which is all that [`Self::inspected_blob`] looks at
    /// then. Costs no download of a large layer. False if they do not show it.
    async fn begins_as_no_manifest(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<bool, NotWhole> {
        match self.blob(registry, repository, digest, Some(BEGINNING)).await {
            Ok(stream) => Ok(beginning(stream).await?.is_some()),
            // It is shorter than upstream said.
            Err(FetchError::Upstream(UpstreamError::RangeUnsatisfiable { .. })) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What kept content is, which was verified when it was stored.
    async fn kept_nature(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Nature, BlobError> {
        let store = self.store.as_ref();
        let content = store.and_then(|store| store.content(registry, repository, digest));
        // It was removed since it was found.
        let content = content.ok_or(BlobError::Unreadable(ErrorKind::NotFound))?;
        let bytes = content.bytes();
        let head = &bytes[..bytes.len().min(MAX_JSON_BLOB)];
        let nature = match could_begin_manifest(head) {
            Some(false) => Nature::Other,
            Some(true) | None if bytes.len() > MAX_JSON_BLOB => Nature::Manifest,
            Some(true) | None => scan(bytes.clone()).await,
        };
        self.natures.remember(registry, digest, nature);
        Ok(nature)
    }

    /// Reads `stream`, which is a whole blob from its beginning, until it is known what it is.
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
                // For bytes that came, and not for those that upstream announces.
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

/// `stream`, a part of a blob from its first byte on, if that part cannot begin a manifest.
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

/// What `content`, which is all of a blob, is.
async fn scan(content: Bytes) -> Nature {
    if could_begin_manifest(&content) != Some(true) {
        return Nature::Other;
    }
    let is_large = content.len() > SMALL;
    let scan = move || match looks_like_manifest(&content) {
        true => Nature::Manifest,
        false => Nature::Other,
    };
    // If the scan panicked, the content is taken for a manifest, which needs an admission.
    if is_large { spawn_blocking(scan).await.unwrap_or(Nature::Manifest) } else { scan() }
}
