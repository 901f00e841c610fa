//! Kept content that is read piece by piece, so that a client that does not read keeps nothing in the store from
//! being evicted.

use bytes::Bytes;

use super::error::BlobError;
use super::in_flight::Place;
use super::source::bounds;
use crate::oci::Digest;
use crate::store::Store;
use crate::upstream::Part;

/// How many bytes are read at once, and so in memory for each client.
const PIECE: u64 = 64 << 10;

/// Content in the store, which may be evicted meanwhile.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) store: Store,
    /// A repository that is known to hold it.
    pub(super) place: Place,
    pub(super) digest: Digest,
}

/// The rest of kept content, or of a range of it.
pub(super) struct ByPiece {
    stored: Stored,
    part: Part,
    position: u64,
    end: u64,
}

impl Stored {
    /// At most `most` bytes from `position` on, which is before the end; `None` if it is evicted.
    pub(super) fn piece(&self, position: u64, most: u64) -> Option<Bytes> {
        let (registry, repository) = &self.place;
        let piece = self.store.piece((registry, repository), &self.digest, position, most);
        piece.filter(|piece| !piece.is_empty())
    }
}

impl ByPiece {
    /// `part` of content whose length is known.
    pub(super) fn new(stored: Stored, part: Part) -> Self {
        let (position, end) = bounds(part);
        Self { stored, part, position, end: end.unwrap_or(position) }
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

    pub(super) fn take(&mut self) -> Result<Option<Bytes>, BlobError> {
        if self.left() == 0 {
            return Ok(None);
        }
        match self.stored.piece(self.position, PIECE.min(self.left())) {
            Some(piece) => {
                self.position += piece.len() as u64;
                Ok(Some(piece))
            }
            None => {
                self.position = self.end;
                Err(BlobError::Removed)
            }
        }
    }
}
