//! What the anchors of a requirement say: those that sign names about a tag, and those that sign content
//! about each digest that could meet it: those that the names gave, and the one that upstream has.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;

use super::Shared;
use super::admitted::MatchedRule;
use super::decision;
use super::denial::Denial;
use super::deny;
use super::judge::AtUpstream;
use crate::oci::{Digest, ImageRef, Tag};
use crate::policy::{Answer, Answers, Permit, Required, Requirement, Unmet};
use crate::trust::discovery::RequestBudget;
use crate::trust::findings::AnchorVerdict;
use crate::trust::{Endorsement, Reason, Refusal, SignedNames, Subject, Unendorsed};

/// An anchor that signs content, and its verdict.
type ContentAnswer = (Arc<str>, Result<Arc<AnchorVerdict>, Unendorsed>);

/// What came of asking about a tag.
pub(super) struct TagJudged {
    pub(super) met: Result<Permit<Denial>, Unmet>,
    /// The digest that anchors that sign content were asked about last, and what they say of it.
    pub(super) heard: Option<(Digest, Vec<ContentAnswer>)>,
}

impl Shared {
    /// Who endorses what `tag` stands for, if that meets a requirement that asks names alone.
    pub(super) async fn judge_names(
        &self,
        image: &ImageRef,
        tag: &Tag,
        requirement: Required<'_>,
        place: &MatchedRule<'_>,
    ) -> Result<Permit<Denial>, Denial> {
        let answers = self.names_say(image, &requirement, |names| names.tag(tag)).await;
        let met = match requirement.missing_name(&answers) {
            Some(unmet) => Err(unmet),
            None => requirement.judge(&answers, &requirement.named(&answers)),
        };
        met.map_err(|unmet| deny::unmet(image, Some(place.rule), unmet, &self.trust))
    }

    /// Who endorses what `tag` stands for, if that meets the requirement: one digest, which is one
    /// that a name gave, or else the one that upstream has.
    pub(super) async fn judge_tag(
        &self,
        image: &ImageRef,
        tag: &Tag,
        at_upstream: AtUpstream<'_>,
        requirement: Required<'_>,
        place: &MatchedRule<'_>,
        budget: &RequestBudget,
    ) -> Result<Permit<Denial>, Denial> {
        let judged = self.tag_judged(image, tag, at_upstream, requirement, place, budget).await?;
        judged.met.map_err(|unmet| deny::unmet(image, Some(place.rule), unmet, &self.trust))
    }

    /// Asks about each digest that could meet the requirement: first those that names give; then the
    /// one that upstream has, unless a name is required, for nothing else can meet that. What upstream
    /// has is known, or asked for.
    pub(super) async fn tag_judged(
        &self,
        image: &ImageRef,
        tag: &Tag,
        at_upstream: AtUpstream<'_>,
        requirement: Required<'_>,
        place: &MatchedRule<'_>,
        budget: &RequestBudget,
    ) -> Result<TagJudged, Denial> {
        let mut answers = self.names_say(image, &requirement, |names| names.tag(tag)).await;
        if let Some(unmet) = requirement.missing_name(&answers) {
            return Ok(TagJudged { met: Err(unmet), heard: None });
        }
        let bound = requirement.requires_name();
        let named = requirement.named(&answers);
        let mut heard = None;
        for digest in &named {
            match self.content_says(image, digest, &requirement, place, budget).await {
                Ok(says) => {
                    let says: Vec<ContentAnswer> = says.collect();
                    answers.about(*digest, says.iter().map(answer));
                    heard = Some((*digest, says));
                }
                // Another digest can still meet the requirement.
                Err(Denial::Missing { .. }) if !bound => {
                    answers.about(*digest, missing(&requirement, digest));
                }
                Err(denial) => return Err(denial),
            }
        }
        let unmet = match requirement.judge(&answers, &named) {
            Err(unmet) if !bound => unmet,
            met => return Ok(TagJudged { met, heard }),
        };
        // It counts against the budget even if the digest is known.
        decision::ask(image, Some(place.rule), budget)?;
        let chosen = requirement.chosen();
        let digest = match self.digest_at_upstream(image, tag, &chosen, at_upstream).await {
            Ok(digest) if !named.contains(&digest) => digest,
            Ok(_) => return Ok(TagJudged { met: Err(unmet), heard }),
            Err(Denial::Missing { .. }) if !named.is_empty() => {
                return Ok(TagJudged { met: Err(unmet), heard });
            }
            Err(denial) => return Err(denial),
        };
        let says = self.content_says(image, &digest, &requirement, place, budget).await?;
        let says: Vec<ContentAnswer> = says.collect();
        answers.about(digest, says.iter().map(answer));
        let met = requirement
            .judge(&answers, &[digest])
            .map_err(|later| if named.is_empty() { later } else { unmet.or_open(later) });
        Ok(TagJudged { met, heard: Some((digest, says)) })
    }

