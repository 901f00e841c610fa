//! How far a download is: what its clients need to know, each at its own pace.

use super::error::BlobError;
use crate::oci::Hasher;
use crate::store::Arriving;
use crate::upstream::UpstreamError;

/// How far a download is.
pub(super) enum Progress {
    /// Upstream was asked.
    Opening,
    /// Upstream did not give it.
    NotOpened(UpstreamError),
    /// It cannot be kept, so that everyone has to ask upstream himself.
    NotKept,
    /// It comes, and is kept on the way.
    Open(Open),
}

/// A download that is under way, or was.
pub(super) struct Open {
    /// Of the whole blob, if upstream says.
    pub(super) length: Option<u64>,
    /// So many bytes from the first may be sent on. The last ones are not among them until the digest
    /// is right.
    pub(super) available: u64,
    /// So many bytes from the first have come.
    pub(super) written: u64,
    /// Where they can be read.
    pub(super) arriving: Arriving,
    pub(super) end: Option<End>,
}

/// How a download ended.
pub(super) enum End {
    /// All of it is there, and is what its digest says.
    Complete,
    /// No more of it can be had, or it was something else.
    Failed(BlobError),
    /// No more of it can be kept. What is available was seen by this hasher; for the rest everyone has
    /// to ask upstream himself.
    Unkept(Hasher),
}

impl Progress {
    /// Of the whole blob, once it is known.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Open(open) => open.length,
            Self::Opening | Self::NotOpened(_) | Self::NotKept => None,
        }
    }

    fn open(&mut self) -> Option<&mut Open> {
        match self {
            Self::Open(open) => Some(open),
            Self::Opening | Self::NotOpened(_) | Self::NotKept => None,
        }
    }

    /// All up to `position` may be sent on.
    pub(super) fn advance(&mut self, position: u64) {
        if let Some(open) = self.open() {
            open.written = position;
            open.available = position;
        }
    }

    /// All that was there before may be sent on, and what has come up to `position` not yet.
    pub(super) fn advance_to_before(&mut self, position: u64) {
        if let Some(open) = self.open() {
            open.available = open.written;
            open.written = position;
        }
    }

    /// That is all; `length` if all of it is right.
    pub(super) fn end(&mut self, length: Option<u64>, end: End) {
        if let Some(open) = self.open() {
            open.length = length.or(open.length);
            open.available = length.unwrap_or(open.available);
            open.end = Some(end);
        }
    }
}
