//! A transparency log (Rekor v1): entries, and their inclusion promises and proofs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::key::{Key, Kind};
use super::trusted_log;

#[derive(Clone)]
pub struct Log {
    pub key: Key,
    origin: String,
}

/// One entry with all statements of the log about it.
#[derive(Clone)]
pub struct Entry {
    pub kind: String,
    pub version: String,
    pub body: Vec<u8>,
    pub at: i64,
    pub log: [u8; 32],
    pub promise: Vec<u8>,
    pub proof: Value,
}

/// The index of every entry: it is the second one.
const INDEX: i64 = 1;

impl Log {
    pub fn new(origin: &str) -> Self {
        Self { key: Key::new(Kind::P256), origin: origin.to_owned() }
    }

    /// The entry of `tlogs`.
    pub fn trusted(&self) -> Value {
        trusted_log(&self.key, &format!("https://{}", self.origin))
    }

    /// A signature over `message`, by the key or certificate in `verifier`.
    pub fn hashedrekord(&self, message: &[u8], signature: &[u8], verifier: &str, at: i64) -> Entry {
        let body = json!({
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": { "hash": { "algorithm": "sha256", "value": hex::encode(Sha256::digest(message)) } },
                "signature": {
                    "content": STANDARD.encode(signature),
                    "publicKey": { "content": STANDARD.encode(verifier) },
                },
            },
        });
        self.entry("hashedrekord", &body, at)
    }

    /// An envelope around `statement`.
    pub fn dsse(&self, statement: &str, signature: &[u8], verifier: &str, at: i64) -> Entry {
        let hash = |text: &str| json!({ "algorithm": "sha256", "value": hex::encode(Sha256::digest(text)) });
        let body = json!({
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": hash("as it was sent"),
                "payloadHash": hash(statement),
                "signatures": [{
                    "signature": STANDARD.encode(signature),
                    "verifier": STANDARD.encode(verifier),
                }],
            },
        });
        self.entry("dsse", &body, at)
    }

    /// The envelope with these bytes around `statement`, as cosign 1 and 2 logged attestations.
    pub fn intoto(&self, envelope: &[u8], statement: &str, verifier: &str, at: i64) -> Entry {
        let hash = |bytes: &[u8]| json!({ "algorithm": "sha256", "value": hex::encode(Sha256::digest(bytes)) });
        let body = json!({
            "apiVersion": "0.0.1",
            "kind": "intoto",
            "spec": {
                "content": { "hash": hash(envelope), "payloadHash": hash(statement.as_bytes()) },
                "publicKey": STANDARD.encode(verifier),
            },
        });
        self.entry("intoto", &body, at)
    }

    /// An entry of Rekor v2 for a message with that hash, such as `SHA2_256`; it has no promise and no time.
    pub fn v2(&self, (name, digest): (&str, &[u8]), signature: &[u8], verifier: &Value) -> Entry {
        let body = json!({
            "apiVersion": "0.0.2",
            "kind": "hashedrekord",
            "spec": { "hashedRekordV002": {
                "data": { "algorithm": name, "digest": STANDARD.encode(digest) },
                "signature": { "content": STANDARD.encode(signature), "verifier": verifier },
            } },
        });
        let mut entry = self.entry("hashedrekord", &body, 0);
        entry.version = "0.0.2".to_owned();
        entry.promise.clear();
        entry
    }

    fn entry(&self, kind: &str, body: &Value, at: i64) -> Entry {
        let body = body.to_string().into_bytes();
        let promised = json!({
            "body": STANDARD.encode(&body),
            "integratedTime": at,
            "logID": hex::encode(self.key.id()),
            "logIndex": INDEX,
        });
        let leaf = |body: &[u8]| Sha256::digest([&[0][..], body].concat());
        let (first, second) = (leaf(b"the first entry"), leaf(&body));
        let root = Sha256::digest([&[1][..], &first, &second].concat());
        let note = format!("{} - 1\n2\n{}\n", self.origin, STANDARD.encode(root));
        let signature = [&self.key.id()[..4], &self.key.sign(note.as_bytes())].concat();
        let checkpoint =
            format!("{note}\n\u{2014} {} {}\n", self.origin, STANDARD.encode(signature));
        Entry {
            kind: kind.to_owned(),
            version: "0.0.1".to_owned(),
            promise: self.key.sign(promised.to_string().as_bytes()),
            proof: json!({
                "logIndex": INDEX.to_string(),
                "rootHash": STANDARD.encode(root),
                "treeSize": "2",
                "hashes": [STANDARD.encode(first)],
                "checkpoint": { "envelope": checkpoint },
            }),
            body,
            at,
            log: self.key.id(),
        }
    }
}

impl Entry {
    /// The annotation of a layer.
    pub fn annotation(&self) -> String {
        let annotation = json!({
            "SignedEntryTimestamp": STANDARD.encode(&self.promise),
            "Payload": {
                "body": STANDARD.encode(&self.body),
                "integratedTime": self.at,
                "logIndex": INDEX,
                "logID": hex::encode(self.log),
            },
        });
        annotation.to_string()
    }

    /// The element of `tlogEntries` in a bundle.
    pub fn in_bundle(&self) -> Value {
        let mut entry = json!({
            "logIndex": INDEX.to_string(),
            "logId": { "keyId": STANDARD.encode(self.log) },
            "kindVersion": { "kind": self.kind, "version": self.version },
            "integratedTime": self.at.to_string(),
            "inclusionPromise": { "signedEntryTimestamp": STANDARD.encode(&self.promise) },
            "inclusionProof": self.proof,
            "canonicalizedBody": STANDARD.encode(&self.body),
        });
        if self.promise.is_empty() {
            entry["inclusionPromise"] = Value::Null;
        }
        entry
    }
}
