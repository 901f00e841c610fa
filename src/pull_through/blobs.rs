//! Blobs: from the store if the repository is known to hold them, from a download in progress, or directly from
//! upstream.
//!
//! Stored content is served for another repository only after its registry delivered these bytes before, and after it
//! begins to deliver them for this repository. One registry's statement never opens content that another one delivered.
//! A bundle confirms nothing: its carrier can name any digest. The client gets the bytes of the bundle, checked.
//! Upstream gets the same request, a GET, whether or not the content is stored, so that neither its operator nor a
//! client learns what others pulled.

use tokio::sync::watch;

use super::PullThrough;
use super::blob_stream::BlobStream;
use super::download::Download;
use super::error::FetchError;
use super::in_flight::Boarding;
use super::joined::{BlobRequest, Joined};
use super::kept::StoredStream;
use super::progress::Progress;
use super::unstored::{Request, Unstored};
use crate::oci::{Digest, Registry, RepositoryRef};
use crate::registry_client::{ByteRange, Part, UpstreamError};
use crate::store::{Store, StoredContent};

/// How often a request checks for a download to join.
const MAX_LOOKS: usize = 3;
/// The size, in bytes, from which a range at the first byte is taken as the start of a whole blob.
const LEAST_BEGINNING: u64 = 1 << 20;

/// The outcome of starting or joining a download, for a request that waits for it.
enum Began {
    Stream(BlobStream),
    /// The download is for another repository or has ended: check again.
    Over,
    /// The blob cannot be stored, or this range cannot come from the download.
    Unfit,
}

