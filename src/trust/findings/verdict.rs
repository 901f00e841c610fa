//! The verdict of one anchor on one manifest, and the evidence for it.

use std::time::Duration;

use super::Anchor;
use crate::clock::Timestamp;
use crate::pull_through::FetchError;
use crate::registry_client::UpstreamError;
use crate::trust::discovery::{Looked, Unread, Why};
use crate::trust::endorsement::{Endorsed, Endorsement, Origin, SignerName, TrustFile};
use crate::trust::lifetimes::Lifetimes;
use crate::trust::refusal::{Reason, Refusal, Restriction, Unendorsed};
use crate::trust::signature::{Flaw, Rejection, VerifiedSignature};
use crate::trust::subject::Subject;

/// The most objections in one sentence; `why` shows all of them.
const MAX_LISTED: usize = 3;

/// The verdict of one anchor on one manifest.
#[derive(Clone, Debug)]
pub struct AnchorVerdict {
    pub outcome: Outcome,
    pub evidence: Evidence,
    /// When it was determined.
    pub judged: Timestamp,
}

/// The outcome of a verdict.
#[derive(Clone, Debug)]
pub enum Outcome {
    Endorsed {
        endorsement: Endorsement,
        /// Where the signature is.
        place: String,
    },
    Unendorsed(Unendorsed),
}

/// The evidence for a verdict, for display.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    pub looked: Vec<Looked>,
    pub unread: Vec<Unread>,
    /// Why entries do not count, or only just.
    pub objections: Vec<Objection>,
    /// The first entry whose validity could not be determined.
    pub undecided: Option<String>,
    /// The first entry that was not examined because it exceeds a limit.
    pub unexamined: Option<String>,
}

/// One objection to one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    pub place: String,
    pub flaw: Flaw,
    /// Its weight: `not asked for`, `does not hold`, `tolerated`.
    pub weight: Weight,
}

/// The weight of an objection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The anchor does not require an entry of this type.
    Beside,
    /// The entry is invalid because of it.
    Flawed,
    /// The verification level of the anchor only logs it.
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
    /// The verdict for a valid signature at `place`.
    pub(super) fn endorsed(
        anchor: &Anchor,
        subject: &Subject,
        vouched: &VerifiedSignature,
        file: TrustFile,
        evidence: Evidence,
        judged: Timestamp,
    ) -> Self {
        let place = file.name.clone();
        let endorsement = Endorsement::new(Endorsed {
            repository: subject.repository.clone(),
            digest: subject.digest,
            sha512: None,
            length: Some(subject.size),
            tag: None,
            anchor: anchor.name().clone(),
            scheme: anchor.scheme(),
            signers: vec![SignerName::Identity(shown(&vouched.signer))],
            signer_ids: vouched.signer_ids.clone(),
            signed: vouched.signed,
            expires: vouched.expires,
            renew_by: vouched.renew_by,
            origin: Origin::Published,
            based_on: [file].into(),
        });
        Self { outcome: Outcome::Endorsed { endorsement, place }, evidence, judged }
    }

    /// The verdict without a valid signature: undecided if a place could not be read, or if an entry is undecided or was not
    /// examined.
    pub(super) fn unendorsed(evidence: Evidence, judged: Timestamp) -> Self {
        let undecided = evidence.undecided.as_ref().or(evidence.unexamined.as_ref());
        let why = if let Some(unread) = evidence.unread.first() {
            could_not_look(unread)
        } else if let Some(why) = undecided {
            Unendorsed::Undecided(why.clone())
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

    /// Whether the verdict is undecided.
    pub(super) fn is_open(&self) -> bool {
        match &self.outcome {
            Outcome::Endorsed { .. } | Outcome::Unendorsed(Unendorsed::Refused(_)) => false,
            Outcome::Unendorsed(Unendorsed::Undecided(_) | Unendorsed::Throttled(_)) => true,
        }
    }

    /// Whether `earlier` stays in use, because this verdict is undecided for a reason outside the image: the registry or a
    /// revocation service did not answer. A limit is no such reason, because anyone who may push can reach one, nor is an
    /// earlier signature that is invalid now.
    pub(super) fn leaves(&self, earlier: &Self) -> bool {
        let Outcome::Endorsed { place, .. } = &earlier.outcome else { return false };
        let Evidence { unread, objections, undecided, unexamined, .. } = &self.evidence;
        let is_invalid =
            objections.iter().any(|it| it.weight == Weight::Flawed && it.place == *place);
        let reached_limit = unexamined.is_some() || unread.iter().any(|it| it.why.is_limit());
        let unanswered = undecided.is_some() || unread.iter().any(|it| !it.why.is_limit());
        self.is_open() && !is_invalid && (unanswered || !reached_limit)
    }

    /// Whether it is undecided because the gate was too busy. That says nothing about the registry, and does not extend
    /// the use of an older verdict.
    pub(super) fn is_of_a_busy_gate(&self) -> bool {
        let busy = |unread: &Unread| {
            matches!(unread.why, Why::Fetch(FetchError::Upstream(UpstreamError::Busy(_))))
        };
        self.is_open() && self.evidence.unread.iter().any(busy)
    }

    /// The approximate memory that it takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        const EACH: usize = 512;
        let Evidence { looked, unread, objections, .. } = &self.evidence;
        let flaws = objections.iter().map(|one| one.flaw.found.len() + one.flaw.wanted.len());
        EACH * (2 + looked.len() + unread.len() + objections.len()) + flaws.sum::<usize>()
    }
}

