//! An OCI registry over memory, for the demo and for tests: pulled from over HTTP, filled from Rust.
//! Knows nothing of the gate, and requires no login.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LINK, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::form_urlencoded;

use crate::oci::headers::{
    API_VERSION, DOCKER_CONTENT_DIGEST, DOCKER_DISTRIBUTION_API_VERSION, OCI_FILTERS_APPLIED,
};
use crate::oci::{Digest, ErrorBody, ErrorCode, MediaType, Reference, Repository, Tag};
use crate::registry_client::ByteRange;

/// Repositories in memory.
#[derive(Debug, Default)]
pub struct MemoryRegistry {
    repositories: RwLock<BTreeMap<Repository, Contents>>,
}

#[derive(Debug, Default)]
struct Contents {
    blobs: BTreeMap<Digest, Bytes>,
    manifests: BTreeMap<Digest, Stored>,
    tags: BTreeMap<Tag, Digest>,
}

#[derive(Clone, Debug)]
struct Stored {
    media_type: String,
    bytes: Bytes,
}

/// What one repository holds, for tests.
#[cfg(feature = "test-support")]
#[derive(Clone, Debug)]
pub struct Held {
    pub repository: Repository,
    pub blobs: BTreeMap<Digest, Bytes>,
    /// The media type and the bytes of each manifest.
    pub manifests: BTreeMap<Digest, (String, Bytes)>,
    pub tags: BTreeMap<Tag, Digest>,
}

type Answer = Result<Response<Full<Bytes>>, Box<Denied>>;

struct Denied {
    status: StatusCode,
    error: ErrorBody,
}

fn denied(status: StatusCode, code: ErrorCode, message: &str) -> Box<Denied> {
    Box::new(Denied { status, error: ErrorBody::new(code, message) })
}

fn unknown(code: ErrorCode) -> Box<Denied> {
    denied(StatusCode::NOT_FOUND, code, "not known to this registry")
}

impl MemoryRegistry {
    /// A registry with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a blob, and gives its digest.
    pub fn put_blob(&self, repository: &Repository, content: impl Into<Bytes>) -> Digest {
        let content = content.into();
        let digest = Digest::of(&content);
        self.change(repository, |contents| contents.blobs.insert(digest, content));
        digest
    }

    /// Puts a manifest, whatever it is, and gives its digest.
    pub fn put_manifest(
        &self,
        repository: &Repository,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) -> Digest {
        let stored = Stored { media_type: media_type.to_owned(), bytes: bytes.into() };
        let digest = Digest::of(&stored.bytes);
        self.change(repository, |contents| contents.manifests.insert(digest, stored));
        digest
    }

    /// Puts bytes where a manifest should be that has another digest than they have.
    pub fn put_manifest_as(
        &self,
        repository: &Repository,
        digest: Digest,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) {
        let stored = Stored { media_type: media_type.to_owned(), bytes: bytes.into() };
        self.change(repository, |contents| contents.manifests.insert(digest, stored));
    }

