//! The exporters of an anchor: keys whose statement of when trust data was fetched replaces the expiry of the timestamp.
//! Pure.
//!
//! A statement proves a time only for exactly the files that were fetched then: it names the bundle artifact by digest,
//! and the artifact lists each file of each GUN by digest.

use std::collections::HashMap;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::clock::Timestamp;
use crate::json::Document;
use crate::oci::manifest::MAX_MANIFEST;
use crate::oci::{Artifact, Digest};
use crate::trust::cosign::{Key, VerifiedStatement};

use super::archive::{Evidence, TrustFiles};
use super::captured_at::{CapturedAt, NotProven};
use super::gun::Gun;
use super::role::File;

/// The artifact type of a bundle artifact.
pub const BUNDLE_ARTIFACT: &str = "application/vnd.countersign.bundle.v1+json";
/// The predicate type of an exporter's statement.
pub const BUNDLE_PREDICATE: &str = "https://countersign.dev/bundle/v1";
/// The annotation of a document in a bundle artifact.
const TITLE: &str = "org.opencontainers.image.title";
/// The most signatures of one bundle that are examined.
const MAX_SIGNATURES: usize = 16;
/// The largest signature of a bundle, in bytes: a statement about ten thousand GUNs.
const MAX_SIGNATURE: usize = 4 << 20;

/// The keys `exporters` and `max_age` of an anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exporters {
    pub keys: Vec<Key>,
    /// How long after the capture the trust data counts.
    pub max_age: Duration,
}

impl Exporters {
    /// The proof that one of the exporters fetched `files` for `gun`. If several signed, the earliest time counts.
    pub(super) fn verify(
        &self,
        evidence: &Evidence,
        gun: &Gun,
        files: &TrustFiles,
    ) -> Result<CapturedAt, NotProven> {
        lists(&evidence.artifact, gun, files)?;
        let artifact = Digest::of(&evidence.artifact);
        let mut proven: Option<CapturedAt> = None;
        let mut why = NotProven("no exporter signed the bundle".to_owned());
        for signature in evidence.signatures.iter().take(MAX_SIGNATURES) {
            match self.stated(signature, &artifact, gun) {
                Ok(at) if proven.as_ref().is_none_or(|known| at.at() < known.at()) => {
                    proven = Some(at);
                }
                Ok(_) => {}
                Err(error) => why = error,
            }
        }
        proven.ok_or(why)
    }

    /// The capture of `gun` that one signed statement states.
    fn stated(
        &self,
        signature: &bytes::Bytes,
        artifact: &Digest,
        gun: &Gun,
    ) -> Result<CapturedAt, NotProven> {
        if signature.len() > MAX_SIGNATURE {
            return Err(NotProven(format!(
                "the signature of the bundle is longer than {MAX_SIGNATURE} bytes"
            )));
        }
        let statement = VerifiedStatement::verify(signature, &self.keys).map_err(|why| {
            NotProven(format!("the signature of the bundle is by no pinned exporter: {why}"))
        })?;
        let wrong = |what: &str| NotProven(format!("the exporter's statement {what}"));
        let document = Document::parse(statement.json()).map_err(|e| wrong(&format!("is {e}")))?;
        let root = document.root();
        let text = |name: &str| root.member(name).and_then(|value| value.as_str());
        if text("predicateType") != Some(BUNDLE_PREDICATE) {
            return Err(wrong(&format!("is not of the type {BUNDLE_PREDICATE}")));
        }
        let subjects = root.member("subject").and_then(|subjects| subjects.as_array());
        let hex = artifact.hex();
        let is_artifact = |subject: crate::json::Value<'_>| {
            let digest = subject.member("digest").and_then(|digest| digest.member("sha256"));
            digest.and_then(|digest| digest.as_str()) == Some(&hex)
        };
        if !subjects.is_some_and(|subjects| subjects.iter().any(is_artifact)) {
            return Err(wrong("is about another bundle"));
        }
        let fetched = root.member("predicate").and_then(|predicate| predicate.member("fetched"));
        let at = fetched.and_then(|fetched| fetched.member(gun.as_str()));
        let at = at.ok_or_else(|| wrong(&format!("does not name {gun}")))?;
        let at = at.as_str().and_then(Timestamp::parse_rfc3339);
        let at = at.ok_or_else(|| wrong(&format!("has no RFC 3339 time for {gun}")))?;
        Ok(CapturedAt::stated(at, statement.key().to_owned(), self.max_age))
    }
}

/// The folder of the documents with the trust data of `gun` in a bundle artifact, `notaryv1/<sha256 of the GUN>/`. Their
/// names are those on the server: `root.json`, `1.root.json`, `targets/releases.json`, …
pub fn document_folder(gun: &Gun) -> String {
    format!("notaryv1/{}/", hex::encode(Sha256::digest(gun.as_str())))
}

/// The names that a file with this name may also have: a file that is named by its hash may have the name of its role
/// alone.
fn names(name: &str, content: &[u8]) -> Vec<String> {
    let other = match File::parse(name) {
        Some(File::Content { role, .. }) => Some(role.to_string()),
        Some(File::Newest(role)) => {
            Some(format!("{role}.{}", hex::encode(Sha256::digest(content))))
        }
        Some(File::Root(_)) | None => None,
    };
    [Some(name.to_owned()), other].into_iter().flatten().collect()
}

/// Checks that the bundle artifact lists exactly these bytes for each of the `files` of `gun`.
fn lists(artifact: &[u8], gun: &Gun, files: &TrustFiles) -> Result<(), NotProven> {
    if artifact.len() > MAX_MANIFEST {
        return Err(NotProven(format!("the bundle artifact is longer than {MAX_MANIFEST} bytes")));
    }
    let artifact = Artifact::parse(artifact)
        .map_err(|e| NotProven(format!("the bundle artifact cannot be read: {e}")))?;
    if artifact.artifact_type.as_deref() != Some(BUNDLE_ARTIFACT) {
        return Err(NotProven("the signed artifact is not a bundle".to_owned()));
    }
    let mut listed: HashMap<&str, Vec<&Digest>> = HashMap::new();
    for layer in &artifact.layers {
        if let Some(title) = layer.annotations.get(TITLE) {
            listed.entry(title).or_default().push(&layer.digest);
        }
    }
    let folder = document_folder(gun);
    for (name, content) in files.iter() {
        let mut titles =
            names(name, content).into_iter().map(|name| format!("{folder}{name}.json"));
        let digests = titles.find_map(|title| listed.get(&*title));
        let digests = digests.map_or(&[][..], Vec::as_slice);
        let why = match digests {
            [] => format!("the bundle does not list {name}.json of {gun}"),
            [digest] if digest.is_of(content) => continue,
            [_] => format!("{name}.json of {gun} is not the signed file"),
            [_, _, ..] => format!("the bundle lists {name}.json of {gun} twice"),
        };
        return Err(NotProven(why));
    }
    Ok(())
}
