//! The client of an upstream registry (distribution-spec): manifests, tags, blobs, lists, referrers. It enforces the
//! protocol and the limits. An [`Upstream`] only reads; a [`RegistryWriter`] uploads, and only a command creates one.
//! [`crate::pull_through`] compares content with its digest; this module does not know trust.

mod answer;
mod auth;
mod blob;
mod bundle_files;
mod challenge;
mod config;
mod error;
mod exchange;
mod metrics;
mod page;
mod publish;
mod range;
mod referrers;
mod small;
mod together;
mod token;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

pub use crate::http_client::{Credentials, InvalidCredentials};
pub use auth::Authenticator;
pub use blob::{Blob, Lost};
pub use bundle_files::BundleFiles;
pub use config::{Config, ConfigError, check_files, is_base};
pub use error::{Busy, Outage, UpstreamError, Violation};
pub use metrics::{Endpoint, Metrics};
pub use page::Page;
pub use publish::{Listed, PublishError, RegistryWriter};
pub use range::{ByteRange, ContentRange};
pub use referrers::{Listing, Referrers};

use crate::http_client::{Body, Client, Limits, LocalServer, Method, Turn, Turns, less_an_eighth};
use crate::json::{self, Document, Value};
use crate::oci::manifest::MAX_MANIFEST;
use crate::oci::{Digest, ErrorCode, Reference, Registry, Repository, Tag};
use crate::parsing;
use crate::queue_time::queued;
use crate::requester::Requester;
use exchange::Question;
use together::Together;

/// The longest tag list that is read, in bytes. Some registries do not paginate.
const MAX_TAG_LIST: usize = 16 << 20;
/// The bytes of lists from one upstream that may be read and parsed at once; further lists wait.
const MAX_LISTS: usize = 64 << 20;
/// The most tags in one page of a tag list.
const MAX_TAGS: usize = 500_000;
/// The most blob requests that wait for a turn, in total and per client address.
const MAX_WAITING: usize = 1_024;
const MAX_WAITING_PER_ADDRESS: usize = 512;

/// A manifest as upstream sent it, not verified.
#[derive(Clone, Debug)]
pub struct Answer {
    pub bytes: Bytes,
    /// The `Content-Type` of the response.
    pub content_type: Option<String>,
}

/// The part of a blob that a response contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The whole blob, with its length in bytes if upstream sends it.
    Whole { length: Option<u64> },
    /// Exactly the requested range.
    Range(ContentRange),
}

/// One page of a repository's tags.
#[derive(Clone, Debug)]
pub struct TagPage {
    pub tags: Arc<[Tag]>,
    /// The next page, if there is one.
    pub next: Option<Page>,
}

/// One configured registry.
#[derive(Clone, Debug)]
pub struct Upstream {
    registry: Registry,
    server: Arc<Authenticator>,
    /// One turn per blob request, including `HEAD`. There are fewer turns than `max_requests`: decisions use the rest.
    blob_turns: Turns,
    patience: Duration,
    tag_lists: Together<(Repository, String), Result<TagPage, UpstreamError>>,
    referrer_lists: Together<referrers::Key, Result<Listing, UpstreamError>>,
    /// The memory, in bytes, for lists that are read and parsed.
    list_room: Arc<Semaphore>,
    max_requests: usize,
    requester: Requester,
}

impl Upstream {
    /// Reads the files that the configuration names; connects to nothing yet.
    pub fn new(config: &Config, metrics: &Metrics) -> Result<Self, ConfigError> {
        Ok(Self::with(config, config::authenticator(config, None, metrics)?))
    }

    /// The same upstream with files: `server` answers besides the registry, or alone if the configuration has no `url`.
    pub fn beside(
        config: &Config,
        server: Arc<dyn LocalServer>,
        metrics: &Metrics,
    ) -> Result<Self, ConfigError> {
        Ok(Self::with(config, config::authenticator(config, Some(server), metrics)?))
    }

