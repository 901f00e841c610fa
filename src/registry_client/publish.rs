//! Uploads a referrer to a registry (distribution-spec, "Pushing manifests with subject"): its blobs, its manifest, and,
//! if the registry has no referrers API, the list of referrers under a tag.
//!
//! A command that publishes creates a [`RegistryWriter`]. The serving gate has only [`Upstream`]s, which cannot write.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};
use thiserror::Error;
use url::Url;

use super::config::{Config, ConfigError};
use super::error::{self, UpstreamError};
use super::{Metrics, Upstream};
use crate::http_client::{Body, UploadMethod, Uploader};
use crate::json::Document;
use crate::oci::manifest::{MAX_MANIFEST, MAX_VALUES};
use crate::oci::{Digest, MediaType, Reference, Repository, Tag};
use crate::signing::ReferrerManifest;
use crate::text::shown;

/// The subject that a registry with the referrers API recorded.
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const OCTETS: &str = "application/octet-stream";
/// The most characters of a URL in an error.
const MAX_SHOWN: usize = 255;

/// Why a referrer was not published.
#[derive(Debug, Error)]
pub enum PublishError {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error(
        "the registry answered the upload of {what} with status {status}; the credentials of its \
         [[upstream]] must permit a push"
    )]
    Status { what: &'static str, status: StatusCode },
    #[error("the registry names no URL for the upload")]
    NoLocation,
    #[error(
        "the registry names an upload URL on another server, {0:?}; the gate uploads only to its own"
    )]
    OtherServer(String),
    #[error(
        "the tag {0} is not a list of referrers; remove the tag, or use a registry with the referrers API"
    )]
    NoList(Tag),
}

/// How a published referrer can be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// The registry lists it by its referrers API.
    ByApi,
    /// The registry has no referrers API. This tag lists it.
    ByTag(Tag),
}

/// Publishes to one registry.
pub struct RegistryWriter {
    upstream: Upstream,
    uploads: Uploader,
}

impl RegistryWriter {
    /// A publisher for the registry of `config`, with its credentials. Reads files; connects to nothing yet.
    pub fn new(config: &Config, metrics: &Metrics) -> Result<Self, ConfigError> {
        let upstream = Upstream::new(config, metrics)?;
        let Config { url, ca, timeouts, proxy, .. } = config;
        let uploads = Uploader::new(proxy.proxies(), url, ca.as_deref(), *timeouts)?;
        Ok(Self { upstream, uploads })
    }

    /// Uploads `referrer`, which is about `subject`, to `repository`.
    pub async fn publish(
        &self,
        repository: &Repository,
        subject: &Digest,
        referrer: &ReferrerManifest,
    ) -> Result<Listed, PublishError> {
        for (digest, content) in referrer.blobs() {
            self.put_blob(repository, &digest, content).await?;
        }
        let (digest, bytes) = (referrer.digest(), referrer.as_bytes().clone());
        let reference = Reference::Digest(digest);
        let answer = self.put_manifest(repository, &reference, MediaType::OciImage, bytes).await?;
        if answer.headers().get(OCI_SUBJECT).is_some_and(|value| *value == *subject.to_string()) {
            return Ok(Listed::ByApi);
        }
        // Frees the only place for requests.
        drop(answer);
        let tag = self.list_by_tag(repository, subject, referrer).await?;
        Ok(Listed::ByTag(tag))
    }

