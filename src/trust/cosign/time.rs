//! The time of a signature, as far as only its signer can change it. Pure.
//!
//! | signer | the time of a signature |
//! |---|---|
//! | a key | the time that the signer states in what the key signed |
//! | a certificate that lives longer than an hour | the same |
//! | a certificate that lives for an hour at most | the proven time: it is within that life; an earlier stated time comes first |
//!
//! A log entry or a timestamp shows only that the signature existed then. Anyone can have an old signature logged or
//! timestamped again, and a long-lived certificate does not prevent that.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::trust::signature::{Flaw, VerifiedSignature};
use crate::trust::signing_time::is_ahead;

use super::claim::Claimed;
use super::flaw::{TIME, flaw};
use super::signed::Signed;

/// The longest life of a certificate that bounds when it signed. Fulcio's certificates live for ten minutes.
const SHORT_LIFE: Duration = Duration::from_secs(60 * 60);

/// Whether a certificate that lives for `life` bounds when it signed.
pub(super) fn is_short(life: Duration) -> bool {
    life <= SHORT_LIFE
}

/// `vouched`, whose `signed` is the time that the signer's certificate bounds, with the time of the signature:
/// the stated one comes first, and none is later than the proven one or than `now`.
pub(super) fn dated(
    mut vouched: VerifiedSignature,
    claimed: &Claimed,
    now: Timestamp,
) -> VerifiedSignature {
    let stated = claimed.stated.map(|stated| stated.min(now));
    vouched.signed = match (stated, vouched.proven) {
        (Some(stated), Some(proven)) => Some(stated.min(proven)),
        (Some(stated), None) => Some(stated),
        (None, _) => vouched.signed,
    };
    vouched
}

/// Refuses a signature with a log entry of a future time, even if no entry is required.
pub(super) fn logs_have_come(signed: &Signed, now: Timestamp) -> Result<(), Flaw> {
    let entries = signed.entries().unwrap_or_default().iter();
    let logged = entries.filter_map(|entry| entry.integrated_time);
    has_come(logged, now)
}

/// Refuses a signature whose signer states a future time.
pub(super) fn stated_has_come(claimed: &Claimed, now: Timestamp) -> Result<(), Flaw> {
    has_come(claimed.stated.into_iter(), now)
}

fn has_come(mut times: impl Iterator<Item = Timestamp>, now: Timestamp) -> Result<(), Flaw> {
    match times.find(|time| is_ahead(*time, now)) {
        None => Ok(()),
        Some(time) => {
            let found =
                format!("the signature says that it was made at {time}, which is in the future");
            Err(flaw(TIME, found, "a past time"))
        }
    }
}
