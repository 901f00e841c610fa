//! The decision about a digest: it is signed, a rule serves it unsigned, or it is admitted through another manifest,
//! which [`super::index_graph::search`] finds.

use std::sync::Arc;

use futures_util::future::{BoxFuture, join_all};

use crate::oci::{Digest, ImageRef, RepositoryRef, Tag};
use crate::policy::{Audit, Unmet};
use crate::trust::{Reason, Refusal, SignedNames, Unendorsed};

use super::Shared;
use super::admitted::Admitted;
use super::artifacts::ReservedTag;
use super::decision::{Decision, TagDigest};
use super::denial::Denial;
use super::deny;
use super::index_graph::search::{Names, Search};
use super::judge::{Target, place};

impl Shared {
    pub(super) async fn by_digest(
        &self,
        image: &ImageRef,
        digest: &Digest,
    ) -> Result<Admitted, Denial> {
        self.decide(image, digest, &Decision::new()).await
    }

    /// Decides about `digest`, alone or as a part of another decision.
    pub(super) fn decide<'a>(
        &'a self,
        image: &'a ImageRef,
        digest: &'a Digest,
        decision: &'a Decision,
    ) -> BoxFuture<'a, Result<Admitted, Denial>> {
        Box::pin(async move {
            self.not_denied(image, digest)?;
            let decided = match self.audits(image, digest).await {
                Some(audit) => self.audited_digest(image, digest, decision, audit).await,
                None => self.by_trust_alone(image, digest, decision).await,
            };
            let admitted = match decided {
                Err(denial) => self.unless_exempted(image, digest, denial).await?,
                Ok(admitted) => admitted,
            };
            self.serves_none_denied(image, &admitted)?;
            Ok(admitted)
        })
    }

    /// Decides about `digest` without exemptions, and as if an audit rule for the repository were enforced. Callers
    /// check [`Self::not_denied`] first.
    pub(super) async fn by_trust_alone(
        &self,
        image: &ImageRef,
        digest: &Digest,
        decision: &Decision,
    ) -> Result<Admitted, Denial> {
        let now = self.clock.now();
        let ImageRef { repository, .. } = image;
        if !self.policy.serves(repository, now) {
            return Err(self.unserved(&image.into()));
        }
        let names = self.names(repository).await;
        let mut search = Search::new(image, decision.clone());
        // The admission by an audit rule for a tag, used only if nothing else admits the digest.
        let mut passed = None;
        // A child of a known index needs no search for signatures, which costs requests.
        if self.policy.asks_content(repository, now) {
            match self.through_known(image, digest, &names, &mut search).await? {
                Some(found) if found.dry_run_denial().is_none() => return Ok(found),
                found => passed = found,
            }
        }
        let denial = match self.directly(image, digest, &names, decision).await {
            Ok(admitted) => match admitted.dry_run_denial().cloned() {
                None => return Ok(admitted),
                Some(would) => {
                    passed = Some(admitted);
                    Arc::unwrap_or_clone(would)
                }
            },
            Err(denial) => denial,
        };
        // Another manifest can only make up for a missing signature.
        if !denial.may_be_admitted_through_another() {
            return passed.ok_or(denial);
        }
        match (self.search(image, digest, &names, search).await, passed) {
            (Ok(Some(found)), None) => Ok(found),
            (Ok(Some(found)), Some(_)) if found.dry_run_denial().is_none() => Ok(found),
            (_, Some(passed)) => Ok(passed),
            (Ok(None), None) => Err(denial),
            (Err(doubt), None) => Err(doubt),
        }
    }

    /// The signed names of each anchor that a rule for this repository uses.
    pub(super) async fn names<'a>(
        &'a self,
        repository: &'a RepositoryRef,
    ) -> Vec<(Arc<str>, Result<SignedNames<'a>, Unendorsed>)> {
        let anchors = self.policy.anchors(repository, self.clock.now());
        let anchors = anchors.into_iter().filter(|anchor| {
            self.trust.anchor(anchor).is_some_and(crate::trust::Anchor::signs_names)
        });
        // Concurrently, because one server that does not answer takes most of the time of a decision.
        join_all(anchors.map(async |anchor| {
            let signed = self.trust.signed(&anchor, repository).await;
            (anchor, signed)
        }))
        .await
    }

    /// Admits `digest` for itself: by a tag that is signed for it, or by a rule. An audit rule for one of its tags
    /// admits it only if nothing else does.
    pub(super) async fn directly(
        &self,
        image: &ImageRef,
        digest: &Digest,
        names: &Names<'_>,
        decision: &Decision,
    ) -> Result<Admitted, Denial> {
        let mut audits = None;
        match (self.by_itself(image, digest, names, decision, &mut audits).await, audits) {
            (Err(denial), Some(audit)) => {
                self.admit_by_audit(image, *digest, &audit, denial, Some(decision)).await
            }
            (admitted, _) => admitted,
        }
    }

    /// Admits `digest` for itself, as if audit rules were enforced. Sets `audits` to the audit rule for one of its
    /// tags, if there is one.
    async fn by_itself<'a>(
        &'a self,
        image: &ImageRef,
        digest: &Digest,
        names: &Names<'_>,
        decision: &Decision,
        audits: &mut Option<Audit<'a>>,
    ) -> Result<Admitted, Denial> {
        let now = self.clock.now();
        let chosen = self.policy.rule_for(&image.repository, None, now);
        let mut denied: Option<Denial> = None;
        // The tags that are signed for it, and the tags by which it was admitted without a signed name.
        let passed = self.passed(image, digest).await?;
        let signed = names.iter().filter_map(|(_, signed)| signed.as_ref().ok());
        for tag in signed.flat_map(|signed| signed.tags_of(digest)).chain(passed.iter()) {
            let by_tag = self.policy.rule_for(&image.repository, Some(tag), now);
            if let Some(audit) = by_tag.and_then(|by_tag| by_tag.audit()) {
                audits.get_or_insert(audit);
            }
            if let Some((subject, kept)) = self.is_about(image, tag, by_tag.as_ref()) {
                // The tag of a list admits nothing: a manifest under it is admitted only for itself.
                if kept == ReservedTag::List {
                    continue;
                }
                let (about, at) = ((&subject, kept), &TagDigest::from(*digest));
                match Box::pin(self.artifact(image, tag, about, at, decision)).await {
                    Ok(admitted) => return Ok(admitted),
                    Err(denial) => {
                        prefer_undecided(&mut denied, denial);
                        continue;
                    }
                }
            }
            let Some(by_tag) = by_tag else { continue };
            if by_tag.is_deny() {
                continue;
            }
            let target = Target::Digest { digest, tag: Some(tag) };
            match self.judge(image, target, &by_tag, Some(decision)).await {
                Ok(permit) if permit.digest() == *digest => {
                    let place = place(image, &by_tag);
                    return self.fetch(image, permit, &place, Some(decision)).await;
                }
                Ok(_) => {}
                Err(denial) => prefer_undecided(&mut denied, denial),
            }
        }
        // The anchors of the rule sign only names, and no name is signed for this digest.
        let by_names = chosen.and_then(|it| it.required()).is_some_and(|it| it.content.is_empty());
        let Some(chosen) = chosen.filter(|_| !by_names) else {
            return Err(denied.unwrap_or_else(|| self.unsigned(image, names)));
        };
        let target = Target::Digest { digest, tag: None };
        match self.judge(image, target, &chosen, Some(decision)).await {
            Ok(permit) => self.fetch(image, permit, &place(image, &chosen), Some(decision)).await,
            Err(denial) => {
                prefer_undecided(&mut denied, denial);
                Err(denied.unwrap_or_else(|| self.unsigned(image, names)))
            }
        }
    }

    /// The tags by which `digest` was admitted without a signed name, from memory or from the history of tags.
    async fn passed(&self, image: &ImageRef, digest: &Digest) -> Result<Arc<[Tag]>, Denial> {
        let passed = self.index_graph.tags(image, digest).await;
        let ImageRef { repository, .. } = image;
        if !passed.is_empty() || !self.policy.asks_content(repository, self.clock.now()) {
            return Ok(passed);
        }
        let remembered = self.tags.tags_of(repository, digest);
        let remembered = remembered.map_err(|error| deny::no_memory(image, None, &error))?;
        Ok(remembered.into())
    }

    /// The denial of a digest that no tag admits: undecided if an anchor could not be asked, otherwise the refusal of
    /// the first anchor.
    fn unsigned(&self, image: &ImageRef, names: &Names<'_>) -> Denial {
        let now = self.clock.now();
        let chosen = self.policy.rule_for(&image.repository, None, now);
        let rule = chosen.map(|chosen| chosen.pattern());
        let failed = |(anchor, signed): &(Arc<str>, Result<SignedNames<'_>, Unendorsed>)| {
            let why = signed.as_ref().err()?.clone();
            Some(Unmet { anchor: Some(anchor.clone()), why })
        };
        let open = names.iter().filter_map(failed).find(|unmet| unmet.why.is_open());
        // An anchor that signs names here could have signed an index that lists the digest.
        let signs = names.iter().find(|(_, signed)| signed.is_ok()).map(|(anchor, _)| {
            let because = "neither this digest nor an index that lists it is signed";
            let refusal = Refusal::new(Reason::DigestNotSigned, because);
            Unmet { anchor: Some(anchor.clone()), why: Unendorsed::Refused(refusal) }
        });
        let unmet = open.or(signs).or_else(|| names.first().and_then(failed));
        match unmet {
            Some(unmet) => deny::unmet(image, rule, unmet, &self.trust, self.clock.now()),
            None => deny::no_rule(image),
        }
    }
}

/// Keeps the first denial, unless a later one is undecided: then the whole is undecided.
fn prefer_undecided(denied: &mut Option<Denial>, denial: Denial) {
    if denied.as_ref().is_none_or(|denied| denial.is_undecided() && !denied.is_undecided()) {
        *denied = Some(denial);
    }
}
