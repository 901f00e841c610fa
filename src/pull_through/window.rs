//! A download that is not stored: one request to the upstream for several clients, through a bounded window in memory.
//!
//! The readers drive the download: a reader that has read everything asks the source for more. The window keeps what
//! arrived last: until each reader has read it, and longer, for clients that come later, while there is space. If the
//! window is full, the fastest reader waits for the slowest one; all such waits of one download together take at most
//! [`MAX_HELD`]. After that, a reader that is too slow leaves the window, and continues with a request of its own.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until};

use super::error::BlobError;
use super::failures::Failures;
use super::source::{Source, bounds, is_whole};
use super::wakers::Wakers;
use crate::oci::{Hasher, Mismatch};
use crate::registry_client::Part;

/// How many bytes one window keeps; it can exceed this by one piece.
const MAX_BYTES: usize = 4 << 20;
/// How many bytes all windows keep together, each in addition to two pieces.
const MAX_TOTAL: usize = 64 << 20;
/// How many pieces one window keeps: a registry may send single bytes.
const MAX_PIECES: usize = 512;
/// Smaller pieces are copied, so that they do not keep a larger buffer alive. In bytes.
const SMALL: usize = 4 << 10;
/// How long slow readers of one download may delay its other readers in total.
const MAX_HELD: Duration = Duration::from_secs(2);
/// The reader that stands for those that are expected.
const EXPECTED: u64 = 0;
/// The unit of permits, in bytes.
const UNIT: usize = 1 << 10;

/// The memory of all windows. The clones share it.
#[derive(Clone)]
pub(super) struct Memory(Arc<Semaphore>);

impl Default for Memory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_TOTAL / UNIT)))
    }
}

impl Memory {
    fn is_used_up(&self) -> bool {
        self.0.available_permits() == 0
    }

    /// Counts a piece of that many bytes, or as much of it as there is memory for.
    fn count(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let wanted = bytes.div_ceil(UNIT).min(self.0.available_permits());
        self.0.clone().try_acquire_many_owned(u32::try_from(wanted).ok()?).ok()
    }
}

/// The window of one download. Dropping it cancels the request to the upstream.
pub(super) struct Window {
    part: Part,
    is_from_bundle: bool,
    state: Mutex<State>,
    wakers: Arc<Wakers>,
    memory: Memory,
    failures: Failures,
}

struct State {
    source: Source,
    pieces: VecDeque<Piece>,
    /// The positions in the blob where the window begins, and up to which the download arrived.
    start: u64,
    arrived: u64,
    /// The readers may read up to here: the last piece of a whole blob is held back until its digest is verified.
    available: u64,
    /// Everything before `start`, and everything before `arrived`; `None` if this is a part of the blob.
    hashed: Option<(Hasher, Hasher)>,
    end: Option<Result<(), BlobError>>,
    /// The positions of the readers.
    readers: BTreeMap<u64, u64>,
    next_reader: u64,
    /// How many readers of the stored part did not join yet. Until then, [`EXPECTED`] keeps their place.
    expected: usize,
    /// How much longer slow readers may delay the others, and since when they do.
    patience: Duration,
    held_since: Option<Instant>,
}

struct Piece {
    first: u64,
    bytes: Bytes,
    /// Has hashed everything up to the end of this piece.
    hasher: Option<Hasher>,
    _memory: Option<OwnedSemaphorePermit>,
}

impl Piece {
    fn end(&self) -> u64 {
        self.first + self.bytes.len() as u64
    }
}

/// What a reader gets.
pub(super) enum Taken {
    /// The next bytes, and the hasher of everything up to their end.
    Piece(Bytes, Option<Hasher>),
    End,
    Failed(BlobError),
    /// The reader was too slow, and continues by itself.
    Left,
}

/// What a reader can do now.
enum Next {
    Take(Taken),
    Wait,
    /// The window is full of bytes that another reader has not read.
    WaitUntil(Instant),
}

impl Window {
    /// A window for all of `source`, which is at its beginning.
    pub(super) fn new(source: Source, memory: Memory, failures: Failures) -> Self {
        let (start, _) = bounds(source.part());
        let hasher = is_whole(source.part()).then(|| Hasher::new(source.digest().algorithm()));
        Self::after(start, hasher, Vec::new(), source, 0, memory, failures)
    }

