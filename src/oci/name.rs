//! Names: registry, repository, tag, reference, and image ref. The grammars are those of distribution-spec
//! ("Pulling manifests") and, for registries, of the reference package of distribution.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use super::digest::{Digest, InvalidDigest};
use super::docker_hub::{DOCKER_HUB, OFFICIAL};

/// The default tag.
const LATEST: &str = "latest";
/// The maximum length of a repository name (distribution).
pub const MAX_REPOSITORY: usize = 255;
/// The maximum length of a tag (distribution-spec).
pub const MAX_TAG: usize = 128;
/// The most characters of the hash in the tag of a list of referrers.
const MAX_REFERRERS_HASH: usize = 64;
/// The maximum length of a registry name: a host name, a colon and a port.
pub const MAX_REGISTRY: usize = 253 + 6;

/// Why a text is not a valid name.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidName {
    #[error(
        "a registry must be a host name or IP address with an optional port, for example `registry.example.com:5000`"
    )]
    Registry,
    #[error(
        "a repository must be at most 255 characters: path segments of lower-case letters, digits and \
         separators (. _ __ -), for example `library/app`"
    )]
    Repository,
    #[error(
        "a tag must be 1 to 128 letters, digits, `_`, `.` and `-`, and must not start with `.` or `-`"
    )]
    Tag,
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
    #[error("an image name must have the form `registry/repository[:tag][@digest]`")]
    Image,
}

/// A validated text. Clones share it, because each decision passes names on.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $error:ident, $holds:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                if $holds(text) { Ok(Self(text.into())) } else { Err(InvalidName::$error) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_type!(
    /// The part of an image name before the repository: `docker.io`, `localhost:5000`.
    Registry,
    Registry,
    is_registry
);
text_type!(
    /// The `<name>` of the distribution specification: `library/app`.
    Repository,
    Repository,
    is_repository
);
text_type!(
    /// A mutable name of a manifest in a repository.
    Tag,
    Tag,
    is_tag
);

/// The `<reference>` of the distribution specification.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    Digest(Digest),
    Tag(Tag),
}

impl FromStr for Reference {
    type Err = InvalidName;

    /// A text with a colon is a digest, because a tag cannot contain one.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if text.contains(':') {
            Ok(Self::Digest(text.parse()?))
        } else {
            Ok(Self::Tag(text.parse()?))
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digest) => digest.fmt(f),
            Self::Tag(tag) => tag.fmt(f),
        }
    }
}

/// A repository of a registry: `docker.io/library/app`. Clones share both names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryRef {
    pub registry: Registry,
    /// The name of the repository in the registry.
    pub name: Repository,
}

impl fmt::Display for RepositoryRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.name)
    }
}

impl fmt::Debug for RepositoryRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RepositoryRef {
    type Err = InvalidName;

    /// Parses `registry/repository` exactly: `docker.io/app` does not become `docker.io/library/app`.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (registry, name) = text.split_once('/').ok_or(InvalidName::Image)?;
        Ok(Self { registry: registry.parse()?, name: name.parse()? })
    }
}

impl RepositoryRef {
    /// The full name: on `docker.io`, a repository of one segment is in `library/`.
    pub fn in_full(self) -> Self {
        if self.registry.as_str() == DOCKER_HUB && !self.name.as_str().contains('/') {
            let name = Repository(format!("{OFFICIAL}/{}", self.name).into());
            Self { name, ..self }
        } else {
            self
        }
    }
}

/// The object of a client's request: a reference in a repository of a registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImageRef {
    pub repository: RepositoryRef,
    pub reference: Reference,
}

impl ImageRef {
    /// The manifest or blob `digest` of a repository.
    pub fn by_digest(repository: &RepositoryRef, digest: &Digest) -> Self {
        Self { repository: repository.clone(), reference: Reference::Digest(*digest) }
    }

    /// The tag, if the reference is one.
    pub fn tag(&self) -> Option<&Tag> {
        match &self.reference {
            Reference::Tag(tag) => Some(tag),
            Reference::Digest(_) => None,
        }
    }

    /// The digest, if the reference is one.
    pub fn digest(&self) -> Option<&Digest> {
        match &self.reference {
            Reference::Digest(digest) => Some(digest),
            Reference::Tag(_) => None,
        }
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = match self.reference {
            Reference::Digest(_) => '@',
            Reference::Tag(_) => ':',
        };
        write!(f, "{}{separator}{}", self.repository, self.reference)
    }
}

impl FromStr for ImageRef {
    type Err = InvalidName;

