//! The proven times of a signature: those of log entries with a promise, and those of timestamps. Pure.
//!
//! | `tlog` | key | certificate |
//! |---|---|---|
//! | `require` | every entry must verify, one at least; timestamps that verify add a time | the same, and one time at least |
//! | `ignore` | times of entries and timestamps that verify | the times of timestamps that verify; without such, those of the entries |
//!
//! A timestamp that does not verify proves nothing, and takes nothing from other evidence: some signatures have timestamps
//! of authorities that the trusted root does not know.

use crate::clock::Timestamp;
use crate::trust::revoked::RevokedSet;
use crate::trust::signature::Flaw;

use super::binding::By;
use super::config::Tlog;
use super::flaw::{TIME, TRANSPARENCY_LOG, flaw};
use super::key::Key;
use super::log::{Promised, included, promised};
use super::log_entry::LogEntry;
use super::roots::Roots;
use super::signed::Signed;
use super::tsa::stamped;
use super::{path, sct};

impl Roots {
    /// The proven times of a signature by `key`. May be empty.
    pub(super) fn times_of_key(
        &self,
        signed: &Signed,
        key: &Key,
        tlog: Tlog,
        now: Timestamp,
    ) -> Result<Vec<Timestamp>, Flaw> {
        match tlog {
            Tlog::Require => {
                let entries = required(signed)?;
                let (mut times, _) = self.stamps(signed, now)?;
                let promised = self.promises(entries, now)?;
                times.extend(times_of(&promised));
                self.recorded(&promised, signed, By::Key(key), &times, now)?;
                Ok(times)
            }
            // No evidence is required, so none of it can make the signature worse.
            Tlog::Ignore => {
                let (mut times, _) = self.stamps(signed, now).unwrap_or_default();
                if let Ok(entries) = signed.entries()
                    && let Ok(promised) = self.promises(entries, now)
                {
                    let proven: Vec<_> = times_of(&promised).collect();
                    if self.recorded(&promised, signed, By::Key(key), &proven, now).is_ok() {
                        times.extend(proven);
                    }
                }
                Ok(times)
            }
        }
    }

    /// The proven times of a signature by its certificate, at least one. With `revoked`, an authority of the trusted root
    /// issued the certificate, certificate logs have seen it, it was valid at every time, and nothing above it is revoked.
    pub(super) fn times_of_certificate(
        &self,
        signed: &Signed,
        revoked: Option<&RevokedSet>,
        tlog: Tlog,
        now: Timestamp,
    ) -> Result<Vec<Timestamp>, Flaw> {
        let required = match tlog {
            Tlog::Require => Some(required(signed)?),
            Tlog::Ignore => None,
        };
        let (mut times, unverified) = self.stamps(signed, now)?;
        let entries = match required {
            Some(entries) => entries,
            None if times.is_empty() => signed.entries()?,
            None => &[],
        };
        let promised = self.promises(entries, now)?;
        times.extend(times_of(&promised));
        if times.is_empty() {
            let wanted = "a timestamp, or a log entry that proves one";
            let none = || flaw(TIME, "no proven time of signing", wanted);
            return Err(unverified.unwrap_or_else(none));
        }
        let certificates = signed.certificates()?;
        let leaf = certificates.first().map_or(&[][..], Vec::as_slice);
        if let Some(revoked) = revoked {
            for at in &times {
                let issuer = self.issued(certificates, *at, revoked)?;
                sct::seen(leaf, &issuer, self.certificate_logs())?;
            }
        }
        self.recorded(&promised, signed, By::Certificate(leaf), &times, now)?;
        for at in entries.iter().filter_map(|entry| entry.integrated_time) {
            if !path::is_valid(leaf, at) {
                let found = format!("the log entry is of {at}, when the certificate was not valid");
                let wanted = "an entry from while the certificate was valid";
                return Err(flaw(TRANSPARENCY_LOG, found, wanted));
            }
        }
        Ok(times)
    }

    /// The times of the timestamps that verify. May be empty.
    pub(super) fn stamped(&self, signed: &Signed, now: Timestamp) -> Result<Vec<Timestamp>, Flaw> {
        self.stamps(signed, now).map(|(times, _)| times)
    }

    /// The times of the timestamps that verify, and why one of the others does not.
    fn stamps(
        &self,
        signed: &Signed,
        now: Timestamp,
    ) -> Result<(Vec<Timestamp>, Option<Flaw>), Flaw> {
        let responses = match signed.timestamps() {
            Ok(responses) => responses,
            Err(flaw) if flaw.check == TIME => return Ok((Vec::new(), Some(flaw))),
            Err(flaw) => return Err(flaw),
        };
        let (mut times, mut unverified) = (Vec::new(), None);
        for response in responses {
            let token = response.signed_timestamp.as_bytes();
            match stamped(token, signed.timestamped(), self.timestamp_authorities(), now) {
                Ok(at) => times.push(at),
                Err(flaw) => unverified = unverified.or(Some(flaw)),
            }
        }
        Ok((times, unverified))
    }

    /// The `entries` with verified promises, none of them of the future.
    fn promises<'a>(
        &'a self,
        entries: &'a [LogEntry],
        now: Timestamp,
    ) -> Result<Vec<Promised<'a>>, Flaw> {
        let verified = |entry| {
            let promised = promised(entry, self.logs())?;
            match promised.at.filter(|at| *at > now) {
                Some(at) => {
                    let found = format!("a log entry of {at}, in the future");
                    Err(flaw(TIME, found, "a past time"))
                }
                None => Ok(promised),
            }
        };
        entries.iter().map(verified).collect()
    }

    /// Verifies that each of `entries` is in a log that was in use at `times`, and records this signature.
    fn recorded(
        &self,
        entries: &[Promised<'_>],
        signed: &Signed,
        by: By<'_>,
        times: &[Timestamp],
        now: Timestamp,
    ) -> Result<(), Flaw> {
        // An entry without a proven time could be of any time: then its log must be in use now.
        let times = if times.is_empty() { std::slice::from_ref(&now) } else { times };
        for promised in entries {
            signed.has_evidence_of_its_version(promised.entry)?;
            included(promised, self.logs(), times)?;
            promised.entry.records(signed, by)?;
        }
        Ok(())
    }
}

/// The times that the promises prove.
fn times_of(entries: &[Promised<'_>]) -> impl Iterator<Item = Timestamp> {
    entries.iter().filter_map(|promised| promised.at)
}

/// The log entries of a signature that must be in a log.
fn required(signed: &Signed) -> Result<&[LogEntry], Flaw> {
    match signed.entries()? {
        [] => {
            let wanted = "an entry for this signature, in a log of the trusted root";
            Err(flaw(TRANSPARENCY_LOG, "no log entry", wanted))
        }
        entries => Ok(entries),
    }
}
