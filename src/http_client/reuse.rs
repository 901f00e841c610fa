//! Knows which connections have answered before. A NAT or a firewall can forget an idle connection without closing it: a
//! request on it then gets no answer at all, while a new connection would get one.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use http::{Extensions, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{CaptureConnection, Connected, Connection};
use tower_service::Service;

/// Whether a connection has answered a request.
#[derive(Clone, Debug, Default)]
struct Answered(Arc<AtomicBool>);

/// Records that the connection of a request answered.
pub(super) fn answered(captured: &CaptureConnection) {
    if let Some(Answered(answered)) = of(captured) {
        answered.store(true, Ordering::Relaxed);
    }
}

/// Whether a request that has no answer waits on a connection that answered before, and that nothing else checks: HTTP/2 sends
/// pings.
pub(super) fn is_doubtful(captured: &CaptureConnection) -> bool {
    of(captured).is_some_and(|Answered(answered)| answered.load(Ordering::Relaxed))
}

/// What is known of the connection; `None` before there is one, and for HTTP/2.
fn of(captured: &CaptureConnection) -> Option<Answered> {
    let connected = captured.connection_metadata();
    let connected = connected.as_ref().filter(|connected| !connected.is_negotiated_h2())?;
    let mut extras = Extensions::new();
    connected.get_extras(&mut extras);
    extras.remove()
}

/// A connector that marks its connections.
#[derive(Clone)]
pub(super) struct Marking<C>(pub(super) C);

impl<C, S> Service<Uri> for Marking<C>
where
    C: Service<Uri, Response = S>,
    C::Future: Send + 'static,
{
    type Response = Marked<S>;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Marked<S>, C::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            let stream = connecting.await?;
            Ok(Marked { stream, answered: Answered::default() })
        })
    }
}

/// A connection and its mark.
pub(super) struct Marked<S> {
    stream: S,
    answered: Answered,
}

impl<S: Connection> Connection for Marked<S> {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.answered.clone())
    }
}

impl<S: Read + Unpin> Read for Marked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: Write + Unpin> Write for Marked<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}
