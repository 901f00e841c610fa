//! Answers a registry client from bundles (distribution-spec): manifests, blobs with ranges, tags, referrers. It sends
//! bytes as they are. Its caller compares their digests, as with any registry.
//!
//! Of several bundles with the same tag the newest wins; older ones stay for content. Of several copies of the same content,
//! one with the right digest wins.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LINK, RANGE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::{Value as Json, json};
use url::{Url, form_urlencoded};

use super::copies::{Whole, best, holders, whole};
use super::layout::Attached;
use super::set::{BundleSet, Current};
use crate::http_client::{LocalBody, LocalServer, Method, WrongContent};
use crate::json::{Document, Value};
use crate::oci::headers::{
    API_VERSION, ContentName, DOCKER_DISTRIBUTION_API_VERSION, OCI_FILTERS_APPLIED, of_manifest,
};
use crate::oci::manifest::MAX_MANIFEST;
use crate::oci::{
    Digest, ErrorBody, ErrorCode, Manifest, MediaType, Reference, Registry, Repository,
    RepositoryRef, Tag,
};
use crate::registry_client::ByteRange;

/// The most referrers in one page.
const MAX_REFERRERS: usize = 100;
/// The most bytes of the referrers in one page: of their manifests, which contain their annotations.
const MAX_PAGE: usize = 512 << 10;

type Answer = io::Result<Response<LocalBody>>;

/// One registry, served from bundles.
#[derive(Debug)]
pub struct BundleRegistry {
    registry: Registry,
    /// The path before `/v2/`.
    prefix: String,
    bundles: Arc<BundleSet>,
}

/// What a URL names.
enum Named {
    Base,
    Manifest(Repository, Reference),
    Blob(Repository, Digest),
    Tags(Repository),
    Referrers(Repository, Digest),
}

impl BundleRegistry {
    /// The images of `registry` in `bundles`, for a client whose base URL is `base`.
    pub fn new(registry: Registry, base: &Url, bundles: Arc<BundleSet>) -> Self {
        let prefix = base.path().trim_end_matches('/').to_owned();
        Self { registry, prefix, bundles }
    }

    fn named(&self, url: &Url) -> Option<Named> {
        let path = url.path().strip_prefix(&self.prefix)?.strip_prefix("/v2/")?;
        if path.is_empty() {
            return Some(Named::Base);
        }
        let (rest, last) = path.rsplit_once('/')?;
        let (repository, kind) = rest.rsplit_once('/')?;
        let repository: Repository = repository.parse().ok()?;
        match (kind, last) {
            ("manifests", reference) => Some(Named::Manifest(repository, reference.parse().ok()?)),
            ("blobs", digest) => Some(Named::Blob(repository, digest.parse().ok()?)),
            ("tags", "list") => Some(Named::Tags(repository)),
            ("referrers", digest) => Some(Named::Referrers(repository, digest.parse().ok()?)),
            _ => None,
        }
    }

    fn place(&self, name: Repository) -> RepositoryRef {
        RepositoryRef { registry: self.registry.clone(), name }
    }

    fn manifest(&self, method: Method, repository: Repository, reference: &Reference) -> Answer {
        let place = self.place(repository);
        let current = self.bundles.current();
        let digest = match reference {
            Reference::Digest(digest) => Some(*digest),
            Reference::Tag(tag) => holders(&current, &place)
                .find_map(|(_, held)| held.tags.get(tag))
                .map(|pointer| pointer.digest),
        };
        let Some(digest) = digest else { return absent(&current, ErrorCode::ManifestUnknown) };
        let Some(found) = whole(&current, &place, &digest, MAX_MANIFEST)? else {
            return absent(&current, ErrorCode::ManifestUnknown);
        };
        let Some(media_type) = media_type(&found, &digest) else {
            return absent(&current, ErrorCode::ManifestUnknown);
        };
        let headers = of_manifest(&ContentName::of(&digest), media_type, found.bytes.len());
        let answer = response(StatusCode::OK, headers, body_for(method, found.bytes));
        Ok(if found.is_right { answer } else { wrong(answer) })
    }