    /// Adds `referrer` to the list of referrers under the tag of `subject` (distribution-spec, "Referrers Tag Schema").
    async fn list_by_tag(
        &self,
        repository: &Repository,
        subject: &Digest,
        referrer: &ReferrerManifest,
    ) -> Result<Tag, PublishError> {
        let tag = Tag::of_referrers(subject);
        let reference = Reference::Tag(tag.clone());
        let mut list = match self.upstream.manifest(repository, &reference).await {
            Ok(answer) => list(&answer.bytes).ok_or_else(|| PublishError::NoList(tag.clone()))?,
            Err(UpstreamError::Absent { .. }) => json!({
                "schemaVersion": 2,
                "mediaType": MediaType::OciIndex.as_str(),
                "manifests": [],
            }),
            Err(error) => return Err(error.into()),
        };
        let descriptor = referrer.descriptor();
        let Some(Value::Array(entries)) = list.get_mut("manifests") else {
            return Err(PublishError::NoList(tag));
        };
        if entries.iter().any(|entry| entry.get("digest") == descriptor.get("digest")) {
            return Ok(tag);
        }
        entries.push(descriptor);
        let bytes = Bytes::from(list.to_string());
        if bytes.len() > MAX_MANIFEST {
            return Err(PublishError::NoList(tag));
        }
        self.put_manifest(repository, &reference, MediaType::OciIndex, bytes).await?;
        Ok(tag)
    }

    async fn put_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        media_type: MediaType,
        bytes: Bytes,
    ) -> Result<Response<Body>, PublishError> {
        let url = self.upstream.url(repository, &format!("manifests/{reference}"), None);
        let what = "the manifest";
        let answer =
            self.send(UploadMethod::Put, &url, repository, media_type.as_str(), bytes).await?;
        expect(answer, StatusCode::CREATED, what)
    }

    async fn put_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        content: Bytes,
    ) -> Result<(), PublishError> {
        let what = "a blob";
        let url = self.upstream.url(repository, "blobs/uploads/", None);
        let begin = self.send(UploadMethod::Post, &url, repository, OCTETS, Bytes::new()).await?;
        let begun = expect(begin, StatusCode::ACCEPTED, what)?;
        let mut url = location(&begun, &url)?;
        if !self.uploads.is_own(&url) {
            return Err(PublishError::OtherServer(shown(url.as_str(), MAX_SHOWN)));
        }
        // Frees the only place for requests.
        drop(begun);
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let answer = self.send(UploadMethod::Put, &url, repository, OCTETS, content).await?;
        expect(answer, StatusCode::CREATED, what).map(drop)
    }

    /// Sends one upload. Answers one challenge of the registry.
    async fn send(
        &self,
        method: UploadMethod,
        url: &Url,
        repository: &Repository,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<Response<Body>, PublishError> {
        let scope = format!("repository:{repository}:pull,push");
        let server = &self.upstream.server;
        let once = async |authorization: Option<HeaderValue>| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            headers.extend(authorization.map(|it| (http::header::AUTHORIZATION, it)));
            let sent = self.uploads.send(method, url, headers, body.clone()).await;
            sent.map_err(UpstreamError::from)
        };
        let first = once(server.authorization(&scope).await?).await?;
        if first.status() != StatusCode::UNAUTHORIZED {
            return Ok(first);
        }
        match server.answer_to(first.headers(), &scope).await? {
            Some(authorization) => {
                drop(first);
                Ok(once(Some(authorization)).await?)
            }
            None => Err(error::of_status(&first).into()),
        }
    }
}

/// The list of referrers in `bytes`, if it is an index that all parsers read alike.
fn list(bytes: &[u8]) -> Option<Value> {
    Document::parse_within(bytes, MAX_VALUES).ok()?;
    let list: Value = serde_json::from_slice(bytes).ok()?;
    let media_type = list.get("mediaType").and_then(Value::as_str);
    (media_type == Some(MediaType::OciIndex.as_str())).then_some(list)
}

fn location(answer: &Response<Body>, url: &Url) -> Result<Url, PublishError> {
    let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    location.and_then(|text| url.join(text).ok()).ok_or(PublishError::NoLocation)
}

fn expect(
    answer: Response<Body>,
    status: StatusCode,
    what: &'static str,
) -> Result<Response<Body>, PublishError> {
    match answer.status() {
        got if got == status => Ok(answer),
        got => Err(PublishError::Status { what, status: got }),
    }
}
