//! The evidence for a decision where anchors sign content, for `why`. Decides nothing.

use std::sync::Arc;

use url::Url;

use super::Gate;
use super::decision::TagDigest;
use super::denial::Denial;
use super::judge::place;
use crate::oci::{Digest, ImageRef, Reference, Registry};
use crate::pull_through::FetchError;
use crate::registry_client::Upstream;
use crate::trust::discovery::RequestBudget;
use crate::trust::findings::AnchorVerdict;
use crate::trust::tags::Remembered;

/// The verdicts of anchors that sign content about the digest of an image.
#[derive(Debug)]
pub struct ContentVerdicts {
    pub digest: Digest,
    pub verdicts: Vec<(Arc<str>, Arc<AnchorVerdict>)>,
}

impl Gate {
    /// The verdicts of those anchors in the image's rule that sign content; `None` if the rule has none, or if a
    /// required name is missing.
    pub async fn content_verdicts(
        &self,
        image: &ImageRef,
    ) -> Result<Option<ContentVerdicts>, Denial> {
        let shared = &self.shared;
        let (tag, now) = (image.tag(), shared.clock.now());
        let chosen = shared.policy.rule_for(&image.repository, tag, now);
        let Some(chosen) = chosen else { return Ok(None) };
        let Some(requirement) = chosen.required() else { return Ok(None) };
        if requirement.content.is_empty() {
            return Ok(None);
        }
        let (place, budget) = (place(image, &chosen), RequestBudget::new());
        let (digest, says) = match &image.reference {
            Reference::Digest(digest) => {
                let says =
                    shared.content_says(image, digest, &requirement, &place, &budget).await?;
                (*digest, says.collect())
            }
            Reference::Tag(tag) => {
                let at_upstream = &TagDigest::new();
                let judged = shared
                    .tag_judged(image, tag, at_upstream, requirement, &place, &budget)
                    .await?;
                let Some(verdicts) = judged.verdicts else { return Ok(None) };
                verdicts
            }
        };
        let verdicts =
            says.into_iter().filter_map(|(anchor, verdict)| Some((anchor, verdict.ok()?)));
        Ok(Some(ContentVerdicts { digest, verdicts: verdicts.collect() }))
    }

    /// The URL of the upstream of `registry`, if one is configured.
    pub fn upstream(&self, registry: &Registry) -> Option<&Url> {
        self.shared.pull_through.upstream(registry).ok().map(Upstream::base)
    }

    /// The digest that the upstream has under the image's tag now; `None` if the image has no tag.
    pub async fn at_upstream(&self, image: &ImageRef) -> Option<Result<Digest, FetchError>> {
        let ImageRef { repository, reference } = image;
        let Reference::Tag(tag) = reference else { return None };
        Some(self.shared.pull_through.resolve(repository, tag).await)
    }

    /// The history of the image's tag.
    pub fn remembered(&self, image: &ImageRef) -> Result<Option<Remembered>, Denial> {
        let Reference::Tag(tag) = &image.reference else { return Ok(None) };
        self.shared.recall(image, tag, None)
    }
}
