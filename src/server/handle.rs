//! The table of contents of the proxy: each route's one call and its one answer. Decides nothing
//! itself: names are [`Route`]'s, trust the gate's, headers `respond`'s.

use std::net::SocketAddr;
use std::time::Instant;

use http::{HeaderMap, Method, Request, Response};

use crate::audit::{Asked, Audit, RequestId};
use crate::gate::{Denial, Gate};
use crate::oci::headers::ContentName;
use crate::oci::{Digest, ImageRef, Registry, Repository};

use super::audit;
use super::body::Body;
use super::conditions;
use super::generation::Generations;
use super::metrics::{Kind, Metrics};
use super::respond::{self, Listed};
use super::route::Route;

/// The public service: answers every request of every client.
#[derive(Debug)]
pub struct Proxy {
    generations: Generations,
    metrics: Metrics,
    audit: Audit,
}

/// One request, as far as its answer depends on it.
struct Exchange<'a> {
    proxy: &'a Proxy,
    gate: &'a Gate,
    client: SocketAddr,
    headers: &'a HeaderMap,
    head: bool,
    id: RequestId,
    started: Instant,
}

impl Proxy {
    /// Answers with `generations`, counts in `metrics`, and records in `audit`.
    pub fn new(generations: Generations, metrics: Metrics, audit: Audit) -> Self {
        Self { generations, metrics, audit }
    }

    /// Answers `request` of `client`; its body is not read.
    pub async fn handle<B>(&self, client: SocketAddr, request: Request<B>) -> Response<Body> {
        let started = Instant::now();
        let (head, _) = request.into_parts();
        let generation = self.generations.current();
        let exchange = Exchange {
            proxy: self,
            gate: &generation.gate,
            client,
            headers: &head.headers,
            head: head.method == Method::HEAD,
            id: self.audit.name(),
            started,
        };
        let route =
            Route::parse(&head.method, head.uri.path(), head.uri.query(), &generation.names);
        // What is not a manifest is on the heap: the room for it is not carried around for one.
        let (kind, response) = match route {
            Err(malformed) => (Kind::Malformed, respond::malformed(&malformed)),
            Ok(Route::Base) => (Kind::Base, respond::base()),
            Ok(Route::Manifest(image)) => (Kind::Manifest, exchange.manifest(&image).await),
            Ok(Route::Blob { registry, repository, digest }) => {
                (Kind::Blob, Box::pin(exchange.blob(&registry, &repository, digest)).await)
            }
            Ok(Route::Tags { registry, repository, name, ns, page }) => {
                let listed = Listed { name: &name, ns: ns.as_ref() };
                let found = Box::pin(exchange.gate.tags(&registry, &repository, &page)).await;
                (Kind::Tags, exchange.either(found, |page| respond::tags(&page, &listed)))
            }
            Ok(Route::Referrers {
                registry,
                repository,
                digest,
                name,
                ns,
                artifact_type,
                page,
            }) => {
                let listed = Listed { name: &name, ns: ns.as_ref() };
                let wanted = artifact_type.as_deref();
                let asked = exchange.gate.referrers(&registry, &repository, &digest, wanted, &page);
                let found = Box::pin(asked).await;
                let respond = |page| respond::referrers(page, &listed, &digest, wanted);
                (Kind::Referrers, exchange.either(found, respond))
            }
            Ok(Route::TrustMetadata { gun, file }) => {
                let found = Box::pin(exchange.gate.trust_metadata(&gun, &file)).await;
                (Kind::TrustMetadata, exchange.either(found, respond::trust_metadata))
            }
            Ok(Route::Unsupported) => (Kind::Unsupported, respond::unsupported(head.version)),
            Ok(Route::NotFound) => (Kind::NotFound, respond::not_found()),
        };
        self.metrics.count_request(kind, response.status(), started.elapsed());
        if exchange.head { respond::without_body(response) } else { response }
    }
}

impl Exchange<'_> {
    async fn manifest(&self, image: &ImageRef) -> Response<Body> {
        match self.gate.admit(image).await {
            Ok(admitted) => {
                let Proxy { audit, metrics, .. } = self.proxy;
                audit::admitted(audit, metrics, self.asked(), image, &admitted);
                respond::manifest(admitted, self.headers)
            }
            Err(denial) => self.denied(&denial),
        }
    }

    async fn blob(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: Digest,
    ) -> Response<Body> {
        let name = ContentName::of(&digest);
        let gate = self.gate;
        // What the client has is looked at before a range (RFC 9110, 13.2.2), which is of what GET
        // sends (14.2).
        let unchanged = conditions::is_unchanged(self.headers, name.etag());
        if unchanged || self.head {
            let found = gate.blob_length(registry, repository, &digest).await;
            return self.either(found, |length| match unchanged {
                true => respond::unchanged(&name),
                false => respond::blob_length(length, &name),
            });
        }
        match conditions::range(self.headers, name.etag()) {
            Ok(range) => {
                let found = gate.blob(registry, repository, &digest, range).await;
                self.either(found, |blob| respond::blob(blob, &name, &self.proxy.metrics))
            }
            Err(invalid) => respond::invalid_range(&invalid),
        }
    }

    fn either<T>(
        &self,
        found: Result<T, Denial>,
        respond: impl FnOnce(T) -> Response<Body>,
    ) -> Response<Body> {
        found.map_or_else(|denial| self.denied(&denial), respond)
    }

    fn denied(&self, denial: &Denial) -> Response<Body> {
        let Proxy { audit, metrics, .. } = self.proxy;
        audit::denied(audit, metrics, self.asked(), denial);
        respond::denied(denial, self.id)
    }

    fn asked(&self) -> Asked {
        Asked { client: self.client, id: self.id, started: self.started }
    }
}