    /// Puts an image of one layer that holds `content`, with a config that says nothing, and gives the
    /// digest of its manifest.
    #[cfg(feature = "test-support")]
    pub fn put_image(&self, repository: &Repository, content: impl Into<Bytes>) -> Digest {
        let layer = content.into();
        let config = Bytes::from_static(b"{}");
        let pointer = |media_type: &str, bytes: &Bytes| {
            json!({"mediaType": media_type, "digest": Digest::of(bytes).to_string(),
                   "size": bytes.len()})
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OciImage.as_str(),
            "config": pointer("application/vnd.oci.image.config.v1+json", &config),
            "layers": [pointer("application/vnd.oci.image.layer.v1.tar", &layer)],
        });
        self.put_blob(repository, config);
        self.put_blob(repository, layer);
        self.put_manifest(repository, MediaType::OciImage.as_str(), manifest.to_string())
    }

    /// Points `tag` at `digest` from now on.
    pub fn put_tag(&self, repository: &Repository, tag: Tag, digest: Digest) {
        self.change(repository, |contents| contents.tags.insert(tag, digest));
    }

    /// All repositories.
    #[cfg(feature = "test-support")]
    pub fn everything(&self) -> Vec<Held> {
        let repositories = self.repositories.read().unwrap_or_else(PoisonError::into_inner);
        let held = repositories.iter().map(|(repository, contents)| Held {
            repository: repository.clone(),
            blobs: contents.blobs.clone(),
            manifests: contents
                .manifests
                .iter()
                .map(|(digest, stored)| {
                    (*digest, (stored.media_type.clone(), stored.bytes.clone()))
                })
                .collect(),
            tags: contents.tags.clone(),
        });
        held.collect()
    }

    /// Answers one request as the distribution specification says.
    pub fn handle<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let mut response = match self.answer(request) {
            Ok(response) => response,
            Err(denied) => {
                let mut response = respond("application/json", denied.error.to_json());
                *response.status_mut() = denied.status;
                response
            }
        };
        response.headers_mut().insert(DOCKER_DISTRIBUTION_API_VERSION, API_VERSION);
        if request.method() == Method::HEAD {
            *response.body_mut() = Full::default();
        }
        response
    }

    /// Serves the connections to `listener`, until it fails.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> io::Result<()> {
        loop {
            let (stream, peer) = listener.accept().await?;
            let registry = Arc::clone(&self);
            tokio::spawn(async move {
                let answer = service_fn(move |request| {
                    std::future::ready(Ok::<_, Infallible>(registry.handle(&request)))
                });
                let connection = Builder::new(TokioExecutor::new());
                let io = TokioIo::new(stream);
                if let Err(error) = connection.serve_connection(io, answer).await {
                    tracing::debug!(%error, %peer, "a connection to the demo registry broke");
                }
            });
        }
    }

    fn change<T>(&self, repository: &Repository, change: impl FnOnce(&mut Contents) -> T) -> T {
        // What a panicking writer left is a map with or without its entry, both of which are whole.
        let mut repositories = self.repositories.write().unwrap_or_else(PoisonError::into_inner);
        change(repositories.entry(repository.clone()).or_default())
    }

    fn answer<B>(&self, request: &Request<B>) -> Answer {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let message = "this registry is read-only";
            return Err(denied(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported, message));
        }
        let path = request.uri().path();
        if matches!(path, "/v2" | "/v2/") {
            return Ok(respond("application/json", "{}"));
        }
        let no_path = || denied(StatusCode::NOT_FOUND, ErrorCode::Unsupported, "no such path");
        let (rest, last) =
            path.strip_prefix("/v2/").and_then(|path| path.rsplit_once('/')).ok_or_else(no_path)?;
        let (name, kind) = rest.rsplit_once('/').ok_or_else(no_path)?;
        let repository: Repository = name.parse().map_err(|_| {
            denied(StatusCode::BAD_REQUEST, ErrorCode::NameInvalid, "not a repository name")
        })?;
        let repositories = self.repositories.read().unwrap_or_else(PoisonError::into_inner);
        let contents =
            repositories.get(&repository).ok_or_else(|| unknown(ErrorCode::NameUnknown))?;
        let query = request.uri().query().unwrap_or_default();
        match (kind, last) {
            ("manifests", reference) => contents.manifest(reference),
            ("blobs", digest) => contents.blob(digest, request.headers()),
            ("tags", "list") => contents.tags(&repository, query),
            ("referrers", digest) => contents.referrers(digest, query),
            _ => Err(no_path()),
        }
    }
}

impl Contents {
    fn manifest(&self, reference: &str) -> Answer {
        let invalid =
            |_| denied(StatusCode::BAD_REQUEST, ErrorCode::TagInvalid, "not a tag or a digest");
        let digest = match reference.parse().map_err(invalid)? {
            Reference::Digest(digest) => Some(digest),
            Reference::Tag(tag) => self.tags.get(&tag).copied(),
        };
        let found = digest.and_then(|digest| Some((digest, self.manifests.get(&digest)?)));
        let (digest, stored) = found.ok_or_else(|| unknown(ErrorCode::ManifestUnknown))?;
        let mut response = respond(&stored.media_type, stored.bytes.clone());
        set(&mut response, DOCKER_CONTENT_DIGEST, &digest.to_string());
        Ok(response)
    }

