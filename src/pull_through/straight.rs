//! Streams a blob directly from upstream to one client without storing it: one piece in memory at a time, as fast as
//! the client reads. A whole blob is hashed on the way, and its last piece is held back until the digest is verified,
//! so that wrong or truncated content never looks complete to a client.

use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::error::BlobError;
use super::source::{Source, is_whole};
use crate::oci::{Digest, Hasher, Mismatch};

/// The rest of a blob, or of a range of it. Dropping it cancels the request to upstream.
pub(super) struct Straight {
    source: Source,
    check: Check,
}

/// Compares the bytes with the digest.
struct Check {
    digest: Digest,
    /// Hashes the bytes, if they are the whole blob.
    hasher: Option<Hasher>,
    /// The last piece that arrived of a whole blob.
    held: Option<Bytes>,
}

impl Straight {
    /// The whole `source`, from its beginning.
    pub(super) fn new(source: Source) -> Self {
        let hasher = is_whole(source.part()).then(|| Hasher::new(source.digest().algorithm()));
        Self::after(source, hasher)
    }

    /// The whole `source`, after the bytes that `hasher` has hashed; `None` if the digest cannot be verified because
    /// this is a part of the blob.
    pub(super) fn after(source: Source, hasher: Option<Hasher>) -> Self {
        let check = Check { digest: *source.digest(), hasher, held: None };
        Self { source, check }
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// The number of bytes still to come, if upstream sent a length.
    pub(super) fn left(&self) -> Option<u64> {
        let held = self.check.held.as_ref().map_or(0, |held| held.len() as u64);
        Some(self.source.left()? + held)
    }

    pub(super) fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, BlobError>> {
        loop {
            let polled = match ready!(self.source.poll_piece(context)) {
                Ok(Some(piece)) => match self.check.take(piece) {
                    Some(piece) => Ok(Some(piece)),
                    None => continue,
                },
                Ok(None) => self.check.finish(),
                Err(error) => Err(error),
            };
            if polled.is_err() {
                self.check.held = None;
                self.check.hasher = None;
            }
            return Poll::Ready(polled);
        }
    }
}

impl Check {
    /// Accepts a piece from upstream; returns the piece that may be sent now, if any.
    fn take(&mut self, piece: Bytes) -> Option<Bytes> {
        match &mut self.hasher {
            Some(hasher) => {
                hasher.update(&piece);
                self.held.replace(piece)
            }
            None => Some(piece),
        }
    }

    /// Ends the complete blob; returns the held piece if the digest is right.
    fn finish(&mut self) -> Result<Option<Bytes>, BlobError> {
        if let Some(hasher) = self.hasher.take() {
            let got = hasher.finish();
            if got != self.digest {
                return Err(BlobError::Mismatch(Box::new(Mismatch { asked: self.digest, got })));
            }
        }
        Ok(self.held.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content: &[u8]) -> Check {
        let digest = Digest::of(content);
        Check { digest, hasher: Some(Hasher::new(digest.algorithm())), held: None }
    }

    #[test]
    fn the_last_piece_is_held_back_until_the_digest_is_verified() {
        let mut check = check(b"abcd");
        assert_eq!(check.take(Bytes::from_static(b"abc")), None);
        assert_eq!(check.take(Bytes::from_static(b"d")).unwrap(), "abc");
        assert_eq!(check.finish().unwrap().unwrap(), "d");
        assert_eq!(check.finish().unwrap(), None);
    }

    #[test]
    fn a_wrong_last_piece_is_never_sent() {
        let mut check = check(b"abcd");
        assert!(check.take(Bytes::from_static(b"abcx")).is_none());
        assert!(matches!(check.finish(), Err(BlobError::Mismatch(_))));
    }
}