    fn blob(
        &self,
        method: Method,
        repository: Repository,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Answer {
        let place = self.place(repository);
        let current = self.bundles.current();
        let Some(blob) = best(&current, &place, digest)? else {
            return absent(&current, ErrorCode::BlobUnknown);
        };
        let (size, is_wrong) = (blob.size(), blob.is_wrong());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        ContentName::of(digest).put(&mut headers);
        let (status, at, length) = match range.map(|range| range.within(size)) {
            None => (StatusCode::OK, 0, size),
            Some(Some(part)) => {
                headers.insert(CONTENT_RANGE, header(&part.to_header())?);
                (StatusCode::PARTIAL_CONTENT, part.first, part.length())
            }
            Some(None) => {
                headers.insert(CONTENT_RANGE, header(&format!("bytes */{size}"))?);
                let body = ErrorBody::new(ErrorCode::RangeInvalid, "the range is outside the blob");
                let body = LocalBody::whole(body.to_json());
                return Ok(response(StatusCode::RANGE_NOT_SATISFIABLE, headers, body));
            }
        };
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        let body = match method {
            Method::Get => blob.body(at, at + length),
            Method::Head => LocalBody::whole(Bytes::new()),
        };
        let answer = response(status, headers, body);
        Ok(if is_wrong { wrong(answer) } else { answer })
    }

    fn tags(&self, method: Method, repository: Repository, url: &Url) -> Answer {
        let place = self.place(repository);
        let current = self.bundles.current();
        let mut tags: BTreeSet<&Tag> = BTreeSet::new();
        let mut is_known = false;
        for (_, held) in holders(&current, &place) {
            is_known = true;
            tags.extend(held.tags.keys());
        }
        // A list without the tags of an unreadable bundle would be incomplete.
        if !is_known || current.unreadable.is_some() {
            return absent(&current, ErrorCode::NameUnknown);
        }
        let last = parameter(url, "last").unwrap_or_default();
        let most = parameter(url, "n").and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
        let mut left = tags.into_iter().map(Tag::as_str).filter(|tag| *tag > last.as_str());
        let page: Vec<&str> = left.by_ref().take(most).collect();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let (Some(_), Some(last)) = (left.next(), page.last()) {
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair("n", &most.to_string())
                .append_pair("last", last)
                .finish();
            headers.insert(LINK, header(&format!("<{}?{query}>; rel=\"next\"", url.path()))?);
        }
        let list = json!({ "name": place.name.as_str(), "tags": page }).to_string();
        Ok(response(StatusCode::OK, headers, body_for(method, list.into())))
    }

    fn referrers(
        &self,
        method: Method,
        repository: Repository,
        subject: &Digest,
        url: &Url,
    ) -> Answer {
        let place = self.place(repository);
        let current = self.bundles.current();
        let mut found: BTreeMap<Digest, &Attached> = BTreeMap::new();
        let mut is_known = false;
        for (catalog, held) in holders(&current, &place) {
            is_known = true;
            for attached in catalog.referrers(held, subject) {
                found.entry(attached.manifest.digest).or_insert(attached);
            }
        }
        if !is_known || current.unreadable.is_some() {
            return absent(&current, ErrorCode::NameUnknown);
        }
        let wanted = parameter(url, "artifactType");
        let last = parameter(url, "last").and_then(|last| last.parse::<Digest>().ok());
        let mut page = Vec::new();
        let mut size = 0;
        let mut next = None;
        let rest = found.into_iter().filter(|(digest, _)| last.is_none_or(|last| *digest > last));
        let mut before = None;
        for (digest, attached) in rest {
            if page.len() == MAX_REFERRERS || size > MAX_PAGE {
                next = before;
                break;
            }
            before = Some(digest);
            let manifest = whole(&current, &place, &digest, MAX_MANIFEST)?;
            let (descriptor, length) = descriptor(attached, manifest);
            size += length;
            let artifact_type = descriptor.get("artifactType").and_then(Json::as_str);
            if wanted.as_deref().is_none_or(|wanted| artifact_type == Some(wanted)) {
                page.push(descriptor);
            }
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MediaType::OciIndex.as_str()));
        if wanted.is_some() {
            headers.insert(OCI_FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
        }
        if let Some(next) = next {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(wanted.map(|wanted| ("artifactType", wanted)));
            let query = query.append_pair("last", &next.to_string()).finish();
            headers.insert(LINK, header(&format!("<{}?{query}>; rel=\"next\"", url.path()))?);
        }
        let media_type = MediaType::OciIndex.as_str();
        let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": page });
        Ok(response(StatusCode::OK, headers, body_for(method, index.to_string().into())))
    }
}

impl LocalServer for BundleRegistry {
    fn answer(&self, method: Method, url: &Url, headers: &HeaderMap) -> Answer {
        match self.named(url) {
            Some(Named::Base) => {
                Ok(response(StatusCode::OK, HeaderMap::new(), LocalBody::whole("{}")))
            }
            Some(Named::Manifest(repository, reference)) => {
                self.manifest(method, repository, &reference)
            }
            Some(Named::Blob(repository, digest)) => {
                let range = headers.get(RANGE).and_then(|range| range.to_str().ok());
                self.blob(method, repository, &digest, range.and_then(ByteRange::parse))
            }
            Some(Named::Tags(repository)) => self.tags(method, repository, url),
            Some(Named::Referrers(repository, subject)) => {
                self.referrers(method, repository, &subject, url)
            }
            None => Ok(not_found(ErrorCode::Unsupported)),
        }
    }

