//! Exemptions. After a denial, and never before, the gate checks whether an operator exempted the digest. An exemption
//! admits the manifest, the manifests that it lists, and their referrers. It does not override a deny rule, a missing
//! rule, or content that does not match its digest.

use std::collections::HashSet;
use std::collections::VecDeque;

use futures_util::future::BoxFuture;

use super::Shared;
use super::admitted::{Admitted, MatchedRule, Remark};
use super::decision::{Decision, TagDigest};
use super::denial::Denial;
use super::deny;
use super::judge::place;
use crate::exemptions::{Exemption, Said};
use crate::oci::{Digest, ImageRef, Reference, Tag};
use crate::policy::Chosen;

/// The most levels of indexes below an exempted index, itself included.
const MAX_LEVELS: usize = 4;
/// The most indexes that are examined below all exempted indexes of one repository.
const MAX_INDEXES: usize = 200;

/// The exemptions in the repository of an image, the rule for the image, and the decision whose budget pays for
/// requests.
struct Exempted<'a> {
    all: Vec<Exemption>,
    /// A rule that does not deny.
    chosen: Chosen<'a>,
    place: MatchedRule<'a>,
    decision: Decision,
}

impl Shared {
    /// Whether anything is exempted in the repository of `image`.
    pub(super) fn has_exemptions(&self, image: &ImageRef) -> bool {
        !self.exemptions.of(&image.repository).is_empty()
    }

    /// Admits `image` by an exemption while its decision is still in progress.
    pub(super) async fn exempted_meanwhile(&self, image: &ImageRef) -> Option<Admitted> {
        let denial = deny::too_slow(image);
        let admitted = match &image.reference {
            Reference::Tag(tag) => {
                self.tag_unless_exempted(image, tag, denial, &TagDigest::new()).await
            }
            Reference::Digest(digest) => self.unless_exempted(image, digest, denial).await,
        };
        admitted.ok()
    }

