//! An exporter of bundles: its key, bundle artifacts, and its statement of when trust data was fetched. Independent of the
//! code that verifies them.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "shared by tests, each of which uses a part"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use countersign::trust::cosign;
use countersign::trust::notaryv1::{Capture, Evidence, Exporters, TrustFiles};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::notary_repository::Files;
use crate::sigstore::{Key, Kind, bundle, pae};

const ARTIFACT: &str = "application/vnd.countersign.bundle.v1+json";

#[derive(Clone)]
pub struct Exporter {
    pub key: Key,
}

impl Exporter {
    pub fn new() -> Self {
        Self { key: Key::new(Kind::P256) }
    }

    /// The anchor's keys `exporters`, with this exporter alone, and `max_age`.
    pub fn pinned(&self, days: u64) -> Exporters {
        let keys = vec![cosign::Key::parse(&self.key.pem()).unwrap()];
        Exporters { keys, max_age: Duration::from_secs(days * 86_400) }
    }

    /// The signature of a statement about `artifact`, as a Sigstore bundle.
    pub fn sign(&self, statement: &Value) -> Bytes {
        let statement = statement.to_string();
        let signature = self.key.sign(&pae(&statement));
        bundle(&statement, &signature, None, &[], &[]).to_string().into()
    }

    /// A capture of `files` with a statement that `gun` was fetched at `at` (RFC 3339).
    pub fn capture(&self, gun: &str, files: &Files, at: &str) -> Capture {
        let artifact = artifact(&[(gun, files)]);
        let signature = self.sign(&statement(&artifact, &[(gun, at)]));
        capture(files, Some(Evidence { artifact, signatures: vec![signature] }))
    }
}

/// The bundle artifact of these GUNs.
pub fn artifact(guns: &[(&str, &Files)]) -> Bytes {
    let layer = |gun: &str, name: &str, content: &[u8]| {
        let title = format!("notaryv1/{}/{name}.json", hex::encode(Sha256::digest(gun.as_bytes())));
        json!({
            "mediaType": "application/json",
            "digest": format!("sha256:{}", hex::encode(Sha256::digest(content))),
            "size": content.len(),
            "annotations": { "org.opencontainers.image.title": title },
        })
    };
    let layers: Vec<Value> = guns
        .iter()
        .flat_map(|(gun, files)| files.iter().map(|(name, content)| layer(gun, name, content)))
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": ARTIFACT,
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": format!("sha256:{}", hex::encode(Sha256::digest(b"{}"))),
            "size": 2,
        },
        "layers": layers,
    });
    manifest.to_string().into()
}

/// The statement that each GUN was fetched at its time, about `artifact`.
pub fn statement(artifact: &[u8], fetched: &[(&str, &str)]) -> Value {
    let fetched: BTreeMap<_, _> = fetched.iter().copied().collect();
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{
            "name": "bundle",
            "digest": { "sha256": hex::encode(Sha256::digest(artifact)) },
        }],
        "predicateType": "https://countersign.dev/bundle/v1",
        "predicate": { "fetched": fetched },
    })
}

/// The files as an archive contains them.
pub fn capture(files: &Files, evidence: Option<Evidence>) -> Capture {
    let files = files.iter().map(|(name, content)| (name.clone(), content.clone().into()));
    Capture { files: TrustFiles::new(files), evidence }
}