    /// The same upstream without a network: only `server` answers.
    pub fn local(
        config: &Config,
        server: Arc<dyn LocalServer>,
        metrics: &Metrics,
    ) -> Result<Self, ConfigError> {
        let offline = Config { is_offline: true, ..config.clone() };
        Self::beside(&offline, server, metrics)
    }

    fn with(config: &Config, server: Authenticator) -> Self {
        let server = Arc::new(server);
        let blob_turns = Turns::new(Limits {
            running: blobs_at_once(config.max_requests),
            waiting: MAX_WAITING,
            waiting_per_address: MAX_WAITING_PER_ADDRESS,
        });
        Self {
            registry: config.registry.clone(),
            server,
            blob_turns,
            patience: config.timeouts.first_byte,
            tag_lists: Together::default(),
            referrer_lists: Together::default(),
            list_room: Arc::new(Semaphore::new(MAX_LISTS)),
            max_requests: config.max_requests,
            requester: Requester::Gate,
        }
    }

    /// The same upstream on behalf of `requester`: its blobs wait in the queue of that client.
    #[must_use]
    pub fn on_behalf_of(&self, requester: Requester) -> Self {
        Self { requester, ..self.clone() }
    }

    /// The most requests in progress at once.
    pub fn max_requests(&self) -> usize {
        self.max_requests
    }

    /// The registry name in the names of its images.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Its base URL.
    pub fn base(&self) -> &Url {
        self.server.client().base()
    }

    /// The manifest that `reference` names in `repository`.
    pub async fn manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Answer, UpstreamError> {
        self.manifest_within(repository, reference, MAX_MANIFEST).await
    }

    /// The blob `digest`, or its `range`. A registry without support for ranges sends the whole blob.
    pub async fn blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<Blob, UpstreamError> {
        if range == Some(ByteRange::Last { length: 0 }) {
            // No range has zero bytes, and some registries answer with an impossible one.
            let size = self.blob_length(repository, digest).await?;
            return Err(UpstreamError::RangeUnsatisfiable { size });
        }
        let turn = self.blob_turn().await?;
        let mut headers = HeaderMap::new();
        if let Some(range) = range {
            let value = HeaderValue::try_from(range.to_header());
            headers.insert(RANGE, value.map_err(|_| Violation::Range)?);
        }
        let path = format!("blobs/{digest}");
        let response =
            self.ask(Endpoint::Blob, Method::Get, repository, &path, None, headers).await?;
        let part = match (response.status(), range) {
            (StatusCode::OK, _) => {
                answer::check_blob(response.headers(), digest)?;
                Part::Whole { length: range::content_length(response.headers())? }
            }
            (StatusCode::PARTIAL_CONTENT, Some(range)) => {
                Part::Range(range::part(response.headers(), range)?)
            }
            (StatusCode::RANGE_NOT_SATISFIABLE, Some(_)) => {
                let size = range::unsatisfied_size(response.headers());
                return Err(UpstreamError::RangeUnsatisfiable { size });
            }
            _ => return Err(error::of_response(response, ErrorCode::BlobUnknown).await),
        };
        Ok(Blob::new(part, response.into_body(), turn))
    }

    /// One page of the tags of `repository`, without names that are not valid tags: no client can request those.
    pub async fn tags(
        &self,
        repository: &Repository,
        page: &Page,
    ) -> Result<TagPage, UpstreamError> {
        let key = (repository.clone(), page.to_query());
        // On the heap: this future is large, and is moved several times before it is polled.
        self.tag_lists.answer(key, Box::pin(self.list_tags(repository, page))).await
    }

    async fn list_tags(
        &self,
        repository: &Repository,
        page: &Page,
    ) -> Result<TagPage, UpstreamError> {
        let (headers, query) = (accept("application/json"), page.to_query());
        let response = self
            .ask(Endpoint::Tags, Method::Get, repository, "tags/list", Some(&query), headers)
            .await?;
        let response = expect_ok(response, ErrorCode::NameUnknown).await?;
        let next = page::next(response.headers())?;
        let (bytes, _room) = self.read_list(response.into_body(), MAX_TAG_LIST).await?;
        let length = bytes.len();
        let memory =
            json::most_memory(length, MAX_TAGS) + MAX_TAGS.min(length / 3) * size_of::<Tag>();
        let tags = parsing::run(length, memory, move || read_tags(&bytes)).await?;
        Ok(TagPage { tags, next })
    }