    /// A window that begins at `start` with `pieces`, followed by the rest of `source`; `hasher` has hashed everything
    /// before `start`. So many readers are expected to join.
    pub(super) fn after(
        start: u64,
        hasher: Option<Hasher>,
        pieces: Vec<Bytes>,
        source: Source,
        expected: usize,
        memory: Memory,
        failures: Failures,
    ) -> Self {
        source.set_abandoned(false);
        let part = source.part();
        let is_from_bundle = source.is_from_bundle();
        let mut state = State {
            source,
            pieces: VecDeque::new(),
            start,
            arrived: start,
            available: start,
            hashed: hasher.map(|hasher| (hasher.clone(), hasher)),
            end: None,
            readers: (expected > 0).then_some((EXPECTED, start)).into_iter().collect(),
            expected,
            next_reader: EXPECTED + 1,
            patience: MAX_HELD,
            held_since: None,
        };
        for piece in pieces {
            state.push(piece, &memory);
        }
        let (state, wakers) = (Mutex::new(state), Arc::default());
        Self { part, is_from_bundle, state, wakers, memory, failures }
    }

    pub(super) fn part(&self) -> Part {
        self.part
    }

    /// Whether the source is a bundle and not the registry.
    pub(super) fn is_from_bundle(&self) -> bool {
        self.is_from_bundle
    }

    pub(super) fn failures(&self) -> &Failures {
        &self.failures
    }

    /// Whether clients can still join from the beginning.
    pub(super) fn has_beginning(&self) -> bool {
        let state = self.state();
        state.start == bounds(self.part).0 && !matches!(state.end, Some(Err(_)))
    }

    /// Adds a reader that continues at `position`; `None` if the window does not contain it. A reader that hashes what
    /// it reads can only join at the beginning of the window.
    pub(super) fn join(self: &Arc<Self>, position: u64, hashes: bool) -> Option<Seat> {
        let mut state = self.state();
        let contains = match hashes {
            true => position == state.start && state.hashed.is_some(),
            false => (state.start..=state.arrived).contains(&position),
        };
        if !contains {
            return None;
        }
        state.expected = state.expected.saturating_sub(1);
        if state.expected == 0 {
            state.readers.remove(&EXPECTED);
        }
        let id = state.next_reader;
        state.next_reader += 1;
        state.readers.insert(id, position);
        Some(Seat { window: self.clone(), id, hashes, timer: None })
    }

    /// What reader `id` gets next, of what is before `end`.
    fn next(&self, id: u64, end: Option<u64>, hashes: bool, waker: &Waker) -> Next {
        let mut state = self.state();
        // Before the source is polled, so that no wake-up is lost.
        self.wakers.add(id, waker);
        loop {
            if let Some(taken) = state.take(id, end, hashes) {
                // A slow reader may have made space.
                if state.held_since.is_some() {
                    self.wakers.wake_others(id);
                }
                return Next::Take(taken);
            }
            if let Some(until) = state.make_space(&self.memory, &self.wakers) {
                return Next::WaitUntil(until);
            }
            let source_waker = Waker::from(self.wakers.clone());
            match state.source.poll_piece(&mut Context::from_waker(&source_waker)) {
                Poll::Pending => return Next::Wait,
                Poll::Ready(Ok(Some(piece))) => state.push(piece, &self.memory),
                Poll::Ready(Ok(None)) => {
                    let verified = state.verify();
                    self.finish(&mut state, verified);
                }
                Poll::Ready(Err(error)) => self.finish(&mut state, Err(error)),
            }
            self.wakers.wake_others(id);
        }
    }

    fn finish(&self, state: &mut State, end: Result<(), BlobError>) {
        match &end {
            Ok(()) => state.available = state.arrived,
            Err(error) => {
                state.pieces.clear();
                self.failures.note(state.source.registry(), state.source.digest(), error);
            }
        }
        state.end = Some(end);
    }

