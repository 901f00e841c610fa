//! One blob's bytes as they come from upstream, from a position to the end: asked for again from where
//! they stopped when upstream breaks off. Whether they are the right ones is for those who take them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};

use super::error::BlobError;
use crate::http_client::{NetError, Stage, patiently};
use crate::oci::{Digest, Hasher, Registry, Repository};
use crate::registry_client::{Blob, ByteRange, Lost, Part, Upstream, UpstreamError, Violation};

/// How often one blob is taken up again after upstream broke off.
const MAX_RESUMES: usize = 5;
/// How long upstream may be away in the middle of a blob: a client that has the beginning of it starts
/// anew, or somewhere else, if the rest does not come.
const MAX_AWAY: Duration = Duration::from_secs(30);

/// A blob, or a range of it, on its way from upstream. Dropping it cancels that.
pub(super) struct Source {
    upstream: Upstream,
    repository: Repository,
    digest: Digest,
    part: Part,
    state: State,
    /// The position in the blob of the next byte that did not come yet.
    position: u64,
    /// So many bytes are to come from upstream before that one.
    known: u64,
    /// The position in the blob where this ends; unknown until then if upstream did not say.
    end: Option<u64>,
    resumes: usize,
}

enum State {
    Open(Blob),
    Resuming(Pin<Box<dyn Future<Output = Result<Blob, UpstreamError>> + Send>>),
    Done,
}

