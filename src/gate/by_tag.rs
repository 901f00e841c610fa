//! The decision about a tag: the rule, then what the anchors signed it as, then that content.

use crate::oci::{Digest, ImageRef, Tag};
use crate::policy::{Chosen, Mode, OnUnsigned, Requirement, Rule};
use crate::trust::Endorsement;
use crate::trust::places::Inquiry;

use super::Shared;
use super::admitted::{Admitted, Excused, Grounds, Place};
use super::decision::Decision;
use super::denial::Denial;
use super::deny;

impl Shared {
    pub(super) async fn by_tag(&self, image: &ImageRef, tag: &Tag) -> Result<Admitted, Denial> {
        let chosen =
            self.policy.rule_for(&image.registry, &image.repository, Some(tag), self.clock.now());
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
            Mode::Enforce(requirement) if requirement.content.is_empty() => {
                self.endorsed(image, tag, requirement, &place).await?
            }
            Mode::Enforce(requirement) => {
                let asked = (chosen.rule, requirement);
                return Box::pin(self.by_content(image, tag, asked, &place)).await;
            }
            Mode::Audit(requirement) => {
                match Box::pin(self.audited(image, tag, (chosen.rule, requirement), &place)).await {
                    Ok(admitted) => return Ok(admitted),
                    Err(denial) => {
                        would_refuse(&denial);
                        Box::pin(self.excuse(image, tag, &place)).await?
                    }
                }
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

    /// What a rule that audits would do if it were enforced.
    pub(super) async fn audited(
        &self,
        image: &ImageRef,
        tag: &Tag,
        (rule, requirement): (&Rule, &Requirement),
        place: &Place<'_>,
    ) -> Result<Admitted, Denial> {
        if !requirement.content.is_empty() {
            // It is to tell what would be refused, and not to hold anything.
            let rule = Rule { on_unsigned: OnUnsigned::Refuse, ..rule.clone() };
            return self.by_content(image, tag, (&rule, requirement), place).await;
        }
        let (grounds, digest) = self.endorsed(image, tag, requirement, place).await?;
        self.fetch(image, digest, grounds, place, None).await
    }

    /// The content of `digest`, held against what it is admitted on. `inquiry` pays for it, where the
    /// decision may take many requests.
    pub(super) async fn fetch(
        &self,
        image: &ImageRef,
        digest: Digest,
        grounds: Grounds,
        place: &Place<'_>,
        inquiry: Option<&Inquiry>,
    ) -> Result<Admitted, Denial> {
        let fetched = match inquiry {
            Some(inquiry) => self.manifest(image, &digest, Some(place.rule), inquiry).await?,
            None => self
                .pull_through
                .manifest(place.registry, place.repository, &digest)
                .await
                .map_err(|error| deny::fetch(image, Some(place.rule), error))?,
        };
        let admitted = Admitted::new(fetched, grounds, place, self.clock.now())
            .map_err(|refusal| deny::plain(image, refusal, Some(place.rule)))?;
        self.lineage.remember(image, admitted.fetched(), self.clock.now()).await;
        Ok(admitted)
    }

    /// What upstream has under `tag` at this moment, where the rule lets it pass.
    async fn excuse(
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

/// Records what a rule that audits would have refused.
pub(super) fn would_refuse(denial: &Denial) {
    let image = denial.image();
    tracing::warn!(
        target: "countersign::would_refuse",
        {
        image.registry = image.registry.as_str(),
        image.repository = image.repository.as_str(),
        image.reference = %image.reference,
        verdict = denial.verdict(),
        reason = denial.reason(),
        },
        "served by an audit rule, which would have refused: {denial}"
    );
}

pub(super) fn place<'a>(image: &'a ImageRef, chosen: &Chosen<'a>) -> Place<'a> {
    Place { registry: &image.registry, repository: &image.repository, rule: chosen.pattern }
}
