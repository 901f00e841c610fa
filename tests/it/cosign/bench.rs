//! Passes one candidate to the product's verification and asserts the result.

use bytes::Bytes;
use serde_json::Value;

use countersign::clock::Timestamp;
use countersign::oci::{Digest, MediaType};
use countersign::toml_reader::Document;
use countersign::trust::cosign::{Anchor, Config};
use countersign::trust::{
    Candidate, Flaw, Rejection, SignatureContent, Subject, VerifiedSignature,
};

use crate::carried::through;
use crate::folder::Folder;
use crate::sigstore::{HOUR, Key, Layer, NOW, Sigstore};

/// The manifest that every test is about.
pub const IMAGE: &[u8] = br#"{"schemaVersion":2}"#;
/// The predicate type of a signature.
pub const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
/// The predicate type of an attestation.
pub const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

pub fn digest() -> String {
    Digest::of(IMAGE).to_string()
}

/// An anchor, the image, and when it is judged.
pub struct Bench {
    pub anchor: Anchor,
    pub subject: Subject,
    pub now: Timestamp,
}

impl Bench {
    /// The anchor of these lines, which may name these files.
    pub fn new(lines: &str, files: &[(&str, &str)]) -> Self {
        let config = read(lines, files).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let subject = Subject {
            repository: "registry.test/app".parse().unwrap(),
            digest: Digest::of(IMAGE),
            media_type: MediaType::OciImage,
            size: IMAGE.len() as u64,
        };
        Self { anchor: Anchor::new(config), subject, now: Timestamp::from_unix(NOW + HOUR) }
    }

    /// An anchor of these keys, with more lines, and the shared Sigstore as its trusted root.
    pub fn of_keys(keys: &[&Key], lines: &str) -> Self {
        let root = Sigstore::shared().trusted_root().to_string();
        let names: Vec<String> = (0..keys.len()).map(|at| format!("{at}.pub")).collect();
        let pems: Vec<String> = keys.iter().map(|key| key.pem()).collect();
        let mut files: Vec<(&str, &str)> =
            names.iter().map(String::as_str).zip(pems.iter().map(String::as_str)).collect();
        files.push(("root.json", &root));
        Self::new(&format!("keys = {names:?}\ntrusted_root = \"root.json\"\n{lines}"), &files)
    }

    /// A keyless anchor of these lines, with `root` as its trusted root.
    pub fn keyless(lines: &str, root: &Value) -> Self {
        let lines = format!("trusted_root = \"root.json\"\n{lines}");
        Self::new(&lines, &[("root.json", &root.to_string())])
    }

    pub fn judge(&self, content: impl Into<Given>) -> Result<VerifiedSignature, Rejection> {
        let (place, source) = ("a test".to_owned(), Digest::of(b""));
        let candidate = Candidate { place, source, content: content.into().0 };
        self.anchor.judge(&candidate, &self.subject, self.now)
    }

    #[track_caller]
    pub fn takes(&self, content: impl Into<Given>) -> VerifiedSignature {
        self.judge(content).unwrap_or_else(|unproven| panic!("{unproven:#?}"))
    }

    /// It is what the anchor asks for, and this check finds it wanting.
    #[track_caller]
    pub fn refuses(&self, check: &str, content: impl Into<Given>) -> Flaw {
        match self.judge(content) {
            Err(Rejection::Flawed(flaw)) => {
                assert_eq!(flaw.check, check, "{flaw:#?}");
                flaw
            }
            other => panic!("{other:#?}"),
        }
    }

    /// It exceeds a limit, so nobody knows whether it is good.
    #[track_caller]
    pub fn cannot_examine(&self, content: impl Into<Given>) {
        match self.judge(content) {
            Err(Rejection::Unexamined(why)) => assert!(why.starts_with("not examined: "), "{why}"),
            other => panic!("{other:#?}"),
        }
    }

    /// It is not what the anchor asks for, by this check.
    #[track_caller]
    pub fn passes_by(&self, check: &str, content: impl Into<Given>) -> Flaw {
        match self.judge(content) {
            Err(Rejection::Beside(flaw)) => {
                assert_eq!(flaw.check, check, "{flaw:#?}");
                flaw
            }
            other => panic!("{other:#?}"),
        }
    }
}

/// What is put before the judge.
pub struct Given(SignatureContent);

impl From<&Layer> for Given {
    fn from(layer: &Layer) -> Self {
        Self(SignatureContent::Layer {
            media_type: layer.media_type.clone(),
            payload: Bytes::from(through(layer.payload.clone())),
            annotations: layer.annotations.clone(),
        })
    }
}

impl From<&Value> for Given {
    fn from(bundle: &Value) -> Self {
        Self::from(bundle.to_string().as_str())
    }
}

/// The text of a bundle.
impl From<&str> for Given {
    fn from(bundle: &str) -> Self {
        Self(SignatureContent::Bundle { json: through(bundle.as_bytes().to_vec()).into() })
    }
}

impl From<SignatureContent> for Given {
    fn from(content: SignatureContent) -> Self {
        Self(content)
    }
}

/// Reads an anchor's section, or what is wrong with it.
pub fn read(lines: &str, files: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let folder = Folder::new("cosign");
    for (name, content) in files {
        folder.write(name, content);
    }
    let document = Document::from_text(&folder.join("c.toml"), format!("[anchor]\n{lines}"));
    let read = document
        .read(|top| top.section("anchor").and_then(|section| Config::read(&section, "ci".into())));
    read.map_err(|problems| {
        let reported = |problem: &countersign::toml_reader::Problem| {
            format!("{}: {}", problem.key.trim_start_matches("anchor."), problem.message)
        };
        problems.0.iter().map(reported).collect()
    })
}
