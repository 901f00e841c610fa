//! The logs of a trusted root, and what they sign: promises (SET), and checkpoints with inclusion proofs. Pure.

use sigstore_merkle::{hash_leaf, verify_inclusion_proof};
use sigstore_trust_root::trusted_root::PublicKey as TrustedKey;
use sigstore_types::{InclusionProof, LogKeyId, TimeRange};

use crate::clock::Timestamp;
use crate::trust::signature::Flaw;

use super::flaw::{TRANSPARENCY_LOG, flaw};
use super::key::Key;
use super::log_entry::LogEntry;

/// A transparency log or a certificate log.
#[derive(Debug)]
pub(super) struct Log {
    name: String,
    pub(super) id: Vec<u8>,
    pub(super) key: Key,
    window: Option<TimeRange>,
}

impl Log {
    /// # Errors
    /// The key cannot be used, or its time ends before it begins.
    pub(super) fn new(name: &str, id: &LogKeyId, key: &TrustedKey) -> Result<Self, String> {
        let unfit = |why: String| format!("cannot be used: the log {name:?} {why}");
        let window = checked(key.valid_for).map_err(&unfit)?;
        let der = key.raw_bytes.as_bytes();
        let parsed = Key::from_spki(der).or_else(|found| Key::from_pkcs1(der).ok_or(found));
        let key = parsed.map_err(&unfit)?;
        if id.as_bytes().len() != 32 {
            return Err(unfit("has an id of another length than 32 bytes".to_owned()));
        }
        Ok(Self { name: name.to_owned(), id: id.as_bytes().to_vec(), key, window })
    }

    /// Whether the log was in use at `at`.
    pub(super) fn covers(&self, at: Timestamp) -> bool {
        covers(self.window, at)
    }
}

/// A validity period of a trusted root.
///
/// # Errors
/// It ends before it begins.
pub(super) fn checked(window: Option<TimeRange>) -> Result<Option<TimeRange>, String> {
    match window {
        Some(range) if range.end.is_some_and(|end| end < range.start) => {
            Err("has a time that ends before it begins".to_owned())
        }
        window => Ok(window),
    }
}

/// Whether `at` is within `window`, which includes both ends. Without a window, every time is.
pub(super) fn covers(window: Option<TimeRange>, at: Timestamp) -> bool {
    window.is_none_or(|window| {
        let start = Timestamp::from_unix(window.start.as_second());
        let end = window.end.map(|end| Timestamp::from_unix(end.as_second()));
        start <= at && end.is_none_or(|end| at <= end)
    })
}

/// A log entry. Its promise, if it has one, is by a log that was in use then.
pub(super) struct Promised<'a> {
    pub(super) entry: &'a LogEntry,
    log: Option<&'a Log>,
    /// The time that the promise proves. Rekor v2 promises none.
    pub(super) at: Option<Timestamp>,
}

/// Verifies the promise of `entry`, if it has one.
///
/// # Errors
/// The promise is not by a log that was in use then.
pub(super) fn promised<'a>(entry: &'a LogEntry, logs: &'a [Log]) -> Result<Promised<'a>, Flaw> {
    let Some(promise) = &entry.inclusion_promise else {
        return Ok(Promised { entry, log: None, at: None });
    };
    let wanted = "a promise (SET) of a log in the trusted root";
    let wrong = |found: String| flaw(TRANSPARENCY_LOG, found, wanted);
    let id = entry.log_id.key_id.as_bytes();
    let log = logs.iter().find(|log| log.id == id).ok_or_else(|| {
        wrong(format!("an entry of the log {}, which the trusted root lacks", hex::encode(id)))
    })?;
    if let Some(at) = entry.integrated_time.filter(|at| !log.covers(*at)) {
        return Err(wrong(format!("the log {} was not in use at {at}", log.name)));
    }
    // Canonical JSON (RFC 8785): every value is base64, hex or an integer, so there is nothing to escape.
    let message = format!(
        r#"{{"body":"{}","integratedTime":{},"logID":"{}","logIndex":{}}}"#,
        entry.canonicalized_body.to_base64(),
        entry.integrated_time.map_or(0, Timestamp::unix),
        hex::encode(id),
        entry.log_index.get(),
    );
    let signature = promise.signed_entry_timestamp.as_bytes();
    if log.key.verify(message.as_bytes(), signature).is_err() {
        return Err(wrong(format!("the promise is not by the log {}", log.name)));
    }
    let at = entry.integrated_time.filter(|_| !entry.is_v2());
    Ok(Promised { entry, log: Some(log), at })
}

/// Verifies that an entry is in a log that was in use at all `times`.
pub(super) fn included(
    promised: &Promised<'_>,
    logs: &[Log],
    times: &[Timestamp],
) -> Result<(), Flaw> {
    let Promised { entry, log, .. } = *promised;
    let wanted = "an entry of a log in the trusted root, in use at the time of signing";
    let wrong = |found: String| flaw(TRANSPARENCY_LOG, found, wanted);
    let in_use = |log: &Log| match times.iter().find(|at| !log.covers(**at)) {
        Some(at) => Err(wrong(format!("the log {} was not in use at {at}", log.name))),
        None => Ok(()),
    };
    log.map_or(Ok(()), in_use)?;
    match &entry.inclusion_proof {
        None if log.is_some() => Ok(()),
        None => Err(wrong("an entry without a proof and without a promise".to_owned())),
        Some(proof) => in_use(proven(entry, proof, logs).map_err(|found| wrong(found.to_owned()))?),
    }
}

/// The log whose checkpoint `proof` leads to (RFC 6962, C2SP signed notes).
fn proven<'a>(
    entry: &LogEntry,
    proof: &InclusionProof,
    logs: &'a [Log],
) -> Result<&'a Log, &'static str> {
    let checkpoint =
        proof.checkpoint.checkpoint().ok_or("an inclusion proof without a checkpoint")?;
    let root = checkpoint.root_hash();
    // Rekor v2 does not repeat what the checkpoint says, and its index is that of the entry.
    let (index, size) = match entry.is_v2() {
        true => (entry.log_index.get(), checkpoint.tree_size()),
        false if *root != proof.root_hash => {
            return Err("a proof with another root than its checkpoint");
        }
        false => (proof.log_index.get(), proof.tree_size),
    };
    let leaf = hash_leaf(entry.canonicalized_body.as_bytes());
    verify_inclusion_proof(&leaf, index, size, &proof.hashes, root)
        .map_err(|_| "an inclusion proof of another entry")?;
    let note = checkpoint.signed_data();
    // The hints have four bytes: several logs may have the same one.
    let signed = |log: &&Log| {
        checkpoint.signatures().iter().any(|signature| {
            log.id.starts_with(signature.key_id.as_bytes())
                && log.key.verify(note, signature.signature.as_bytes()).is_ok()
        })
    };
    logs.iter().find(signed).ok_or("a checkpoint that no log of the trusted root signed")
}