impl PullThrough {
    /// The blob `digest`, or a range of it, as it arrives.
    pub async fn blob(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<BlobStream, FetchError> {
        let upstream = self.upstream(&repository.registry)?.on_behalf_of(self.requester);
        let request = Request { upstream, repository: repository.name.clone(), digest: *digest };
        let Some(store) = &self.store else {
            return Ok(BlobStream::unstored(self.sharing.open(request, range).await?));
        };
        if let Some(content) = store.look_up(repository, digest).await {
            // If the disk fails, the rest comes from upstream, within the limits of this client.
            return kept(content, asked(store, request), range);
        }
        // Boxed, so that a request for a stored blob does not need memory for this future.
        Box::pin(self.blob_not_kept(store, &request, repository, range)).await
    }

    async fn blob_not_kept(
        &self,
        store: &Store,
        request: &Request,
        repository: &RepositoryRef,
        range: Option<ByteRange>,
    ) -> Result<BlobStream, FetchError> {
        let digest = &request.digest;
        // Upstream's answer that this repository holds the blob, until it is used or not needed.
        let mut confirmation: Option<Unstored> = None;
        for _ in 0..MAX_LOOKS {
            let published = store.published();
            if store.look_whether_delivered(&repository.registry, digest).await {
                // Another request may have published it for this repository since the last check.
                if let Some(content) = store.look_up(repository, digest).await {
                    return kept(content, asked(store, request.clone()), range);
                }
                let unstored = match confirmation.take() {
                    Some(unstored) => unstored,
                    None => self.sharing.open(request.clone(), range).await?,
                };
                if unstored.is_from_bundle() {
                    return Ok(BlobStream::unstored(unstored));
                }
                self.confirmed(store, repository, digest).await;
                return match store.look_up(repository, digest).await {
                    Some(content) => kept(content, asked(store, request.clone()), range),
                    // The store lost it meanwhile, or cannot record which repository holds it.
                    None => Ok(BlobStream::unstored(unstored)),
                };
            }
            // Another client may be downloading it already, without storing it.
            if let Some(unstored) = self.sharing.join(request, range) {
                return Ok(BlobStream::unstored(unstored));
            }
            let is_done = || {
                store.published_since(published, &repository.registry, digest)
                    || self.sharing.has(request)
            };
            let began = match self.in_flight.board(digest, repository, wants_all(range), is_done) {
                Boarding::Joined { progress, own } => {
                    // The download may need the place of this request.
                    drop(confirmation.take());
                    began(progress, own, asked(store, request.clone()), range).await?
                }
                Boarding::Started(start, progress) => {
                    drop(confirmation.take());
                    let download = Download {
                        start,
                        request: request.clone(),
                        store: store.clone(),
                        sharing: self.sharing.clone(),
                        failures: self.failures.clone(),
                        stop: self.stop.clone(),
                    };
                    self.tasks.spawn(download.run());
                    began(progress, true, asked(store, request.clone()), range).await?
                }
                Boarding::Unconfirmed => {
                    let unstored = self.sharing.open(request.clone(), range).await?;
                    if unstored.is_from_bundle() {
                        return Ok(BlobStream::unstored(unstored));
                    }
                    confirmation = Some(unstored);
                    self.in_flight.confirm(digest, repository);
                    Began::Over
                }
                Boarding::Published => Began::Over,
                Boarding::Nothing => Began::Unfit,
            };
            match began {
                Began::Stream(stream) => return Ok(stream),
                Began::Over => {}
                Began::Unfit => break,
            }
        }
        let unstored = match confirmation {
            Some(unstored) => unstored,
            None => self.sharing.open(request.clone(), range).await?,
        };
        Ok(BlobStream::unstored(unstored))
    }

    /// The number of clients that wait for the download of the blob `digest` of `registry`.
    #[cfg(feature = "test-support")]
    pub fn waiting(&self, registry: &Registry, digest: &Digest) -> usize {
        self.in_flight.waiting(digest, registry)
    }

    /// Whether the blob is stored for that repository, without a check of its content; `false` also if the disk does
    /// not answer.
    pub async fn is_kept(&self, repository: &RepositoryRef, digest: &Digest) -> bool {
        let Some(store) = &self.store else { return false };
        let (repository, digest) = (repository.clone(), *digest);
        let holds = move |store: &Store| store.holds(&repository, &digest);
        store.read(holds).await.unwrap_or(false)
    }

    /// Records that `repository` holds the blob `digest` if the store has it from the same registry. Returns whether the
    /// repository holds it. For an import: the whole content from the bundle, or a manifest that the signers of the
    /// repository signed, replaces the confirmation of the registry.
    pub async fn confirm_stored(&self, repository: &RepositoryRef, digest: &Digest) -> bool {
        let Some(store) = &self.store else { return false };
        self.confirmed(store, repository, digest).await;
        self.is_kept(repository, digest).await
    }

    /// The length of the blob `digest` in bytes; `None` if upstream has it but does not send its length.
    pub async fn blob_length(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
    ) -> Result<Option<u64>, FetchError> {
        let upstream = self.upstream(&repository.registry)?.on_behalf_of(self.requester);
        let Some(store) = &self.store else {
            return Ok(upstream.blob_length(&repository.name, digest).await?);
        };
        if let Some(content) = store.look_up(repository, digest).await {
            return Ok(Some(content.bytes().len() as u64));
        }
        if let Some(length) = self.in_flight.length(digest, repository) {
            return Ok(Some(length));
        }
        // HEAD does not confirm the repository: a registry may allow HEAD where it denies GET.
        Ok(upstream.blob_length(&repository.name, digest).await?)
    }

    /// Records that the repository holds `digest`, as its registry said, which delivered `digest` before.
    async fn confirmed(&self, store: &Store, repository: &RepositoryRef, digest: &Digest) {
        let (repository, digest) = (repository.clone(), *digest);
        let confirm = move |store: &Store| store.confirm(&repository, &digest);
        // If this cannot be recorded, upstream is asked again next time.
        let _ = store.write(confirm).await;
    }
}

fn asked(store: &Store, request: Request) -> BlobRequest {
    BlobRequest { store: store.clone(), request }
}

fn kept(
    content: StoredContent,
    asked: BlobRequest,
    range: Option<ByteRange>,
) -> Result<BlobStream, FetchError> {
    let size = Some(content.bytes().len() as u64);
    let kept = if asked.store.is_crowded() {
        BlobStream::by_piece(&asked.store, asked.request.place(), &content, range)
    } else {
        StoredStream::new(content, asked, range).map(BlobStream::kept)
    };
    kept.ok_or(FetchError::Upstream(UpstreamError::RangeUnsatisfiable { size }))
}

/// Whether the client will probably want the whole blob. Clients that fetch several ranges at once begin with a large
/// one at the first byte. A small range may only test what the server supports, and a range that begins later may be
/// all that is wanted of a large blob.
fn wants_all(range: Option<ByteRange>) -> bool {
    match range {
        None | Some(ByteRange::From { first: 0 }) => true,
        Some(ByteRange::Between { first: 0, last }) => last >= LEAST_BEGINNING - 1,
        Some(ByteRange::From { .. } | ByteRange::Between { .. } | ByteRange::Last { .. }) => false,
    }
}

/// Waits until a download has begun. `own`: it was started for the same repository, so upstream's error applies to this
/// request, too.
async fn began(
    mut progress: watch::Receiver<Progress>,
    own: bool,
    asked: BlobRequest,
    range: Option<ByteRange>,
) -> Result<Began, FetchError> {
    let part = loop {
        match &*progress.borrow_and_update() {
            Progress::Opening => {}
            Progress::NotOpened(error) if own => return Err(error.clone().into()),
            Progress::NotOpened(_) => return Ok(Began::Over),
            Progress::NotKept(shared) => {
                let unstored =
                    range.is_none().then(|| shared.join(asked.request.clone())).flatten();
                return Ok(unstored.map_or(Began::Unfit, |unstored| {
                    Began::Stream(BlobStream::unstored(unstored))
                }));
            }
            Progress::Open(open) => match (range, open.length) {
                (None, length) => break Part::Whole { length },
                (Some(_), None) => return Ok(Began::Unfit),
                (Some(range), Some(total)) => match range.within(total) {
                    Some(range) => break Part::Range(range),
                    None => {
                        let size = Some(total);
                        return Err(UpstreamError::RangeUnsatisfiable { size }.into());
                    }
                },
            },
        }
        if progress.changed().await.is_err() {
            return Ok(Began::Over);
        }
    };
    Ok(Began::Stream(BlobStream::joined(Joined::new(progress, part, asked))))
}
