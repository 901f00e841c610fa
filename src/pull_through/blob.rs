//! A blob on its way from upstream to a client: untouched, one piece in memory at a time, as fast as
//! the client takes it. A whole blob is hashed on the way, and its last piece is held back until the
//! digest is right, so that nothing wrong or cut short looks whole to a client. Where upstream breaks
//! off, the rest is asked for.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use thiserror::Error;

use super::Mismatch;
use crate::net::NetError;
use crate::oci::{Digest, Hasher, Repository};
use crate::upstream::{Blob, ByteRange, Part, Upstream, UpstreamError};

/// How often one blob is taken up again after upstream broke off.
const MAX_RESUMES: usize = 5;

/// Why a blob ends before its end. What came until then was no more than a beginning of it.
#[derive(Clone, Debug, Error)]
pub enum BlobError {
    #[error("upstream broke off")]
    Interrupted(#[from] NetError),
    #[error("the rest of the blob cannot be had")]
    Resume(#[from] UpstreamError),
    #[error(transparent)]
    Mismatch(Box<Mismatch>),
    #[error("upstream sent another length than it said")]
    Length,
    #[error("upstream was asked for the rest of the blob and sent something else")]
    OtherPart,
}

/// A blob, or a range of it, as an [`http_body::Body`]. Dropping it cancels upstream.
pub struct BlobStream {
    upstream: Upstream,
    repository: Repository,
    digest: Digest,
    part: Part,
    source: Source,
    /// The position in the blob of the next byte from upstream.
    position: u64,
    /// The position in the blob where this ends; unknown until then if upstream did not say.
    end: Option<u64>,
    /// Hashes what came, where that is the whole blob.
    hasher: Option<Hasher>,
    /// The last piece that came of a whole blob.
    held: Option<Bytes>,
    resumes: usize,
}

enum Source {
    Open(Blob),
    Resuming(Pin<Box<dyn Future<Output = Result<Blob, UpstreamError>> + Send>>),
    Done,
}

impl BlobStream {
    pub(super) async fn open(
        upstream: Upstream,
        repository: &Repository,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<Self, UpstreamError> {
        let blob = upstream.blob(repository, digest, range).await?;
        let part = blob.part;
        let (position, end, whole) = match part {
            Part::Whole { length } => (0, length, true),
            Part::Range(range) => {
                let end = range.first + range.length();
                (range.first, Some(end), range.length() == range.total)
            }
        };
        Ok(Self {
            upstream,
            repository: repository.clone(),
            digest: *digest,
            part,
            source: Source::Open(blob),
            position,
            end,
            hasher: whole.then(|| Hasher::new(digest.algorithm())),
            held: None,
            resumes: MAX_RESUMES,
        })
    }

    /// The digest that was asked for.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What of the blob this is: status 200 and the length, or status 206 and the range.
    pub fn part(&self) -> Part {
        self.part
    }

    /// Takes a piece from upstream; gives the one that may be sent on, if any.
    fn take(&mut self, piece: Bytes) -> Result<Option<Bytes>, BlobError> {
        // An empty piece, if it were held, would let go of the one before, perhaps the last.
        if piece.is_empty() {
            return Ok(None);
        }
        self.position = self.position.saturating_add(piece.len() as u64);
        if self.end.is_some_and(|end| self.position > end) {
            return Err(BlobError::Length);
        }
        match &mut self.hasher {
            Some(hasher) => {
                hasher.update(&piece);
                Ok(self.held.replace(piece))
            }
            None => Ok(Some(piece)),
        }
    }

    /// Ends the blob, now that all of it is here; gives the piece held back if the digest is right.
    fn finish(&mut self) -> Result<Option<Bytes>, BlobError> {
        if let Some(hasher) = self.hasher.take() {
            let got = hasher.finish();
            if got != self.digest {
                let mismatch = Mismatch { asked: self.digest, got };
                return Err(BlobError::Mismatch(Box::new(mismatch)));
            }
        }
        Ok(self.held.take())
    }

    /// Asks upstream for what has not come yet.
    fn resume(&mut self) -> Source {
        self.resumes -= 1;
        let (upstream, repository) = (self.upstream.clone(), self.repository.clone());
        let digest = self.digest;
        let first = self.position;
        let range = match (self.part, self.end) {
            (Part::Range(_), Some(end)) => {
                Some(ByteRange::Between { first, last: end.saturating_sub(1) })
            }
            (Part::Whole { .. }, _) if first == 0 => None,
            (Part::Whole { .. }, _) | (Part::Range(_), None) => Some(ByteRange::From { first }),
        };
        tracing::debug!(%digest, first, "upstream broke off; asking for the rest of the blob");
        Source::Resuming(Box::pin(async move { upstream.blob(&repository, &digest, range).await }))
    }

    /// Goes on with `blob` if that is just what has not come yet.
    fn go_on(&mut self, blob: Blob) -> Result<Source, BlobError> {
        let (first, end, total) = match blob.part {
            Part::Whole { length } => (0, length, length),
            Part::Range(range) => {
                (range.first, Some(range.first + range.length()), Some(range.total))
            }
        };
        let known_total = match self.part {
            Part::Whole { length } => length,
            Part::Range(range) => Some(range.total),
        };
        let agrees = |known: Option<u64>, said: Option<u64>| known.is_none() || known == said;
        if first != self.position || !agrees(self.end, end) || !agrees(known_total, total) {
            return Err(BlobError::OtherPart);
        }
        self.end = end;
        Ok(Source::Open(blob))
    }

    /// What to do when upstream has no more to say, for whatever reason: `None` to go on with
    /// [`Self::source`], else the last that there is.
    fn ended(&mut self, error: Option<NetError>) -> Option<Result<Option<Bytes>, BlobError>> {
        let all_here = match self.end {
            Some(end) => self.position == end,
            None => error.is_none(),
        };
        if all_here {
            self.source = Source::Done;
            return Some(self.finish());
        }
        match error {
            Some(NetError::Broken { .. }) | None if self.resumes > 0 => {
                self.source = self.resume();
                None
            }
            Some(error) => Some(Err(error.into())),
            None => Some(Err(BlobError::Length)),
        }
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BlobError>> {
        loop {
            match &mut self.source {
                Source::Done => return Poll::Ready(Ok(None)),
                Source::Resuming(resuming) => {
                    let blob = ready!(resuming.as_mut().poll(context))?;
                    self.source = self.go_on(blob)?;
                }
                Source::Open(blob) => match ready!(Pin::new(&mut blob.body).poll_frame(context)) {
                    Some(Ok(frame)) => {
                        // Trailers are nothing of the blob.
                        let Ok(piece) = frame.into_data() else { continue };
                        if let Some(piece) = self.take(piece)? {
                            return Poll::Ready(Ok(Some(piece)));
                        }
                    }
                    Some(Err(error)) => {
                        if let Some(last) = self.ended(Some(error)) {
                            return Poll::Ready(last);
                        }
                    }
                    None => {
                        if let Some(last) = self.ended(None) {
                            return Poll::Ready(last);
                        }
                    }
                },
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
        if polled.is_err() {
            self.source = Source::Done;
            self.held = None;
        }
        Poll::Ready(polled.map(|piece| piece.map(Frame::data)).transpose())
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.held.as_ref().map_or(0, |held| held.len() as u64);
        match self.end {
            Some(end) => SizeHint::with_exact(end.saturating_sub(self.position) + held),
            None => SizeHint::new(),
        }
    }
}

impl fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobStream")
            .field("digest", &self.digest)
            .field("part", &self.part)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{Config, Metrics};

    /// A stream that is given its pieces by hand, of a blob whose digest is that of `content`.
    fn stream(content: &[u8]) -> BlobStream {
        let url = "http://registry.example.com".parse().unwrap();
        let config = Config::new("registry.example.com".parse().unwrap(), url);
        let digest = Digest::of(content);
        BlobStream {
            upstream: Upstream::new(&config, &Metrics::default()).unwrap(),
            repository: "library/app".parse().unwrap(),
            digest,
            part: Part::Whole { length: None },
            source: Source::Done,
            position: 0,
            end: None,
            hasher: Some(Hasher::new(digest.algorithm())),
            held: None,
            resumes: 0,
        }
    }

    #[test]
    fn the_last_piece_is_held_back_whatever_comes_after_it() {
        let mut stream = stream(b"abcd");
        assert_eq!(stream.take(Bytes::from_static(b"abc")).unwrap(), None);
        assert_eq!(stream.take(Bytes::from_static(b"d")).unwrap().unwrap(), "abc");
        assert_eq!(stream.take(Bytes::new()).unwrap(), None);
        assert_eq!(stream.finish().unwrap().unwrap(), "d");
    }

    #[test]
    fn a_wrong_last_piece_is_never_let_go() {
        let mut stream = stream(b"abcd");
        assert!(stream.take(Bytes::from_static(b"abcx")).unwrap().is_none());
        assert!(stream.take(Bytes::new()).unwrap().is_none());
        assert!(matches!(stream.finish(), Err(BlobError::Mismatch(_))));
    }
}
