//! Shared by the notation tests: one image, an anchor from a configuration, and verdicts.

use countersign::clock::Timestamp;
use countersign::oci::{Digest, MediaType};
use countersign::toml_reader::{Document, Problems};
use countersign::trust::notation::{Anchor, Config, Judged, Proven, Revocations};
use countersign::trust::{
    Candidate, Flaw, Rejection, SignatureContent, Subject, VerifiedSignature,
};

use crate::carried::through;
use crate::folder::Folder;
use crate::notation_signer::{Certified, NOW};

pub(super) const JWS: &str = "application/jose+json";
pub(super) const COSE: &str = "application/cose";

pub(super) fn subject() -> Subject {
    Subject {
        repository: "registry.example.com/library/app".parse().unwrap(),
        digest: Digest::of(b"the image"),
        media_type: MediaType::OciImage,
        size: 9,
    }
}

pub(super) fn now() -> Timestamp {
    Timestamp::from_unix(NOW)
}

/// The anchor that the lines of a section make, with files beside them.
pub(super) fn config(lines: &str, files: &[(&str, &[u8])]) -> Result<Config, Problems> {
    let folder = Folder::new("notation");
    for (name, bytes) in files {
        folder.write(name, bytes);
    }
    let document = Document::from_text(&folder.join("countersign.toml"), lines.to_owned());
    document.read(|section| Config::read(section, "platform".into()))
}

/// An anchor that trusts `root` and everybody below it, for code and as signing authority, with more
/// lines of configuration.
pub(super) fn trusting(root: &Certified, lines: &str) -> Anchor {
    let trust = "trust_store = [\"ca:root.crt\", \"signingAuthority:root.crt\"]\n";
    let identities = if lines.contains("identities") { "" } else { "identities = [\"*\"]\n" };
    let revocation = if lines.contains("revocation") { "" } else { "revocation = \"skip\"\n" };
    let lines = format!("{trust}{identities}{revocation}{lines}");
    Anchor::new(config(&lines, &[("root.crt", root.pem().as_bytes())]).unwrap())
}

pub(super) fn candidate(media_type: &str, bytes: Vec<u8>) -> Candidate {
    let content = SignatureContent::Envelope {
        media_type: media_type.to_owned(),
        bytes: through(bytes).into(),
    };
    Candidate { place: "referrer".to_owned(), source: Digest::of(b""), content }
}

pub(super) fn judged(anchor: &Anchor, media_type: &str, bytes: Vec<u8>) -> Judged {
    anchor.judge(&candidate(media_type, bytes), &subject(), &Revocations::default(), now())
}

/// What is vouched for, and what was tolerated.
pub(super) fn vouched(judged: Judged) -> (VerifiedSignature, Vec<Flaw>) {
    let reported = format!("{judged:?}");
    let Judged::Proven(Proven { vouched, tolerated }) = judged else { panic!("{reported}") };
    (vouched, tolerated)
}

/// The check that did not pass.
pub(super) fn flawed(judged: Judged) -> Flaw {
    let reported = format!("{judged:?}");
    let Judged::Rejected(Rejection::Flawed(flaw)) = judged else { panic!("{reported}") };
    flaw
}

pub(super) fn beside(judged: Judged) -> Flaw {
    let reported = format!("{judged:?}");
    let Judged::Rejected(Rejection::Beside(flaw)) = judged else { panic!("{reported}") };
    flaw
}

/// Why it could not be found out.
pub(super) fn undecided(judged: Judged) -> String {
    let reported = format!("{judged:?}");
    let Judged::Rejected(Rejection::Undecided(why) | Rejection::Unexamined(why)) = judged else {
        panic!("{reported}")
    };
    why
}
