//! The decision about a tag: the rule, then what the anchors signed it as, then that content.

use std::sync::Arc;

use crate::oci::{Digest, ImageRef, Tag};
use crate::policy::{Artifacts, Chosen, Mode, OnUnsigned, Requirement, Rule};
use crate::trust::Endorsement;

use super::Shared;
use super::admitted::{Admitted, Excused, Grounds, Place};
use super::decision::Decision;
use super::denial::Denial;
use super::deny;
use super::outside::Outside;

impl Shared {
    pub(super) async fn by_tag(&self, image: &ImageRef, tag: &Tag) -> Result<Admitted, Denial> {
        match self.by_trust(image, tag).await {
            Err(denial) => self.tag_unless_exempted(image, tag, denial).await,
            admitted => admitted,
        }
    }

    /// The same, whatever is exempted.
    pub(super) async fn by_trust(&self, image: &ImageRef, tag: &Tag) -> Result<Admitted, Denial> {
        let chosen =
            self.policy.rule_for(&image.registry, &image.repository, Some(tag), self.clock.now());
        if let Some(chosen) = &chosen
            && matches!(chosen.rule.mode, Mode::Audit(_))
        {
            return Box::pin(self.audited_tag(image, tag, &place(image, chosen))).await;
        }
        self.enforced(image, tag, chosen).await
    }

    /// What is decided by `chosen`, where a rule that audits is enforced.
    pub(super) async fn enforced(
        &self,
        image: &ImageRef,
        tag: &Tag,
        chosen: Option<Chosen<'_>>,
    ) -> Result<Admitted, Denial> {
        if let Some((subject, kept)) = self.is_about(image, tag, chosen.as_ref()) {
            let about = (&subject, kept);
            return Box::pin(self.artifact(image, tag, about, None, &Decision::new())).await;
        }
        let Some(chosen) = chosen else { return Err(deny::no_rule(image)) };
        let place = place(image, &chosen);
        let (grounds, digest) = match &chosen.rule.mode {
            Mode::Deny { reason } => {
                return Err(deny::by_rule(image, place.rule, reason.as_deref()));
            }
            Mode::Allow { .. } => Box::pin(self.excuse(image, tag, &place)).await?,
            Mode::Enforce(requirement) | Mode::Audit(requirement)
                if requirement.content.is_empty() =>
            {
                self.endorsed(image, tag, requirement, &place).await?
            }
            Mode::Enforce(requirement) => {
                let asked = (chosen.rule, requirement);
                return Box::pin(self.by_content(image, tag, asked, &place)).await;
            }
            Mode::Audit(requirement) => {
                // It is to tell what would be refused, and not to hold anything.
                let rule = Rule { on_unsigned: OnUnsigned::Refuse, ..chosen.rule.clone() };
                return Box::pin(self.by_content(image, tag, (&rule, requirement), &place)).await;
            }
        };
        let excused = matches!(grounds, Grounds::Rule(_));
        let admitted = self.fetch(image, digest, grounds, &place, None).await?;
        if excused {
            self.lineage.passed(image, digest, tag).await;
        }
        Ok(admitted)
    }

    /// Who endorses what `tag` stands for, and that digest.
    async fn endorsed(
        &self,
        image: &ImageRef,
        tag: &Tag,
        requirement: &Requirement,
        place: &Place<'_>,
    ) -> Result<(Grounds, Digest), Denial> {
        let endorsements = self.judge_names(image, tag, requirement, place).await?;
        let first = endorsements.first().map(Endorsement::digest);
        match first {
            Some(digest) => Ok((Grounds::Endorsed(endorsements), digest)),
            None => Err(deny::no_rule(image)),
        }
    }

    /// The content of `digest`, held against what it is admitted on. `decision` pays for it, where that may take many
    /// requests.
    pub(super) async fn fetch(
        &self,
        image: &ImageRef,
        digest: Digest,
        grounds: Grounds,
        place: &Place<'_>,
        decision: Option<&Decision>,
    ) -> Result<Admitted, Denial> {
        self.not_denied(image, &digest)?;
        let rule = Some(place.rule);
        let fetched = match decision {
            Some(decision) => self.manifest(image, &digest, rule, decision.inquiry()).await?,
            None => self
                .pull_through
                .manifest(place.registry, place.repository, &digest)
                .await
                .map_err(|error| deny::fetch(image, rule, error))?,
        };
        // Before it is remembered: a denied index admits nothing that it lists.
        self.content_not_denied(image, &fetched)?;
        let outside = match grounds.asks_outside() && !fetched.manifest().outside().is_empty() {
            true => {
                let decision = decision.cloned().unwrap_or_default();
                Box::pin(self.outside(image, &fetched, rule, &decision)).await?
            }
            false => Outside::default(),
        };
        let admitted = Admitted::new(fetched, grounds, place, &outside, self.clock.now())
            .map_err(|refusal| deny::plain(image, refusal, Some(place.rule)))?;
        self.lineage.remember(image, admitted.fetched(), self.clock.now()).await;
        Ok(admitted)
    }

    /// What upstream has under `tag` at this moment, where the rule lets it pass.
    pub(super) async fn excuse(
        &self,
        image: &ImageRef,
        tag: &Tag,
        place: &Place<'_>,
    ) -> Result<(Grounds, Digest), Denial> {
        let resolved = self.pull_through.resolve(place.registry, place.repository, tag).await;
        let digest = resolved.map_err(|error| deny::fetch(image, Some(place.rule), error))?;
        Ok((Grounds::Rule(Excused { digest }), digest))
    }
}

pub(super) fn place<'a>(image: &'a ImageRef, chosen: &Chosen<'a>) -> Place<'a> {
    at(image, chosen.pattern, chosen.rule.artifacts)
}

pub(super) fn at<'a>(image: &'a ImageRef, rule: &'a Arc<str>, artifacts: Artifacts) -> Place<'a> {
    Place { registry: &image.registry, repository: &image.repository, rule, artifacts }
}
