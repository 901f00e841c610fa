//! The cached trust data of one repository, and how long it may be used. Pure: the cache stores these values and
//! refreshes them.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::trust::lifetimes::Lifetimes;
use crate::trust::refusal::{Refusal, Unendorsed};

use super::repository::SignedRepository;

/// The longest time for which a refusal is used before the server is queried again.
pub(super) const NEGATIVE: Duration = Duration::from_secs(10);

/// The result of the last query about one repository.
#[derive(Clone, Debug)]
pub(super) enum CachedTrust {
    Signed {
        repository: Arc<SignedRepository>,
        answered: Timestamp,
    },
    Refused {
        refusal: Refusal,
        answered: Timestamp,
    },
    /// The server did not answer at `tried`. `last` is the last valid answer and its time. `was_refused`: the server's
    /// last answer was refused, so no earlier one counts, and no archive replaces it.
    Unreachable {
        why: String,
        was_refused: bool,
        last: Option<(Arc<SignedRepository>, Timestamp)>,
        tried: Timestamp,
    },
}

/// When the server was queried, and when it is queried next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// The time of the last answer in use; `None` if there is none.
    pub fetched: Option<Timestamp>,
    /// The time of the last query, if the server did not answer it.
    pub unanswered: Option<Timestamp>,
    /// The first request after this time causes the next query.
    pub next: Timestamp,
}

/// How to answer from the cache.
#[derive(Debug)]
pub(super) enum Use {
    /// Use the answer. If `due`, refresh in the background.
    Now { answer: Result<Arc<SignedRepository>, Unendorsed>, due: bool },
    /// Query the server first.
    RefreshFirst,
}

impl CachedTrust {
    /// How to answer from this at `now`.
    pub(super) fn at(&self, now: Timestamp, lifetimes: Lifetimes) -> Use {
        let (Lifetimes { refresh, max_stale }, pause) = (lifetimes, self.pause(lifetimes));
        match self {
            Self::Signed { repository, answered } => {
                let age = now.since(*answered);
                if *answered > now || age >= refresh || now > repository.expires() {
                    return Use::RefreshFirst;
                }
                let due = age >= pause;
                Use::Now { answer: Ok(repository.clone()), due }
            }
            Self::Refused { refusal, answered } => {
                if *answered > now || now.since(*answered) >= pause {
                    return Use::RefreshFirst;
                }
                Use::Now { answer: Err(Unendorsed::Refused(refusal.clone())), due: false }
            }
            Self::Unreachable { why, last, tried, .. } => {
                let due = *tried > now || now.since(*tried) >= pause;
                match last {
                    Some((repository, answered))
                        if in_grace(repository, *answered, now, max_stale) =>
                    {
                        Use::Now { answer: Ok(repository.clone()), due }
                    }
                    Some(_) | None if due => Use::RefreshFirst,
                    Some(_) | None => {
                        Use::Now { answer: Err(Unendorsed::Undecided(why.clone())), due: false }
                    }
                }
            }
        }
    }

    /// The state after the server did not answer at `now`.
    pub(super) fn unreachable(before: Option<&Self>, why: String, now: Timestamp) -> Self {
        let last = match before {
            Some(Self::Signed { repository, answered }) => Some((repository.clone(), *answered)),
            Some(Self::Unreachable { last, .. }) => last.clone(),
            Some(Self::Refused { .. }) | None => None,
        };
        let was_refused = before.is_some_and(Self::was_refused);
        Self::Unreachable { why, was_refused, last, tried: now }
    }

    /// Whether the last answer of the server was refused.
    pub(super) fn was_refused(&self) -> bool {
        match self {
            Self::Signed { .. } => false,
            Self::Refused { .. } => true,
            Self::Unreachable { was_refused, .. } => *was_refused,
        }
    }

    /// How long after the last query the next one is due.
    fn pause(&self, lifetimes: Lifetimes) -> Duration {
        match self {
            Self::Signed { .. } => lifetimes.refresh * 4 / 5,
            Self::Refused { .. } => lifetimes.refresh.min(NEGATIVE),
            Self::Unreachable { .. } => lifetimes.patience(),
        }
    }

    /// When the server was queried, and when it is queried next.
    pub(super) fn freshness(&self, lifetimes: Lifetimes) -> Freshness {
        let next = self.queried().plus(self.pause(lifetimes));
        let (fetched, unanswered, next) = match self {
            Self::Signed { repository, answered } => {
                (Some(*answered), None, next.min(repository.expires()))
            }
            Self::Refused { answered, .. } => (Some(*answered), None, next),
            Self::Unreachable { last, tried, .. } => {
                (last.as_ref().map(|(_, answered)| *answered), Some(*tried), next)
            }
        };
        Freshness { fetched, unanswered, next }
    }

    /// When the server was last queried, whether or not it answered.
    pub(super) fn queried(&self) -> Timestamp {
        match self {
            Self::Signed { answered, .. } | Self::Refused { answered, .. } => *answered,
            Self::Unreachable { tried, .. } => *tried,
        }
    }

    /// The last valid trust data, if there is any. It may be expired.
    pub(super) fn repository(&self) -> Option<&Arc<SignedRepository>> {
        match self {
            Self::Signed { repository, .. } => Some(repository),
            Self::Unreachable { last, .. } => last.as_ref().map(|(repository, _)| repository),
            Self::Refused { .. } => None,
        }
    }

    /// Its approximate size in memory, in bytes.
    pub(super) fn weight(&self) -> usize {
        let text = match self {
            Self::Signed { .. } => 0,
            Self::Refused { refusal, .. } => refusal.because.len(),
            Self::Unreachable { why, .. } => why.len(),
        };
        1_024 + text + self.repository().map_or(0, |repository| repository.weight())
    }
}

impl CachedTrust {
    /// The answer right after a refresh. Clients that waited for the refresh use it even if its lifetime is zero.
    pub(super) fn answer(
        &self,
        now: Timestamp,
        lifetimes: Lifetimes,
    ) -> Result<Arc<SignedRepository>, Unendorsed> {
        match self {
            Self::Signed { repository, .. } => Ok(repository.clone()),
            Self::Refused { refusal, .. } => Err(Unendorsed::Refused(refusal.clone())),
            Self::Unreachable { why, last, .. } => match last {
                Some((repository, answered))
                    if in_grace(repository, *answered, now, lifetimes.max_stale) =>
                {
                    Ok(repository.clone())
                }
                Some(_) | None => Err(Unendorsed::Undecided(why.clone())),
            },
        }
    }
}

/// Whether an answer may still be used while the server does not answer: within `max_stale`, and never after the trust
/// data expires.
fn in_grace(
    repository: &SignedRepository,
    answered: Timestamp,
    now: Timestamp,
    max_stale: Duration,
) -> bool {
    answered <= now && now.since(answered) <= max_stale && now <= repository.expires()
}
