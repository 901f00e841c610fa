//! Requests to registries within the budget of a decision. Each request is sent once, and none for stored content.

use bytes::Bytes;

use super::limit::{Limit, MAX_ARTIFACT, MAX_LIST};
use super::located::Why;
use super::request_budget::{RequestBudget, Reserved};
use crate::oci::{Digest, RepositoryRef, Tag};
use crate::pull_through::{FetchError, Fetched, PullThrough};
use crate::registry_client::{Listing, Page, UpstreamError, Violation};

/// The search's pull-through and the budget that pays for its requests.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) pull_through: &'a PullThrough,
    pub(super) budget: &'a RequestBudget,
}

impl Asking<'_> {
    /// The manifest that `tag` names now.
    pub(super) async fn tag(&self, at: &RepositoryRef, tag: &Tag) -> Result<Fetched, Why> {
        let ask = async {
            let reserved = self.budget.shared.ask(&at.registry, MAX_LIST)?;
            let fetched = self.pull_through.tagged(at, tag, MAX_LIST).await;
            self.came(at, reserved, fetched, |fetched| fetched.bytes().len())
        };
        self.budget.shared.tags.answer((at.clone(), tag.clone()), ask).await
    }

    /// The manifest of a referrer. The size in the list does not matter: the list may lie.
    pub(super) async fn manifest(
        &self,
        at: &RepositoryRef,
        digest: &Digest,
    ) -> Result<Fetched, Why> {
        let ask = async {
            if let Some(kept) = self.pull_through.kept_manifest(at, digest).await {
                let length = kept.bytes().len();
                return match length <= MAX_ARTIFACT {
                    true => self.budget.shared.hold(length).map(|()| kept).map_err(Why::from),
                    false => Err(Limit::Size { ceiling: MAX_ARTIFACT }.into()),
                };
            }
            let reserved = self.budget.shared.ask(&at.registry, MAX_ARTIFACT)?;
            let fetched = self.pull_through.small_manifest(at, digest, MAX_ARTIFACT).await;
            self.came(at, reserved, fetched, |fetched| fetched.bytes().len())
        };
        self.budget.shared.manifests.answer((at.clone(), *digest), ask).await
    }

    /// One page of the referrers of `subject`.
    pub(super) async fn referrers(
        &self,
        at: &RepositoryRef,
        subject: &Digest,
        artifact_type: Option<&'static str>,
        page: &Page,
    ) -> Result<Listing, Why> {
        let ask = async {
            let upstream = self.pull_through.upstream(&at.registry)?;
            let reserved = self.budget.shared.ask(&at.registry, MAX_LIST)?;
            let listed =
                upstream.list_referrers(&at.name, subject, artifact_type, page, MAX_LIST).await;
            self.came(at, reserved, listed.map_err(FetchError::from), |listing| match listing {
                Listing::Page(page, _) => page.bytes().len(),
                Listing::Unknown | Listing::Unsupported(_) | Listing::WebPage(_) => 0,
            })
        };
        let question = (at.clone(), *subject, artifact_type, page.to_query());
        self.budget.shared.lists.answer(question, ask).await
    }

    /// The blob `digest` of `size` bytes; reads no more than that.
    pub(super) async fn blob(
        &self,
        at: &RepositoryRef,
        digest: &Digest,
        size: usize,
    ) -> Result<Bytes, Why> {
        let ask = async {
            let kept = self.pull_through.kept_blob(at, digest, size).await;
            if let Some(kept) = kept {
                self.budget.shared.hold(kept.len())?;
                return Ok(kept);
            }
            let reserved = self.budget.shared.ask(&at.registry, size)?;
            let blob = self.pull_through.small_blob(at, digest, size).await;
            self.came(at, reserved, blob, Bytes::len)
        };
        self.budget.shared.blobs.answer((at.clone(), *digest, size as u64), ask).await
    }

    /// Settles the budget for the bytes that were `reserved` for a request to `at`.
    fn came<T>(
        &self,
        at: &RepositoryRef,
        reserved: Reserved<'_>,
        answer: Result<T, FetchError>,
        length: impl FnOnce(&T) -> usize,
    ) -> Result<T, Why> {
        let too_long = |error: &FetchError| {
            matches!(
                error,
                FetchError::Upstream(UpstreamError::Protocol(Violation::TooLong { .. }))
            )
        };
        let all = reserved.bytes();
        let (came, answer) = match answer {
            Ok(answer) => (length(&answer), Ok(answer)),
            // All reserved bytes arrived, but not the end.
            Err(error) if too_long(&error) => (all, Err(Why::Limit(Limit::Size { ceiling: all }))),
            // The content arrived, but is wrong.
            Err(error @ (FetchError::Mismatch(_) | FetchError::Invalid(_))) => {
                (all, Err(error.into()))
            }
            Err(error @ FetchError::Upstream(UpstreamError::TooManyRequests { .. })) => {
                self.budget.shared.is_busy(&at.registry, &error);
                (0, Err(error.into()))
            }
            Err(error @ (FetchError::Upstream(_) | FetchError::NoUpstream(_))) => {
                (0, Err(error.into()))
            }
        };
        reserved.spend(came);
        answer
    }
}

/// Whether upstream definitely does not have the content.
pub(super) fn is_absent(why: &Why) -> bool {
    matches!(why, Why::Fetch(FetchError::Upstream(UpstreamError::Absent { .. })))
}
