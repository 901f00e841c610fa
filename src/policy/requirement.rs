//! What a rule requires, and whether the answers of its anchors meet it. Pure.
//!
//! Endorsements are counted per digest: a digest is admitted only if every counted endorsement is for that digest. If
//! several digests could meet a requirement, the digests that names point to come before the one that the upstream has
//! under the tag. If names point to two digests that both meet it, both are refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::oci::Digest;
use crate::trust::signer::{SignerIds, distinct};
use crate::trust::{Endorsement, Reason, Refusal, Unendorsed};

/// Which anchors must endorse the digest: all of `require`, and `threshold` of `any_of`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    pub require: Vec<Arc<str>>,
    pub any_of: Vec<Arc<str>>,
    pub threshold: usize,
    /// Those of these anchors whose schemes sign content. They answer for a digest and not for a tag.
    pub content: Vec<Arc<str>>,
}

/// The anchor that does not endorse the image, and why.
#[derive(Clone, Debug)]
pub struct Unmet {
    /// The anchor that does not endorse the image; `None` if the requirement names none.
    pub anchor: Option<Arc<str>>,
    pub why: Unendorsed,
}

/// The answer of one anchor.
pub type Answer = Result<Endorsement, Unendorsed>;

/// The answers of the anchors of a requirement about one image.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// The answer of each anchor that signs names: the digest that the name points to.
    names: BTreeMap<Arc<str>, Answer>,
    /// The answer of each anchor that signs content, by the digest that the gate asked about.
    content: BTreeMap<Digest, BTreeMap<Arc<str>, Answer>>,
}

impl Answers {
    pub fn of_names(names: BTreeMap<Arc<str>, Answer>) -> Self {
        Self { names, content: BTreeMap::new() }
    }

    /// Adds the answers of the anchors that sign content about `digest`.
    pub fn about(&mut self, digest: Digest, content: impl IntoIterator<Item = (Arc<str>, Answer)>) {
        self.content.entry(digest).or_default().extend(content);
    }

    /// The answer of `anchor` about `digest`. A name that points to another digest is a refusal.
    fn answer(&self, anchor: &Arc<str>, digest: Option<&Digest>) -> Answer {
        let asked = digest.and_then(|digest| self.content.get(digest));
        let answer = self.names.get(anchor).or_else(|| asked.and_then(|asked| asked.get(anchor)));
        match (answer, digest) {
            (Some(Ok(endorsement)), Some(digest)) if endorsement.digest() != *digest => {
                let because = format!("{anchor} endorses {}, not {digest}", endorsement.digest());
                Err(Unendorsed::Refused(Refusal::new(Reason::SignersDisagree, because)))
            }
            (Some(answer), _) => answer.clone(),
            (None, _) => Err(Unendorsed::Undecided(format!("{anchor} was not asked"))),
        }
    }
}

impl Unmet {
    /// `self`, unless `other` is undecided and `self` is not.
    #[must_use]
    pub fn or_open(self, other: Self) -> Self {
        if other.why.is_open() && !self.why.is_open() { other } else { self }
    }
}

impl Requirement {
    pub(super) fn summary(&self) -> String {
        let mut parts: Vec<String> = self.require.iter().map(ToString::to_string).collect();
        if !self.any_of.is_empty() {
            parts.push(format!("{} of {}", self.threshold, self.any_of.join(", ")));
        }
        parts.join(" and ")
    }

