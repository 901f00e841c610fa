//! What the decision about an image rests on where anchors sign content, for whoever explains it. Takes
//! no decision.

use std::sync::Arc;

use url::Url;

use super::Gate;
use super::decision::TagDigest;
use super::denial::Denial;
use super::judge::{AtUpstream, place};
use crate::oci::{Digest, ImageRef, Reference, Registry};
use crate::pull_through::FetchError;
use crate::registry_client::Upstream;
use crate::trust::discovery::RequestBudget;
use crate::trust::findings::AnchorVerdict;
use crate::trust::tags::Remembered;

/// What anchors that sign content say of the digest that an image stands for.
#[derive(Debug)]
pub struct ContentVerdicts {
    pub digest: Digest,
    pub verdicts: Vec<(Arc<str>, Arc<AnchorVerdict>)>,
}

impl Gate {
    /// What the anchors of the image's rule say that sign content; `None` where it asks none, or where
    /// the names that it asks come first and give no digest.
    pub async fn heard(&self, image: &ImageRef) -> Result<Option<ContentVerdicts>, Denial> {
        let shared = &self.shared;
        let (tag, now) = (image.tag(), shared.clock.now());
        let chosen = shared.policy.rule_for(&image.registry, &image.repository, tag, now);
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
                let cell = TagDigest::new();
                let at_upstream = AtUpstream::Ask(&cell);
                let judged = shared
                    .tag_judged(image, tag, at_upstream, requirement, &place, &budget)
                    .await?;
                let Some(heard) = judged.heard else { return Ok(None) };
                heard
            }
        };
        let verdicts =
            says.into_iter().filter_map(|(anchor, verdict)| Some((anchor, verdict.ok()?)));
        Ok(Some(ContentVerdicts { digest, verdicts: verdicts.collect() }))
    }

    /// Where the upstream of `registry` is, if there is one.
    pub fn upstream(&self, registry: &Registry) -> Option<&Url> {
        self.shared.pull_through.upstream(registry).ok().map(Upstream::base)
    }

    /// What upstream has under the image's tag at this moment; `None` where it names none.
    pub async fn at_upstream(&self, image: &ImageRef) -> Option<Result<Digest, FetchError>> {
        let ImageRef { registry, repository, reference } = image;
        let Reference::Tag(tag) = reference else { return None };
        Some(self.shared.pull_through.resolve(registry, repository, tag).await)
    }

    /// What is remembered of the image's tag.
    pub fn remembered(&self, image: &ImageRef) -> Result<Option<Remembered>, Denial> {
        let Reference::Tag(tag) = &image.reference else { return Ok(None) };
        self.shared.recall(image, tag, None)
    }
}
