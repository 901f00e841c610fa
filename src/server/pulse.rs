//! What one connection is doing: whose turn it is, and since when. Its parts tell, and its
//! supervisor asks whether the client has been silent for too long. Knows only times and counts.
//!
//! hyper's own header timeout runs while a kept connection is merely idle, and it has none for a
//! client that leaves an HTTP/2 window shut; so both are judged here.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::limits::Limits;

/// Stands for no time in the atomics below, which are milliseconds since `opened`.
const NEVER: u64 = u64::MAX;
/// A ping has 17 bytes, and a TLS record around it at most 29 more.
const LARGEST_PING: usize = 64;

/// What one connection is doing.
#[derive(Debug)]
pub(super) struct Pulse {
    opened: Instant,
    http2: AtomicBool,
    /// Requests whose answers are not finished.
    open: AtomicUsize,
    /// Of those, how many wait for us and not for their client.
    ours: AtomicUsize,
    /// Since when the headers of a request are being read.
    head_since: AtomicU64,
    /// Since when there is no request.
    idle_since: AtomicU64,
    /// When it last was the client's turn anew: bytes left, or our own work ended.
    moved: AtomicU64,
}

/// How a client was silent for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// It does not finish its headers.
    Header,
    /// It asks for nothing.
    Idle,
    /// It does not take what it asked for.
    Reader,
}

impl Pulse {
    /// Of a connection that has just been opened: its headers are being waited for.
    pub(super) fn new() -> Self {
        Self {
            opened: Instant::now(),
            http2: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            ours: AtomicUsize::new(0),
            head_since: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
            moved: AtomicU64::new(0),
        }
    }

    /// The handshake is over: the time for headers starts here.
    pub(super) fn shaken(&self) {
        self.head_since.store(self.now(), Relaxed);
    }

    /// Bytes came. On HTTP/2 they may be no headers at all, so there only idleness counts.
    pub(super) fn received(&self) {
        let waiting = self.open.load(Relaxed) == 0 && self.head_since.load(Relaxed) == NEVER;
        if waiting && !self.http2.load(Relaxed) {
            self.head_since.store(self.now(), Relaxed);
        }
    }

    /// As many bytes left. HTTP/2's own pings leave also to a client that takes nothing.
    pub(super) fn sent(&self, bytes: usize) {
        if bytes > LARGEST_PING || !self.http2.load(Relaxed) {
            self.moved.store(self.now(), Relaxed);
        }
    }

    /// A request's headers are read.
    pub(super) fn begin(self: &Arc<Self>, http2: bool) -> Exchange {
        if http2 {
            self.http2.store(true, Relaxed);
        }
        self.open.fetch_add(1, Relaxed);
        self.ours.fetch_add(1, Relaxed);
        self.head_since.store(NEVER, Relaxed);
        Exchange { pulse: Arc::clone(self), ours: true }
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

    /// Until when the client may be silent, if it is its turn.
    fn deadline(&self, limits: &Limits) -> Option<(Instant, Silence)> {
        let (since, timeout, silence) = if self.open.load(Relaxed) == 0 {
            match self.head_since.load(Relaxed) {
                NEVER => (self.idle_since.load(Relaxed), limits.idle_timeout, Silence::Idle),
                since => (since, limits.header_timeout, Silence::Header),
            }
        } else if self.ours.load(Relaxed) == 0 {
            (self.moved.load(Relaxed), limits.write_timeout, Silence::Reader)
        } else {
            return None;
        };
        Some((self.opened + Duration::from_millis(since) + timeout, silence))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }
}

/// One request and its answer; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Exchange {
    pulse: Arc<Pulse>,
    ours: bool,
}

impl Exchange {
    fn turn(&mut self, ours: bool) {
        if self.ours == ours {
            return;
        }
        self.ours = ours;
        if ours {
            self.pulse.ours.fetch_add(1, Relaxed);
        } else {
            self.pulse.moved.store(self.pulse.now(), Relaxed);
            self.pulse.ours.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.ours {
            self.pulse.ours.fetch_sub(1, Relaxed);
        }
        self.pulse.idle_since.store(self.pulse.now(), Relaxed);
        self.pulse.open.fetch_sub(1, Relaxed);
    }
}

/// A body that tells whose turn it is: ours while it is waited for, the client's once it has given
/// something and is not asked for more.
#[derive(Debug)]
pub(super) struct Told<B> {
    body: B,
    exchange: Exchange,
}

impl<B> Told<B> {
    pub(super) fn new(body: B, exchange: Exchange) -> Self {
        Self { body, exchange }
    }
}

impl<B: http_body::Body + Unpin> http_body::Body for Told<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.exchange.turn(frame.is_pending());
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
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
    async fn silence(pulse: &Pulse) -> (Silence, u64) {
        let start = Instant::now();
        let silence = pulse.silence(&limits()).await;
        (silence, start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_has_the_time_of_a_header() {
        assert_eq!(silence(&Pulse::new()).await, (Silence::Header, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_it_may_be_idle_until_the_next_begins() {
        let pulse = Arc::new(Pulse::new());
        drop(pulse.begin(false));
        assert_eq!(silence(&pulse).await, (Silence::Idle, 60));
        drop(pulse.begin(false));
        pulse.received();
        assert_eq!(silence(&pulse).await, (Silence::Header, 10));
        drop(pulse.begin(true));
        pulse.received();
        assert_eq!(silence(&pulse).await, (Silence::Idle, 60), "HTTP/2 sends more than headers");
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_slowness_is_not_the_clients() {
        let pulse = Arc::new(Pulse::new());
        let mut exchange = pulse.begin(true);
        let hour = Duration::from_secs(3600);
        assert!(tokio::time::timeout(hour, pulse.silence(&limits())).await.is_err());
        exchange.turn(false);
        assert_eq!(silence(&pulse).await, (Silence::Reader, 30));
        exchange.turn(true);
        let other = pulse.begin(true);
        drop(exchange);
        assert!(tokio::time::timeout(hour, pulse.silence(&limits())).await.is_err());
        drop(other);
        assert_eq!(silence(&pulse).await, (Silence::Idle, 60));
    }
}
