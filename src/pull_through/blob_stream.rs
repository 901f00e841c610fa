//! A blob, or a range of it, on its way to one client: out of the store, along a download that others
//! may share, or straight from upstream.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::breaks::Breaks;
use super::by_piece::{ByPiece, Stored};
use super::error::BlobError;
use super::in_flight::Place;
use super::joined::Joined;
use super::straight::Straight;
use crate::oci::Digest;
use crate::store::{Content, Store};
use crate::upstream::{ByteRange, Part};

/// How much of a kept blob is handed on at once. It is not copied, so this is only how much the
/// connection may be behind with.
const PIECE: usize = 64 << 10;

/// A blob, or a range of it, as an [`http_body::Body`].
pub struct BlobStream(Way);

enum Way {
    Kept { digest: Digest, part: Part, left: Bytes },
    ByPiece(Box<ByPiece>),
    Joined(Box<Joined>),
    Straight(Box<Straight>, Breaks),
    Begun(Box<Begun>),
}

/// A blob of which the beginning was read already.
struct Begun {
    ahead: Bytes,
    rest: BlobStream,
    /// The room that the beginning takes.
    room: Option<OwnedSemaphorePermit>,
}

/// Where the bytes of a blob come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Store,
    Upstream,
}

impl BlobStream {
    /// `range` of what is kept; `None` if there is no such range.
    pub(super) fn kept(content: &Content, range: Option<ByteRange>) -> Option<Self> {
        let bytes = content.bytes();
        let part = part_of(bytes.len() as u64, range)?;
        let left = match part {
            Part::Whole { .. } => bytes.clone(),
            Part::Range(range) => {
                let first = usize::try_from(range.first).ok()?;
                let length = usize::try_from(range.length()).ok()?;
                bytes.slice(first..first + length)
            }
        };
        Some(Self(Way::Kept { digest: *content.digest(), part, left }))
    }

    /// The same, which does not pin the content in the store.
    pub(super) fn by_piece(
        store: &Store,
        place: Place,
        content: &Content,
        range: Option<ByteRange>,
    ) -> Option<Self> {
        let part = part_of(content.bytes().len() as u64, range)?;
        let stored = Stored { store: store.clone(), place, digest: *content.digest() };
        Some(Self(Way::ByPiece(Box::new(ByPiece::new(stored, part)))))
    }

    pub(super) fn joined(joined: Joined) -> Self {
        Self(Way::Joined(Box::new(joined)))
    }

    pub(super) fn straight(straight: Straight, breaks: Breaks) -> Self {
        Self(Way::Straight(Box::new(straight), breaks))
    }

    /// This, after its beginning was read into `ahead`, which takes `room` in memory.
    pub(super) fn after(self, ahead: Bytes, room: Option<OwnedSemaphorePermit>) -> Self {
        Self(Way::Begun(Box::new(Begun { ahead, rest: self, room })))
    }

    /// The digest that was asked for.
    pub fn digest(&self) -> &Digest {
        match &self.0 {
            Way::Kept { digest, .. } => digest,
            Way::ByPiece(by_piece) => by_piece.digest(),
            Way::Joined(joined) => joined.digest(),
            Way::Straight(straight, _) => straight.source().digest(),
            Way::Begun(begun) => begun.rest.digest(),
        }
    }

    /// What of the blob this is: status 200 and the length, or status 206 and the range.
    pub fn part(&self) -> Part {
        match &self.0 {
            Way::Kept { part, .. } => *part,
            Way::ByPiece(by_piece) => by_piece.part(),
            Way::Joined(joined) => joined.part(),
            Way::Straight(straight, _) => straight.source().part(),
            Way::Begun(begun) => begun.rest.part(),
        }
    }

    pub fn origin(&self) -> Origin {
        match &self.0 {
            Way::Kept { .. } | Way::ByPiece(_) => Origin::Store,
            Way::Joined(_) | Way::Straight(..) | Way::Begun(_) => Origin::Upstream,
        }
    }

    /// How many bytes are still to come, if that is known.
    fn left(&self) -> Option<u64> {
        match &self.0 {
            Way::Kept { left, .. } => Some(left.len() as u64),
            Way::ByPiece(by_piece) => Some(by_piece.left()),
            Way::Joined(joined) => joined.left(),
            Way::Straight(straight, _) => straight.left(),
            Way::Begun(begun) => Some(begun.rest.left()? + begun.ahead.len() as u64),
        }
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BlobError>> {
        match &mut self.0 {
            Way::Kept { left, .. } => {
                let piece = left.split_to(PIECE.min(left.len()));
                Poll::Ready(Ok((!piece.is_empty()).then_some(piece)))
            }
            Way::ByPiece(by_piece) => Poll::Ready(by_piece.take()),
            // The download itself counts how it ends, once for all.
            Way::Joined(joined) => joined.poll_piece(context),
            Way::Straight(straight, breaks) => {
                let polled = ready!(straight.poll_piece(context));
                if let Err(error) = &polled {
                    let source = straight.source();
                    breaks.note(source.registry(), source.digest(), error);
                }
                Poll::Ready(polled)
            }
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

/// What `range` is of content of that length; `None` if there is no such range.
fn part_of(total: u64, range: Option<ByteRange>) -> Option<Part> {
    match range {
        None => Some(Part::Whole { length: Some(total) }),
        Some(range) => Some(Part::Range(range.within(total)?)),
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
            Way::Kept { left, .. } => left.is_empty(),
            Way::ByPiece(by_piece) => by_piece.left() == 0,
            Way::Joined(_) | Way::Straight(..) | Way::Begun(_) => false,
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
