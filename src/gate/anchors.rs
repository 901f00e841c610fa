//! The answers of a requirement's anchors. An anchor that signs names answers for a tag. An anchor that signs content
//! answers for a digest; the gate asks it about each digest that could meet the requirement: those that names point to,
//! and the one at the upstream.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;

use super::Shared;
use super::admitted::MatchedRule;
use super::decision::{self, TagDigest};
use super::denial::Denial;
use super::deny;
use crate::oci::{Digest, ImageRef, Tag};
use crate::policy::{Answer, Answers, Permit, Required, Requirement, Unmet};
use crate::pull_through::Fetched;
use crate::trust::discovery::RequestBudget;
use crate::trust::findings::AnchorVerdict;
use crate::trust::{Endorsement, Reason, Refusal, SignedNames, Subject, Unendorsed};

/// An anchor that signs content, and its verdict.
type ContentAnswer = (Arc<str>, Result<Arc<AnchorVerdict>, Unendorsed>);

/// The judgement of a tag.
pub(super) struct TagJudged {
    pub(super) met: Result<Permit<Denial>, Unmet>,
    /// The last digest that anchors that sign content were asked about, and their verdicts.
    pub(super) verdicts: Option<(Digest, Vec<ContentAnswer>)>,
}

impl Shared {
    /// Judges `tag` under a requirement whose anchors sign only names.
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
        met.map_err(|unmet| {
            deny::unmet(image, Some(place.rule), unmet, &self.trust, self.clock.now())
        })
    }

    /// Judges `tag` and permits one digest that meets the requirement: one that a name points to, otherwise the one at
    /// the upstream.
    pub(super) async fn judge_tag(
        &self,
        image: &ImageRef,
        tag: &Tag,
        at_upstream: &TagDigest,
        requirement: Required<'_>,
        place: &MatchedRule<'_>,
        budget: &RequestBudget,
    ) -> Result<Permit<Denial>, Denial> {
        let judged = self.tag_judged(image, tag, at_upstream, requirement, place, budget).await?;
        judged.met.map_err(|unmet| {
            deny::unmet(image, Some(place.rule), unmet, &self.trust, self.clock.now())
        })
    }

    /// Judges each digest that could meet the requirement: first those that names point to, then the one at the
    /// upstream. If a name is required, only the first can meet the requirement, so the upstream's digest is not
    /// judged.
    pub(super) async fn tag_judged(
        &self,
        image: &ImageRef,
        tag: &Tag,
        at_upstream: &TagDigest,
        requirement: Required<'_>,
        place: &MatchedRule<'_>,
        budget: &RequestBudget,
    ) -> Result<TagJudged, Denial> {
        let mut answers = self.names_say(image, &requirement, |names| names.tag(tag)).await;
        if let Some(unmet) = requirement.missing_name(&answers) {
            return Ok(TagJudged { met: Err(unmet), verdicts: None });
        }
        let bound = requirement.requires_name();
        let named = requirement.named(&answers);
        let mut verdicts = None;
        for digest in &named {
            match self.content_says(image, digest, &requirement, place, budget).await {
                Ok(says) => {
                    let says: Vec<ContentAnswer> = says.collect();
                    answers.about(*digest, says.iter().map(answer));
                    verdicts = Some((*digest, says));
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
            met => return Ok(TagJudged { met, verdicts }),
        };
        // It counts against the budget even if the digest is known.
        decision::ask(image, Some(place.rule), budget)?;
        let chosen = requirement.chosen();
        let digest = match self.digest_at_upstream(image, tag, &chosen, at_upstream).await {
            Ok(digest) if !named.contains(&digest) => digest,
            Ok(_) => return Ok(TagJudged { met: Err(unmet), verdicts }),
            Err(Denial::Missing { .. }) if !named.is_empty() => {
                return Ok(TagJudged { met: Err(unmet), verdicts });
            }
            Err(denial) => return Err(denial),
        };
        let says = self.content_says(image, &digest, &requirement, place, budget).await?;
        let says: Vec<ContentAnswer> = says.collect();
        answers.about(digest, says.iter().map(answer));
        let met = requirement
            .judge(&answers, &[digest])
            .map_err(|later| if named.is_empty() { later } else { unmet.or_open(later) });
        Ok(TagJudged { met, verdicts: Some((digest, says)) })
    }

    /// Judges `digest` under `tag`, or under any signed tag if `tag` is `None`.
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
                    // This tag is signed for another digest, but another tag may be signed for this one.
                    Some(tag) if !unmet.why.is_open() => {
                        let because = format!("{tag} is signed for another digest");
                        let refusal = Refusal::new(Reason::DigestNotSigned, because);
                        Unmet { why: Unendorsed::Refused(refusal), ..unmet }
                    }
                    Some(_) | None => unmet,
                })
            }
        };
        met.map_err(|unmet| {
            deny::unmet(image, Some(place.rule), unmet, &self.trust, self.clock.now())
        })
    }

    /// The answer of each anchor that signs names. `of` selects it from the names that the anchor signed in the
    /// repository.
    async fn names_say(
        &self,
        image: &ImageRef,
        requirement: &Requirement,
        of: impl Fn(&SignedNames<'_>) -> Result<Endorsement, Refusal>,
    ) -> Answers {
        let ask = async |anchor: &Arc<str>| {
            let signed = self.trust.signed(anchor, &image.repository).await;
            let mut answer = signed.and_then(|names| of(&names).map_err(Unendorsed::Refused));
            // The tag may have been signed since the trust data was fetched.
            if matches!(&answer, Err(Unendorsed::Refused(it)) if it.reason == Reason::TagNotSigned)
                && let Some(since) = self.trust.signed_since(anchor, &image.repository).await
            {
                answer = since.and_then(|names| of(&names).map_err(Unendorsed::Refused));
            }
            (anchor.clone(), answer)
        };
        // The usual requirement has one anchor and needs no concurrency.
        if let ([anchor], [], []) =
            (&requirement.require[..], &requirement.any_of[..], &requirement.content[..])
        {
            return Answers::of_names(BTreeMap::from([ask(anchor).await]));
        }
        Answers::of_names(join_all(requirement.names().map(ask)).await.into_iter().collect())
    }

    /// The verdict of each anchor that signs content about `digest`.
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

    /// The subject of the signatures of `digest`: the upstream's manifest with that digest.
    async fn subject(
        &self,
        image: &ImageRef,
        digest: &Digest,
        place: &MatchedRule<'_>,
        budget: &RequestBudget,
    ) -> Result<Subject, Denial> {
        let fetched = self.manifest(image, digest, Some(place.rule), budget).await?;
        Ok(subject_of(&fetched, place))
    }
}

