//! A blob as upstream sends it. It holds a turn, which limits the blobs in progress. If the turn is revoked, the
//! request to upstream ends at once, even if no client polls the blob.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Body as _, Frame};

use super::Part;
use crate::http_client::{Body, NetError, Turn};

/// A blob as upstream sends it. Holds its turn until it is dropped.
#[derive(Debug)]
pub struct Blob {
    pub part: Part,
    /// Whether it comes from a bundle and not from the registry.
    pub is_from_bundle: bool,
    slot: Arc<Slot>,
    turn: Turn,
}

/// Why a blob ends early.
#[derive(Debug)]
pub enum Lost {
    Net(NetError),
    /// The turn was revoked because others waited and the client was too slow.
    Turn,
}

#[derive(Debug)]
struct Slot {
    /// `None` once the turn is revoked.
    body: Mutex<Option<Body>>,
    polling: AtomicWaker,
}

impl Blob {
    pub(super) fn new(part: Part, body: Body, mut turn: Turn) -> Self {
        let is_from_bundle = body.is_local();
        let slot = Arc::new(Slot { body: Mutex::new(Some(body)), polling: AtomicWaker::new() });
        let revoked = slot.clone();
        turn.on_revoke(move || {
            let body = revoked.body.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(body);
            revoked.polling.wake();
        });
        // Starts the timer now: a client may never take the first piece.
        turn.gave(0);
        Self { part, is_from_bundle, slot, turn }
    }

    /// The next frame. Between two calls the blob waits for the client; during a call it waits for upstream.
    pub fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Lost>>> {
        self.turn.taken();
        self.slot.polling.register(context.waker());
        let mut body = self.slot.body.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(body) = body.as_mut() else { return Poll::Ready(Some(Err(Lost::Turn))) };
        let polled = Pin::new(body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.turn.gave(frame.data_ref().map_or(0, |data| data.len() as u64));
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(Lost::Net)))
    }

    /// Records whether any client still waits for the blob. The turn of an abandoned blob is revoked first.
    pub fn set_abandoned(&self, abandoned: bool) {
        self.turn.set_abandoned(abandoned);
    }
}
