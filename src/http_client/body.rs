//! The body of a response as it arrives. It ends in an error if no data arrives for too long while it is polled. It
//! holds its place among the client's concurrent requests until it is dropped.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::error::{NetError, Stage};

/// Streams the data of the server frame by frame; dropping it cancels the request.
#[derive(Debug)]
pub struct Body {
    incoming: Incoming,
    host: Arc<str>,
    idle: Duration,
    /// Runs only while a frame is awaited: a slow reader in the gate is not a slow server.
    alarm: Option<Pin<Box<Sleep>>>,
    /// The time limit for reading the whole body, where it is read at once.
    pub(super) whole: Duration,
    _place: OwnedSemaphorePermit,
}

impl Body {
    pub(super) fn new(
        incoming: Incoming,
        host: Arc<str>,
        idle: Duration,
        whole: Duration,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self { incoming, host, idle, alarm: None, whole, _place: place }
    }

    pub(super) fn timed_out(&self) -> NetError {
        NetError::TimedOut { host: self.host.to_string(), stage: Stage::Body }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = NetError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, NetError>>> {
        match Pin::new(&mut self.incoming).poll_frame(context) {
            Poll::Ready(frame) => {
                self.alarm = None;
                let broken = |source| NetError::Broken {
                    host: self.host.to_string(),
                    source: Arc::new(source),
                };
                Poll::Ready(frame.map(|frame| frame.map_err(broken)))
            }
            Poll::Pending => {
                let until = Instant::now() + self.idle;
                let alarm =
                    self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
                match alarm.as_mut().poll(context) {
                    Poll::Ready(()) => Poll::Ready(Some(Err(self.timed_out()))),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
