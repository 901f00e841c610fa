//! A socket whose writes must make progress and that buffers little for slow readers. Passes bytes through unchanged,
//! including vectored writes, and reports them to the [`Activity`]. Knows nothing of their meaning.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tracing::debug;

use super::idle_timeout::Activity;

/// How many unsent bytes the kernel buffers for a client (`TCP_NOTSENT_LOWAT`). The kernel asks for more at half of
/// it, so a client makes progress in steps of 256 KiB. A smaller buffer costs noticeably more CPU time for blobs,
/// because there are more and smaller writes.
const NOT_SENT: u32 = 512 << 10;

/// What [`WriteTimeout`] needs of a socket besides reading and writing.
pub(super) trait Transport {
    /// Limits how much, and for how long, the kernel buffers for the client.
    fn bound(&self, _timeout: Duration) -> io::Result<()> {
        Ok(())
    }

    /// Makes closing the socket discard unsent data, instead of retrying for minutes.
    fn discard(&self) {}
}

impl Transport for TcpStream {
    fn bound(&self, timeout: Duration) -> io::Result<()> {
        // Responses are written whole; waiting to fill a segment only delays them.
        self.set_nodelay(true)?;
        let socket = SockRef::from(self);
        let kept = socket.set_tcp_notsent_lowat(NOT_SENT);
        if let Err(why) = kept.and_then(|()| socket.set_tcp_user_timeout(Some(timeout))) {
            // A kernel without these options still works.
            debug!(%why, "cannot limit the kernel's send buffer");
        }
        Ok(())
    }

    fn discard(&self) {
        if let Err(why) = SockRef::from(self).set_linger(Some(Duration::ZERO)) {
            debug!(%why, "cannot discard unsent data");
        }
    }
}

/// A socket that fails with [`io::ErrorKind::TimedOut`] once a write made no progress for `timeout`.
#[derive(Debug)]
pub(super) struct WriteTimeout<T: Transport> {
    io: T,
    activity: Arc<Activity>,
    timeout: Duration,
    /// Created when a write first has to wait, and reused.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether a write is waiting.
    waiting: bool,
}

impl<T: Transport> WriteTimeout<T> {
    pub(super) fn new(io: T, activity: Arc<Activity>, timeout: Duration) -> Self {
        Self { io, activity, timeout, timer: None, waiting: false }
    }

    /// Returns `progress`, or an error once the write timed out.
    fn pace(
        &mut self,
        cx: &mut Context<'_>,
        progress: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(ended) = progress {
            self.waiting = false;
            self.activity.sent(*ended.as_ref().unwrap_or(&0));
            return Poll::Ready(ended);
        }
        let timeout = self.timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        if !self.waiting {
            self.waiting = true;
            timer.as_mut().reset(Instant::now() + timeout);
        }
        ready!(timer.as_mut().poll(cx));
        self.activity.sever();
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing")))
    }
}

impl<T: Transport> Drop for WriteTimeout<T> {
    fn drop(&mut self) {
        if self.activity.is_severed() {
            self.io.discard();
        }
    }
}

impl<T: AsyncRead + Transport + Unpin> AsyncRead for WriteTimeout<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.activity.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Transport + Unpin> AsyncWrite for WriteTimeout<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.io).poll_write(cx, buf);
        self.pace(cx, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.pace(cx, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    impl Transport for DuplexStream {}

    #[tokio::test(start_paused = true)]
    async fn a_write_that_the_client_does_not_read_times_out() {
        let (near, _far) = duplex(16);
        let mut socket = WriteTimeout::new(near, Arc::new(Activity::new()), TIMEOUT);
        let start = Instant::now();
        let error = socket.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed()), (io::ErrorKind::TimedOut, TIMEOUT));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_not_a_stalled_one() {
        let (near, mut far) = duplex(16);
        let mut socket = WriteTimeout::new(near, Arc::new(Activity::new()), TIMEOUT);
        let reader = async {
            let mut taken = [0; 64];
            for byte in &mut taken {
                tokio::time::sleep(TIMEOUT - Duration::from_secs(1)).await;
                *byte = far.read_u8().await.unwrap();
            }
            taken
        };
        let content: [u8; 64] = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let (written, taken) = tokio::join!(socket.write_all(&content), reader);
        written.unwrap();
        assert_eq!(taken, content);
    }
}
