//! The activity of one connection: whether the gate or the client must act next, and since when. The parts of the
//! connection report here, and its task asks whether the client has been silent for too long. Knows only times and
//! counts.
//!
//! hyper's own header timeout also runs while a kept-alive connection is merely idle, and hyper has no timeout for a
//! client that keeps an HTTP/2 window closed. So both are measured here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::limits::Limits;

/// Means "no time" in the atomics below, which hold milliseconds since `opened`.
const NEVER: u64 = u64::MAX;
/// A ping has 17 bytes, and its TLS record adds at most 29.
const LARGEST_PING: usize = 64;

/// The activity of one connection.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    http2: AtomicBool,
    /// Requests whose responses are not finished.
    open: AtomicUsize,
    /// How many of those wait for the gate, not for the client.
    ours: AtomicUsize,
    /// Since when the headers of a request are being read.
    head_since: AtomicU64,
    /// Since when there is no request.
    idle_since: AtomicU64,
    /// When the client last had to act next anew: bytes were sent, or the gate finished its part.
    moved: AtomicU64,
    /// Whether a stream was reset because the client did not read it, and the client has done nothing since.
    stalled: AtomicBool,
    /// Whether the connection ends without waiting for its client.
    severed: AtomicBool,
    tails: Mutex<Tails>,
}

/// Responses that ended while HTTP/2 still held a small piece of them, with the time when each ended.
#[derive(Debug, Default)]
struct Tails {
    last: u64,
    since: BTreeMap<u64, u64>,
}

/// How a client was silent for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// It did not finish its headers.
    Header,
    /// It sent no request.
    Idle,
    /// It did not read the response.
    Reader,
}

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// A request, for this long.
    Request(Duration),
    /// Its client, which has read nothing for this long.
    Reader(Duration),
    /// The gate; the client was last served this long ago.
    Us(Duration),
}

impl Activity {
    /// The activity of a new connection, which waits for headers.
    pub(super) fn new() -> Self {
        Self {
            opened: Instant::now(),
            http2: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            ours: AtomicUsize::new(0),
            head_since: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            stalled: AtomicBool::new(false),
            severed: AtomicBool::new(false),
            tails: Mutex::default(),
        }
    }

    /// The handshake is complete: the time limit for headers starts.
    pub(super) fn shaken(&self) {
        self.head_since.store(self.now(), Relaxed);
    }

    /// Bytes arrived. On HTTP/2 they need not be headers, so there only idle time counts.
    pub(super) fn received(&self) {
        let waiting = self.open.load(Relaxed) == 0 && self.head_since.load(Relaxed) == NEVER;
        if waiting && !self.http2.load(Relaxed) {
            self.head_since.store(self.now(), Relaxed);
        }
    }

    /// `bytes` were sent. HTTP/2's own pings are sent even to a client that reads nothing.
    pub(super) fn sent(&self, bytes: usize) {
        if bytes > LARGEST_PING || !self.http2.load(Relaxed) {
            self.moved.store(self.now(), Relaxed);
            self.stalled.store(false, Relaxed);
        }
    }

    /// The headers of a request are complete.
    pub(super) fn begin(&self, http2: bool) {
        if http2 {
            self.http2.store(true, Relaxed);
        }
        self.open.fetch_add(1, Relaxed);
        self.ours.fetch_add(1, Relaxed);
        self.head_since.store(NEVER, Relaxed);
        self.stalled.store(false, Relaxed);
    }

    /// A request and its response ended; `ours` is whether the gate had to act next.
    pub(super) fn end(&self, ours: bool) {
        if ours {
            self.ours.fetch_sub(1, Relaxed);
        }
        self.idle_since.store(self.now(), Relaxed);
        self.open.fetch_sub(1, Relaxed);
    }

    /// A response starts to wait for the gate.
    pub(super) fn ours_begins(&self) {
        self.ours.fetch_add(1, Relaxed);
    }

    /// A response that waited for the gate now waits for its client.
    pub(super) fn ours_ends(&self) {
        self.moved.store(self.now(), Relaxed);
        self.ours.fetch_sub(1, Relaxed);
    }

    /// Requests in progress.
    pub(super) fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// A stream is reset because the client did not read it.
    pub(super) fn stalled(&self) {
        self.stalled.store(true, Relaxed);
    }

    /// From now on, closing the connection discards what the client has not read.
    pub(super) fn sever(&self) {
        self.severed.store(true, Relaxed);
    }

    pub(super) fn is_severed(&self) -> bool {
        self.severed.load(Relaxed)
    }

    /// A response ended while HTTP/2 still holds a piece of it; returns the response's number, which is not 0.
    pub(super) fn tail_begins(&self) -> u64 {
        let now = self.now();
        let mut tails = self.tails();
        tails.last += 1;
        let number = tails.last;
        tails.since.insert(number, now);
        number
    }

    /// The last piece of that response was sent.
    pub(super) fn tail_ends(&self, number: u64) {
        self.tails().since.remove(&number);
    }