    /// Admits the manifest that the upstream has under `tag`, if its digest is exempted. Otherwise returns `denial`.
    pub(super) fn tag_unless_exempted<'a>(
        &'a self,
        image: &'a ImageRef,
        tag: &'a Tag,
        denial: Denial,
        at_upstream: &'a TagDigest,
    ) -> BoxFuture<'a, Result<Admitted, Denial>> {
        Box::pin(self.look_by_tag(image, tag, denial, at_upstream))
    }

    /// Admits `digest` if it, an index that lists it, or its subject is exempted. Otherwise returns `denial`.
    pub(super) fn unless_exempted<'a>(
        &'a self,
        image: &'a ImageRef,
        digest: &'a Digest,
        denial: Denial,
    ) -> BoxFuture<'a, Result<Admitted, Denial>> {
        Box::pin(self.look_by_digest(image, digest, denial))
    }

    async fn look_by_tag(
        &self,
        image: &ImageRef,
        tag: &Tag,
        denial: Denial,
        at_upstream: &TagDigest,
    ) -> Result<Admitted, Denial> {
        let all = self.may_be_exempted(image, &denial);
        if all.is_empty() {
            return Err(denial);
        }
        let chosen = self.rule_that_asks(image, Some(tag));
        let Some(chosen) = chosen else { return Err(denial) };
        let (place, decision) = (place(image, &chosen), Decision::new());
        let digest = match self.digest_at_upstream(image, tag, &chosen, at_upstream).await {
            Ok(digest) => digest,
            Err(open) => return Err(prefer_cause(denial, open)),
        };
        let Some(exemption) = all.iter().find(|one| one.says().digest == digest).cloned() else {
            return Err(denial);
        };
        let exempted = Exempted { all, chosen, place, decision };
        let admitted = match self.exempt(image, &exemption, &exempted).await {
            Ok(admitted) => admitted,
            Err(other) => return Err(prefer_cause(denial, other)),
        };
        self.index_graph.passed(image, digest, tag).await;
        Ok(remarked(image, admitted, exemption, &denial))
    }

    async fn look_by_digest(
        &self,
        image: &ImageRef,
        digest: &Digest,
        denial: Denial,
    ) -> Result<Admitted, Denial> {
        let all = self.may_be_exempted(image, &denial);
        if all.is_empty() {
            return Err(denial);
        }
        let mut chosen = self.rule_that_asks(image, None);
        for tag in self.index_graph.tags(image, digest).await.iter() {
            chosen = chosen.or_else(|| self.rule_that_asks(image, Some(tag)));
        }
        let Some(chosen) = chosen else { return Err(denial) };
        let place = place(image, &chosen);
        let exempted = Exempted { all, chosen, place, decision: Decision::new() };
        match self.reached(image, digest, &exempted).await {
            Ok(Some((admitted, exemption))) => Ok(remarked(image, admitted, exemption, &denial)),
            Ok(None) => Err(denial),
            Err(other) => Err(prefer_cause(denial, other)),
        }
    }

    /// The exemptions in the repository, if an exemption can override `denial`.
    fn may_be_exempted(&self, image: &ImageRef, denial: &Denial) -> Vec<Exemption> {
        if !denial.may_be_exempted() {
            return Vec::new();
        }
        self.exemptions.of(&image.repository)
    }

    /// The rule for the image, unless it is a deny rule.
    fn rule_that_asks(&self, image: &ImageRef, tag: Option<&Tag>) -> Option<Chosen<'_>> {
        let now = self.clock.now();
        let chosen = self.policy.rule_for(&image.repository, tag, now);
        chosen.filter(|chosen| !chosen.is_deny())
    }

    /// Admits `digest` by its own exemption, that of an index above it, or that of its subject.
    async fn reached(
        &self,
        image: &ImageRef,
        digest: &Digest,
        exempted: &Exempted<'_>,
    ) -> Result<Option<(Admitted, Exemption)>, Denial> {
        if let Some(found) = self.listed(image, digest, exempted).await? {
            return Ok(Some(found));
        }
        let rule = Some(exempted.place.rule);
        let fetched = match self.manifest(image, digest, rule, exempted.decision.budget()).await {
            Ok(fetched) => fetched,
            Err(Denial::Missing { .. }) => return Ok(None),
            Err(denial) => return Err(denial),
        };
        let form = fetched.manifest().form();
        let subject = form.and_then(|form| Some(form.subject.as_ref()?.digest));
        let Some(subject) = subject else { return Ok(None) };
        let Some((subject, exemption)) = self.listed(image, &subject, exempted).await? else {
            return Ok(None);
        };
        let budget = exempted.decision.budget();
        let config = self.config_of_referrer(image, &fetched, &subject, budget).await?;
        Ok(Admitted::about(&subject, fetched, config.as_ref())
            .ok()
            .map(|admitted| (admitted, exemption)))
    }

    /// Admits `digest` by its own exemption or that of an index above it.
    async fn listed(
        &self,
        image: &ImageRef,
        digest: &Digest,
        exempted: &Exempted<'_>,
    ) -> Result<Option<(Admitted, Exemption)>, Denial> {
        if let Some(exemption) = exempted.all.iter().find(|one| one.says().digest == *digest) {
            let admitted = self.exempt(image, exemption, exempted).await?;
            return Ok(Some((admitted, exemption.clone())));
        }
        let mut seen: HashSet<Digest> = HashSet::new();
        let mut doubt = None;
        for exemption in &exempted.all {
            let mut open: VecDeque<(Admitted, usize)> = VecDeque::new();
            match self.exempt(image, exemption, exempted).await {
                Ok(index) => open.push_back((index, MAX_LEVELS)),
                Err(denial) => keep(&mut doubt, denial),
            }
            // Breadth first, so that each index is reached by its shortest path.
            while let Some((above, levels)) = open.pop_front() {
                let manifest = above.fetched().manifest();
                if manifest.children().iter().any(|child| child.digest == *digest) {
                    let (rule, budget) = (Some(exempted.place.rule), exempted.decision.budget());
                    let fetched = self.manifest(image, digest, rule, budget).await?;
                    // An index that lists it with another size does not list it; another one may.
                    let decision = &exempted.decision;
                    let outside = self.outside_below(image, &above, &fetched, decision).await?;
                    if let Ok(admitted) = Admitted::through(&above, fetched, &outside) {
                        self.index_graph
                            .remember(image, admitted.fetched(), self.clock.now())
                            .await;
                        return Ok(Some((admitted, exemption.clone())));
                    }
                }
                let nested = manifest.child_indexes().filter(|_| levels > 1);
                for child in nested.map(|child| child.digest) {
                    if seen.len() >= MAX_INDEXES || !seen.insert(child) {
                        continue;
                    }
                    let (rule, budget) = (Some(exempted.place.rule), exempted.decision.budget());
                    match self.manifest(image, &child, rule, budget).await {
                        Ok(fetched) => {
                            let decision = &exempted.decision;
                            let outside =
                                self.outside_below(image, &above, &fetched, decision).await?;
                            let nested = Admitted::through(&above, fetched, &outside);
                            open.extend(nested.ok().map(|it| (it, levels - 1)));
                        }
                        Err(denial) => keep(&mut doubt, denial),
                    }
                }
            }
        }
        doubt.map_or(Ok(None), Err)
    }

    /// Admits the exempted manifest, after the check of its digest.
    async fn exempt(
        &self,
        image: &ImageRef,
        exemption: &Exemption,
        exempted: &Exempted<'_>,
    ) -> Result<Admitted, Denial> {
        let place = &exempted.place;
        match exempted.chosen.exempt(exemption) {
            Some(permit) => self.fetch(image, permit, place, Some(&exempted.decision)).await,
            None => Err(deny::by_rule(image, place.rule, None)),
        }
    }
}

/// Keeps the first denial that is undecided.
fn keep(doubt: &mut Option<Denial>, denial: Denial) {
    if denial.is_undecided() {
        doubt.get_or_insert(denial);
    }
}

/// The denial of an exempted image that cannot be served. `other` says why, such as wrong bytes or an upstream that
/// does not answer; if it says only that the image is not there, `denied` remains.
fn prefer_cause(denied: Denial, other: Denial) -> Denial {
    match &other {
        Denial::Undecided(_) | Denial::Throttled { .. } | Denial::Refused(_) => other,
        Denial::Absent(_) | Denial::Missing { .. } | Denial::Unsatisfiable { .. } => denied,
    }
}

fn remarked(
    image: &ImageRef,
    admitted: Admitted,
    exemption: Exemption,
    denial: &Denial,
) -> Admitted {
    let Said { digest, reason, by, until, .. } = exemption.says();
    let because = denial.to_string();
    tracing::warn!(
        target: "countersign::exemption",
        {
        image.registry = image.repository.registry.as_str(),
        image.repository = image.repository.name.as_str(),
        image.reference = %image.reference,
        manifest.digest = %admitted.digest(),
        exempted = %digest,
        why = reason,
        by,
        until = %until,
        },
        "served by an exemption; without it: {because}"
    );
    admitted.remarked(Some(Remark::Exempted { exemption, because }))
}
