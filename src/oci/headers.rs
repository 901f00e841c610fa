//! The headers of the distribution specification, once: their names, and those that name content.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::digest::Digest;
use super::media_type::MediaType;

pub const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub const DOCKER_DISTRIBUTION_API_VERSION: HeaderName =
    HeaderName::from_static("docker-distribution-api-version");
pub const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// The value of [`DOCKER_DISTRIBUTION_API_VERSION`].
pub const API_VERSION: HeaderValue = HeaderValue::from_static("registry/2.0");

/// The two headers that name content, [`DOCKER_CONTENT_DIGEST`] and `ETag`: one text, made once.
#[derive(Clone, Debug)]
pub struct ContentName(Bytes);

impl ContentName {
    pub fn of(digest: &Digest) -> Self {
        // Room for exactly this: `Bytes` gives back what is left, and that is a copy.
        let mut text = String::with_capacity(digest.text_len() + "\"\"".len());
        // A text takes all that is written to it.
        let _ = write!(text, "\"{digest}\"");
        Self(text.into())
    }

    /// With its quotes, as in `ETag` and the conditions on it.
    pub fn etag(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Puts both among `headers`.
    pub fn put(&self, headers: &mut HeaderMap) {
        let digest = self.0.slice(1..self.0.len() - 1);
        // A digest has only letters, digits and a colon: both are always values.
        if let Ok(digest) = HeaderValue::from_maybe_shared(digest) {
            headers.insert(DOCKER_CONTENT_DIGEST, digest);
        }
        if let Ok(etag) = HeaderValue::from_maybe_shared(self.0.clone()) {
            headers.insert(ETAG, etag);
        }
    }
}

/// The headers of a manifest, which are the same each time that it is sent.
pub fn of_manifest(name: &ContentName, media_type: MediaType, length: usize) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(5);
    headers.insert(DOCKER_DISTRIBUTION_API_VERSION, API_VERSION);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type.as_str()));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    name.put(&mut headers);
    headers
}