    fn leave(&self, id: u64) {
        let mut state = self.state();
        state.readers.remove(&id);
        drop(state);
        // Another reader drives the download now, and there may be space.
        self.wakers.wake_others(id);
        self.wakers.remove(id);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What reader `id` can have without more of the source; `None` if there is nothing yet.
    fn take(&mut self, id: u64, end: Option<u64>, hashes: bool) -> Option<Taken> {
        let Some(&position) = self.readers.get(&id) else { return Some(Taken::Left) };
        // The bytes before a failure may be wrong, too.
        if let Some(Err(error)) = &self.end {
            return Some(Taken::Failed(error.clone()));
        }
        if end.is_some_and(|end| position >= end) && !hashes {
            return Some(Taken::End);
        }
        let until = end.unwrap_or(u64::MAX).min(self.available);
        if position >= until {
            return self.end.is_some().then_some(Taken::End);
        }
        let at = self.pieces.partition_point(|piece| piece.end() <= position);
        let piece = self.pieces.get(at)?;
        let from = usize::try_from(position - piece.first).ok()?;
        let to = usize::try_from(until.min(piece.end()) - piece.first).ok()?;
        let taken = Taken::Piece(piece.bytes.slice(from..to), piece.hasher.clone());
        self.readers.insert(id, piece.first + to as u64);
        Some(taken)
    }

    fn push(&mut self, bytes: Bytes, memory: &Memory) {
        let bytes = if bytes.len() < SMALL { Bytes::copy_from_slice(&bytes) } else { bytes };
        let first = self.arrived;
        self.arrived += bytes.len() as u64;
        let hasher = self.hashed.as_mut().map(|(_, hasher)| {
            hasher.update(&bytes);
            hasher.clone()
        });
        self.available = if hasher.is_some() { first } else { self.arrived };
        let _memory = memory.count(bytes.len());
        self.pieces.push_back(Piece { first, bytes, hasher, _memory });
    }

    /// Makes space for one more piece; returns how long to wait if a slower reader still needs the space.
    fn make_space(&mut self, memory: &Memory, wakers: &Wakers) -> Option<Instant> {
        let now = Instant::now();
        while let Some(piece) = self.pieces.front() {
            let bytes = usize::try_from(self.arrived - self.start).unwrap_or(usize::MAX);
            let has_space =
                bytes < MAX_BYTES && self.pieces.len() < MAX_PIECES && !memory.is_used_up();
            // A piece that is held back must stay until the next one arrives.
            if has_space || piece.first >= self.available {
                break;
            }
            let end = piece.end();
            if self.readers.values().any(|position| *position < end) {
                let since = *self.held_since.get_or_insert(now);
                if now.saturating_duration_since(since) < self.patience {
                    return Some(since + self.patience);
                }
                self.readers.retain(|_, position| *position >= end);
                wakers.wake_all();
            }
            self.drop_first();
        }
        if let Some(since) = self.held_since.take() {
            let held = now.saturating_duration_since(since);
            self.patience = self.patience.saturating_sub(held);
        }
        None
    }

    fn drop_first(&mut self) {
        let Some(piece) = self.pieces.pop_front() else { return };
        self.start = piece.end();
        if let (Some((before, _)), Some(hasher)) = (&mut self.hashed, piece.hasher) {
            *before = hasher;
        }
    }

    /// Compares the digest of a whole blob.
    fn verify(&self) -> Result<(), BlobError> {
        let Some((_, hasher)) = &self.hashed else { return Ok(()) };
        let (asked, got) = (*self.source.digest(), hasher.clone().finish());
        if got == asked {
            return Ok(());
        }
        Err(BlobError::Mismatch(Box::new(Mismatch { asked, got })))
    }
}

/// The place of one reader in a window.
pub(super) struct Seat {
    window: Arc<Window>,
    id: u64,
    /// Whether this reader needs the verified end of the blob.
    hashes: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Seat {
    pub(super) fn poll_next(&mut self, end: Option<u64>, context: &mut Context<'_>) -> Poll<Taken> {
        loop {
            match self.window.next(self.id, end, self.hashes, context.waker()) {
                Next::Take(taken) => return Poll::Ready(taken),
                Next::Wait => return Poll::Pending,
                Next::WaitUntil(until) => {
                    let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
                    timer.as_mut().reset(until);
                    ready!(timer.as_mut().poll(context));
                }
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.window.leave(self.id);
    }
}