/// The subject of the signatures of `fetched`.
pub(super) fn subject_of(fetched: &Fetched, place: &MatchedRule<'_>) -> Subject {
    Subject {
        repository: place.repository.clone(),
        digest: *fetched.digest(),
        media_type: fetched.manifest().media_type(),
        size: fetched.bytes().len() as u64,
    }
}

fn answer((anchor, verdict): &ContentAnswer) -> (Arc<str>, Answer) {
    (anchor.clone(), verdict.as_ref().map_err(Clone::clone).and_then(|verdict| verdict.answer()))
}

/// The answers of anchors that sign content about a digest that a name points to and that the upstream does not have.
fn missing(requirement: &Requirement, digest: &Digest) -> impl Iterator<Item = (Arc<str>, Answer)> {
    let because = format!("upstream does not have {digest}, for which the tag is signed");
    let refusal = Refusal::new(Reason::DigestNotSigned, because);
    let absent =
        move |anchor: &Arc<str>| (anchor.clone(), Err(Unendorsed::Refused(refusal.clone())));
    requirement.content.iter().map(absent)
}

/// The endorsement of `digest` under `tag`, or under any tag.
fn of_digest(
    names: &SignedNames<'_>,
    digest: &Digest,
    tag: Option<&Tag>,
) -> Result<Endorsement, Refusal> {
    match tag.or_else(|| names.tags_of(digest).first()) {
        Some(tag) => names.tag(tag),
        None => {
            let because = "no tag is signed for this digest";
            Err(Refusal::new(Reason::DigestNotSigned, because))
        }
    }
}
