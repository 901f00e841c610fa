//! What is small, read whole, with the ceiling of whoever asks: for deciding, and not for a client that
//! may be slow to take it.

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::error::UpstreamError;
use super::metrics::Endpoint;
use super::{Answer, Upstream, accept, expect_ok, text};
use crate::http_client::Method;
use crate::oci::{Digest, ErrorCode, MediaType, Reference, Repository};

impl Upstream {
    /// The manifest that `reference` names in `repository`, if that is `ceiling` bytes or less.
    pub async fn manifest_within(
        &self,
        repository: &Repository,
        reference: &Reference,
        ceiling: usize,
    ) -> Result<Answer, UpstreamError> {
        let path = format!("manifests/{reference}");
        let headers = accept(MediaType::ACCEPT);
        let response =
            self.ask(Endpoint::Manifest, Method::Get, repository, &path, &[], headers).await?;
        let response = expect_ok(response, ErrorCode::ManifestUnknown).await?;
        let content_type = text(response.headers(), &CONTENT_TYPE)?;
        let bytes = response.into_body().read_whole(ceiling).await?;
        Ok(Answer { bytes, content_type })
    }

    /// All of the blob `digest`, if that is `ceiling` bytes or less. It waits for no place among the
    /// blobs under way, since those may all be taken by slow clients.
    pub async fn small_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        ceiling: usize,
    ) -> Result<Bytes, UpstreamError> {
        let path = format!("blobs/{digest}");
        let headers = HeaderMap::new();
        let response =
            self.ask(Endpoint::Blob, Method::Get, repository, &path, &[], headers).await?;
        let response = expect_ok(response, ErrorCode::BlobUnknown).await?;
        Ok(response.into_body().read_whole(ceiling).await?)
    }
}
