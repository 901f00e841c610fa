//! Reads manifests and small blobs whole, within the caller's limit, and sends `HEAD` requests. Decisions use them, so
//! a slow client never holds them up.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::answer::{self, announces_web_page};
use super::error::{self, UpstreamError};
use super::metrics::Endpoint;
use super::range::{self, ByteRange};
use super::{Answer, Upstream, accept, expect_ok, text};
use crate::http_client::Method;
use crate::oci::headers::DOCKER_CONTENT_DIGEST;
use crate::oci::media_type::names_manifest;
use crate::oci::{Digest, ErrorCode, MediaType, Reference, Repository, Tag};

impl Upstream {
    /// The manifest that `reference` names in `repository`, if it has at most `ceiling` bytes.
    pub async fn manifest_within(
        &self,
        repository: &Repository,
        reference: &Reference,
        ceiling: usize,
    ) -> Result<Answer, UpstreamError> {
        let path = format!("manifests/{reference}");
        let headers = accept(MediaType::ACCEPT);
        let response =
            self.ask(Endpoint::Manifest, Method::Get, repository, &path, None, headers).await?;
        let response = expect_ok(response, ErrorCode::ManifestUnknown).await?;
        let content_type = text(response.headers(), &CONTENT_TYPE)?;
        let matches = |bytes: &[u8]| match reference {
            Reference::Digest(digest) => digest.is_of(bytes),
            Reference::Tag(_) => false,
        };
        let bytes = response.into_body().read_until(ceiling, matches).await?;
        // Bytes that match the digest are the manifest, whatever the headers say.
        let is_asked = matches(&bytes);
        if !is_asked {
            answer::check_manifest(content_type.as_deref(), &bytes).await?;
        }
        let content_type = content_type.filter(|of| !is_asked || names_manifest(of));
        Ok(Answer { bytes, content_type })
    }

    /// The current digest of `tag`. `HEAD` is only a hint: without a digest in the answer, or if upstream refuses
    /// `HEAD`, the manifest itself decides.
    pub async fn resolve(
        &self,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Digest, UpstreamError> {
        let path = format!("manifests/{tag}");
        let headers = accept(MediaType::ACCEPT);
        let response =
            self.ask(Endpoint::Manifest, Method::Head, repository, &path, None, headers).await?;
        let status = response.status();
        if status != StatusCode::OK && !may_be_of_head_only(status) {
            return Err(error::of_response(response, ErrorCode::ManifestUnknown).await);
        }
        let digest = match status == StatusCode::OK && !announces_web_page(response.headers()) {
            true => text(response.headers(), &DOCKER_CONTENT_DIGEST).unwrap_or_default(),
            false => None,
        };
        // Frees the place for the next request, which may be the last one.
        drop(response);
        match digest.and_then(|digest| digest.parse().ok()) {
            Some(digest) => Ok(digest),
            None => {
                let answer = self.manifest(repository, &Reference::Tag(tag.clone())).await?;
                Ok(Digest::of(&answer.bytes))
            }
        }
    }

    /// The length of the blob `digest` in bytes; `None` if upstream has the blob but does not send its length. `HEAD`
    /// is only a hint, as in [`Self::resolve`].
    pub async fn blob_length(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<u64>, UpstreamError> {
        // Without a turn, these requests could take the places that are reserved for decisions.
        let _turn = self.blob_turn().await?;
        let path = format!("blobs/{digest}");
        let response = self
            .ask(Endpoint::Blob, Method::Head, repository, &path, None, HeaderMap::new())
            .await?;
        let status = response.status();
        let is_empty = |length: Option<u64>| length == Some(0) && !digest.is_of(b"");
        if status == StatusCode::OK && !announces_web_page(response.headers()) {
            let length = range::content_length(response.headers())?;
            if !is_empty(length) {
                return Ok(length);
            }
        } else if status != StatusCode::OK && !may_be_of_head_only(status) {
            return Err(error::of_response(response, ErrorCode::BlobUnknown).await);
        }
        drop(response);
        let first = ByteRange::Between { first: 0, last: 0 };
        let headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static("bytes=0-0"))]);
        let response =
            self.ask(Endpoint::Blob, Method::Get, repository, &path, None, headers).await?;
        match response.status() {
            StatusCode::OK => {
                answer::check_blob(response.headers(), digest)?;
                Ok(range::content_length(response.headers())?
                    .filter(|length| !is_empty(Some(*length))))
            }
            StatusCode::PARTIAL_CONTENT => Ok(Some(range::part(response.headers(), first)?.total)),
            StatusCode::RANGE_NOT_SATISFIABLE => Ok(range::unsatisfied_size(response.headers())),
            _ => Err(error::of_response(response, ErrorCode::BlobUnknown).await),
        }
    }

    /// The whole blob `digest`, if it has at most `ceiling` bytes. It takes no turn among the blobs in progress, because slow
    /// clients may hold all of them.
    pub async fn small_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        ceiling: usize,
    ) -> Result<Bytes, UpstreamError> {
        let path = format!("blobs/{digest}");
        let headers = HeaderMap::new();
        let response =
            self.ask(Endpoint::Blob, Method::Get, repository, &path, None, headers).await?;
        let response = expect_ok(response, ErrorCode::BlobUnknown).await?;
        Ok(response.into_body().read_until(ceiling, |bytes| digest.is_of(bytes)).await?)
    }
}

/// Whether `GET` may succeed although `HEAD` had this status. Some servers do not know `HEAD`, and a redirect may lead to
/// an address that is signed for `GET` only.
fn may_be_of_head_only(status: StatusCode) -> bool {
    status == StatusCode::NOT_IMPLEMENTED
        || (status.is_client_error()
            && !matches!(
                status,
                StatusCode::UNAUTHORIZED
                    | StatusCode::REQUEST_TIMEOUT
                    | StatusCode::TOO_MANY_REQUESTS
            ))
}
