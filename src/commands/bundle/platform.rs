//! Platforms of images, and the children of an index that belong to them. Pure.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::json::{Document, InvalidJson, Value};
use crate::oci::Digest;
use crate::oci::manifest::MAX_VALUES;

/// The annotation with which BuildKit names the manifest that an attestation in the same index is about.
const ABOUT: &str = "vnd.docker.reference.digest";

/// `os/architecture[/variant]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

/// A text is not a platform.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "a platform has the form os/architecture[/variant], for example linux/arm64 or linux/arm/v7"
)]
pub struct InvalidPlatform;

/// An entry of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Child {
    pub(super) digest: Digest,
    pub(super) platform: Option<Platform>,
    /// The manifest that it is an attestation of.
    about: Option<Digest>,
}

impl Platform {
    /// Whether an image for `other` runs there. A platform without a variant includes all variants.
    fn includes(&self, other: &Self) -> bool {
        self.os == other.os
            && self.architecture == other.architecture
            && (self.variant.is_none() || self.variant == other.variant)
    }

    /// The platform of this machine.
    pub(super) fn own() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            other => other,
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None }
    }
}

impl FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Self, InvalidPlatform> {
        let is_word = |part: &&str| {
            let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
            (1..=64).contains(&part.len()) && part.bytes().all(word)
        };
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            [os, architecture] if parts.iter().all(is_word) => Ok(Self {
                os: (*os).to_owned(),
                architecture: (*architecture).to_owned(),
                variant: None,
            }),
            [os, architecture, variant] if parts.iter().all(is_word) => Ok(Self {
                os: (*os).to_owned(),
                architecture: (*architecture).to_owned(),
                variant: Some((*variant).to_owned()),
            }),
            _ => Err(InvalidPlatform),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// The entries of an index, in its order.
pub(super) fn children(index: &[u8]) -> Result<Vec<Child>, InvalidJson> {
    let document = Document::parse_within(index, MAX_VALUES)?;
    let entries = document.root().member("manifests").and_then(Value::as_array);
    let child = |entry: Value<'_>| {
        let text =
            |of: Value<'_>, name: &str| of.member(name).and_then(Value::as_str).map(str::to_owned);
        let platform = entry.present("platform").and_then(|platform| {
            let (os, architecture) = (text(platform, "os")?, text(platform, "architecture")?);
            let variant = text(platform, "variant").filter(|variant| !variant.is_empty());
            Some(Platform { os, architecture, variant })
        });
        let about = entry.present("annotations").and_then(|annotations| text(annotations, ABOUT));
        let about = about.and_then(|about| about.parse().ok());
        let digest = text(entry, "digest")?.parse().ok()?;
        Some(Child { digest, platform, about })
    };
    Ok(entries.into_iter().flatten().filter_map(child).collect())
}

/// The children for any of the `wanted` platforms, and those about them; all if `wanted` is empty. A child without a
/// platform belongs to all.
pub(super) fn chosen(children: Vec<Child>, wanted: &[Platform]) -> Vec<Child> {
    if wanted.is_empty() {
        return children;
    }
    let is_wanted = |child: &Child| match &child.platform {
        Some(platform) => wanted.iter().any(|wanted| wanted.includes(platform)),
        None => child.about.is_none(),
    };
    let direct: Vec<Digest> =
        children.iter().filter(|child| is_wanted(child)).map(|child| child.digest).collect();
    let is_about = |child: &Child| child.about.is_some_and(|about| direct.contains(&about));
    children.into_iter().filter(|child| direct.contains(&child.digest) || is_about(child)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn digest(name: &str) -> String {
        Digest::of(name.as_bytes()).to_string()
    }

    fn names(wanted: &[&str]) -> Vec<String> {
        let image = |name: &str, os: &str, architecture: &str, variant: &str| {
            json!({"digest": digest(name), "platform":
                   {"os": os, "architecture": architecture, "variant": variant}})
        };
        let index = json!({"manifests": [
            image("amd64", "linux", "amd64", ""),
            image("v6", "linux", "arm", "v6"),
            image("v7", "linux", "arm", "v7"),
            {"digest": digest("proof"), "platform": {"os": "unknown", "architecture": "unknown"},
             "annotations": {ABOUT: digest("amd64")}},
            {"digest": digest("any")},
        ]});
        let wanted: Vec<Platform> = wanted.iter().map(|text| text.parse().unwrap()).collect();
        let chosen = chosen(children(index.to_string().as_bytes()).unwrap(), &wanted);
        let all = ["amd64", "v6", "v7", "proof", "any"];
        let name = |child: &Child| {
            *all.iter().find(|name| digest(name) == child.digest.to_string()).unwrap()
        };
        chosen.iter().map(|child| name(child).to_owned()).collect()
    }

    #[test]
    fn a_platform_brings_its_attestations_and_nothing_of_others() {
        assert_eq!(names(&[]), ["amd64", "v6", "v7", "proof", "any"]);
        assert_eq!(names(&["linux/amd64"]), ["amd64", "proof", "any"]);
        assert_eq!(names(&["linux/arm"]), ["v6", "v7", "any"]);
        assert_eq!(names(&["linux/arm/v7", "windows/amd64"]), ["v7", "any"]);
    }

    #[test]
    fn a_text_that_is_not_a_platform_is_refused() {
        for text in ["linux/arm64", "linux/arm/v7"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        for text in ["", "linux", "linux/", "a/b/c/d", "linux/a md64", "li\u{1b}nux/amd64"] {
            assert_eq!(text.parse::<Platform>(), Err(InvalidPlatform), "{text:?}");
        }
    }
}
