//! What a rule requires, and whether the answers of its anchors meet it. Pure.
//!
//! Endorsements are counted per digest: a digest is admitted only if all that are counted endorse that
//! very digest. Where several digests could meet a requirement, the digests that names stand for come
//! before the one that upstream has under the tag, and two that different names stand for are refused.

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
    /// Those of them whose schemes sign content: they are asked about a digest, and not about a tag.
    pub content: Vec<Arc<str>>,
}

/// Who does not vouch, and why.
#[derive(Clone, Debug)]
pub struct Unmet {
    /// The anchor that does not endorse the image; `None` if the requirement asks none.
    pub anchor: Option<Arc<str>>,
    pub why: Unendorsed,
}

/// What one anchor says.
pub type Answer = Result<Endorsement, Unendorsed>;

/// What the anchors of a requirement say about one image.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Of each anchor that signs names: what the name stands for.
    names: BTreeMap<Arc<str>, Answer>,
    /// Of each anchor that signs content, by the digest that it was asked about.
    content: BTreeMap<Digest, BTreeMap<Arc<str>, Answer>>,
}

impl Answers {
    pub fn of_names(names: BTreeMap<Arc<str>, Answer>) -> Self {
        Self { names, content: BTreeMap::new() }
    }

    /// Adds what the anchors that sign content say about `digest`.
    pub fn about(&mut self, digest: Digest, content: impl IntoIterator<Item = (Arc<str>, Answer)>) {
        self.content.entry(digest).or_default().extend(content);
    }

    /// What `anchor` says about `digest`. A name that stands for another digest is a refusal.
    fn answer(&self, anchor: &Arc<str>, digest: Option<&Digest>) -> Answer {
        let asked = digest.and_then(|digest| self.content.get(digest));
        let answer = self.names.get(anchor).or_else(|| asked.and_then(|asked| asked.get(anchor)));
        match (answer, digest) {
            (Some(Ok(endorsement)), Some(digest)) if endorsement.digest() != *digest => {
                let because =
                    format!("{anchor} vouches for {}, and not for {digest}", endorsement.digest());
                Err(Unendorsed::Refused(Refusal::new(Reason::SignersDisagree, because)))
            }
            (Some(answer), _) => answer.clone(),
            (None, _) => Err(Unendorsed::Undecided(format!("{anchor} was not asked"))),
        }
    }
}

impl Unmet {
    /// This, unless `other` leaves the question open and this does not.
    #[must_use]
    pub fn or_open(self, other: Self) -> Self {
        if other.why.is_open() && !self.why.is_open() { other } else { self }
    }
}

impl Requirement {
    pub(super) fn told(&self) -> String {
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

    /// What of this a tag can be held against before it is known what it stands for. An anchor that signs
    /// content may yet vouch for anything.
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

    /// The anchors that are asked, each once.
    pub fn anchors(&self) -> impl Iterator<Item = &Arc<str>> {
        self.require
            .iter()
            .chain(self.any_of.iter().filter(|anchor| !self.require.contains(anchor)))
    }

    /// The pairs of anchors of which one signer must not count twice: two of `any_of`, and one of each list.
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

    /// Whether a name is required. Then what it stands for is the only digest that can meet this.
    pub fn requires_name(&self) -> bool {
        self.require.iter().any(|anchor| !self.content.contains(anchor))
    }

    /// The required name that is missing, if one is. Then no signature of content can help. A refusal
    /// comes before an answer that is open.
    pub fn missing_name(&self, answers: &Answers) -> Option<Unmet> {
        let required = self.require.iter().filter(|anchor| !self.content.contains(anchor));
        let missing = required.filter_map(|anchor| {
            let why = answers.answer(anchor, None).err()?;
            Some(Unmet { anchor: Some(anchor.clone()), why })
        });
        missing.reduce(|first, next| if next.why.is_open() { first } else { closed(first, next) })
    }

    /// The digests that the names stand for, in the order of the rule: the candidates.
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
        // The other required names must stand for the same one.
        if bound {
            digests.truncate(1);
        }
        digests
    }

    /// Whether `answers` meet this for one of `candidates`: then who endorses that digest. Two
    /// candidates that meet it are refused.
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

    /// Whether `answers` meet this for `digest`.
    ///
    /// A refusal that decides alone is told even where another anchor could not be asked; otherwise
    /// what could not be asked leaves the question open.
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

    /// The endorsements of `any_of`, if enough different signers made them. A signer who already
    /// endorses it as another anchor of `require` does not count again.
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

/// The first of both that is not open.
fn closed(first: Unmet, next: Unmet) -> Unmet {
    if first.why.is_open() { next } else { first }
}

/// Two names stand for different digests, and each would be enough.
fn disagree(first: &Endorsement, other: &Endorsement) -> Unmet {
    let anchor = other.says().anchor.clone();
    let because = format!(
        "{anchor} vouches for {}, {} for {}",
        other.digest(),
        first.says().anchor,
        first.digest()
    );
    let refusal = Refusal::new(Reason::SignersDisagree, because);
    Unmet { anchor: Some(anchor), why: Unendorsed::Refused(refusal) }
}