    fn blob(&self, digest: &str, headers: &HeaderMap) -> Answer {
        let digest = parse_digest(digest)?;
        let blob = self.blobs.get(&digest).ok_or_else(|| unknown(ErrorCode::BlobUnknown))?;
        let asked = headers.get(RANGE).and_then(|range| range.to_str().ok());
        let total = blob.len() as u64;
        let mut response = match asked.and_then(ByteRange::parse) {
            None => respond("application/octet-stream", blob.clone()),
            Some(range) => match range.within(total) {
                Some(part) => {
                    let bytes = slice(blob, part.first, part.length());
                    let mut response = respond("application/octet-stream", bytes);
                    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                    set(&mut response, CONTENT_RANGE, &part.to_header());
                    response
                }
                None => {
                    let mut response = respond("application/octet-stream", Bytes::new());
                    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                    set(&mut response, CONTENT_RANGE, &format!("bytes */{total}"));
                    response
                }
            },
        };
        set(&mut response, ACCEPT_RANGES, "bytes");
        set(&mut response, DOCKER_CONTENT_DIGEST, &digest.to_string());
        Ok(response)
    }

    fn tags(&self, repository: &Repository, query: &str) -> Answer {
        let after = parameter(query, "last").unwrap_or_default();
        let mut tags: Vec<&str> = self.tags.keys().map(Tag::as_str).collect();
        tags.retain(|tag| *tag > after.as_str());
        let n = parameter(query, "n").and_then(|n| n.parse::<usize>().ok());
        let more = n.is_some_and(|n| tags.len() > n);
        tags.truncate(n.unwrap_or(usize::MAX));
        let list = json!({"name": repository.as_str(), "tags": tags}).to_string();
        let mut response = respond("application/json", list);
        if let (Some(n), Some(last), true) = (n, tags.last(), more) {
            let link = format!("</v2/{repository}/tags/list?n={n}&last={last}>; rel=\"next\"");
            set(&mut response, LINK, &link);
        }
        Ok(response)
    }

    fn referrers(&self, subject: &str, query: &str) -> Answer {
        let subject = parse_digest(subject)?;
        let wanted = parameter(query, "artifactType");
        let referrers: Vec<Value> = self
            .manifests
            .iter()
            .filter_map(|(digest, stored)| stored.refers_to(&subject, digest))
            .filter(|referrer| {
                wanted.as_deref().is_none_or(|wanted| referrer["artifactType"] == wanted)
            })
            .collect();
        let media_type = MediaType::OciIndex.as_str();
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": referrers});
        let mut response = respond(media_type, index.to_string());
        if wanted.is_some() {
            set(&mut response, OCI_FILTERS_APPLIED, "artifactType");
        }
        Ok(response)
    }
}

impl Stored {
    /// The descriptor of this manifest, whose digest is `digest`, if its subject is `subject`.
    fn refers_to(&self, subject: &Digest, digest: &Digest) -> Option<Value> {
        // A manifest that is no JSON refers to nothing.
        let manifest: Value = serde_json::from_slice(&self.bytes).ok()?;
        if manifest["subject"]["digest"] != subject.to_string() {
            return None;
        }
        let own_type = &manifest["artifactType"];
        let artifact_type =
            if own_type.is_null() { &manifest["config"]["mediaType"] } else { own_type };
        let mut descriptor = json!({
            "mediaType": self.media_type, "digest": digest.to_string(), "size": self.bytes.len(),
            "artifactType": artifact_type,
        });
        if manifest["annotations"].is_object() {
            descriptor["annotations"] = manifest["annotations"].clone();
        }
        Some(descriptor)
    }
}

fn parse_digest(text: &str) -> Result<Digest, Box<Denied>> {
    let invalid = |_| denied(StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid, "not a digest");
    text.parse().map_err(invalid)
}

fn slice(bytes: &Bytes, first: u64, length: u64) -> Bytes {
    let position = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(position(first)..position(first.saturating_add(length)))
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
}

fn respond(media_type: &str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let body = body.into();
    let length = body.len().to_string();
    let mut response = Response::new(Full::new(body));
    set(&mut response, CONTENT_TYPE, media_type);
    set(&mut response, CONTENT_LENGTH, &length);
    response
}

/// Sets a header; a value that can be none, such as an odd media type, is left out.
fn set<B>(response: &mut Response<B>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
