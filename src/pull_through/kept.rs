//! Streams stored content to one client. The disk is read on other threads than those that serve clients; if it does
//! not answer, the rest comes from upstream.

use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::error::BlobError;
use super::joined::BlobRequest;
use super::source::{Source, bounds, is_whole, part_of};
use super::straight::Straight;
use super::unstored::Request;
use crate::oci::{Digest, Hasher};
use crate::registry_client::{ByteRange, Part};
use crate::store::StoredContent;

/// How many bytes are sent at once. They are not copied, so this only limits how much data waits in the connection.
const PIECE: usize = 64 << 10;

/// Stored content, or a range of it.
pub(super) struct StoredStream {
    content: StoredContent,
    asked: BlobRequest,
    part: Part,
    /// The position of the next byte for this client.
    position: usize,
    end: usize,
    /// The end of the bytes that the last read made ready. It is used for one piece, so that each read is progress:
    /// later, the client may be slow, and the kernel may need the memory.
    read_until: Option<usize>,
    reading: Option<Pin<Box<dyn Future<Output = Option<usize>> + Send>>>,
    /// The rest from upstream, once the disk does not answer.
    rest: Option<Straight>,
}

impl StoredStream {
    /// `range` of `content`; `None` if there is no such range.
    pub(super) fn new(
        content: StoredContent,
        asked: BlobRequest,
        range: Option<ByteRange>,
    ) -> Option<Self> {
        let part = part_of(content.bytes().len() as u64, range)?;
        let (first, end) = bounds(part);
        let (position, end) = (usize::try_from(first).ok()?, usize::try_from(end?).ok()?);
        let (read_until, reading, rest) = (None, None, None);
        Some(Self { content, asked, part, position, end, read_until, reading, rest })
    }

    pub(super) fn digest(&self) -> &Digest {
        self.content.digest()
    }

    pub(super) fn part(&self) -> Part {
        self.part
    }

    /// The number of bytes still to come.
    pub(super) fn left(&self) -> Option<u64> {
        match &self.rest {
            Some(rest) => rest.left(),
            None => Some((self.end - self.position) as u64),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.rest.is_none() && self.position == self.end
    }

    pub(super) fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, BlobError>> {
        loop {
            if let Some(rest) = &mut self.rest {
                return rest.poll_piece(context);
            }
            if self.position == self.end {
                return Poll::Ready(Ok(None));
            }
            if let Some(reading) = &mut self.reading {
                let read = ready!(reading.as_mut().poll(context));
                self.reading = None;
                match read {
                    Some(until) => self.read_until = Some(until),
                    None => self.rest = Some(self.upstream_rest()?),
                }
                continue;
            }
            let read_until = self.read_until.take();
            let ready = read_until.unwrap_or_else(|| self.content.ready_until(self.position));
            if self.position >= ready {
                let (store, content) = (self.asked.store.clone(), self.content.clone());
                let position = self.position;
                self.reading =
                    Some(Box::pin(async move { content.make_ready(&store, position).await }));
                continue;
            }
            let until = self.end.min(ready).min(self.position + PIECE);
            let piece = self.content.bytes().slice(self.position..until);
            self.position = until;
            return Poll::Ready(Ok(Some(piece)));
        }
    }

    /// The rest, directly from upstream. The rest of a whole blob can no longer be verified: the stream ends early, and
    /// the client asks for the rest.
    fn upstream_rest(&self) -> Result<Straight, BlobError> {
        let Request { upstream, repository, digest } = &self.asked.request;
        let hasher = match is_whole(self.part) {
            true if self.position > 0 => return Err(BlobError::Unreadable(ErrorKind::TimedOut)),
            true => Some(Hasher::new(digest.algorithm())),
            false => None,
        };
        let position = self.position as u64;
        let rest = Source::rest(upstream.clone(), repository, digest, self.part, position);
        Ok(Straight::after(rest, hasher))
    }
}
