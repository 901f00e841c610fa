//! The digest that upstream has under each tag. The gate asks upstream again after `refresh` of the rule or its
//! anchors, and uses the earlier digest for `max_stale` while upstream does not answer. This is a content fact, not a
//! trust fact.

use std::fmt;

use moka::future::Cache;
use moka::ops::compute::{CompResult, Op};

use crate::clock::{Clock, Timestamp};
use crate::oci::{Digest, ImageRef, Registry, RepositoryRef, Tag};
use crate::pull_through::{FetchError, PullThrough};
use crate::queue_time::{Unanswered, within};
use crate::registry_client::{Busy, UpstreamError};
use crate::trust::lifetimes::{Lifetimes, SILENCE};

/// How many tags are remembered.
const MAX_TAGS: u64 = 100_000;

type Key = (RepositoryRef, Tag);

/// A digest, and when upstream returned it.
#[derive(Clone, Copy)]
struct Resolved {
    digest: Digest,
    at: Timestamp,
    /// When upstream was last asked, whether or not it answered.
    tried: Timestamp,
}

/// The digests of tags.
pub(super) struct Resolutions {
    pull_through: PullThrough,
    clock: Clock,
    known: Cache<Key, Resolved>,
}

impl Resolutions {
    pub(super) fn new(pull_through: PullThrough, clock: Clock) -> Self {
        Self { pull_through, clock, known: Cache::new(MAX_TAGS) }
    }

    /// Resolves with `pull_through`, and shares the known digests if every registry of `registries` has the same upstream as
    /// before: another upstream need not have the same images.
    pub(super) fn by(&self, pull_through: PullThrough, registries: &[Registry]) -> Self {
        let base =
            |of: &PullThrough, registry| of.upstream(registry).ok().map(|it| it.base().clone());
        let is_same =
            |registry| base(&self.pull_through, registry) == base(&pull_through, registry);
        let known = match registries.iter().all(is_same) {
            true => self.known.clone(),
            false => Cache::new(MAX_TAGS),
        };
        Self { pull_through, clock: self.clock.clone(), known }
    }

    /// The digest of `tag`. Concurrent callers share one request to upstream.
    pub(super) async fn of(
        &self,
        image: &ImageRef,
        tag: &Tag,
        lifetimes: Lifetimes,
    ) -> Result<Digest, FetchError> {
        let key = (image.repository.clone(), tag.clone());
        if let Some(known) = self.known.get(&key).await
            && known.is_usable(self.clock.now(), lifetimes)
        {
            return Ok(known.digest);
        }
        let result = self
            .known
            .entry_by_ref(&key)
            .and_try_compute_with(async |known| -> Result<Op<Resolved>, FetchError> {
                let known = known.map(moka::Entry::into_value);
                let now = self.clock.now();
                if known.is_some_and(|known| known.is_usable(now, lifetimes)) {
                    return Ok(Op::Nop);
                }
                let kept = known.filter(|known| known.outlasts(now, lifetimes));
                let asked = self.pull_through.resolve(&image.repository, tag);
                let silent = |known, error: &dyn fmt::Display| {
                    tracing::warn!(%image, %error, "cannot resolve the tag again; using its earlier digest");
                    Ok(Op::Put(Resolved { tried: self.clock.now(), ..known }))
                };
                let asked = match kept {
                    // A registry that does not answer is treated like one that cannot be reached.
                    Some(known) => match within(SILENCE, asked).await {
                        Ok(asked) => asked,
                        Err(Unanswered::Silent) => {
                            return silent(known, &"the registry does not answer");
                        }
                        // The request waited in the gate's own queue, which is no reason to use the earlier digest.
                        Err(Unanswered::Queued) => {
                            return Err(UpstreamError::Busy(Busy::Requests).into());
                        }
                    },
                    None => asked.await,
                };
                match (asked, kept) {
                    (Ok(digest), _) => Ok(Op::Put(Resolved { digest, at: now, tried: now })),
                    (Err(error), Some(known)) if is_silence(&error) => silent(known, &error),
                    (Err(error), _) => Err(error),
                }
            })
            .await;
        if let Err(FetchError::Upstream(UpstreamError::Absent { .. })) = &result {
            // A later outage must not bring back a deleted tag.
            self.known.invalidate(&key).await;
        }
        match result? {
            CompResult::Inserted(entry)
            | CompResult::ReplacedWith(entry)
            | CompResult::Unchanged(entry)
            | CompResult::Removed(entry) => Ok(entry.into_value().digest),
            // Impossible, because the closure puts a digest where there was none.
            CompResult::StillNone(_) => self.pull_through.resolve(&image.repository, tag).await,
        }
    }

    /// The last known digest of `tag`.
    pub(super) async fn last(&self, image: &ImageRef, tag: &Tag) -> Option<Digest> {
        let key = (image.repository.clone(), tag.clone());
        Some(self.known.get(&key).await?.digest)
    }
}

impl Resolved {
    fn is_usable(self, now: Timestamp, lifetimes: Lifetimes) -> bool {
        let since = |then: Timestamp| now.since(then);
        (self.at <= now && since(self.at) < lifetimes.refresh)
            || (self.at < self.tried
                && self.tried <= now
                && since(self.tried) < lifetimes.patience()
                && self.outlasts(now, lifetimes))
    }

    fn outlasts(self, now: Timestamp, lifetimes: Lifetimes) -> bool {
        self.at <= now && now.since(self.at) < lifetimes.max_stale
    }
}

/// Whether upstream failed to answer, as opposed to a definite answer.
fn is_silence(error: &FetchError) -> bool {
    match error {
        FetchError::Upstream(
            UpstreamError::Unreachable(_)
            | UpstreamError::Protocol(_)
            // As for digests, whose stored content and verdicts stay in use for `max_stale`.
            | UpstreamError::Refused { .. }
            | UpstreamError::TooManyRequests { .. },
        ) => true,
        FetchError::Upstream(
            // Upstream was not asked.
            UpstreamError::Busy(_)
            | UpstreamError::Absent { .. }
            | UpstreamError::RangeUnsatisfiable { .. },
        )
        | FetchError::NoUpstream(_)
        | FetchError::Mismatch(_)
        | FetchError::Invalid(_) => false,
    }
}
