//! The one function that judges a manifest under a rule. Pulls, audit rules, previews and artifacts call it; exemptions
//! apply to the denial that it returns. It serves nothing and records no tags.

use super::Shared;
use super::admitted::MatchedRule;
use super::decision::{Decision, TagDigest};
use super::denial::Denial;
use super::deny;
use crate::oci::{Digest, ImageRef, Tag};
use crate::policy::{Chosen, Permit, Terms};

/// The manifest that is judged.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    /// The manifest under a tag.
    Tag { tag: &'a Tag, at_upstream: &'a TagDigest },
    /// A digest under one of its tags, or for itself.
    Digest { digest: &'a Digest, tag: Option<&'a Tag> },
}

impl Shared {
    /// Judges `target` under the rule `chosen`. An audit rule is judged as if it were enforced. The permit of an
    /// enforce rule names the digest that its anchors endorse, which may be another one than upstream has under the
    /// tag. Requests for signatures count against the budget of `decision`; a rule that asks no anchor for content
    /// makes none.
    pub(super) async fn judge(
        &self,
        image: &ImageRef,
        target: Target<'_>,
        chosen: &Chosen<'_>,
        decision: Option<&Decision>,
    ) -> Result<Permit<Denial>, Denial> {
        let place = place(image, chosen);
        let required = match chosen.terms() {
            Terms::Deny { reason } => return Err(deny::by_rule(image, place.rule, reason)),
            Terms::Allow(allow) => {
                let digest = match target {
                    Target::Tag { tag, at_upstream } => {
                        Box::pin(self.digest_at_upstream(image, tag, chosen, at_upstream)).await?
                    }
                    Target::Digest { digest, .. } => *digest,
                };
                return Ok(allow.permit(digest));
            }
            Terms::Enforce(required) => required,
            Terms::Audit(audit) => audit.enforced(),
        };
        if let Target::Tag { tag, .. } = target
            && required.content.is_empty()
        {
            return self.judge_names(image, tag, required, &place).await;
        }
        let decision = decision.cloned().unwrap_or_default();
        let budget = decision.budget();
        match target {
            Target::Tag { tag, at_upstream } => {
                Box::pin(self.judge_tag(image, tag, at_upstream, required, &place, budget)).await
            }
            Target::Digest { digest, tag } => {
                Box::pin(self.judge_digest(image, digest, tag, required, &place, budget)).await
            }
        }
    }
}

/// The repository of `image` and its rule.
pub(super) fn place<'a>(image: &'a ImageRef, chosen: &Chosen<'a>) -> MatchedRule<'a> {
    MatchedRule { repository: &image.repository, rule: chosen.pattern() }
}
