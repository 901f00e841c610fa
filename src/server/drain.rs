//! Request bodies, which have no meaning here. Closing a connection with unread bytes resets it, and a client that is
//! still sending its body then sees a broken pipe instead of the response. So the body is read and discarded, within
//! limits, while the response is sent.

use std::time::Duration;

use bytes::Buf as _;
use http_body::Body;
use http_body_util::BodyExt as _;

/// The most bytes of one body that are read: more than most layers. Clients stop when they have the response.
const MAX_BYTES: u64 = 1 << 30;
/// How long one body is read.
const MAX_TIME: Duration = Duration::from_secs(30);

/// Reads and discards `body` in the background until it ends or a limit is reached.
pub(super) fn begin<B: Body + Send + Unpin + 'static>(body: B) {
    if body.is_end_stream() {
        return;
    }
    // Ends at the latest with the connection, which the listener closes and counts.
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

    /// A body without an end that counts its bytes.
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
    async fn reading_stops_at_the_limit() {
        let read = Arc::new(AtomicU64::new(0));
        drain(Endless(read.clone()), 95).await;
        assert_eq!(read.load(Ordering::Relaxed), 100);
    }
}