    /// Parses `registry/repository[:tag][@digest]` as clients do: a digest takes precedence over a tag, and
    /// the default is the tag `latest`. For `docker.io`, a repository of one segment is in `library/`.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (registry, rest) = text.split_once('/').ok_or(InvalidName::Image)?;
        let registry: Registry = registry.parse()?;
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>()?)),
            None => (rest, None),
        };
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag.parse::<Tag>()?)),
            None => (rest, None),
        };
        let reference = match (digest, tag) {
            (Some(digest), _) => Reference::Digest(digest),
            (None, Some(tag)) => Reference::Tag(tag),
            (None, None) => Reference::Tag(LATEST.parse()?),
        };
        let name = repository.parse()?;
        Ok(Self { repository: RepositoryRef { registry, name }.in_full(), reference })
    }
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port_holds = port.is_none_or(|port| {
        !port.starts_with('0')
            && port.bytes().all(|b| b.is_ascii_digit())
            && port.parse::<u16>().is_ok()
    });
    let host_holds = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.split('.').all(is_host_label),
    };
    text.len() <= MAX_REGISTRY && port_holds && host_holds
}

fn is_host_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= 63
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn is_repository(text: &str) -> bool {
    text.len() <= MAX_REPOSITORY && text.split('/').all(is_repository_segment)
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_repository_segment(segment: &str) -> bool {
    let word = |b: &u8| matches!(b, b'a'..=b'z' | b'0'..=b'9');
    let bytes = segment.as_bytes();
    let edges = bytes.first().is_some_and(word) && bytes.last().is_some_and(word);
    let separators = bytes
        .split(word)
        .all(|run| matches!(run, b"" | b"." | b"_" | b"__") || run.iter().all(|&b| b == b'-'));
    edges && separators
}

impl Tag {
    /// The tag of the list of referrers of `subject` (distribution-spec, "Referrers Tag Schema").
    pub fn of_referrers(subject: &Digest) -> Self {
        let mut hash = subject.hex();
        hash.truncate(MAX_REFERRERS_HASH);
        Self(format!("{}-{hash}", subject.algorithm().name()).into())
    }
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
fn is_tag(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= MAX_TAG
        && bytes.first().is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_follow_the_grammar() {
        for text in ["a", "library/app", "a/b/c/d", "a-b", "a--b", "a_b", "a__b", "a.b", "0/1"] {
            assert!(text.parse::<Repository>().is_ok(), "{text}");
        }
        let long = "a".repeat(256);
        for text in [
            "", "/", "a/", "/a", "a//b", "A", "a..b", "a___b", "-a", "a-", ".a", "a.", "_a",
            "a_-b", "a b", "a%2fb", "../a", "a/../b", "é", &long,
        ] {
            assert_eq!(text.parse::<Repository>(), Err(InvalidName::Repository), "{text}");
        }
        assert!("a".repeat(255).parse::<Repository>().is_ok());
    }

    #[test]
    fn tags_follow_the_grammar() {
        let long = "a".repeat(129);
        for text in ["1", "v1.2-rc_3", "_", "A", &"a".repeat(128)] {
            assert!(text.parse::<Tag>().is_ok(), "{text}");
        }
        for text in ["", ".a", "-a", "a/b", "a b", "a:b", "é", "a%41", &long] {
            assert_eq!(text.parse::<Tag>(), Err(InvalidName::Tag), "{text}");
        }
    }

    #[test]
    fn registries_are_hosts_with_an_optional_port() {
        for text in
            ["docker.io", "localhost", "localhost:5000", "10.0.0.1:5000", "[::1]:5000", "[::1]"]
        {
            assert!(text.parse::<Registry>().is_ok(), "{text}");
        }
        for text in [
            "", ":5000", "a:", "a:b", "a:99999", "a:05", "A.b", "-a", "a-", "a..b", "::1", "a/b",
            "a_b",
        ] {
            assert_eq!(text.parse::<Registry>(), Err(InvalidName::Registry), "{text}");
        }
    }

    #[test]
    fn image_refs_are_parsed_as_clients_parse_them() {
        for (text, full) in [
            ("docker.io/alpine", "docker.io/library/alpine:latest"),
            ("docker.io/user/x:1", "docker.io/user/x:1"),
            ("localhost:5000/a/b:v1", "localhost:5000/a/b:v1"),
        ] {
            assert_eq!(
                text.parse::<ImageRef>().map(|image| image.to_string()),
                Ok(full.to_owned())
            );
        }
        let digest = Digest::of(b"");
        let both = format!("r.example/a:v1@{digest}").parse::<ImageRef>().unwrap();
        assert_eq!(both.reference, Reference::Digest(digest));
        for text in
            ["alpine", "docker.io/", "docker.io/A", "docker.io/a:", "docker.io/a@sha256:0", ""]
        {
            assert!(text.parse::<ImageRef>().is_err(), "{text}");
        }
    }
}
