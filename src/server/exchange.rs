//! One request and its response on a connection: whether the gate or the client must act next, and whether the
//! client reads the response. Measures only bytes and times.

use std::fmt;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Buf;
use futures_util::task::AtomicWaker;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::idle_timeout::Activity;
use super::load::BudgetShare;

/// How many bytes of a response a client must read within `write_timeout`, if that many are left. Applies to HTTP/2
/// streams, whose window a client may open byte by byte.
const PROGRESS: u64 = 16 << 10;
/// The end of an HTTP/2 response is sent with its last piece if that piece has at most this many bytes. After a larger
/// piece, the end waits until the client has read the piece, because an ended stream can no longer be reset.
const SMALL: usize = 16 << 10;

/// One request and its response. It ends when this is dropped, after the last byte was written to the socket.
pub(super) struct Exchange {
    activity: Arc<Activity>,
    http2: bool,
    /// Whether the response waits for the gate, not for the client.
    ours: AtomicBool,
    /// Pieces that hyper still holds.
    held: AtomicUsize,
    /// Since when the client has not made the required progress.
    since: AtomicU64,
    /// Bytes read since then.
    taken: AtomicU64,
    /// Wakes the response body once hyper holds no piece of it.
    released: AtomicWaker,
    /// How to record the end of the response if hyper still holds pieces of it then.
    tail: AtomicU64,
    _place: Option<BudgetShare>,
}

impl Exchange {
    /// Begins once the headers of the request are read.
    pub(super) fn begin(
        activity: &Arc<Activity>,
        http2: bool,
        place: Option<BudgetShare>,
    ) -> Arc<Self> {
        activity.begin(http2);
        Arc::new(Self {
            activity: Arc::clone(activity),
            http2,
            ours: AtomicBool::new(true),
            held: AtomicUsize::new(0),
            since: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            released: AtomicWaker::new(),
            tail: AtomicU64::new(0),
            _place: place,
        })
    }

    /// When the client must have made progress, if it must act next.
    pub(super) fn deadline(&self, write_timeout: Duration) -> Option<Instant> {
        let clients_turn = !self.ours.load(Ordering::Relaxed);
        clients_turn.then(|| self.activity.at(self.since.load(Ordering::Relaxed)) + write_timeout)
    }

    /// The client did not make progress in time; its stream is about to be reset.
    pub(super) fn stalled(&self) {
        self.activity.stalled();
    }

    fn turn(&self, ours: bool) {
        if self.ours.swap(ours, Ordering::Relaxed) == ours {
            return;
        }
        if ours {
            self.activity.ours_begins();
        } else {
            self.renew();
            self.activity.ours_ends();
        }
    }

    fn renew(&self) {
        self.taken.store(0, Ordering::Relaxed);
        self.since.store(self.activity.now(), Ordering::Relaxed);
    }

    fn took(&self, bytes: usize) {
        let taken = self.taken.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if taken >= PROGRESS {
            self.renew();
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let tail = *self.tail.get_mut();
        if tail > 0 {
            self.activity.tail_ends(tail);
        }
        self.activity.end(*self.ours.get_mut());
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("ours", &self.ours).finish_non_exhaustive()
    }
}

/// A body that reports who must act next: the gate while the body is not ready, the client after the body returned a
/// piece and until it is polled again.
#[derive(Debug)]
pub(super) struct Reported<B> {
    body: B,
    exchange: Arc<Exchange>,
    /// Whether the end must wait until the client has read the last piece.
    end_waits: bool,
    ended: bool,
}

impl<B> Reported<B> {
    pub(super) fn new(body: B, exchange: Arc<Exchange>) -> Self {
        Self { body, exchange, end_waits: false, ended: false }
    }

    /// Whether the end may be sent: an HTTP/2 stream stays open while hyper holds a large piece of it.
    fn poll_end(&self, cx: &Context<'_>) -> Poll<()> {
        let held = || self.exchange.held.load(Ordering::SeqCst) > 0;
        if !self.end_waits || !held() {
            return Poll::Ready(());
        }
        self.exchange.released.register(cx.waker());
        if held() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl<B: http_body::Body + Unpin> http_body::Body for Reported<B> {
    type Data = Piece<B::Data>;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece<B::Data>>, B::Error>>> {
        if !self.ended {
            let polled = Pin::new(&mut self.body).poll_frame(cx);
            self.exchange.turn(polled.is_pending());
            let Poll::Ready(frame) = polled else { return Poll::Pending };
            if let Some(frame) = frame {
                let (http2, exchange) = (self.exchange.http2, Arc::clone(&self.exchange));
                let frame = frame.map(|frame| frame.map_data(|data| Piece::new(data, exchange)));
                let length = frame.as_ref().ok().and_then(Frame::data_ref).map(Buf::remaining);
                self.end_waits = http2 && length.is_some_and(|length| length > SMALL);
                return Poll::Ready(Some(frame));
            }
            self.ended = true;
        }
        self.poll_end(cx).map(|()| None)
    }

    fn is_end_stream(&self) -> bool {
        !self.end_waits && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Reported<B> {
    fn drop(&mut self) {
        let Exchange { http2, held, activity, tail, .. } = &*self.exchange;
        if *http2 && held.load(Ordering::SeqCst) > 0 {
            tail.store(activity.tail_begins(), Ordering::SeqCst);
        }
    }
}

/// A piece of a response that hyper holds until it is written to the socket.
#[derive(Debug)]
pub(super) struct Piece<D> {
    data: D,
    exchange: Arc<Exchange>,
}

impl<D> Piece<D> {
    fn new(data: D, exchange: Arc<Exchange>) -> Self {
        exchange.held.fetch_add(1, Ordering::SeqCst);
        Self { data, exchange }
    }
}

impl<D: Buf> Buf for Piece<D> {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    fn chunks_vectored<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        self.data.chunks_vectored(dst)
    }

    fn advance(&mut self, bytes: usize) {
        self.data.advance(bytes);
        self.exchange.took(bytes);
    }
}

impl<D> Drop for Piece<D> {
    fn drop(&mut self) {
        if self.exchange.held.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.exchange.released.wake();
        }
    }
}
