//! One client of a download that others may share: it reads the data that has arrived at its own pace and waits for
//! more. If the download can no longer be stored, the client continues directly from upstream.

use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::watch;

use super::error::BlobError;
use super::progress::{Came, End, OnDisk, Open, Progress};
use super::source::{bounds, is_whole};
use super::unstored::{Request, Unstored};
use super::window::Window;
use crate::oci::{Digest, Hasher};
use crate::registry_client::Part;
use crate::store::Store;

type Receiver = watch::Receiver<Progress>;

/// A blob, or a range of it, during its download.
pub(super) struct Joined {
    asked: BlobRequest,
    part: Part,
    state: State,
    /// The position in the blob of the next byte for this client.
    position: u64,
    /// The position in the blob where this ends, once it is known.
    end: Option<u64>,
}

/// The request of the client, and the store.
pub(super) struct BlobRequest {
    pub(super) store: Store,
    pub(super) request: Request,
}

enum State {
    Reading(Receiver),
    Waiting(Pin<Box<dyn Future<Output = Option<Receiver>> + Send>>),
    /// A read from the disk is in progress.
    Fetching(Pin<Box<dyn Future<Output = (Receiver, io::Result<Bytes>)> + Send>>),
    /// Without the store.
    Unstored(Box<Unstored>),
    Done,
}

/// What a client can do now.
enum Step {
    Read(Came),
    Wait,
    Leave { hasher: Hasher, window: Arc<Window> },
    Finish,
}

impl Joined {
    /// `part` of a download.
    pub(super) fn new(receiver: Receiver, part: Part, asked: BlobRequest) -> Self {
        let (position, end) = bounds(part);
        Self { asked, part, state: State::Reading(receiver), position, end }
    }

    pub(super) fn digest(&self) -> &Digest {
        &self.asked.request.digest
    }

    pub(super) fn part(&self) -> Part {
        self.part
    }

    /// The number of bytes still to come, if known.
    pub(super) fn left(&self) -> Option<u64> {
        match &self.state {
            State::Unstored(unstored) => unstored.left(),
            State::Reading(_) | State::Waiting(_) | State::Fetching(_) | State::Done => {
                Some(self.end?.saturating_sub(self.position))
            }
        }
    }

    pub(super) fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, BlobError>> {
        let polled = ready!(self.poll_state(context));
        if !matches!(polled, Ok(Some(_))) {
            self.state = State::Done;
        }
        Poll::Ready(polled)
    }

    fn poll_state(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BlobError>> {
        loop {
            match &mut self.state {
                State::Done => return Poll::Ready(Ok(None)),
                State::Unstored(unstored) => return unstored.poll_piece(context),
                State::Waiting(changed) => match ready!(changed.as_mut().poll(context)) {
                    Some(receiver) => self.state = State::Reading(receiver),
                    // A download reports how it ended, unless it ended with the gate.
                    None => return Poll::Ready(Err(BlobError::Stopping)),
                },
                State::Fetching(fetched) => {
                    let (receiver, piece) = ready!(fetched.as_mut().poll(context));
                    self.state = State::Reading(receiver);
                    return Poll::Ready(self.read(piece));
                }
                State::Reading(receiver) => {
                    let step = match &*receiver.borrow_and_update() {
                        Progress::Open(open) => next(open, self.position, self.part, self.end)?,
                        Progress::Opening | Progress::NotOpened(_) | Progress::NotKept(_) => {
                            Step::Wait
                        }
                    };
                    match step {
                        Step::Read(Came::InMemory(piece)) => {
                            return Poll::Ready(self.read(Ok(piece)));
                        }
                        Step::Read(Came::OnDisk(came)) => self.fetch(came),
                        Step::Wait => self.wait(),
                        Step::Leave { hasher, window } => {
                            self.state = State::Unstored(Box::new(self.unstored(hasher, &window)));
                        }
                        Step::Finish => return Poll::Ready(Ok(None)),
                    }
                }
            }
        }
    }

    fn read(&mut self, piece: io::Result<Bytes>) -> Result<Option<Bytes>, BlobError> {
        let piece = piece.map_err(|error| BlobError::Unreadable(error.kind()))?;
        self.position += piece.len() as u64;
        Ok(Some(piece))
    }

    fn fetch(&mut self, came: OnDisk) {
        if let State::Reading(receiver) = mem::replace(&mut self.state, State::Done) {
            let store = self.asked.store.clone();
            self.state = State::Fetching(Box::pin(async move {
                let piece = store.read(move |_| came.read()).await;
                (receiver, piece.unwrap_or(Err(io::ErrorKind::TimedOut.into())))
            }));
        }
    }

    fn wait(&mut self) {
        if let State::Reading(mut receiver) = mem::replace(&mut self.state, State::Done) {
            self.state = State::Waiting(Box::pin(async move {
                receiver.changed().await.ok()?;
                Some(receiver)
            }));
        }
    }

    /// What is left, without the store. `hasher` has hashed everything before `window`.
    fn unstored(&self, hasher: Hasher, window: &Arc<Window>) -> Unstored {
        let hasher = is_whole(self.part).then_some(hasher);
        Unstored::rest(window, self.asked.request.clone(), self.part, self.position, hasher)
    }
}

/// The next step of a client at `position` in a download that wants its `part` up to `end`.
fn next(open: &Open, position: u64, part: Part, end: Option<u64>) -> Result<Step, BlobError> {
    // Data that arrived before the failure may be wrong, too.
    if let Some(End::Failed(error)) = &open.end {
        return Err(error.clone());
    }
    let until = end.unwrap_or(u64::MAX).min(open.available);
    if position < until {
        return Ok(Step::Read(open.came(position, until)));
    }
    if end == Some(position) && !is_whole(part) {
        return Ok(Step::Finish);
    }
    Ok(match &open.end {
        None => Step::Wait,
        Some(End::Complete) => Step::Finish,
        Some(End::Unkept { hasher, window, .. }) => {
            Step::Leave { hasher: hasher.clone(), window: window.clone() }
        }
        Some(End::Failed(error)) => return Err(error.clone()),
    })
}
