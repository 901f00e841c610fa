//! The only parser of public paths (distribution-spec, "Endpoints"; and the Notary server's read-only paths). Turns
//! a method, path and query into a [`Route`], and knows nothing of responses, decisions or clients.

mod called;

use std::borrow::Cow;

use http::Method;
use thiserror::Error;
use url::form_urlencoded;

use crate::oci::digest::InvalidDigest;
use crate::oci::docker_hub::{self, DOCKER_HUB};
use crate::oci::name::InvalidName;
use crate::oci::{Digest, ErrorCode, ImageRef, Reference, Registry, RepositoryRef};
use crate::registry_client::Page;
use crate::trust::notaryv1::{File, Gun};

/// The longest `artifactType` in a query, in bytes.
pub const MAX_ARTIFACT_TYPE: usize = 255;
/// Where clients of the mirror listener exchange a password for a token.
pub(super) const TOKEN_PATH: &str = "/token";

/// The names of the registries that are served.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// All of them, including the default.
    pub registries: Vec<Registry>,
    /// The registry of names without a registry and without `ns`.
    pub default: Option<Registry>,
    /// The ports of the gate's own listeners, which users write in image names.
    pub own_ports: Vec<u16>,
}

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/v2/`: checks that this is a registry.
    Base,
    Manifest(ImageRef),
    Blob {
        repository: RepositoryRef,
        digest: Digest,
    },
    Tags {
        repository: RepositoryRef,
        /// The name as the client wrote it, for the link to the next page.
        name: Box<str>,
        /// The `ns` parameter, if given, for the same link.
        ns: Option<Registry>,
        page: Page,
    },
    Referrers {
        repository: RepositoryRef,
        digest: Digest,
        name: Box<str>,
        ns: Option<Registry>,
        artifact_type: Option<String>,
        page: Page,
    },
    /// A file of a Notary server.
    TrustMetadata {
        gun: Gun,
        file: File,
    },
    /// The token endpoint, with any method.
    Token,
    /// A registry path with a method that does not read.
    Unsupported,
    /// Not a path of a registry.
    NotFound,
}

/// Why a path or a query is invalid.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Malformed {
    #[error("{1:?} is not a repository name: {0}")]
    Name(InvalidName, String),
    #[error("{1:?} is not a tag: {0}")]
    Tag(InvalidName, String),
    #[error("{1:?} is not a digest: {0}")]
    Digest(InvalidDigest, String),
    #[error("`n`, the number of tags to list, must be a whole number")]
    Count,
    #[error("`artifactType` must be a media type of at most {MAX_ARTIFACT_TYPE} bytes")]
    ArtifactType,
    #[error("`ns` must be given only once")]
    Namespaces,
    #[error("this gate does not serve the registry {0:?}")]
    UnknownRegistry(String),
    #[error("{0:?} does not begin with a registry that this gate serves, and there is no default")]
    NoRegistry(String),
}

impl Malformed {
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Name(..) | Self::Namespaces | Self::ArtifactType => ErrorCode::NameInvalid,
            Self::Tag(..) => ErrorCode::TagInvalid,
            Self::Digest(..) => ErrorCode::DigestInvalid,
            Self::Count => ErrorCode::PaginationNumberInvalid,
            Self::UnknownRegistry(_) | Self::NoRegistry(_) => ErrorCode::NameUnknown,
        }
    }
}

/// A path split into its parts, which are not yet validated.
enum Shape<'a> {
    Base,
    Manifest { name: &'a str, reference: &'a str },
    Blob { name: &'a str, digest: &'a str },
    Uploads,
    Tags { name: &'a str },
    Referrers { name: &'a str, digest: &'a str },
    Trust { gun: &'a str, file: &'a str },
}

impl Route {
    /// Parses a request: `path` and `query` are as the client sent them, still percent-encoded.
    pub fn parse(
        method: &Method,
        path: &str,
        query: Option<&str>,
        names: &Names,
    ) -> Result<Self, Malformed> {
        let Some(shape) = Shape::of(path) else {
            return Ok(if path == TOKEN_PATH { Self::Token } else { Self::NotFound });
        };
        if method != Method::GET && method != Method::HEAD {
            return Ok(Self::Unsupported);
        }
        let query = query.unwrap_or_default();
        match shape {
            Shape::Base => Ok(Self::Base),
            Shape::Uploads => Ok(Self::NotFound),
            Shape::Manifest { name, reference } => {
                let repository = names.resolve(name, query)?;
                let reference = self::reference(reference)?;
                Ok(Self::Manifest(ImageRef { repository, reference }))
            }
            Shape::Blob { name, digest } => {
                let repository = names.resolve(name, query)?;
                Ok(Self::Blob { repository, digest: self::digest(digest)? })
            }
            Shape::Tags { name } => {
                let repository = names.resolve(name, query)?;
                let ns = namespace(query)?.is_some().then(|| repository.registry.clone());
                let page = page(query)?;
                Ok(Self::Tags { repository, name: name.into(), ns, page })
            }
            Shape::Referrers { name, digest } => {
                let repository = names.resolve(name, query)?;
                let ns = namespace(query)?.is_some().then(|| repository.registry.clone());
                let digest = self::digest(digest)?;
                let artifact_type = artifact_type(query)?;
                let page = page(query)?;
                let name = name.into();
                Ok(Self::Referrers { repository, digest, name, ns, artifact_type, page })
            }
            Shape::Trust { gun, file } => trust_metadata(gun, file),
        }
    }
}

/// What a path requests that clients of a mirror would otherwise request elsewhere, even if the rest of the request
/// is invalid.
pub(super) enum Wanted<'a> {
    /// A manifest by that reference, as written in the path.
    Manifest(&'a str),
    /// A blob, or the list of tags.
    Other,
    /// `/v2/`.
    Base,
    /// A token.
    Token,
}

pub(super) fn wanted(path: &str) -> Option<Wanted<'_>> {
    if path == TOKEN_PATH {
        return Some(Wanted::Token);
    }
    match Shape::of(path)? {
        Shape::Manifest { reference, .. } => Some(Wanted::Manifest(reference)),
        Shape::Blob { .. } | Shape::Tags { .. } => Some(Wanted::Other),
        Shape::Base => Some(Wanted::Base),
        Shape::Uploads | Shape::Referrers { .. } | Shape::Trust { .. } => None,
    }
}

impl<'a> Shape<'a> {
    /// Splits from the right: every marker except `_trust` may also be part of a name.
    fn of(path: &'a str) -> Option<Self> {
        let rest = match path {
            "/v2" | "/v2/" => return Some(Self::Base),
            _ => path.strip_prefix("/v2/")?,
        };
        if let Some((gun, file)) = rest.split_once("/_trust/tuf/") {
            return Some(Self::Trust { gun, file });
        }
        let (rest, last) = rest.rsplit_once('/')?;
        let (name, marker) = rest.rsplit_once('/').unwrap_or(("", rest));
        match (marker, last) {
            ("manifests", reference) => Some(Self::Manifest { name, reference }),
            ("blobs", "uploads") => Some(Self::Uploads),
            ("blobs", digest) => Some(Self::Blob { name, digest }),
            ("tags", "list") => Some(Self::Tags { name }),
            ("referrers", digest) => Some(Self::Referrers { name, digest }),
            ("uploads", _) if name == "blobs" || name.ends_with("/blobs") => Some(Self::Uploads),
            _ => None,
        }
    }
}

impl Names {
    /// The repository that `name` means: in the registry of `ns`, otherwise in that of its own first segment, otherwise
    /// in the default one.
    fn resolve(&self, name: &str, query: &str) -> Result<RepositoryRef, Malformed> {
        let (registry, rest) = match namespace(query)? {
            Some(ns) => match self.namespace(&ns) {
                Some(registry) => (Ok(registry), name),
                None => (Err(Malformed::UnknownRegistry(excerpt(&ns))), name),
            },
            None => {
                let first = name.split_once('/');
                match first.and_then(|(first, rest)| Some((self.registry(first)?, rest))) {
                    Some((registry, rest)) => (Ok(registry), rest),
                    None => {
                        let default = self.default.as_ref();
                        (default.ok_or_else(|| Malformed::NoRegistry(excerpt(name))), name)
                    }
                }
            }
        };
        // An invalid name is reported first, because it is invalid in every registry.
        let name = rest.parse().map_err(|why| Malformed::Name(why, excerpt(rest)))?;
        let registry = registry?.clone();
        Ok(RepositoryRef { registry, name }.in_full())
    }

    /// The registry that `ns` names; for Docker Hub, regctl sends a host name.
    fn namespace(&self, ns: &str) -> Option<&Registry> {
        let hub = || docker_hub::HOSTS.contains(&ns).then(|| self.registry(DOCKER_HUB)).flatten();
        self.registry(ns).or_else(hub)
    }

    fn registry(&self, name: &str) -> Option<&Registry> {
        self.registries.iter().find(|registry| registry.as_str() == name)
    }
}

/// The page of a list. An invalid count is an error, because the client expects it to apply.
fn page(query: &str) -> Result<Page, Malformed> {
    match parameter(query, "n").map(|n| n.parse::<u32>()) {
        Some(Err(_)) => Err(Malformed::Count),
        Some(Ok(_)) | None => Ok(Page::parse(query)),
    }
}

/// The first value of `key`; invalid UTF-8 becomes U+FFFD.
fn parameter<'a>(query: &'a str, key: &str) -> Option<Cow<'a, str>> {
    form_urlencoded::parse(query.as_bytes()).find(|(k, _)| k == key).map(|(_, value)| value)
}

fn namespace(query: &str) -> Result<Option<Cow<'_, str>>, Malformed> {
    let mut all = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == "ns");
    let first = all.next().map(|(_, ns)| ns);
    if all.next().is_some() { Err(Malformed::Namespaces) } else { Ok(first) }
}

fn artifact_type(query: &str) -> Result<Option<String>, Malformed> {
    match parameter(query, "artifactType") {
        Some(artifact_type) if !is_plain(&artifact_type) => Err(Malformed::ArtifactType),
        artifact_type => Ok(artifact_type.map(Cow::into_owned)),
    }
}

fn is_plain(value: &str) -> bool {
    value.len() <= MAX_ARTIFACT_TYPE && value.bytes().all(|b| b.is_ascii_graphic())
}

/// Decodes the colon of a digest, the only character that clients are known to encode in a path.
fn decode_colon(text: &str) -> Cow<'_, str> {
    if text.contains('%') {
        Cow::Owned(text.replacen("%3A", ":", 1).replacen("%3a", ":", 1))
    } else {
        Cow::Borrowed(text)
    }
}

fn reference(text: &str) -> Result<Reference, Malformed> {
    let text = decode_colon(text);
    if text.contains(':') {
        Ok(Reference::Digest(digest(&text)?))
    } else {
        Ok(Reference::Tag(text.parse().map_err(|why| Malformed::Tag(why, excerpt(&text)))?))
    }
}

fn digest(text: &str) -> Result<Digest, Malformed> {
    let text = decode_colon(text);
    text.parse().map_err(|why| Malformed::Digest(why, excerpt(&text)))
}

fn trust_metadata(gun: &str, file: &str) -> Result<Route, Malformed> {
    let gun = gun.parse().map_err(|why| Malformed::Name(why, excerpt(gun)))?;
    let file = file.strip_suffix(".json").and_then(File::parse);
    Ok(file.map_or(Route::NotFound, |file| Route::TrustMetadata { gun, file }))
}

/// The beginning of a client's text, for an error message.
fn excerpt(text: &str) -> String {
    const MOST: usize = 128;
    if text.chars().nth(MOST).is_none() {
        return text.to_owned();
    }
    text.chars().take(MOST).chain(['…']).collect()
}

#[cfg(test)]
mod tests;
