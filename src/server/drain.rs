//! Bodies of requests, which mean nothing here. A connection that is closed with bytes unread is reset, and a
//! client that still sends its body then sees a broken pipe instead of the answer. So the body is read and
//! dropped while the answer is on its way, within limits.

use std::time::Duration;

use bytes::Buf as _;
use http_body::Body;
use http_body_util::BodyExt as _;

/// The most bytes of one body that are read: larger than most layers. Clients stop when they have the answer.
const MAX_BYTES: u64 = 1 << 30;
/// How long one body is read.
const MAX_TIME: Duration = Duration::from_secs(30);

/// Reads and drops `body` until it ends or a limit is reached. Nobody waits for it.
pub(super) fn begin<B: Body + Send + Unpin + 'static>(body: B) {
    if body.is_end_stream() {
        return;
    }
    // It ends with the connection at the latest, which the listener closes and counts.
    drop(tokio::spawn(tokio::time::timeout(MAX_TIME, drain(body, MAX_BYTES))));
}

async fn drain<B: Body + Unpin>(mut body: B, most: u64) {
    let mut left = most;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, |data| data.remaining() as u64);
        let Some(rest) = left.checked_sub(bytes) else { return };
        left = rest;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::{Context, Poll};

    use bytes::Bytes;
    use http_body::Frame;

    use super::*;

    /// A body without an end, which counts its bytes.
    struct Endless(Arc<AtomicU64>);

    impl Body for Endless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.fetch_add(10, Ordering::Relaxed);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"0123456789")))))
        }
    }

    #[tokio::test]
    async fn no_more_is_read_than_the_limit() {
        let read = Arc::new(AtomicU64::new(0));
        drain(Endless(read.clone()), 95).await;
        assert_eq!(read.load(Ordering::Relaxed), 100);
    }
}