/// A place that could not be read makes the verdict undecided; a rate limit of the registry is passed on.
fn could_not_look(unread: &Unread) -> Unendorsed {
    match &unread.why {
        Why::Fetch(FetchError::Upstream(UpstreamError::TooManyRequests { retry_after })) => {
            Unendorsed::Throttled(*retry_after)
        }
        Why::Fetch(_) | Why::Limit(_) => {
            Unendorsed::Undecided(format!("cannot search for signatures: {unread}"))
        }
    }
}

impl Evidence {
    /// Records why the entry at `place` is not valid.
    pub(super) fn object(&mut self, place: &str, rejection: Rejection) {
        let text = |why: String| shown(&format!("{place}: {why}"));
        let (weight, flaw) = match rejection {
            Rejection::Beside(flaw) => (Weight::Beside, flaw),
            Rejection::Flawed(flaw) => (Weight::Flawed, flaw),
            Rejection::Undecided(why) => {
                self.undecided.get_or_insert_with(|| text(why));
                return;
            }
            Rejection::Unexamined(why) => {
                self.unexamined.get_or_insert_with(|| text(why));
                return;
            }
        };
        self.objections.push(Objection { place: place.to_owned(), flaw: plain(&flaw), weight });
    }

    pub(super) fn tolerate(&mut self, place: &str, flaws: Vec<Flaw>) {
        let tolerated = flaws.into_iter().map(|flaw| Objection {
            place: place.to_owned(),
            flaw: plain(&flaw),
            weight: Weight::Tolerated,
        });
        self.objections.extend(tolerated);
    }

    /// The refusal after every place was searched: invalid signatures, or none.
    fn refusal(&self) -> Refusal {
        let bad = self.objections.iter().filter(|one| one.weight == Weight::Flawed);
        let restriction = bad.clone().find_map(|one| Restriction::of_check(one.flaw.check));
        let listed: Vec<String> = bad
            .clone()
            .take(MAX_LISTED)
            .map(|Objection { place, flaw, .. }| {
                format!("{place}: {} (needed: {})", flaw.found, flaw.wanted)
            })
            .collect();
        let more = bad.count().saturating_sub(listed.len());
        if listed.is_empty() {
            let places: Vec<&str> = self.looked.iter().map(|looked| &*looked.place).collect();
            return Refusal::new(
                Reason::NoTrustData,
                format!("no signature at {}", places.join(", ")),
            );
        }
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let because = format!("no valid signature: {}{more}", listed.join("; "));
        Refusal { restriction, ..Refusal::new(Reason::SignatureInvalid, because) }
    }
}

/// An objection, made safe to show: its text may contain parts of the entry.
fn plain(flaw: &Flaw) -> Flaw {
    Flaw { check: flaw.check, found: shown(&flaw.found), wanted: shown(&flaw.wanted) }
}

/// A text, made safe for logs and terminals. The code that created it limits its length.
fn shown(text: &str) -> String {
    crate::text::shown(text, usize::MAX)
}

/// How long an absent signature is cached: it often follows soon after the push.
const ABSENT: Duration = Duration::from_secs(10);

impl AnchorVerdict {
    /// The `result` label of the metric.
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

    /// How long it is used without another search.
    fn lifetime(&self, lifetimes: Lifetimes) -> Duration {
        match &self.outcome {
            Outcome::Endorsed { .. } => lifetimes.refresh,
            Outcome::Unendorsed(Unendorsed::Refused(_)) => lifetimes.refresh.min(ABSENT),
            Outcome::Unendorsed(Unendorsed::Undecided(_) | Unendorsed::Throttled(_)) => {
                lifetimes.patience()
            }
        }
    }

    /// The first request after this time causes another search.
    pub fn next(&self, lifetimes: Lifetimes) -> Timestamp {
        self.judged.plus(self.lifetime(lifetimes))
    }

    /// Whether it may be used at `now` without another search.
    pub(super) fn is_fresh(&self, now: Timestamp, lifetimes: Lifetimes) -> bool {
        let most = self.lifetime(lifetimes);
        self.judged <= now && now.since(self.judged) < most && self.is_in_force(now)
    }

    /// Whether it may be used at `now` after another search that gave no result.
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
