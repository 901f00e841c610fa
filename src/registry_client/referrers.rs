//! Lists the referrers of a manifest (distribution-spec, "Listing referrers"). Distinguishes an empty list from a
//! registry without this API.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};

use super::answer::{self, announces_web_page, is_web_page};
use super::error::{self, UpstreamError, Violation};
use super::metrics::Endpoint;
use super::page::{self, Page};
use super::{Upstream, accept, text};
use crate::http_client::{Body, Method};
use crate::oci::headers::OCI_FILTERS_APPLIED;
use crate::oci::manifest::MAX_MANIFEST;
use crate::oci::{Digest, Manifest, MediaType, Repository};
use crate::parsing;

/// The longest list of referrers (an OCI index), in bytes.
const MAX_REFERRERS: usize = MAX_MANIFEST;
/// The longest `OCI-Filters-Applied` that is passed on.
const MAX_FILTERS: usize = 255;

/// One page of the referrers of a manifest.
#[derive(Clone, Debug)]
pub struct Referrers {
    /// The OCI index as upstream sent it; nothing else about it is checked.
    bytes: Bytes,
    /// The filters that upstream says it applied (`OCI-Filters-Applied`).
    pub filters_applied: Option<String>,
    pub next: Option<Page>,
}

impl Referrers {
    /// The index, byte for byte.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Consumes the page and returns the index.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

/// The answer of a registry to a request for referrers.
#[derive(Clone, Debug)]
pub enum Listing {
    /// One page. The violation, if any, is a `Link` to the next page that is invalid.
    Page(Referrers, Option<Violation>),
    /// The registry has the API or may have it, but does not have this repository or manifest.
    Unknown,
    /// The status of the answer, which registries without this API send.
    Unsupported(StatusCode),
    /// The status of an answer with a web page or an unreadable body. It says nothing about the registry.
    WebPage(StatusCode),
}

impl Listing {
    /// The page; `None` if the registry lists no referrers, which only the answer to a request for the first page can say.
    ///
    /// # Errors
    ///
    /// The answer does not say whether there are referrers: a web page, or no list instead of a later page.
    pub fn page(self, is_first: bool) -> Result<Option<Referrers>, UpstreamError> {
        match self {
            Self::Page(page, None) => Ok(Some(page)),
            Self::Page(_, Some(violation)) => Err(violation.into()),
            Self::WebPage(status) => Err(Violation::WebPage(status).into()),
            Self::Unknown | Self::Unsupported(_) if is_first => Ok(None),
            Self::Unknown | Self::Unsupported(_) => Err(Violation::Missing("next page").into()),
        }
    }
}

/// The key of identical requests: repository, subject, artifact type, page and limit in bytes.
pub(super) type Key = (Repository, Digest, Option<String>, String, usize);

impl Upstream {
    /// The referrers of the manifest `subject`. Upstream may ignore `artifact_type`. `None` if upstream answers as a
    /// registry without the referrers API does.
    pub async fn referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
        artifact_type: Option<&str>,
        page: &Page,
    ) -> Result<Option<Referrers>, UpstreamError> {
        match self.list_referrers(repository, subject, artifact_type, page, MAX_REFERRERS).await? {
            Listing::Page(page, None) => Ok(Some(page)),
            Listing::Page(_, Some(violation)) => Err(violation.into()),
            Listing::WebPage(StatusCode::OK) => Err(Violation::Missing("OCI index").into()),
            Listing::Unknown | Listing::Unsupported(_) | Listing::WebPage(_) => Ok(None),
        }
    }

    /// As [`Self::referrers`], within `ceiling` bytes, and with the answer of a registry that lists none.
    pub async fn list_referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
        artifact_type: Option<&str>,
        page: &Page,
        ceiling: usize,
    ) -> Result<Listing, UpstreamError> {
        let wanted = artifact_type.map(str::to_owned);
        let key = (repository.clone(), *subject, wanted, page.to_query(), ceiling);
        let ask = self.ask_referrers(repository, subject, artifact_type, page, ceiling);
        // Boxed because this future is large and is moved several times before it is polled.
        self.referrer_lists.answer(key, Box::pin(ask)).await
    }

    async fn ask_referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
        artifact_type: Option<&str>,
        page: &Page,
        ceiling: usize,
    ) -> Result<Listing, UpstreamError> {
        let path = format!("referrers/{subject}");
        let query = page.with("artifactType", artifact_type);
        let headers = accept(MediaType::OciIndex.as_str());
        let response = self
            .ask(Endpoint::Referrers, Method::Get, repository, &path, Some(&query), headers)
            .await?;
        match response.status() {
            StatusCode::OK => {}
            // Registries without this path answer with one of these (go-containerregistry,
            // `remote.Referrers`).
            StatusCode::NOT_FOUND
            | StatusCode::BAD_REQUEST
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_ACCEPTABLE
            | StatusCode::NOT_IMPLEMENTED => return Ok(unlisted(response).await),
            _ => return Err(error::of_status(&response)),
        }
        let (next, violation) = match page::next(response.headers()) {
            Ok(next) => (next, None),
            Err(violation) => (None, Some(violation)),
        };
        let content_type = text(response.headers(), &CONTENT_TYPE)?;
        if announces_web_page(response.headers()) {
            return Ok(Listing::WebPage(StatusCode::OK));
        }
        let filters_applied = text(response.headers(), &OCI_FILTERS_APPLIED)?;
        if filters_applied.as_ref().is_some_and(|filters| filters.len() > MAX_FILTERS) {
            return Err(Violation::Header("OCI-Filters-Applied").into());
        }
        let (bytes, _room) = self.read_list(response.into_body(), ceiling).await?;
        if is_web_page(&bytes) {
            return Ok(Listing::WebPage(StatusCode::OK));
        }
        answer::check_manifest(content_type.as_deref(), &bytes).await?;
        let (text, length) = (bytes.clone(), bytes.len());
        let parse = move || Manifest::parse(&text, content_type.as_deref());
        let index = parsing::run(length, Manifest::most_memory(length), parse).await;
        if index.map_err(Violation::from)?.media_type() != MediaType::OciIndex {
            return Err(Violation::Missing("OCI index").into());
        }
        Ok(Listing::Page(Referrers { bytes, filters_applied, next }, violation))
    }
}

/// Classifies an error response.
async fn unlisted(response: Response<Body>) -> Listing {
    let status = response.status();
    let announced = announces_web_page(response.headers());
    let Some(body) = error::error_body(response.into_body()).await else {
        return Listing::WebPage(status);
    };
    // A registry with the API names what it does not have.
    if status == StatusCode::NOT_FOUND && error::absence_in(&body).0.is_some() {
        return Listing::Unknown;
    }
    match announced || is_web_page(&body) {
        true => Listing::WebPage(status),
        false => Listing::Unsupported(status),
    }
}
