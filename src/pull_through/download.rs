//! Downloads a blob from upstream into the store and hashes it. The waiting clients read the data that has arrived.
//! Each client reads at its own pace, and none of them delays or stops the download.

use std::future::{pending, poll_fn};
use std::mem;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::by_piece::Stored;
use super::error::BlobError;
use super::failures::Failures;
use super::in_flight::Start;
use super::progress::{End, Open, Progress};
use super::source::{Source, total};
use crate::oci::Hasher;
use crate::registry_client::Upstream;
use crate::store::{HeldAs, Ingest, Store, Unkept, Whole};

/// How long a download continues without clients: clients that disconnected often come back.
const MAX_ALONE: Duration = Duration::from_secs(60);
/// How many bytes may wait for the disk.
const MAX_WAITING: usize = 1 << 20;

/// The parts that a download needs.
pub(super) struct Download {
    pub(super) start: Start,
    pub(super) upstream: Upstream,
    pub(super) store: Store,
    pub(super) failures: Failures,
    /// Stops the download.
    pub(super) stop: CancellationToken,
}

/// The file, and whether all data could be written to it.
type Written = (Ingest, Result<(), Unkept>);
/// `None` if the disk does not answer in time.
type Writing = Pin<Box<dyn Future<Output = Option<Written>> + Send>>;

impl Download {
    /// Downloads and publishes the blob. Passes the source of a blob that cannot be stored to `unkept`.
    pub(super) async fn run(self, unkept: oneshot::Sender<Source>) {
        let opened = tokio::select! {
            opened = self.open(unkept) => opened,
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
                    let (registry, _) = self.start.place();
                    self.failures.note(registry, self.start.digest(), error);
                }
                self.end(None, end);
            }
        }
    }

    /// Asks upstream and reserves space; reports the outcome to all waiting requests.
    async fn open(&self, unkept: oneshot::Sender<Source>) -> Option<(Source, Ingest)> {
        let digest = *self.start.digest();
        let (_, repository) = self.start.place();
        let source = match Source::open(self.upstream.clone(), repository, &digest, None).await {
            Ok(source) => source,
            Err(error) => {
                self.start.tell(|progress| *progress = Progress::NotOpened(error));
                return None;
            }
        };
        let (store, length) = (self.store.clone(), total(source.part()));
        match store.begin(&digest, length).await {
            Ok(ingest) => {
                let open = Open::new(length, ingest.arriving());
                self.start.tell(|progress| *progress = Progress::Open(Box::new(open)));
                Some((source, ingest))
            }
            Err(_) => {
                self.start.tell(|progress| *progress = Progress::NotKept);
                // The request that started the download may be gone.
                let _ = unkept.send(source);
                None
            }
        }
    }

    /// Writes the data that arrives until the blob is complete. The disk and upstream do not wait for each other.
    async fn arrive(&self, mut source: Source, ingest: Ingest) -> Result<Ingest, End> {
        // The state before the write in progress.
        let mut before = (ingest.position(), ingest.hasher());
        let mut idle = Some(ingest);
        let mut writing: Option<Writing> = None;
        let (mut waiting, mut pieces): (Vec<Bytes>, Vec<Bytes>) = (Vec::new(), Vec::new());
        let mut all_came = false;
        loop {
            if let Some(ingest) = idle.take() {
                if waiting.is_empty() {
                    if all_came {
                        return Ok(ingest);
                    }
                    idle = Some(ingest);
                } else {
                    pieces = mem::take(&mut waiting);
                    let (pieces, store) = (pieces.clone(), self.store.clone());
                    before = (ingest.position(), ingest.hasher());
                    writing = Some(Box::pin(async move {
                        store.write(move |_| write(ingest, &pieces)).await
                    }));
                }
            }
            // A download without clients is the first to lose its turn.
            let alone = self.start.is_alone();
            source.set_abandoned(alone);
            let has_room = waiting.iter().map(Bytes::len).sum::<usize>() < MAX_WAITING;
            tokio::select! {
                written = ended(&mut writing) => {
                    writing = None;
                    let Some(written) = written else {
                        let (position, hasher) = before;
                        return Err(End::Unkept { position, hasher });
                    };
                    idle = Some(self.written(written, mem::take(&mut pieces))?);
                }
                piece = poll_fn(|context| source.poll_piece(context)), if has_room && !all_came => {
                    match piece {
                        Ok(Some(piece)) => waiting.push(piece),
                        Ok(None) => all_came = true,
                        Err(BlobError::TooSlow) => {
                            return Err(self.gave_way(idle, writing, before, pieces).await);
                        }
                        Err(error) => return Err(End::Failed(error)),
                    }
                }
                () = self.start.left_alone(), if !alone => {}
            }
        }
    }

    /// Ends a download that lost its turn: clients that have joined meanwhile continue on their own.
    async fn gave_way(
        &self,
        idle: Option<Ingest>,
        writing: Option<Writing>,
        (position, hasher): (u64, Hasher),
        pieces: Vec<Bytes>,
    ) -> End {
        let written = match writing {
            Some(writing) => writing.await.map(|written| self.written(written, pieces)),
            None => None,
        };
        match idle.map(Ok).or(written) {
            Some(Ok(ingest)) => {
                End::Unkept { position: ingest.position(), hasher: ingest.hasher() }
            }
            Some(Err(end)) => end,
            None => End::Unkept { position, hasher },
        }
    }

    /// Reports how much is available now, or that no more can be written.
    fn written(&self, (ingest, written): Written, pieces: Vec<Bytes>) -> Result<Ingest, End> {
        if written.is_err() {
            return Err(End::Unkept { position: ingest.position(), hasher: ingest.hasher() });
        }
        self.start.tell(|progress| progress.advance(pieces));
        Ok(ingest)
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
            let (registry, repository) = holders.next()?;
            // The store has already logged why the blob is not stored.
            whole.publish(&registry, &repository, HeldAs::Blob).ok()?;
            for (registry, repository) in holders {
                store.hold(&registry, &repository, &digest, &HeldAs::Blob);
            }
            Some(Stored { store: store.clone(), place: (registry, repository), digest })
        });
        // The store has already logged why the blob is not published.
        if let Some(Some(stored)) = published.await {
            self.start.tell(|progress| progress.publish(stored));
        }
    }
}

async fn ended(writing: &mut Option<Writing>) -> Option<Written> {
    match writing {
        Some(writing) => writing.await,
        None => pending().await,
    }
}

fn write(mut ingest: Ingest, pieces: &[Bytes]) -> Written {
    let written = pieces.iter().try_for_each(|piece| ingest.append(piece));
    (ingest, written)
}
