//! What the anchors of a requirement say: those that sign names about a tag, and those that sign content
//! about the digest that the names gave, or else upstream.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;

use super::Shared;
use super::admitted::Place;
use super::decision;
use super::denial::Denial;
use super::deny;
use crate::oci::{Digest, ImageRef, Tag};
use crate::policy::Requirement;
use crate::trust::content::Verdict;
use crate::trust::places::Inquiry;
use crate::trust::{Endorsement, Reason, Refusal, SignedNames, Subject, Unendorsed};

/// What each anchor says.
pub(super) type Answers = BTreeMap<Arc<str>, Result<Endorsement, Unendorsed>>;
/// An anchor that signs content, and its verdict.
type Heard = (Arc<str>, Result<Arc<Verdict>, Unendorsed>);

impl Shared {
    /// Who endorses what `tag` stands for, if that meets a requirement that asks names alone.
    pub(super) async fn judge_names(
        &self,
        image: &ImageRef,
        tag: &Tag,
        requirement: &Requirement,
        place: &Place<'_>,
    ) -> Result<Vec<Endorsement>, Denial> {
        let answers = self.names_say(image, requirement, |names| names.tag(tag)).await;
        self.met(image, requirement, &answers, place)
    }

    /// Who endorses what `tag` stands for, if that meets the requirement: one digest, which is the one
    /// that the names gave, or else the one that upstream has at this moment.
    pub(super) async fn judge_tag(
        &self,
        image: &ImageRef,
        tag: &Tag,
        requirement: &Requirement,
        place: &Place<'_>,
        inquiry: &Inquiry,
    ) -> Result<Vec<Endorsement>, Denial> {
        let (mut answers, about) = self.named(image, tag, requirement, place, inquiry).await?;
        if let Some(digest) = about {
            let says = self.content_says(image, &digest, requirement, place, inquiry).await?;
            answers.extend(says.map(answer));
        }
        self.met(image, requirement, &answers, place)
    }

    /// Who endorses `digest`, by `tag` or by any, if that meets the requirement.
    pub(super) async fn judge_digest(
        &self,
        image: &ImageRef,
        digest: &Digest,
        tag: Option<&Tag>,
        requirement: &Requirement,
        place: &Place<'_>,
        inquiry: &Inquiry,
    ) -> Result<Vec<Endorsement>, Denial> {
        let of = |names: &SignedNames<'_>| of_digest(names, digest, tag);
        let mut answers = self.names_say(image, requirement, of).await;
        if !leave_out_content(requirement, &mut answers) {
            let says = self.content_says(image, digest, requirement, place, inquiry).await?;
            answers.extend(says.map(answer));
        }
        self.met(image, requirement, &answers, place)
    }

    fn met(
        &self,
        image: &ImageRef,
        requirement: &Requirement,
        answers: &Answers,
        place: &Place<'_>,
    ) -> Result<Vec<Endorsement>, Denial> {
        let met = requirement.judge(answers);
        met.map_err(|unmet| deny::unmet(image, place.rule, unmet, &self.trust))
    }

    /// What the names say of `tag`, and the digest that anchors that sign content are asked about, if they
    /// are asked at all.
    pub(super) async fn named(
        &self,
        image: &ImageRef,
        tag: &Tag,
        requirement: &Requirement,
        place: &Place<'_>,
        inquiry: &Inquiry,
    ) -> Result<(Answers, Option<Digest>), Denial> {
        let mut answers = self.names_say(image, requirement, |names| names.tag(tag)).await;
        if leave_out_content(requirement, &mut answers) {
            return Ok((answers, None));
        }
        let about = match first(requirement, &answers) {
            Some(digest) => digest,
            None => self.resolve(image, tag, requirement, place, inquiry).await?,
        };
        Ok((answers, Some(about)))
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
            let answer = signed.and_then(|names| of(&names).map_err(Unendorsed::Refused));
            (anchor.clone(), answer)
        };
        // The usual requirement: one anchor, and no need to gather anything.
        if let ([anchor], [], []) =
            (&requirement.require[..], &requirement.any_of[..], &requirement.content[..])
        {
            return BTreeMap::from([ask(anchor).await]);
        }
        join_all(requirement.names().map(ask)).await.into_iter().collect()
    }

    /// What each anchor that signs content says of `digest`.
    pub(super) async fn content_says(
        &self,
        image: &ImageRef,
        digest: &Digest,
        requirement: &Requirement,
        place: &Place<'_>,
        inquiry: &Inquiry,
    ) -> Result<impl Iterator<Item = Heard>, Denial> {
        let subject = Arc::new(self.subject(image, digest, place, inquiry).await?);
        let ask = async |anchor: &Arc<str>| {
            (anchor.clone(), self.trust.verdict(anchor, &subject, inquiry).await)
        };
        Ok(join_all(requirement.content.iter().map(ask)).await.into_iter())
    }

    /// What signatures of `digest` are about: upstream's manifest, held against it.
    async fn subject(
        &self,
        image: &ImageRef,
        digest: &Digest,
        place: &Place<'_>,
        inquiry: &Inquiry,
    ) -> Result<Subject, Denial> {
        let fetched = self.manifest(image, digest, Some(place.rule), inquiry).await?;
        Ok(Subject {
            registry: place.registry.clone(),
            repository: place.repository.clone(),
            digest: *digest,
            media_type: fetched.manifest().media_type(),
            size: fetched.bytes().len() as u64,
        })
    }

    /// The digest that upstream has under `tag`, asked for as often as the anchors' refresh says.
    async fn resolve(
        &self,
        image: &ImageRef,
        tag: &Tag,
        requirement: &Requirement,
        place: &Place<'_>,
        inquiry: &Inquiry,
    ) -> Result<Digest, Denial> {
        // Counted whether or not it is known.
        decision::ask(image, Some(place.rule), inquiry)?;
        let lifetimes = self.trust.lifetimes(&requirement.content);
        let resolved = self.resolutions.of(image, tag, lifetimes).await;
        resolved.map_err(|error| deny::fetch(image, Some(place.rule), error))
    }
}

fn answer((anchor, verdict): Heard) -> (Arc<str>, Result<Endorsement, Unendorsed>) {
    (anchor, verdict.and_then(|verdict| verdict.answer()))
}

/// The digest that the first of the names gives.
fn first(requirement: &Requirement, answers: &Answers) -> Option<Digest> {
    let given = requirement.anchors().filter_map(|anchor| answers.get(anchor)?.as_ref().ok());
    given.map(Endorsement::digest).next()
}

/// Whether a name that is required is wanting, so that nobody need look at content: what signs content
/// is then as open as the name is.
fn leave_out_content(requirement: &Requirement, answers: &mut Answers) -> bool {
    let wanting = requirement.require.iter().filter_map(|anchor| answers.get(anchor));
    let Some(why) = wanting.filter_map(|answer| answer.as_ref().err()).next().cloned() else {
        return false;
    };
    for anchor in &requirement.content {
        answers.insert(anchor.clone(), Err(why.clone()));
    }
    true
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
