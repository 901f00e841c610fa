//! The headers of the distribution specification: their names, and the headers that name content.

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

/// The two headers that name content, [`DOCKER_CONTENT_DIGEST`] and `ETag`. They share one text.
#[derive(Clone, Debug)]
pub struct ContentName(Bytes);

impl ContentName {
    pub fn of(digest: &Digest) -> Self {
        // The exact capacity: otherwise the conversion to `Bytes` shrinks the text, which copies it.
        let mut text = String::with_capacity(digest.text_len() + "\"\"".len());
        // Writing to a `String` cannot fail.
        let _ = write!(text, "\"{digest}\"");
        Self(text.into())
    }

    /// The quoted text, as in `ETag`, `If-Match`, and similar headers.
    pub fn etag(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Adds both headers to `headers`.
    pub fn put(&self, headers: &mut HeaderMap) {
        let digest = self.0.slice(1..self.0.len() - 1);
        // A digest has only letters, digits and a colon, so both are always valid header values.
        if let Ok(digest) = HeaderValue::from_maybe_shared(digest) {
            headers.insert(DOCKER_CONTENT_DIGEST, digest);
        }
        if let Ok(etag) = HeaderValue::from_maybe_shared(self.0.clone()) {
            headers.insert(ETAG, etag);
        }
    }
}

/// The headers of a manifest. They are the same for each response.
pub fn of_manifest(name: &ContentName, media_type: MediaType, length: usize) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(5);
    headers.insert(DOCKER_DISTRIBUTION_API_VERSION, API_VERSION);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type.as_str()));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    name.put(&mut headers);
    headers
}
