//! Downloads a blob from upstream into the store and hashes it. The waiting clients read the data that has arrived.
//! Each client reads at its own pace, and none of them delays or stops the download.

use std::future::{pending, poll_fn};
use std::mem;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::by_piece::Stored;
use super::error::BlobError;
use super::failures::Failures;
use super::in_flight::Start;
use super::progress::{End, Open, Progress};
use super::sharing::Sharing;
use super::source::{Source, total};
use super::unstored::Request;
use crate::oci::Hasher;
use crate::store::{HeldAs, Ingest, Store, Unkept, Whole};

/// How long a download continues without clients: clients that disconnected often come back.
const MAX_ALONE: Duration = Duration::from_secs(60);
/// How many bytes may wait for the disk.
const MAX_WAITING: usize = 1 << 20;

/// The parts that a download needs.
pub(super) struct Download {
    pub(super) start: Start,
    pub(super) request: Request,
    pub(super) store: Store,
    pub(super) sharing: Sharing,
    pub(super) failures: Failures,
    /// Stops the download.
    pub(super) stop: CancellationToken,
}

/// The file, and whether all data could be written to it.
type Written = (Ingest, Result<(), Unkept>);

/// A write in progress.
struct Writing {
    /// `None` if the disk does not answer in time.
    written: Pin<Box<dyn Future<Output = Option<Written>> + Send>>,
    before: Rest,
}

/// What arrived after `position` and is not written; `hasher` has hashed everything before.
struct Rest {
    position: u64,
    hasher: Hasher,
    pieces: Vec<Bytes>,
}

impl Download {
    /// Downloads and publishes the blob.
    pub(super) async fn run(self) {
        let opened = tokio::select! {
            opened = self.open() => opened,
            () = self.stop.cancelled() => return,
            // No data has arrived yet, so none is lost.
            () = self.unwanted() => return,
        };
        let Some((source, ingest)) = opened else { return };
        let came = tokio::select! {
            came = self.arrive(source, ingest) => came,
            () = self.stop.cancelled() => Err(End::Failed(BlobError::Stopping)),
            () = self.abandoned() => return,
        };
        let whole = came.and_then(|ingest| {
            let length = ingest.position();
            let failed = |mismatch| End::Failed(BlobError::Mismatch(Box::new(mismatch)));
            Ok((ingest.verify().map_err(failed)?, length))
        });
        match whole {
            Ok((whole, length)) => {
                self.end(Some(length), End::Complete);
                self.publish(whole).await;
            }
            Err(end) => {
                if let End::Failed(error) = &end {
                    let registry = &self.start.place().registry;
                    self.failures.note(registry, self.start.digest(), error);
                }
                self.end(None, end);
            }
        }
    }

    /// Asks upstream and reserves space; reports the outcome to all waiting requests.
    async fn open(&self) -> Option<(Source, Ingest)> {
        let Request { upstream, repository, digest } = &self.request;
        let source = match Source::open(upstream.clone(), repository, digest, None).await {
            Ok(source) => source,
            Err(error) => {
                self.start.tell(|progress| *progress = Progress::NotOpened(error));
                return None;
            }
        };
        let (store, length) = (self.store.clone(), total(source.part()));
        match store.begin(digest, length).await {
            Ok(ingest) => {
                let open = Open::new(length, ingest.arriving());
                self.start.tell(|progress| *progress = Progress::Open(Box::new(open)));
                Some((source, ingest))
            }
            Err(_) => {
                let shared = self.sharing.share(&self.request, source);
                self.start.tell(|progress| *progress = Progress::NotKept(shared));
                None
            }
        }
    }

    /// Writes the data that arrives until the blob is complete. The disk and upstream do not wait for each other.
    async fn arrive(&self, mut source: Source, ingest: Ingest) -> Result<Ingest, End> {
        let mut idle = Some(ingest);
        let mut writing: Option<Writing> = None;
        let mut waiting: Vec<Bytes> = Vec::new();
        let (mut all_came, mut lost_turn) = (false, false);
        loop {
            if let Some(ingest) = idle.take() {
                if lost_turn {
                    return Err(self.unkept(Rest::after(&ingest), waiting, source));
                } else if !waiting.is_empty() {
                    writing = Some(self.write(ingest, mem::take(&mut waiting)));
                } else if all_came {
                    return Ok(ingest);
                } else {
                    idle = Some(ingest);
                }
            }
            // A download without clients is the first to lose its turn.
            let alone = self.start.is_alone();
            source.set_abandoned(alone);
            let has_room = waiting.iter().map(Bytes::len).sum::<usize>() < MAX_WAITING;
            let wants_more = has_room && !all_came && !lost_turn;
            tokio::select! {
                (written, before) = ended(&mut writing) => match self.written(written, before) {
                    Ok(ingest) => idle = Some(ingest),
                    Err(rest) => return Err(self.unkept(rest, waiting, source)),
                },
                piece = poll_fn(|context| source.poll_piece(context)), if wants_more => match piece {
                    Ok(Some(piece)) => waiting.push(piece),
                    Ok(None) => all_came = true,
                    Err(BlobError::TooSlow) => {
                        // Clients that wait for it by now continue with a new turn.
                        source = self.again(&source);
                        lost_turn = true;
                    }
                    Err(error) => return Err(End::Failed(error)),
                },
                () = self.start.left_alone(), if !alone => {}
            }
        }
    }

