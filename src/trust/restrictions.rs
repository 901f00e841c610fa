//! The keys of an anchor that exclude signatures after a key was lost: `not_after`, `max_age` and `revoked`. Pure;
//! knows no scheme.
//!
//! A time is *proven* if a log or an authority that the anchor trusts saw the signature at that time. It proves that
//! the signature is not newer. It does not prove that the signature is not older: anybody can log or timestamp an old
//! signature again. `max_age` therefore counts from the time in the signature itself ([`VerifiedSignature::signed`]).

use std::time::Duration;

use crate::clock::Timestamp;
use crate::toml_reader::Section;

use super::refusal::Restriction;
use super::revoked::{RevokedKind, RevokedSet};
use super::signature::{Flaw, VerifiedSignature};

// Each check has the name of its key.
const NOT_AFTER: &str = Restriction::NotAfter.as_str();
const MAX_AGE: &str = Restriction::MaxAge.as_str();
pub(super) const REVOKED: &str = Restriction::Revoked.as_str();

/// Which valid signatures an anchor excludes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restrictions {
    /// A signature counts only if it is proven to be no later. A signature without a proven time counts only until
    /// then.
    pub not_after: Option<Timestamp>,
    /// A signature counts only if its time is proven, and only for this long after its signing time.
    pub max_age: Option<Duration>,
    pub revoked: RevokedSet,
}

impl Restrictions {
    /// Reads the three keys. `fits` returns why an item of a kind cannot be revoked here.
    pub(super) fn read(
        section: &Section<'_>,
        fits: impl Fn(RevokedKind) -> Result<(), &'static str>,
    ) -> Self {
        let max_age = section.duration(MAX_AGE);
        if max_age.is_some_and(|most| most.is_zero()) {
            section.wrong(MAX_AGE, "must be longer than \"0s\"; remove the key, or write \"90d\"");
        }
        Self {
            not_after: section.instant(NOT_AFTER),
            max_age,
            revoked: RevokedSet::read(section, fits),
        }
    }

    /// Whether the time of a signature affects whether it counts.
    pub(super) const fn need_time(&self) -> bool {
        self.not_after.is_some() || self.max_age.is_some()
    }

    /// Rejects a valid signature that is excluded because of its time, or limits how long it counts.
    pub(super) fn apply(
        &self,
        mut vouched: VerifiedSignature,
        now: Timestamp,
    ) -> Result<VerifiedSignature, Flaw> {
        if let Some(not_after) = self.not_after {
            let wanted = format!("a signature with a proven time no later than {not_after}");
            match vouched.proven {
                Some(at) if at <= not_after => {}
                Some(at) => {
                    let found = format!("its proven time {at} is after `not_after`");
                    return Err(Flaw { check: NOT_AFTER, found, wanted });
                }
                None if now > not_after => {
                    let found = "`not_after` has passed, and the signing time is not proven";
                    return Err(Flaw { check: NOT_AFTER, found: found.to_owned(), wanted });
                }
                None => vouched.expires_at(not_after),
            }
        }
        if let Some(max_age) = self.max_age {
            let wanted = format!("a signature with a proven time, at most {} old", days(max_age));
            let Some(proven) = vouched.proven else {
                let found = "the signing time is not proven, which `max_age` requires".to_owned();
                return Err(Flaw { check: MAX_AGE, found, wanted });
            };
            let Some(signed) = vouched.signed else {
                let found = "the signature states no time, and its log entry or timestamp could have been \
                             made later";
                let wanted = format!(
                    "a signature that states its time, at most {} old: sign with `cosign sign -a \
                     timestamp=$(date +%s)`",
                    days(max_age)
                );
                return Err(Flaw { check: MAX_AGE, found: found.to_owned(), wanted });
            };
            let signed = signed.min(proven);
            let end = signed.plus(max_age);
            if now > end {
                let found = format!("its signing time {signed} is older than `max_age`");
                return Err(Flaw { check: MAX_AGE, found, wanted });
            }
            vouched.expires_at(end);
        }
        Ok(vouched)
    }

    /// All of its values, so that two different ones never have the same text.
    pub(super) fn parts(&self) -> String {
        let Self { not_after, max_age, revoked } = self;
        format!("{not_after:?} {max_age:?} {revoked:?}")
    }

    /// The end of a line that describes an anchor; empty if nothing is excluded.
    pub(super) fn summary(&self) -> String {
        let mut text = String::new();
        if let Some(not_after) = self.not_after {
            text += &format!("; only if signed until {not_after:#}");
        }
        if let Some(max_age) = self.max_age {
            text += &format!("; only if signed within the last {}", days(max_age));
        }
        match self.revoked.len() {
            0 => {}
            1 => text += "; 1 revoked",
            more => text += &format!("; {more} revoked"),
        }
        text
    }
}

/// The flaw of a signature that `entry` of `revoked` revokes.
pub(super) fn revoked_flaw(what: &str, entry: &str) -> Flaw {
    Flaw {
        check: REVOKED,
        found: format!("`revoked` names {what}: {entry}"),
        wanted: "a signature by a key or certificate that the anchor does not revoke".to_owned(),
    }
}

/// A duration in a short form.
pub(super) fn days(duration: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    match duration.as_secs() {
        seconds if seconds % DAY == 0 => format!("{}d", seconds / DAY),
        seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds => format!("{seconds}s"),
    }
}
