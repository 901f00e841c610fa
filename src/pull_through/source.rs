//! The bytes of one blob from upstream, from a position to the end. If upstream fails in the middle, it asks for the
//! rest. Callers check whether the bytes are right.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};

use super::error::BlobError;
use crate::http_client::{NetError, Stage, patiently};
use crate::oci::{Digest, Hasher, Registry, Repository};
use crate::registry_client::{Blob, ByteRange, Lost, Part, Upstream, UpstreamError, Violation};

/// How often one blob is resumed after upstream failed in the middle.
const MAX_RESUMES: usize = 5;
/// How long upstream may be unavailable in the middle of a blob. A client that has the beginning starts again, or
/// elsewhere, if the rest does not arrive.
const MAX_AWAY: Duration = Duration::from_secs(30);

/// A blob, or a range of it, from upstream. Dropping it cancels the request.
pub(super) struct Source {
    upstream: Upstream,
    repository: Repository,
    digest: Digest,
    part: Part,
    is_from_bundle: bool,
    state: State,
    /// The position in the blob of the next byte to arrive.
    position: u64,
    /// The number of bytes to skip because they arrived before.
    known: u64,
    /// The position in the blob where this ends; unknown until then if upstream did not send a length.
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
        let Blob { part, is_from_bundle, .. } = blob;
        let (position, end) = bounds(part);
        // An empty body would look complete to a client, whatever follows.
        if total(part) == Some(0) && Hasher::new(digest.algorithm()).finish() != *digest {
            return Err(Violation::Missing("content").into());
        }
        Ok(Self {
            upstream,
            repository: repository.clone(),
            digest: *digest,
            part,
            is_from_bundle,
            state: State::Open(blob),
            position,
            known: 0,
            end,
            resumes: MAX_RESUMES,
        })
    }

    /// The missing bytes of `part` from `position`. Upstream is asked when the first piece is polled.
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
            is_from_bundle: false,
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

    /// The registry that sends it.
    pub(super) fn registry(&self) -> &Registry {
        self.upstream.registry()
    }

    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Whether it comes from a bundle and not from the registry.
    pub(super) fn is_from_bundle(&self) -> bool {
        self.is_from_bundle
    }

    /// The part of the blob that this is, from its first byte.
    pub(super) fn part(&self) -> Part {
        self.part
    }

    /// Records whether any client waits for it.
    pub(super) fn set_abandoned(&self, abandoned: bool) {
        if let State::Open(blob) = &self.state {
            blob.set_abandoned(abandoned);
        }
    }

    /// The position in the blob of the next byte.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The number of bytes still to come, if upstream sent a length.
    pub(super) fn left(&self) -> Option<u64> {
        Some(self.end?.saturating_sub(self.position))
    }

    /// The next piece, which is never empty; `None` once all bytes have arrived.
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
                        // The connection ended without an end of the body, but all of the blob had arrived. The digest
                        // decides.
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
                        // Trailers are not part of the blob; empty pieces carry nothing.
                        let Ok(mut piece) = frame.into_data() else { continue };
                        let known = self.known.min(piece.len() as u64);
                        self.known -= known;
                        piece.advance(usize::try_from(known).unwrap_or(piece.len()));
                        if !piece.is_empty() {
                            return Poll::Ready(self.take(piece).map(Some));
                        }
                    }
                    Some(Err(Lost::Net(error))) => self.ended(Some(error))?,
                    // All of it arrived before the turn was lost.
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

    /// Decides what to do at the end of upstream's answer, whatever its cause.
    fn ended(&mut self, error: Option<NetError>) -> Result<(), BlobError> {
        let all_here = match self.end {
            Some(end) => self.position == end,
            None => error.is_none(),
        };
        match error {
            _ if all_here => self.state = State::Done,
            // A stalled connection is treated as a broken one.
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

    /// Asks upstream for the missing bytes.
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

    /// Continues with `blob` if it is exactly the missing part, or the whole blob if that is wanted: some registries do
    /// not support ranges.
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

/// The part of content of that length that `range` covers; `None` if it covers nothing.
pub(super) fn part_of(total: u64, range: Option<ByteRange>) -> Option<Part> {
    match range {
        None => Some(Part::Whole { length: Some(total) }),
        Some(range) => Some(Part::Range(range.within(total)?)),
    }
}

/// The position of the first byte of `part`, and the position after its last.
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
