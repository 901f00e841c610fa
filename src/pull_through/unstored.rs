//! A blob on its way from the upstream to one client, without the store: through a window that other clients share, or
//! with a request of its own.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::error::BlobError;
use super::failures::Failures;
use super::sharing::Entry;
use super::source::{Source, bounds, is_whole};
use super::straight::Straight;
use super::window::{Seat, Taken, Window};
use crate::oci::{Digest, Hasher, Repository, RepositoryRef};
use crate::registry_client::{Part, Upstream};

/// What to ask for if this client has to continue by itself.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) upstream: Upstream,
    pub(super) repository: Repository,
    pub(super) digest: Digest,
}

impl Request {
    /// The repository with its registry.
    pub(super) fn place(&self) -> RepositoryRef {
        RepositoryRef { registry: self.upstream.registry().clone(), name: self.repository.clone() }
    }
}

/// The rest of a blob, or of a range of it.
pub(super) struct Unstored {
    request: Request,
    part: Part,
    /// Whether it began in a bundle and not at the registry.
    is_from_bundle: bool,
    /// The position in the blob of the next byte for this client.
    position: u64,
    /// The position in the blob where this ends, once it is known.
    end: Option<u64>,
    /// Has hashed everything before `position`; `None` if this is a part of the blob.
    hasher: Option<Hasher>,
    way: Way,
    failures: Failures,
    /// Keeps the download open for other clients.
    _entry: Option<Arc<Entry>>,
}

enum Way {
    /// With other clients; and whether this one has read anything there.
    Shared(Seat, bool),
    Alone(Box<Straight>),
    Done,
}

impl Unstored {
    /// All of what `window` downloads; `None` if its beginning is gone.
    pub(super) fn from_beginning(
        window: &Arc<Window>,
        entry: Arc<Entry>,
        request: Request,
    ) -> Option<Self> {
        let part = window.part();
        let (position, end) = bounds(part);
        let hasher = is_whole(part).then(|| Hasher::new(request.digest.algorithm()));
        let seat = window.join(position, hasher.is_some())?;
        let (way, failures) = (Way::Shared(seat, false), window.failures().clone());
        let is_from_bundle = window.is_from_bundle();
        let _entry = Some(entry);
        Some(Self { request, part, is_from_bundle, position, end, hasher, way, failures, _entry })
    }

    /// What is left of `part` at `position`, out of `window` if possible. `hasher` has hashed everything before
    /// `position`; `None` if this is a part of the blob.
    pub(super) fn rest(
        window: &Arc<Window>,
        request: Request,
        part: Part,
        position: u64,
        hasher: Option<Hasher>,
    ) -> Self {
        let (_, end) = bounds(part);
        let way = match window.join(position, hasher.is_some()) {
            Some(seat) => Way::Shared(seat, false),
            None => Way::Alone(Box::new(request.alone(part, position, hasher.clone()))),
        };
        let (is_from_bundle, failures) = (window.is_from_bundle(), window.failures().clone());
        Self { request, part, is_from_bundle, position, end, hasher, way, failures, _entry: None }
    }

    /// All of `source`, which is at its beginning, for this client only.
    pub(super) fn alone(source: Source, request: Request, failures: Failures) -> Self {
        let (part, is_from_bundle) = (source.part(), source.is_from_bundle());
        let (position, end) = bounds(part);
        let way = Way::Alone(Box::new(Straight::new(source)));
        let (hasher, _entry) = (None, None);
        Self { request, part, is_from_bundle, position, end, hasher, way, failures, _entry }
    }

    /// Whether it began in a bundle and not at the registry.
    pub(super) fn is_from_bundle(&self) -> bool {
        self.is_from_bundle
    }

    pub(super) fn digest(&self) -> &Digest {
        &self.request.digest
    }

    pub(super) fn part(&self) -> Part {
        self.part
    }

    /// How many bytes are still to come, if that is known.
    pub(super) fn left(&self) -> Option<u64> {
        match &self.way {
            Way::Shared(..) => Some(self.end?.saturating_sub(self.position)),
            Way::Alone(straight) => straight.left(),
            Way::Done => Some(0),
        }
    }

    /// The next piece; `None` once all of them came.
    pub(super) fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, BlobError>> {
        let polled = ready!(self.poll_way(context));
        if !matches!(polled, Ok(Some(_))) {
            self.way = Way::Done;
            self._entry = None;
        }
        Poll::Ready(polled)
    }

    fn poll_way(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BlobError>> {
        loop {
            let (seat, has_read) = match &mut self.way {
                Way::Shared(seat, has_read) => (seat, has_read),
                Way::Alone(straight) => {
                    let polled = ready!(straight.poll_piece(context));
                    if let Err(error) = &polled {
                        let source = straight.source();
                        self.failures.note(source.registry(), source.digest(), error);
                    }
                    return Poll::Ready(polled);
                }
                Way::Done => return Poll::Ready(Ok(None)),
            };
            match ready!(seat.poll_next(self.end, context)) {
                Taken::Piece(piece, hasher) => {
                    *has_read = true;
                    self.position += piece.len() as u64;
                    if self.hasher.is_some() {
                        self.hasher = hasher;
                    }
                    return Poll::Ready(Ok(Some(piece)));
                }
                Taken::End => return Poll::Ready(Ok(None)),
                // The turn was lost before this client could read anything, so it is not to blame.
                Taken::Failed(BlobError::TooSlow) if !*has_read => self.leave(),
                Taken::Failed(error) => return Poll::Ready(Err(error)),
                Taken::Left => self.leave(),
            }
        }
    }

    /// Continues with a request of its own.
    fn leave(&mut self) {
        let straight = self.request.alone(self.part, self.position, self.hasher.take());
        self.way = Way::Alone(Box::new(straight));
        self._entry = None;
    }
}

impl Request {
    fn alone(&self, part: Part, position: u64, hasher: Option<Hasher>) -> Straight {
        let Self { upstream, repository, digest } = self;
        Straight::after(Source::rest(upstream.clone(), repository, digest, part, position), hasher)
    }
}