    /// Who endorses `digest`, by `tag` or by any, if that meets the requirement.
    pub(super) async fn judge_digest(
        &self,
        image: &ImageRef,
        digest: &Digest,
        tag: Option<&Tag>,
        requirement: Required<'_>,
        place: &MatchedRule<'_>,
        budget: &RequestBudget,
    ) -> Result<Permit<Denial>, Denial> {
        let of = |names: &SignedNames<'_>| of_digest(names, digest, tag);
        let mut answers = self.names_say(image, &requirement, of).await;
        let met = match requirement.missing_name(&answers) {
            Some(unmet) => Err(unmet),
            None => {
                let says = self.content_says(image, digest, &requirement, place, budget).await?;
                let says: Vec<ContentAnswer> = says.collect();
                answers.about(*digest, says.iter().map(answer));
                let named = requirement.named(&answers);
                let elsewhere = tag.filter(|_| !named.is_empty() && !named.contains(digest));
                let met = requirement.judge(&answers, &[*digest]);
                met.map_err(|unmet| match elsewhere {
                    // The tag stands for something else; another may lead to this.
                    Some(tag) if !unmet.why.is_open() => {
                        let because = format!("{tag} is signed as another digest");
                        let refusal = Refusal::new(Reason::DigestNotSigned, because);
                        Unmet { why: Unendorsed::Refused(refusal), ..unmet }
                    }
                    Some(_) | None => unmet,
                })
            }
        };
        met.map_err(|unmet| deny::unmet(image, Some(place.rule), unmet, &self.trust))
    }

    /// What each anchor that signs names has, `of` all that it signed in the repository.
    async fn names_say(
        &self,
        image: &ImageRef,
        requirement: &Requirement,
        of: impl Fn(&SignedNames<'_>) -> Result<Endorsement, Refusal>,
    ) -> Answers {
        let ask = async |anchor: &Arc<str>| {
            let signed = self.trust.signed(anchor, &image.registry, &image.repository).await;
            let mut answer = signed.and_then(|names| of(&names).map_err(Unendorsed::Refused));
            // The tag may have been signed since the trust data was fetched.
            if matches!(&answer, Err(Unendorsed::Refused(it)) if it.reason == Reason::TagNotSigned)
                && let Some(since) =
                    self.trust.signed_since(anchor, &image.registry, &image.repository).await
            {
                answer = since.and_then(|names| of(&names).map_err(Unendorsed::Refused));
            }
            (anchor.clone(), answer)
        };
        // The usual requirement: one anchor, and no need to gather anything.
        if let ([anchor], [], []) =
            (&requirement.require[..], &requirement.any_of[..], &requirement.content[..])
        {
            return Answers::of_names(BTreeMap::from([ask(anchor).await]));
        }
        Answers::of_names(join_all(requirement.names().map(ask)).await.into_iter().collect())
    }

    /// What each anchor that signs content says of `digest`.
    pub(super) async fn content_says(
        &self,
        image: &ImageRef,
        digest: &Digest,
        requirement: &Requirement,
        place: &MatchedRule<'_>,
        budget: &RequestBudget,
    ) -> Result<impl Iterator<Item = ContentAnswer>, Denial> {
        let subject = Arc::new(self.subject(image, digest, place, budget).await?);
        let ask = async |anchor: &Arc<str>| {
            (anchor.clone(), self.trust.verdict(anchor, &subject, budget).await)
        };
        Ok(join_all(requirement.content.iter().map(ask)).await.into_iter())
    }

    /// What signatures of `digest` are about: upstream's manifest, held against it.
    async fn subject(
        &self,
        image: &ImageRef,
        digest: &Digest,
        place: &MatchedRule<'_>,
        budget: &RequestBudget,
    ) -> Result<Subject, Denial> {
        let fetched = self.manifest(image, digest, Some(place.rule), budget).await?;
        Ok(Subject {
            registry: place.registry.clone(),
            repository: place.repository.clone(),
            digest: *digest,
            media_type: fetched.manifest().media_type(),
            size: fetched.bytes().len() as u64,
        })
    }
}

fn answer((anchor, verdict): &ContentAnswer) -> (Arc<str>, Answer) {
    (anchor.clone(), verdict.as_ref().map_err(Clone::clone).and_then(|verdict| verdict.answer()))
}

/// What anchors that sign content say of a digest that a name gives, and that upstream does not have.
fn missing(requirement: &Requirement, digest: &Digest) -> impl Iterator<Item = (Arc<str>, Answer)> {
    let because = format!("upstream does not have {digest}, for which a name stands");
    let refusal = Refusal::new(Reason::DigestNotSigned, because);
    let absent =
        move |anchor: &Arc<str>| (anchor.clone(), Err(Unendorsed::Refused(refusal.clone())));
    requirement.content.iter().map(absent)
}

/// The endorsement of `digest` by `tag`, or by any tag.
fn of_digest(
    names: &SignedNames<'_>,
    digest: &Digest,
    tag: Option<&Tag>,
) -> Result<Endorsement, Refusal> {
    match tag.or_else(|| names.tags_of(digest).first()) {
        Some(tag) => names.tag(tag),
        None => {
            let because = "no tag was signed with this digest";
            Err(Refusal::new(Reason::DigestNotSigned, because))
        }
    }
}
