//! What one anchor says of one manifest, and all that was seen on the way to it.

use std::time::Duration;

use super::Anchor;
use crate::clock::Timestamp;
use crate::pull_through::FetchError;
use crate::registry_client::UpstreamError;
use crate::trust::discovery::{Looked, Unread, Why};
use crate::trust::endorsement::{Endorsed, Endorsement};
use crate::trust::lifetimes::Lifetimes;
use crate::trust::refusal::{Reason, Refusal, Restriction, Unendorsed};
use crate::trust::signature::{Flaw, Rejection, VerifiedSignature};
use crate::trust::subject::Subject;

/// The most objections that one sentence tells; `why` tells all of them.
const MAX_TOLD: usize = 3;

/// What one anchor says of one manifest.
#[derive(Clone, Debug)]
pub struct AnchorVerdict {
    pub outcome: Outcome,
    pub evidence: Evidence,
    /// When it was found.
    pub judged: Timestamp,
}

/// What was found in the end.
#[derive(Clone, Debug)]
pub enum Outcome {
    Endorsed {
        endorsement: Endorsement,
        /// Where the signature was found.
        place: String,
    },
    Unendorsed(Unendorsed),
}

/// What was seen on the way to a verdict, for people.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    pub looked: Vec<Looked>,
    pub unread: Vec<Unread>,
    /// Why what was found does not count, or only just.
    pub objections: Vec<Objection>,
}

/// One thing against one object that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    pub place: String,
    pub flaw: Flaw,
    /// What it comes to: `not asked for`, `does not hold`, `let pass`.
    pub weight: Weight,
}

/// What an objection comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The object is something else than the anchor asks for.
    Beside,
    /// The object proves nothing because of it.
    Flawed,
    /// The anchor's level only has it told.
    Tolerated,
}

impl Weight {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Beside => "not asked for",
            Self::Flawed => "does not hold",
            Self::Tolerated => "tolerated",
        }
    }
}

impl AnchorVerdict {
    /// The verdict for a good signature at `place`.
    pub(super) fn endorsed(
        anchor: &Anchor,
        subject: &Subject,
        vouched: &VerifiedSignature,
        place: String,
        evidence: Evidence,
        judged: Timestamp,
    ) -> Self {
        let endorsement = Endorsement::new(Endorsed {
            registry: subject.registry.clone(),
            repository: subject.repository.clone(),
            digest: subject.digest,
            sha512: None,
            length: Some(subject.size),
            tag: None,
            anchor: anchor.name().clone(),
            scheme: anchor.scheme(),
            signers: vec![shown(&vouched.signer)],
            signer_ids: vouched.signer_ids.clone(),
            signed: vouched.signed,
            expires: vouched.expires,
        });
        Self { outcome: Outcome::Endorsed { endorsement, place }, evidence, judged }
    }

    /// The verdict where no signature is good: open as long as something could not be read or found
    /// out, `open` among it.
    pub(super) fn unendorsed(evidence: Evidence, open: Option<String>, judged: Timestamp) -> Self {
        let why = if let Some(unread) = evidence.unread.first() {
            could_not_look(unread)
        } else if let Some(open) = open {
            Unendorsed::Undecided(open)
        } else {
            Unendorsed::Refused(evidence.refusal())
        };
        Self { outcome: Outcome::Unendorsed(why), evidence, judged }
    }

    pub fn answer(&self) -> Result<Endorsement, Unendorsed> {
        match &self.outcome {
            Outcome::Endorsed { endorsement, .. } => Ok(endorsement.clone()),
            Outcome::Unendorsed(why) => Err(why.clone()),
        }
    }

    /// Whether it is no verdict yet.
    pub(super) fn is_open(&self) -> bool {
        match &self.outcome {
            Outcome::Endorsed { .. } | Outcome::Unendorsed(Unendorsed::Refused(_)) => false,
            Outcome::Unendorsed(Unendorsed::Undecided(_) | Unendorsed::Throttled(_)) => true,
        }
    }

    /// Whether it is open because the gate was too busy to ask: that says nothing of the registry, and is no
    /// reason to use an older verdict for longer.
    pub(super) fn is_of_a_busy_gate(&self) -> bool {
        let busy = |unread: &Unread| {
            matches!(unread.why, Why::Fetch(FetchError::Upstream(UpstreamError::Busy(_))))
        };
        self.is_open() && self.evidence.unread.iter().any(busy)
    }

    /// How much memory it takes, about, in bytes.
    pub(super) fn weight(&self) -> usize {
        const EACH: usize = 512;
        let Evidence { looked, unread, objections } = &self.evidence;
        let flaws = objections.iter().map(|one| one.flaw.found.len() + one.flaw.wanted.len());
        EACH * (2 + looked.len() + unread.len() + objections.len()) + flaws.sum::<usize>()
    }
}

