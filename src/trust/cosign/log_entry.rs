//! The entry of a transparency log (Rekor) that came with a signature, as a layer's annotation or a bundle has it. Parses it,
//! and verifies nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use sigstore_types::{CanonicalizedBody, InclusionPromise, InclusionProof, LogId, LogIndex};

use crate::clock::Timestamp;
use crate::trust::signature::Flaw;

use super::flaw::{LIMIT, TRANSPARENCY_LOG, flaw};
use super::limits::{MAX_CHECKPOINT_SIGNATURES, MAX_ENTRIES, MAX_PROOF};

/// A log entry.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogEntry {
    /// Nobody signed it, unless the entry has a promise.
    #[serde(default)]
    pub(super) log_index: LogIndex,
    pub(super) log_id: LogId,
    kind_version: KindVersion,
    /// When the log accepted the entry. Nobody signed it, unless the entry has a promise.
    #[serde(default, deserialize_with = "seconds")]
    pub(super) integrated_time: Option<Timestamp>,
    /// The log's promise to include the entry (SET).
    pub(super) inclusion_promise: Option<InclusionPromise>,
    /// The proof that the entry is in the log.
    pub(super) inclusion_proof: Option<InclusionProof>,
    /// What the log recorded.
    pub(super) canonicalized_body: CanonicalizedBody,
}

#[derive(Clone, Debug, Deserialize)]
struct KindVersion {
    kind: String,
    version: String,
}

impl LogEntry {
    /// The kind and the version of the body.
    pub(super) fn kind(&self) -> (&str, &str) {
        (&self.kind_version.kind, &self.kind_version.version)
    }

    /// Whether it is of Rekor v2, whose entries have no time.
    pub(super) fn is_v2(&self) -> bool {
        self.kind() == ("hashedrekord", "0.0.2")
    }

    /// Reads the annotation of a layer: `{SignedEntryTimestamp, Payload: {body, integratedTime, logIndex, logID}}`.
    pub(super) fn from_annotation(value: &Value) -> Result<Self, Flaw> {
        let wrong = |found: String| {
            flaw(TRANSPARENCY_LOG, found, "an entry of Rekor with its signed timestamp")
        };
        let payload = value.get("Payload").unwrap_or(&Value::Null);
        let text = |value: &Value, name: &str| Some(value.get(name)?.as_str()?.to_owned());
        let number = |name: &str| payload.get(name).and_then(Value::as_i64);
        let parts = (|| {
            let body = text(payload, "body")?;
            let read: Value = serde_json::from_slice(&STANDARD.decode(&body).ok()?).ok()?;
            let log = STANDARD.encode(hex::decode(text(payload, "logID")?).ok()?);
            Some(json!({
                "logIndex": number("logIndex")?.to_string(),
                "logId": { "keyId": log },
                "kindVersion": { "kind": text(&read, "kind")?, "version": text(&read, "apiVersion")? },
                "integratedTime": number("integratedTime")?.to_string(),
                "inclusionPromise": { "signedEntryTimestamp": text(value, "SignedEntryTimestamp")? },
                "canonicalizedBody": body,
            }))
        })();
        let parts = parts.ok_or_else(|| wrong("an incomplete log entry".to_owned()))?;
        serde_json::from_value(parts).map_err(|e| wrong(format!("an unreadable log entry: {e}")))
    }

    /// Reads `tlogEntries` of a bundle.
    pub(super) fn from_bundle(entries: Value) -> Result<Vec<Self>, Flaw> {
        serde_json::from_value(entries).map_err(|e| {
            flaw(TRANSPARENCY_LOG, format!("unreadable log entries: {e}"), "entries of Rekor")
        })
    }

    /// Checks that verifying `entries` stays within the limits.
    pub(super) fn bounded(entries: Vec<Self>) -> Result<Vec<Self>, Flaw> {
        if entries.len() > MAX_ENTRIES {
            let found = format!("{} log entries", entries.len());
            return Err(flaw(LIMIT, found, format!("at most {MAX_ENTRIES}")));
        }
        for proof in entries.iter().filter_map(|entry| entry.inclusion_proof.as_ref()) {
            if proof.hashes.len() > MAX_PROOF {
                let found = format!("an inclusion proof of {} hashes", proof.hashes.len());
                return Err(flaw(LIMIT, found, format!("at most {MAX_PROOF}")));
            }
            let signatures = proof.checkpoint.checkpoint().map_or(0, |it| it.signatures().len());
            if signatures > MAX_CHECKPOINT_SIGNATURES {
                let found = format!("a checkpoint with {signatures} signatures");
                return Err(flaw(LIMIT, found, format!("at most {MAX_CHECKPOINT_SIGNATURES}")));
            }
        }
        Ok(entries)
    }
}

/// Seconds since 1970, as a number or, as protobuf writes them, a text. Zero is no time.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seconds {
        Number(i64),
        Text(String),
    }
    let seconds = match Option::<Seconds>::deserialize(deserializer)? {
        None => 0,
        Some(Seconds::Number(seconds)) => seconds,
        Some(Seconds::Text(text)) => text.parse().map_err(serde::de::Error::custom)?,
    };
    Ok((seconds != 0).then(|| Timestamp::from_unix(seconds)))
}
