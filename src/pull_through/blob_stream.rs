//! Streams a blob, or a range of it, to one client: from the store, along a download that others may share, or directly
//! from upstream.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::by_piece::{ByPiece, Stored};
use super::error::BlobError;
use super::joined::Joined;
use super::kept::StoredStream;
use super::source::part_of;
use super::unstored::Unstored;
use crate::oci::{Digest, RepositoryRef};
use crate::registry_client::{ByteRange, Part};
use crate::store::{Store, StoredContent};

/// How many bytes of the beginning are sent at once.
const PIECE: usize = 64 << 10;

/// A blob, or a range of it, as an [`http_body::Body`].
pub struct BlobStream(Way);

enum Way {
    StoredStream(Box<StoredStream>),
    ByPiece(Box<ByPiece>),
    Joined(Box<Joined>),
    Unstored(Box<Unstored>),
    Begun(Box<Begun>),
}

/// A blob whose beginning was already read.
struct Begun {
    ahead: Bytes,
    rest: BlobStream,
    /// The permit for the memory of the beginning.
    room: Option<OwnedSemaphorePermit>,
}

/// The source of a blob's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Store,
    Upstream,
}

impl BlobStream {
    pub(super) fn kept(kept: StoredStream) -> Self {
        Self(Way::StoredStream(Box::new(kept)))
    }

    /// The same, without pinning the content in the store.
    pub(super) fn by_piece(
        store: &Store,
        place: RepositoryRef,
        content: &StoredContent,
        range: Option<ByteRange>,
    ) -> Option<Self> {
        let part = part_of(content.bytes().len() as u64, range)?;
        let stored = Stored { store: store.clone(), place, digest: *content.digest() };
        Some(Self(Way::ByPiece(Box::new(ByPiece::new(stored, part)))))
    }

    pub(super) fn joined(joined: Joined) -> Self {
        Self(Way::Joined(Box::new(joined)))
    }

    pub(super) fn unstored(unstored: Unstored) -> Self {
        Self(Way::Unstored(Box::new(unstored)))
    }

    /// This stream, with its beginning already read into `ahead`, which holds the permit `room`.
    pub(super) fn after(self, ahead: Bytes, room: Option<OwnedSemaphorePermit>) -> Self {
        Self(Way::Begun(Box::new(Begun { ahead, rest: self, room })))
    }

    /// The requested digest.
    pub fn digest(&self) -> &Digest {
        match &self.0 {
            Way::StoredStream(kept) => kept.digest(),
            Way::ByPiece(by_piece) => by_piece.digest(),
            Way::Joined(joined) => joined.digest(),
            Way::Unstored(unstored) => unstored.digest(),
            Way::Begun(begun) => begun.rest.digest(),
        }
    }

    /// The part of the blob: status 200 and the length, or status 206 and the range.
    pub fn part(&self) -> Part {
        match &self.0 {
            Way::StoredStream(kept) => kept.part(),
            Way::ByPiece(by_piece) => by_piece.part(),
            Way::Joined(joined) => joined.part(),
            Way::Unstored(unstored) => unstored.part(),
            Way::Begun(begun) => begun.rest.part(),
        }
    }

    pub fn origin(&self) -> Origin {
        match &self.0 {
            Way::StoredStream(_) | Way::ByPiece(_) => Origin::Store,
            Way::Joined(_) | Way::Unstored(_) | Way::Begun(_) => Origin::Upstream,
        }
    }

    /// The number of bytes still to come, if known.
    fn left(&self) -> Option<u64> {
        match &self.0 {
            Way::StoredStream(kept) => kept.left(),
            Way::ByPiece(by_piece) => Some(by_piece.left()),
            Way::Joined(joined) => joined.left(),
            Way::Unstored(unstored) => unstored.left(),
            Way::Begun(begun) => Some(begun.rest.left()? + begun.ahead.len() as u64),
        }
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BlobError>> {
        match &mut self.0 {
            Way::StoredStream(kept) => kept.poll_piece(context),
            Way::ByPiece(by_piece) => by_piece.poll_piece(context),
            // The download itself counts how it ends, once for all clients.
            Way::Joined(joined) => joined.poll_piece(context),
            Way::Unstored(unstored) => unstored.poll_piece(context),
            Way::Begun(begun) if begun.ahead.is_empty() => {
                begun.room = None;
                begun.rest.poll_piece(context)
            }
            Way::Begun(begun) => {
                Poll::Ready(Ok(Some(begun.ahead.split_to(begun.ahead.len().min(PIECE)))))
            }
        }
    }
}

impl HttpBody for BlobStream {
    type Data = Bytes;
    type Error = BlobError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BlobError>>> {
        let polled = ready!(self.poll_piece(context));
        Poll::Ready(polled.map(|piece| piece.map(Frame::data)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Way::StoredStream(kept) => kept.is_over(),
            Way::ByPiece(by_piece) => by_piece.left() == 0,
            Way::Joined(_) | Way::Unstored(_) | Way::Begun(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.left().map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

impl fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobStream")
            .field("digest", self.digest())
            .field("part", &self.part())
            .field("left", &self.left())
            .finish()
    }
}