    fn is_by_digest(&self, url: &Url) -> bool {
        matches!(self.named(url), Some(Named::Manifest(_, Reference::Digest(_)) | Named::Blob(..)))
    }
}

/// The media type of a manifest: as `index.json` lists it, if the manifest agrees; otherwise its own. A platform's manifest
/// is listed only in its index.
fn media_type(found: &Whole<'_>, digest: &Digest) -> Option<MediaType> {
    let listed = found.catalog.media_type(digest);
    let parsed = |listed| Some(Manifest::parse(&found.bytes, listed).ok()?.media_type());
    let agreed = listed.and_then(|listed| parsed(Some(listed.as_str())));
    agreed.or_else(|| parsed(None)).or(listed)
}

/// The descriptor of a referrer in a list, and the length of its manifest. Takes type and annotations from the manifest,
/// as a registry does; if it is not valid, the descriptor has neither, and its reader finds out why.
fn descriptor(attached: &Attached, manifest: Option<Whole<'_>>) -> (Json, usize) {
    let Attached { manifest: pointer, artifact_type, .. } = attached;
    let mut descriptor = json!({
        "mediaType": pointer.media_type.as_str(),
        "digest": pointer.digest.to_string(),
        "size": pointer.size,
    });
    let Some(Whole { bytes, .. }) = manifest.filter(|manifest| manifest.is_right) else {
        return (descriptor, 0);
    };
    let document = Document::parse(&bytes).ok();
    let root = document.as_ref().map_or(Value::Null, Document::root);
    let config = root.member("config").and_then(|config| config.member("mediaType"));
    let own_type = root.present("artifactType").or(config).and_then(Value::as_str);
    let artifact_type = own_type.or(artifact_type.as_deref());
    let annotations = root.member("annotations").and_then(Value::as_object);
    let annotations: serde_json::Map<String, Json> = annotations
        .into_iter()
        .flat_map(|annotations| annotations.iter())
        .filter_map(|(name, value)| Some((name.to_owned(), value.as_str()?.into())))
        .collect();
    if let Some(members) = descriptor.as_object_mut() {
        members.extend(artifact_type.map(|it| ("artifactType".to_owned(), it.into())));
        if !annotations.is_empty() {
            members.insert("annotations".to_owned(), annotations.into());
        }
    }
    (descriptor, bytes.len())
}

/// Marks an answer whose bytes do not have the digest in its URL.
fn wrong(mut answer: Response<LocalBody>) -> Response<LocalBody> {
    answer.extensions_mut().insert(WrongContent);
    answer
}

/// Status 404; an error if something that cannot be read may contain the content.
fn absent(current: &Current, code: ErrorCode) -> Answer {
    match &current.unreadable {
        None => Ok(not_found(code)),
        Some(why) => Err(io::Error::other(why.clone())),
    }
}

fn not_found(code: ErrorCode) -> Response<LocalBody> {
    let body = ErrorBody::new(code, "no bundle contains it");
    response(StatusCode::NOT_FOUND, HeaderMap::new(), LocalBody::whole(body.to_json()))
}

fn response(status: StatusCode, headers: HeaderMap, body: LocalBody) -> Response<LocalBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response.headers_mut().insert(DOCKER_DISTRIBUTION_API_VERSION, API_VERSION);
    response
}

fn body_for(method: Method, bytes: Bytes) -> LocalBody {
    match method {
        Method::Get => LocalBody::whole(bytes),
        Method::Head => LocalBody::whole(Bytes::new()),
    }
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

fn header(text: &str) -> io::Result<HeaderValue> {
    HeaderValue::try_from(text).map_err(io::Error::other)
}