    /// The whole body of a list, if it has at most `ceiling` bytes, and the memory reserved for parsing it.
    async fn read_list(
        &self,
        body: Body,
        ceiling: usize,
    ) -> Result<(Bytes, OwnedSemaphorePermit), UpstreamError> {
        let hint = body.size_hint();
        let announced = hint.exact().and_then(|exact| usize::try_from(exact).ok());
        let most = u32::try_from(announced.unwrap_or(ceiling).min(ceiling)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.list_room).acquire_many_owned(most);
        match tokio::time::timeout(self.patience, queued(room)).await {
            Ok(Ok(room)) => Ok((body.read_whole(ceiling).await?, room)),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(UpstreamError::Busy(Busy::Requests)),
        }
    }

    async fn ask(
        &self,
        endpoint: Endpoint,
        method: Method,
        repository: &Repository,
        path: &str,
        query: Option<&str>,
        headers: HeaderMap,
    ) -> Result<Response<Body>, UpstreamError> {
        let url = self.url(repository, path, query);
        let scope = format!("repository:{repository}:pull");
        let question = Question { endpoint, method, url, headers, scope: &scope };
        // Boxed to keep the callers' futures small: each request for a manifest contains one.
        Box::pin(exchange::ask(&self.server, question)).await
    }

    fn url(&self, repository: &Repository, path: &str, query: Option<&str>) -> Url {
        let mut url = self.client().base().clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}/v2/{repository}/{path}"));
        url.set_query(query.filter(|query| !query.is_empty()));
        url
    }

    async fn blob_turn(&self) -> Result<Turn, UpstreamError> {
        let turn = queued(self.blob_turns.turn(self.requester));
        match tokio::time::timeout(self.patience, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(crowded)) => Err(UpstreamError::Busy(Busy::BlobQueue(crowded))),
            Err(_) => Err(UpstreamError::Busy(Busy::Blobs(self.patience.as_secs()))),
        }
    }

    fn client(&self) -> &Client {
        self.server.client()
    }
}

/// How many requests for blobs there may be at once. One in eight requests, and at least one, is for decisions; if there is
/// only one, blobs and decisions share it.
fn blobs_at_once(max_requests: usize) -> usize {
    less_an_eighth(max_requests)
}

fn accept(media_types: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(media_types))])
}

async fn expect_ok(
    response: Response<Body>,
    absent: ErrorCode,
) -> Result<Response<Body>, UpstreamError> {
    if response.status() == StatusCode::OK {
        return Ok(response);
    }
    Err(error::of_response(response, absent).await)
}

/// The text of a header. Proxies repeat headers: the same value twice is that value.
fn text(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Violation> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match value.to_str() {
        Ok(text) if values.all(|other| other == value) => Ok(Some(text.to_owned())),
        Ok(_) | Err(_) => Err(Violation::Ambiguous(name.clone())),
    }
}

fn read_tags(bytes: &[u8]) -> Result<Arc<[Tag]>, Violation> {
    let list = Document::parse_within(bytes, MAX_TAGS)?;
    let tags = match list.root().member("tags") {
        Some(Value::Null) => return Ok(Arc::default()),
        Some(tags) => tags.as_array(),
        None => None,
    };
    let tags = tags.ok_or(Violation::Missing("list of tags"))?;
    Ok(tags.iter().filter_map(|tag| tag.as_str()?.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_leave_a_place_for_decisions_if_there_are_two() {
        let at_once = [1, 2, 7, 8, 9, 256].map(blobs_at_once);
        assert_eq!(at_once, [1, 1, 6, 7, 7, 224]);
    }
}
