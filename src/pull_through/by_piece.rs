//! Reads stored content piece by piece, so that a client that does not read does not prevent its eviction.

use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::error::BlobError;
use super::source::bounds;
use crate::oci::{Digest, RepositoryRef};
use crate::registry_client::Part;
use crate::store::Store;

/// The bytes read at once, and so in memory for each client.
const PIECE: u64 = 64 << 10;

/// Content in the store, which may be evicted during the read.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) store: Store,
    /// A repository known to hold it.
    pub(super) place: RepositoryRef,
    pub(super) digest: Digest,
}

/// The rest of stored content, or of a range of it.
pub(super) struct ByPiece {
    stored: Stored,
    part: Part,
    position: u64,
    end: u64,
    /// The read of the next piece: `None` if the disk does not answer in time, `Some(None)` if the content is evicted.
    reading: Option<Reading>,
}

type Reading = Pin<Box<dyn Future<Output = Option<Option<Bytes>>> + Send>>;

impl Stored {
    /// At most `most` bytes from `position`, which is before the end; `None` if the content is evicted.
    pub(super) fn piece(&self, position: u64, most: u64) -> Option<Bytes> {
        let repository = &self.place;
        let piece = self.store.piece(repository, &self.digest, position, most);
        piece.filter(|piece| !piece.is_empty())
    }
}

impl ByPiece {
    /// `part` of content whose length is known.
    pub(super) fn new(stored: Stored, part: Part) -> Self {
        let (position, end) = bounds(part);
        Self { stored, part, position, end: end.unwrap_or(position), reading: None }
    }

    pub(super) fn digest(&self) -> &Digest {
        &self.stored.digest
    }

    pub(super) fn part(&self) -> Part {
        self.part
    }

    pub(super) fn left(&self) -> u64 {
        self.end - self.position
    }

    /// The next bytes, read on other threads than those that serve clients.
    pub(super) fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, BlobError>> {
        if self.left() == 0 {
            return Poll::Ready(Ok(None));
        }
        let (position, most) = (self.position, PIECE.min(self.left()));
        let reading = self.reading.get_or_insert_with(|| {
            let stored = self.stored.clone();
            let store = stored.store.clone();
            Box::pin(async move { store.read(move |_| stored.piece(position, most)).await })
        });
        let read = ready!(reading.as_mut().poll(context));
        self.reading = None;
        let piece = match read {
            Some(Some(piece)) => Ok(piece),
            Some(None) => Err(BlobError::Removed),
            None => Err(BlobError::Unreadable(ErrorKind::TimedOut)),
        };
        self.position = piece.as_ref().map_or(self.end, |piece| position + piece.len() as u64);
        Poll::Ready(piece.map(Some))
    }
}