    fn write(&self, ingest: Ingest, pieces: Vec<Bytes>) -> Writing {
        let before = Rest { pieces: pieces.clone(), ..Rest::after(&ingest) };
        let store = self.store.clone();
        let written = async move { store.write(move |_| write(ingest, &pieces)).await };
        Writing { written: Box::pin(written), before }
    }

    /// Tells the clients how much there is now. If not all of it could be written, returns what is left. `before` is
    /// what there was before the write.
    fn written(&self, written: Option<Written>, before: Rest) -> Result<Ingest, Rest> {
        match written {
            Some((ingest, Ok(()))) => {
                self.start.tell(|progress| progress.advance(before.pieces));
                Ok(ingest)
            }
            Some((ingest, Err(_))) => Err(before.since(&ingest)),
            None => Err(before),
        }
    }

    /// What `source` has not delivered, with a new request.
    fn again(&self, source: &Source) -> Source {
        let Request { upstream, repository, digest } = &self.request;
        Source::rest(upstream.clone(), repository, digest, source.part(), source.position())
    }

    /// The end of a download that cannot be stored any more: its clients share the rest, `waiting`, and what `source`
    /// has not delivered.
    fn unkept(&self, rest: Rest, mut waiting: Vec<Bytes>, source: Source) -> End {
        let Rest { position, hasher, mut pieces } = rest;
        pieces.append(&mut waiting);
        let clients = self.start.clients();
        let window = self.sharing.rest(position, hasher.clone(), pieces, source, clients);
        End::Unkept { position, hasher, window }
    }

    /// Gives up the blob as soon as no client waits for it.
    async fn unwanted(&self) {
        loop {
            self.start.left_alone().await;
            if self.start.give_up() {
                return;
            }
        }
    }

    /// Waits until no client has wanted the blob for some time, then gives it up.
    async fn abandoned(&self) {
        loop {
            self.start.left_alone().await;
            tokio::time::sleep(MAX_ALONE).await;
            if self.start.give_up() {
                return;
            }
        }
    }

    fn end(&self, length: Option<u64>, end: End) {
        self.start.tell(|progress| progress.end(length, end));
    }

    /// The download stays in progress until this is done, so that no request starts another one.
    async fn publish(&self, whole: Whole) {
        let (digest, holders) = (*self.start.digest(), self.start.holders());
        let published = self.store.publish(move |store| {
            let mut holders = holders.into_iter();
            let repository = holders.next()?;
            // The store has already logged why the blob is not stored.
            whole.publish(&repository, HeldAs::Blob).ok()?;
            for repository in holders {
                store.hold(&repository, &digest, &HeldAs::Blob);
            }
            Some(Stored { store: store.clone(), place: repository, digest })
        });
        // The store has already logged why the blob is not published.
        if let Some(Some(stored)) = published.await {
            self.start.tell(|progress| progress.publish(stored));
        }
    }
}

/// Waits for the end of the write, if there is one; returns what there was before it, too.
async fn ended(writing: &mut Option<Writing>) -> (Option<Written>, Rest) {
    let written = match writing {
        Some(writing) => writing.written.as_mut().await,
        None => pending().await,
    };
    match writing.take() {
        Some(Writing { before, .. }) => (written, before),
        None => pending().await,
    }
}

fn write(mut ingest: Ingest, pieces: &[Bytes]) -> Written {
    let written = pieces.iter().try_for_each(|piece| ingest.append(piece));
    (ingest, written)
}

impl Rest {
    fn after(ingest: &Ingest) -> Self {
        Self { position: ingest.position(), hasher: ingest.hasher(), pieces: Vec::new() }
    }

    /// The same after `ingest` has written some of the pieces.
    fn since(self, ingest: &Ingest) -> Self {
        let mut end = self.position;
        let is_left = |piece: &Bytes| {
            end += piece.len() as u64;
            end > ingest.position()
        };
        let mut pieces = self.pieces;
        pieces.retain(is_left);
        Self { pieces, ..Self::after(ingest) }
    }
}
