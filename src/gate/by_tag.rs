//! The decision about a tag: first the rule, then the digest that its anchors endorse, then the content.

use crate::oci::{Digest, ImageRef, Tag};
use crate::policy::{Chosen, Permit};
use crate::trust::lifetimes::Lifetimes;

use super::Shared;
use super::admitted::{Admitted, MatchedRule};
use super::decision::{Decision, TagDigest};
use super::denial::Denial;
use super::deny;
use super::judge::{Target, place};
use super::outside::Outside;

impl Shared {
    pub(super) async fn by_tag(&self, image: &ImageRef, tag: &Tag) -> Result<Admitted, Denial> {
        let at_upstream = TagDigest::new();
        match self.by_trust(image, tag, &at_upstream).await {
            Err(denial) => self.tag_unless_exempted(image, tag, denial, &at_upstream).await,
            admitted => admitted,
        }
    }

    /// Decides about `tag` without exemptions.
    pub(super) async fn by_trust(
        &self,
        image: &ImageRef,
        tag: &Tag,
        at_upstream: &TagDigest,
    ) -> Result<Admitted, Denial> {
        let chosen = self.policy.rule_for(&image.repository, Some(tag), self.clock.now());
        if let Some(audit) = chosen.and_then(|chosen| chosen.audit()) {
            return Box::pin(self.audited_tag(image, tag, audit, at_upstream)).await;
        }
        self.enforced(image, tag, chosen, at_upstream).await
    }

    /// The decision by `chosen`, with an audit rule enforced.
    pub(super) async fn enforced(
        &self,
        image: &ImageRef,
        tag: &Tag,
        chosen: Option<Chosen<'_>>,
        at_upstream: &TagDigest,
    ) -> Result<Admitted, Denial> {
        if let Some((subject, kept)) = self.is_about(image, tag, chosen.as_ref()) {
            let about = (&subject, kept);
            return Box::pin(self.artifact(image, tag, about, at_upstream, &Decision::new())).await;
        }
        let Some(chosen) = chosen else { return Err(deny::no_rule(image)) };
        let (place, target) = (place(image, &chosen), Target::Tag { tag, at_upstream });
        if let Some(required) = chosen.required().filter(|required| !required.content.is_empty()) {
            let decision = Decision::new();
            let judged = self.judge(image, target, &chosen, Some(&decision)).await;
            return Box::pin(self.by_content(image, tag, required, judged, &place, &decision))
                .await;
        }
        let permit = self.judge(image, target, &chosen, None).await?;
        let (digest, is_unsigned) = (permit.digest(), permit.serves_anything());
        let admitted = self.fetch(image, permit, &place, None).await?;
        if is_unsigned {
            self.index_graph.passed(image, digest, tag).await;
        }
        Ok(admitted)
    }

    /// Fetches the content that `permit` names, and checks it against the permit. The request counts against the budget
    /// of `decision`, if there is one.
    pub(super) async fn fetch(
        &self,
        image: &ImageRef,
        permit: Permit<Denial>,
        place: &MatchedRule<'_>,
        decision: Option<&Decision>,
    ) -> Result<Admitted, Denial> {
        let digest = permit.digest();
        self.not_denied(image, &digest)?;
        let rule = Some(place.rule);
        let fetched = match decision {
            Some(decision) => self.manifest(image, &digest, rule, decision.budget()).await?,
            None => self
                .pull_through
                .manifest(place.repository, &digest)
                .await
                .map_err(|error| deny::fetch(image, rule, error))?,
        };
        // Before the index is remembered, because a denied index admits none of its children.
        self.content_not_denied(image, &fetched)?;
        let outside = match !permit.serves_anything() && !fetched.manifest().outside().is_empty() {
            true => {
                let decision = decision.cloned().unwrap_or_default();
                Box::pin(self.outside(image, &fetched, rule, &decision)).await?
            }
            false => Outside::default(),
        };
        let admitted = Admitted::new(fetched, permit, place, &outside, self.clock.now())
            .map_err(|refusal| deny::plain(image, refusal, Some(place.rule)))?;
        self.index_graph.remember(image, admitted.fetched(), self.clock.now()).await;
        Ok(admitted)
    }

    /// The digest that upstream has under `tag`: the one that this decision already uses. Otherwise the gate asks
    /// upstream, as often as the rule says.
    pub(super) async fn digest_at_upstream(
        &self,
        image: &ImageRef,
        tag: &Tag,
        chosen: &Chosen<'_>,
        at_upstream: &TagDigest,
    ) -> Result<Digest, Denial> {
        if let Some(digest) = at_upstream.get() {
            return Ok(*digest);
        }
        let resolved = match self.tag_lifetimes(chosen) {
            Some(lifetimes) => self.resolutions.of(image, tag, lifetimes).await,
            None => self.pull_through.resolve(&image.repository, tag).await,
        };
        let digest = resolved.map_err(|error| deny::fetch(image, Some(chosen.pattern()), error))?;
        Ok(*at_upstream.get_or_init(|| digest))
    }

    /// How long the digest of a tag is used under that rule. `None` if the rule does not depend on the digest at the
    /// upstream: then only an exemption needs it, and the gate asks each time.
    pub(super) fn tag_lifetimes(&self, chosen: &Chosen<'_>) -> Option<Lifetimes> {
        let own = chosen.rule().tag_lifetimes;
        let content = chosen.required().filter(|required| !required.content.is_empty());
        let anchors = content.map(|required| self.trust.lifetimes(&required.content));
        match (own, anchors) {
            // An audit rule serves a tag for at least as long as an enforce rule would.
            (Some(own), Some(anchors)) => {
                Some(Lifetimes { max_stale: own.max_stale.max(anchors.max_stale), ..own })
            }
            (own, anchors) => own.or(anchors),
        }
    }
}