    fn tails(&self) -> MutexGuard<'_, Tails> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the client has been silent for too long.
    pub(super) async fn silence(&self, limits: &Limits) -> Silence {
        let shortest = limits.header_timeout.min(limits.idle_timeout).min(limits.write_timeout);
        let tick = (shortest / 2).max(Duration::from_millis(1));
        loop {
            let wait = match self.deadline(limits) {
                None => tick,
                Some((at, silence)) => match at.checked_duration_since(Instant::now()) {
                    None | Some(Duration::ZERO) => return silence,
                    Some(left) => left.min(tick),
                },
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Until when the client may be silent, if it must act next.
    fn deadline(&self, limits: &Limits) -> Option<(Instant, Silence)> {
        let open = self.open.load(Relaxed);
        if open == 0 && self.stalled.load(Relaxed) {
            return Some((self.opened, Silence::Reader));
        }
        let turn = if open == 0 {
            Some(match self.head_since.load(Relaxed) {
                NEVER => (self.idle_since.load(Relaxed), limits.idle_timeout, Silence::Idle),
                since => (since, limits.header_timeout, Silence::Header),
            })
        } else if self.ours.load(Relaxed) == 0 {
            Some((self.moved.load(Relaxed), limits.write_timeout, Silence::Reader))
        } else {
            None
        };
        let turn = turn.map(|(since, timeout, silence)| (self.at(since) + timeout, silence));
        let tail = self.tails().since.first_key_value().map(|(_, since)| *since);
        let tail = tail.map(|since| (self.at(since) + limits.write_timeout, Silence::Reader));
        turn.into_iter().chain(tail).min_by_key(|(at, _)| *at)
    }

    /// What the connection is waiting for, and for how long.
    pub(super) fn wait(&self, now: Instant) -> Wait {
        let since = |since: &AtomicU64| now.duration_since(self.at(since.load(Relaxed)));
        if self.open.load(Relaxed) == 0 {
            Wait::Request(match self.head_since.load(Relaxed) {
                NEVER => since(&self.idle_since),
                head => now.duration_since(self.at(head)),
            })
        } else if self.ours.load(Relaxed) == 0 {
            Wait::Reader(since(&self.moved))
        } else {
            Wait::Us(since(&self.moved))
        }
    }

    /// Milliseconds since the connection was opened.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }

    /// The instant that many milliseconds after the connection was opened.
    pub(super) fn at(&self, since: u64) -> Instant {
        self.opened + Duration::from_millis(since)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body::Body as _;
    use http_body_util::{BodyExt as _, Full};

    use super::super::exchange::{Exchange, Reported};
    use super::*;

    fn limits() -> Limits {
        Limits {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            ..Limits::default()
        }
    }

    /// How the client was silent, and after how many seconds.
    async fn silence(activity: &Activity) -> (Silence, u64) {
        let start = Instant::now();
        let silence = activity.silence(&limits()).await;
        (silence, start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_has_the_header_timeout() {
        assert_eq!(silence(&Activity::new()).await, (Silence::Header, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_may_be_idle_between_requests() {
        let activity = Arc::new(Activity::new());
        drop(Exchange::begin(&activity, false, None));
        assert_eq!(silence(&activity).await, (Silence::Idle, 60));
        drop(Exchange::begin(&activity, false, None));
        activity.received();
        assert_eq!(silence(&activity).await, (Silence::Header, 10));
        drop(Exchange::begin(&activity, true, None));
        activity.received();
        assert_eq!(silence(&activity).await, (Silence::Idle, 60), "HTTP/2 sends more than headers");
    }

    #[tokio::test(start_paused = true)]
    async fn time_spent_by_the_gate_does_not_count_against_the_client() {
        let activity = Arc::new(Activity::new());
        let exchange = Exchange::begin(&activity, true, None);
        let hour = Duration::from_secs(3600);
        assert!(tokio::time::timeout(hour, activity.silence(&limits())).await.is_err());
        let mut body = Reported::new(Full::new(bytes::Bytes::from_static(b"one")), exchange);
        let piece = body.frame().await.unwrap().unwrap();
        assert_eq!(silence(&activity).await, (Silence::Reader, 30));
        let other = Exchange::begin(&activity, true, None);
        drop((piece, body));
        assert!(tokio::time::timeout(hour, activity.silence(&limits())).await.is_err());
        drop(other);
        assert_eq!(silence(&activity).await, (Silence::Idle, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_of_a_response_must_be_read_while_others_are_in_progress() {
        let activity = Arc::new(Activity::new());
        let other = Exchange::begin(&activity, true, None);
        let exchange = Exchange::begin(&activity, true, None);
        let mut body = Reported::new(Full::new(bytes::Bytes::from_static(b"one")), exchange);
        let piece = body.frame().await.unwrap().unwrap();
        assert!(body.is_end_stream());
        drop(body);
        assert_eq!(silence(&activity).await, (Silence::Reader, 30));
        drop(piece);
        let hour = Duration::from_secs(3600);
        assert!(tokio::time::timeout(hour, activity.silence(&limits())).await.is_err());
        drop(other);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_large_response_waits_until_its_last_piece_is_read() {
        for (http2, length, waits) in
            [(true, 17 << 10, true), (true, 16 << 10, false), (false, 17 << 10, false)]
        {
            let exchange = Exchange::begin(&Arc::new(Activity::new()), http2, None);
            let content = bytes::Bytes::from(vec![b'x'; length]);
            let mut body = Reported::new(Full::new(content), exchange);
            let piece = body.frame().await.unwrap().unwrap();
            assert_eq!(body.is_end_stream(), !waits, "{http2}, {length}");
            let end = tokio::time::timeout(Duration::from_secs(1), body.frame()).await;
            assert_eq!(end.is_err(), waits, "{http2}, {length}");
            drop(piece);
            assert!(body.frame().await.is_none());
        }
    }
}
