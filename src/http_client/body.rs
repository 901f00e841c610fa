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
use super::local::LocalBody;

/// Where the data comes from.
#[derive(Debug)]
pub(super) enum Content {
    Network(Incoming),
    Local(LocalBody),
}

/// Streams the data of the server frame by frame; dropping it cancels the request.
#[derive(Debug)]
pub struct Body {
    content: Content,
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
        content: Content,
        host: Arc<str>,
        idle: Duration,
        whole: Duration,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self { content, host, idle, alarm: None, whole, _place: place }
    }

    /// Whether the data comes from files of this process and not from a server.
    pub fn is_local(&self) -> bool {
        match &self.content {
            Content::Network(_) => false,
            Content::Local(_) => true,
        }
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
        let Self { content, host, .. } = &mut *self;
        let polled = match content {
            Content::Network(incoming) => Pin::new(incoming).poll_frame(context).map_err(|error| {
                NetError::Broken { host: host.to_string(), source: Arc::new(error) }
            }),
            Content::Local(local) => {
                local.poll_piece(context).map_ok(Frame::data).map_err(|error| NetError::Local {
                    host: host.to_string(),
                    source: Arc::new(error),
                })
            }
        };
        match polled {
            Poll::Ready(frame) => {
                self.alarm = None;
                Poll::Ready(frame)
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
        match &self.content {
            Content::Network(incoming) => incoming.is_end_stream(),
            Content::Local(local) => local.left() == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Network(incoming) => incoming.size_hint(),
            Content::Local(local) => SizeHint::with_exact(local.left()),
        }
    }
}
