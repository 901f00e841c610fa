//! A blob that goes straight from upstream to one client and is not kept: one piece in memory at a
//! time, as fast as the client takes it. A whole blob is hashed on the way, and its last piece is held
//! back until the digest is right, so that nothing wrong or cut short looks whole to a client.

use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::error::BlobError;
use super::source::{Source, is_whole};
use crate::oci::{Digest, Hasher, Mismatch};

/// What is left of a blob, or of a range of it. Dropping it cancels upstream.
pub(super) struct Straight {
    source: Source,
    check: Check,
}

/// How the bytes are held against the digest.
struct Check {
    digest: Digest,
    /// Hashes what came, where that is the whole blob.
    hasher: Option<Hasher>,
    /// The last piece that came of a whole blob.
    held: Option<Bytes>,
}

impl Straight {
    /// All that comes from `source`, which is at its beginning.
    pub(super) fn new(source: Source) -> Self {
        let hasher = is_whole(source.part()).then(|| Hasher::new(source.digest().algorithm()));
        Self::after(source, hasher)
    }

    /// All that comes from `source`, after what `hasher` has seen; `None` where the digest cannot be
    /// told, since this is a part of the blob.
    pub(super) fn after(source: Source, hasher: Option<Hasher>) -> Self {
        let check = Check { digest: *source.digest(), hasher, held: None };
        Self { source, check }
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// How many bytes are still to come, if upstream says.
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
    /// Takes a piece from upstream; gives the one that may be sent on, if any.
    fn take(&mut self, piece: Bytes) -> Option<Bytes> {
        match &mut self.hasher {
            Some(hasher) => {
                hasher.update(&piece);
                self.held.replace(piece)
            }
            None => Some(piece),
        }
    }

    /// Ends the blob, now that all of it is here; gives the piece held back if the digest is right.
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
    fn the_last_piece_is_held_back_until_the_digest_is_right() {
        let mut check = check(b"abcd");
        assert_eq!(check.take(Bytes::from_static(b"abc")), None);
        assert_eq!(check.take(Bytes::from_static(b"d")).unwrap(), "abc");
        assert_eq!(check.finish().unwrap().unwrap(), "d");
        assert_eq!(check.finish().unwrap(), None);
    }

    #[test]
    fn a_wrong_last_piece_is_never_let_go() {
        let mut check = check(b"abcd");
        assert!(check.take(Bytes::from_static(b"abcx")).is_none());
        assert!(matches!(check.finish(), Err(BlobError::Mismatch(_))));
    }
}