impl Source {
    pub(super) async fn open(
        upstream: Upstream,
        repository: &Repository,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<Self, UpstreamError> {
        let blob = upstream.blob(repository, digest, range).await?;
        let part = blob.part;
        let (position, end) = bounds(part);
        // Whatever came after its head, to a client this would look whole.
        if total(part) == Some(0) && Hasher::new(digest.algorithm()).finish() != *digest {
            return Err(Violation::Missing("content").into());
        }
        Ok(Self {
            upstream,
            repository: repository.clone(),
            digest: *digest,
            part,
            state: State::Open(blob),
            position,
            known: 0,
            end,
            resumes: MAX_RESUMES,
        })
    }

    /// What is missing of `part` from `position` on, which upstream is asked for when the first piece is.
    pub(super) fn rest(
        upstream: Upstream,
        repository: &Repository,
        digest: &Digest,
        part: Part,
        position: u64,
    ) -> Self {
        let (_, end) = bounds(part);
        let mut source = Self {
            upstream,
            repository: repository.clone(),
            digest: *digest,
            part,
            state: State::Done,
            position,
            known: 0,
            end,
            resumes: MAX_RESUMES,
        };
        if end != Some(position) {
            source.state = source.resume();
        }
        source
    }

    /// The registry that it comes from.
    pub(super) fn registry(&self) -> &Registry {
        self.upstream.registry()
    }

    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What of the blob this is, from its first byte on.
    pub(super) fn part(&self) -> Part {
        self.part
    }

    /// Nobody waits for it, or somebody does again.
    pub(super) fn set_abandoned(&self, abandoned: bool) {
        if let State::Open(blob) = &self.state {
            blob.set_abandoned(abandoned);
        }
    }

    /// How many bytes are still to come, if upstream says.
    pub(super) fn left(&self) -> Option<u64> {
        Some(self.end?.saturating_sub(self.position))
    }

    /// The next piece, which is never empty; `None` once all of them came.
    pub(super) fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, BlobError>> {
        let polled = ready!(self.poll_open(context));
        if polled.is_err() {
            self.state = State::Done;
        }
        Poll::Ready(polled)
    }

    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BlobError>> {
        loop {
            match &mut self.state {
                State::Done => return Poll::Ready(Ok(None)),
                State::Resuming(resuming) => {
                    let blob = match ready!(resuming.as_mut().poll(context)) {
                        // The connection ended without saying so, and all of the blob had arrived. The digest decides.
                        Err(UpstreamError::RangeUnsatisfiable { size })
                            if self.end.is_none()
                                && size.is_none_or(|size| size == self.position) =>
                        {
                            self.state = State::Done;
                            continue;
                        }
                        resumed => resumed?,
                    };
                    self.state = self.go_on(blob)?;
                }
                State::Open(blob) => match ready!(blob.poll_frame(context)) {
                    Some(Ok(frame)) => {
                        // Trailers are nothing of the blob, and nor are empty pieces.
                        let Ok(mut piece) = frame.into_data() else { continue };
                        let known = self.known.min(piece.len() as u64);
                        self.known -= known;
                        piece.advance(usize::try_from(known).unwrap_or(piece.len()));
                        if !piece.is_empty() {
                            return Poll::Ready(self.take(piece).map(Some));
                        }
                    }
                    Some(Err(Lost::Net(error))) => self.ended(Some(error))?,
                    // All of it came before the turn was lost.
                    Some(Err(Lost::Turn)) if self.end == Some(self.position) => {
                        self.state = State::Done;
                    }
                    Some(Err(Lost::Turn)) => return Poll::Ready(Err(BlobError::TooSlow)),
                    None => self.ended(None)?,
                },
            }
        }
    }

    fn take(&mut self, piece: Bytes) -> Result<Bytes, BlobError> {
        self.position = self.position.saturating_add(piece.len() as u64);
        if self.end.is_some_and(|end| self.position > end) {
            return Err(BlobError::Length);
        }
        Ok(piece)
    }

    /// What to do when upstream has no more to say, for whatever reason.
    fn ended(&mut self, error: Option<NetError>) -> Result<(), BlobError> {
        let all_here = match self.end {
            Some(end) => self.position == end,
            None => error.is_none(),
        };
        match error {
            _ if all_here => self.state = State::Done,
            // A connection that stalls is no better than one that breaks.
            Some(NetError::Broken { .. } | NetError::TimedOut { stage: Stage::Body, .. })
            | None
                if self.resumes > 0 =>
            {
                self.resumes -= 1;
                self.state = self.resume();
            }
            Some(error) => return Err(error.into()),
            None => return Err(BlobError::Length),
        }
        Ok(())
    }

    /// Asks upstream for what has not come yet.
    fn resume(&self) -> State {
        let (upstream, repository) = (self.upstream.clone(), self.repository.clone());
        let (digest, first) = (self.digest, self.position);
        let range = match (self.part, self.end) {
            (Part::Range(_), Some(end)) => {
                Some(ByteRange::Between { first, last: end.saturating_sub(1) })
            }
            (Part::Whole { .. }, _) if first == 0 => None,
            (Part::Whole { .. }, _) | (Part::Range(_), None) => Some(ByteRange::From { first }),
        };
        tracing::debug!(%digest, first, "asking upstream for the rest of the blob");
        State::Resuming(Box::pin(async move {
            let ask = || upstream.blob(&repository, &digest, range);
            patiently(MAX_AWAY, UpstreamError::is_passing, ask).await
        }))
    }

    /// Goes on with `blob` if that is just what has not come yet, or all of it where that is wanted:
    /// some registries know no ranges.
    fn go_on(&mut self, blob: Blob) -> Result<State, BlobError> {
        let (mut first, end) = bounds(blob.part);
        self.known = 0;
        if is_whole(self.part) && is_whole(blob.part) {
            (first, self.known) = (self.position, self.position);
        }
        let agrees = |known: Option<u64>, said: Option<u64>| known.is_none() || known == said;
        if first != self.position
            || !agrees(self.end, end)
            || !agrees(total(self.part), total(blob.part))
        {
            return Err(BlobError::OtherPart);
        }
        self.end = end;
        Ok(State::Open(blob))
    }
}

/// What `range` is of content of that length; `None` if there is no such range.
pub(super) fn part_of(total: u64, range: Option<ByteRange>) -> Option<Part> {
    match range {
        None => Some(Part::Whole { length: Some(total) }),
        Some(range) => Some(Part::Range(range.within(total)?)),
    }
}

/// The positions of the first byte of `part`, and of the one after its last.
pub(super) fn bounds(part: Part) -> (u64, Option<u64>) {
    match part {
        Part::Whole { length } => (0, length),
        Part::Range(range) => (range.first, Some(range.first + range.length())),
    }
}

/// Whether `part` is all of the blob.
pub(super) fn is_whole(part: Part) -> bool {
    match part {
        Part::Whole { .. } => true,
        Part::Range(range) => range.length() == range.total,
    }
}

/// The length of the whole blob.
pub(super) fn total(part: Part) -> Option<u64> {
    match part {
        Part::Whole { length } => length,
        Part::Range(range) => Some(range.total),
    }
}