/// A place that could not be read leaves it open, and a registry that asks for fewer requests is obeyed.
fn could_not_look(unread: &Unread) -> Unendorsed {
    match &unread.why {
        Why::Fetch(FetchError::Upstream(UpstreamError::TooManyRequests { retry_after })) => {
            Unendorsed::Throttled(*retry_after)
        }
        Why::Fetch(_) | Why::Limit(_) => {
            Unendorsed::Undecided(format!("signatures could not be looked for: {unread}"))
        }
    }
}

impl Evidence {
    /// Takes up that the object at `place` proves nothing; what is open about it.
    pub(super) fn object(&mut self, place: &str, rejection: Rejection) -> Option<String> {
        let (weight, flaw) = match rejection {
            Rejection::Beside(flaw) => (Weight::Beside, flaw),
            Rejection::Flawed(flaw) => (Weight::Flawed, flaw),
            Rejection::Undecided(why) => return Some(shown(&format!("{place}: {why}"))),
        };
        self.objections.push(Objection { place: place.to_owned(), flaw: plain(&flaw), weight });
        None
    }

    pub(super) fn tolerate(&mut self, place: &str, flaws: Vec<Flaw>) {
        let tolerated = flaws.into_iter().map(|flaw| Objection {
            place: place.to_owned(),
            flaw: plain(&flaw),
            weight: Weight::Tolerated,
        });
        self.objections.extend(tolerated);
    }

    /// Why nobody vouches, where everything was looked at: bad signatures, or none.
    fn refusal(&self) -> Refusal {
        let bad = self.objections.iter().filter(|one| one.weight == Weight::Flawed);
        let restriction = bad.clone().find_map(|one| Restriction::of_check(one.flaw.check));
        let told: Vec<String> = bad
            .clone()
            .take(MAX_TOLD)
            .map(|Objection { place, flaw, .. }| {
                format!("{place}: {} (needed: {})", flaw.found, flaw.wanted)
            })
            .collect();
        let more = bad.count().saturating_sub(told.len());
        if told.is_empty() {
            let places: Vec<&str> = self.looked.iter().map(|looked| &*looked.place).collect();
            return Refusal::new(Reason::NoTrustData, format!("none at {}", places.join(", ")));
        }
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let because = format!("no signature is good: {}{more}", told.join("; "));
        Refusal { restriction, ..Refusal::new(Reason::SignatureInvalid, because) }
    }
}

/// What is against an object, of which whoever made it may have written a part.
fn plain(flaw: &Flaw) -> Flaw {
    Flaw { check: flaw.check, found: shown(&flaw.found), wanted: shown(&flaw.wanted) }
}

/// A text as it may stand in a log or on a terminal. How long it is, whoever made it has bounded.
fn shown(text: &str) -> String {
    crate::text::shown(text, usize::MAX)
}

/// How long nobody having signed is believed: what was pushed is signed a moment later.
const ABSENT: Duration = Duration::from_secs(10);

impl AnchorVerdict {
    /// What is counted.
    pub(super) fn result(&self) -> &'static str {
        match &self.outcome {
            Outcome::Endorsed { .. } => "ok",
            Outcome::Unendorsed(Unendorsed::Refused(refusal)) if refusal.reason.is_absence() => {
                "absent"
            }
            Outcome::Unendorsed(Unendorsed::Refused(_)) => "refused",
            Outcome::Unendorsed(Unendorsed::Undecided(_) | Unendorsed::Throttled(_)) => {
                "unreachable"
            }
        }
    }

    /// Whether it may be used at `now` without looking again.
    pub(super) fn is_fresh(&self, now: Timestamp, lifetimes: Lifetimes) -> bool {
        let most = match &self.outcome {
            Outcome::Endorsed { .. } => lifetimes.refresh,
            Outcome::Unendorsed(Unendorsed::Refused(_)) => lifetimes.refresh.min(ABSENT),
            Outcome::Unendorsed(Unendorsed::Undecided(_) | Unendorsed::Throttled(_)) => {
                lifetimes.patience()
            }
        };
        self.judged <= now && now.since(self.judged) < most && self.is_in_force(now)
    }

    /// Whether it may be used at `now` where looking again found out nothing.
    pub(super) fn outlasts(&self, now: Timestamp, lifetimes: Lifetimes) -> bool {
        matches!(self.outcome, Outcome::Endorsed { .. })
            && self.judged <= now
            && now.since(self.judged) < lifetimes.max_stale
            && self.is_in_force(now)
    }

    fn is_in_force(&self, now: Timestamp) -> bool {
        match &self.outcome {
            Outcome::Endorsed { endorsement, .. } => {
                endorsement.says().expires.is_none_or(|expires| now <= expires)
            }
            Outcome::Unendorsed(_) => true,
        }
    }
}
