//! Compares the payload's `targetArtifact` with the image.

use crate::json::{Document, Value};
use crate::oci::Digest;
use crate::trust::signature::{Flaw, Rejection};
use crate::trust::subject::Subject;

use super::flaw;
use crate::trust::x509::shortened;

const CHECK: &str = "target_artifact";
const MEMBERS: [&str; 3] = ["mediaType", "digest", "size"];

/// Whether the payload is about `subject`: same media type, digest and size.
pub(super) fn check(payload: &[u8], subject: &Subject) -> Result<(), Rejection> {
    let target = target(payload).map_err(Rejection::from)?;
    if target.digest != subject.digest {
        let found = format!("it is about {}", target.digest);
        return Err(Rejection::Beside(flaw(CHECK, found, subject.digest.to_string())));
    }
    if target.media_type != subject.media_type.as_str() {
        let found = format!("it says that the digest is a {:?}", shortened(&target.media_type));
        return Err(Rejection::Flawed(flaw(CHECK, found, subject.media_type.as_str())));
    }
    if u64::try_from(target.size).ok() != Some(subject.size) {
        let found = format!("it says that the digest has {} bytes", target.size);
        return Err(Rejection::Flawed(flaw(CHECK, found, subject.size.to_string())));
    }
    Ok(())
}

struct Target {
    media_type: String,
    digest: Digest,
    size: i64,
}

fn target(payload: &[u8]) -> Result<Target, Flaw> {
    let wanted = "targetArtifact with mediaType, digest and size";
    let document = Document::parse(payload).map_err(|e| flaw(CHECK, e.to_string(), wanted))?;
    let value = document.root();
    let none = || flaw(CHECK, "the payload has no targetArtifact that could be read", wanted);
    let target = value.member("targetArtifact").ok_or_else(none)?;
    if value.miscased(&["targetArtifact"]).or(target.miscased(&MEMBERS)).is_some() {
        return Err(flaw(CHECK, "a name of the payload is not in its own case", wanted));
    }
    let text = |name: &str| target.member(name).and_then(Value::as_str);
    Ok(Target {
        media_type: text("mediaType").ok_or_else(none)?.to_owned(),
        digest: text("digest").and_then(|digest| digest.parse().ok()).ok_or_else(none)?,
        size: target.member("size").and_then(Value::as_integer).ok_or_else(none)?,
    })
}