    /// The anchors whose schemes sign names, each once.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.anchors().filter(|anchor| !self.content.contains(anchor))
    }

    /// The part of the requirement that can be checked for a tag before its digest is known. It leaves out anchors that
    /// sign content, because they could endorse any digest.
    #[must_use]
    pub fn of_names(&self) -> Self {
        let any_of_names = !self.any_of.iter().any(|anchor| self.content.contains(anchor));
        Self {
            require: self.require.iter().filter(|it| !self.content.contains(it)).cloned().collect(),
            any_of: if any_of_names { self.any_of.clone() } else { Vec::new() },
            threshold: self.threshold,
            content: Vec::new(),
        }
    }

    /// All anchors of the requirement, each once.
    pub fn anchors(&self) -> impl Iterator<Item = &Arc<str>> {
        self.require
            .iter()
            .chain(self.any_of.iter().filter(|anchor| !self.require.contains(anchor)))
    }

    /// The pairs of anchors for which one signer must not count twice: two of `any_of`, or one of each list.
    pub fn counted_apart(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        let anchors: Vec<_> = self.anchors().collect();
        let mut pairs = Vec::new();
        for (at, one) in anchors.iter().enumerate() {
            let after = anchors.iter().skip(at + 1);
            let counted = after.filter(|other| self.any_of.contains(**other));
            pairs.extend(counted.map(|other| (*one, *other)));
        }
        pairs.into_iter()
    }

    /// Whether a name is required. Then only the digest that it points to can meet the requirement.
    pub fn requires_name(&self) -> bool {
        self.require.iter().any(|anchor| !self.content.contains(anchor))
    }

    /// The required name that is missing, if one is. Then no signature of content can help. A refusal comes before an
    /// undecided answer.
    pub fn missing_name(&self, answers: &Answers) -> Option<Unmet> {
        let required = self.require.iter().filter(|anchor| !self.content.contains(anchor));
        let missing = required.filter_map(|anchor| {
            let why = answers.answer(anchor, None).err()?;
            Some(Unmet { anchor: Some(anchor.clone()), why })
        });
        missing.reduce(|first, next| if next.why.is_open() { first } else { closed(first, next) })
    }

    /// The candidates: the digests that the names point to, in the order of the rule.
    pub fn named(&self, answers: &Answers) -> Vec<Digest> {
        let bound = self.requires_name();
        let order = if bound { &self.require } else { &self.any_of };
        let mut digests: Vec<Digest> = Vec::new();
        for anchor in order {
            if let Some(Ok(endorsement)) = answers.names.get(anchor)
                && !digests.contains(&endorsement.digest())
            {
                digests.push(endorsement.digest());
            }
        }
        // The other required names must point to the same digest.
        if bound {
            digests.truncate(1);
        }
        digests
    }

    /// The endorsements of the one of `candidates` for which `answers` meet the requirement. If two candidates meet it,
    /// both are refused.
    pub fn judge(
        &self,
        answers: &Answers,
        candidates: &[Digest],
    ) -> Result<Vec<Endorsement>, Unmet> {
        let (mut met, mut unmet): (Option<Vec<Endorsement>>, Option<Unmet>) = (None, None);
        for digest in candidates {
            match self.judge_one(answers, Some(digest)) {
                Ok(endorsements) => {
                    if let Some(first) = met.as_ref().and_then(|met| met.first())
                        && let Some(other) = endorsements.first()
                    {
                        return Err(disagree(first, other));
                    }
                    met = Some(endorsements);
                }
                Err(why) => {
                    unmet = Some(match unmet {
                        Some(first) => first.or_open(why),
                        None => why,
                    });
                }
            }
        }
        match (met, unmet) {
            (Some(met), _) => Ok(met),
            (None, Some(unmet)) => Err(unmet),
            (None, None) => self.judge_one(answers, None),
        }
    }

    /// The endorsements of `digest`, if `answers` meet the requirement.
    ///
    /// A refusal that decides alone is returned even if another anchor is undecided. Otherwise an undecided anchor
    /// makes the result undecided.
    fn judge_one(
        &self,
        answers: &Answers,
        digest: Option<&Digest>,
    ) -> Result<Vec<Endorsement>, Unmet> {
        let mut open = None;
        let mut met: Vec<Endorsement> = Vec::new();
        for anchor in &self.require {
            match answers.answer(anchor, digest) {
                Ok(endorsement) => met.push(endorsement),
                Err(why @ Unendorsed::Refused(_)) => {
                    return Err(Unmet { anchor: Some(anchor.clone()), why });
                }
                Err(why @ (Unendorsed::Undecided(_) | Unendorsed::Throttled(_))) => {
                    open.get_or_insert(Unmet { anchor: Some(anchor.clone()), why });
                }
            }
        }
        if self.any_of.is_empty() {
            return open.map_or(Ok(met), Err);
        }
        let chosen = self.any_of(answers, digest, &met);
        match (open, chosen) {
            (_, Err(unmet @ Unmet { why: Unendorsed::Refused(_), .. })) => Err(unmet),
            (Some(open), _) => Err(open),
            (None, Err(unmet)) => Err(unmet),
            (None, Ok(chosen)) => {
                met.extend(chosen);
                Ok(met)
            }
        }
    }

    /// The endorsements of `any_of`, if enough different signers made them. A signer who already endorses the digest
    /// through another anchor of `require` does not count again.
    fn any_of(
        &self,
        answers: &Answers,
        digest: Option<&Digest>,
        required: &[Endorsement],
    ) -> Result<Vec<Endorsement>, Unmet> {
        let mut votes: Vec<Endorsement> = Vec::new();
        let mut refused = None;
        let mut open: Option<Unmet> = None;
        let mut opens = 0;
        for anchor in &self.any_of {
            match answers.answer(anchor, digest) {
                Ok(endorsement) => votes.push(endorsement),
                Err(why @ Unendorsed::Refused(_)) => {
                    refused.get_or_insert(Unmet { anchor: Some(anchor.clone()), why });
                }
                Err(why @ (Unendorsed::Undecided(_) | Unendorsed::Throttled(_))) => {
                    open.get_or_insert(Unmet { anchor: Some(anchor.clone()), why });
                    opens += 1;
                }
            }
        }
        let others = |vote: &Endorsement| {
            let others = required.iter().filter(|one| one.says().anchor != vote.says().anchor);
            others.flat_map(|one| one.says().signer_ids.iter().copied()).collect::<SignerIds>()
        };
        let fresh = |vote: &&Endorsement| vote.says().signer_ids.is_disjoint(&others(vote));
        let count = distinct(votes.iter().filter(fresh));
        if count >= self.threshold {
            return Ok(votes);
        }
        if count + opens >= self.threshold
            && let Some(open) = open
        {
            return Err(open);
        }
        if votes.len() < self.threshold
            && let Some(refused) = refused
        {
            return Err(refused);
        }
        let anchors: Vec<&str> = votes.iter().map(|vote| &*vote.says().anchor).collect();
        let because = format!(
            "{} endorse it, but only {count} different signers do so; {} are needed, and one key or \
             certificate under two anchors counts once",
            anchors.join(" and "),
            self.threshold
        );
        let anchor = votes.last().map(|vote| vote.says().anchor.clone());
        Err(Unmet {
            anchor: anchor.or_else(|| self.any_of.first().cloned()),
            why: Unendorsed::Refused(Refusal::new(Reason::SignatureInvalid, because)),
        })
    }
}

/// `first`, unless it is undecided.
fn closed(first: Unmet, next: Unmet) -> Unmet {
    if first.why.is_open() { next } else { first }
}

/// The refusal if two names point to different digests and each would be enough.
fn disagree(first: &Endorsement, other: &Endorsement) -> Unmet {
    let anchor = other.says().anchor.clone();
    let because = format!(
        "{anchor} endorses {}, but {} endorses {}",
        other.digest(),
        first.says().anchor,
        first.digest()
    );
    let refusal = Refusal::new(Reason::SignersDisagree, because);
    Unmet { anchor: Some(anchor), why: Unendorsed::Refused(refusal) }
}
