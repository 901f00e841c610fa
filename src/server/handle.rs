//! The table of contents of the proxy: each route's one call and its one answer. Decides nothing
//! itself: names are [`Route`]'s, trust the gate's, headers `respond`'s, and what there is in the place of
//! what is denied `instead`'s.

use std::net::SocketAddr;
use std::time::Instant;

use futures_util::FutureExt as _;
use http::{HeaderMap, Method, Request, Response};

use crate::gate::{Admitted, Denial, Gate};
use crate::net::patiently;
use crate::oci::headers::ContentName;
use crate::oci::{Digest, ImageRef, Registry, Repository};

use super::audit::{self, RequestId, RequestIds};
use super::body::Body;
use super::conditions;
use super::config::DenialStatus;
use super::facing::Facing;
use super::generation::Generations;
use super::instead::{PATIENCE, is_passing};
use super::metrics::{Kind, Metrics};
use super::respond::{self, Listed};
use super::route::Route;
use super::sticky::Memory;

/// The public service: answers every request of every client.
#[derive(Debug)]
pub struct Proxy {
    generations: Generations,
    pub(super) metrics: Metrics,
    ids: RequestIds,
    /// The denials that were given on the mirror listener.
    pub(super) denials: Memory,
}

/// One request, as far as its answer depends on it.
pub(super) struct Exchange<'a> {
    pub(super) proxy: &'a Proxy,
    gate: &'a Gate,
    pub(super) denial_status: DenialStatus,
    pub(super) facing: Facing,
    pub(super) client: SocketAddr,
    pub(super) path: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) head: bool,
    pub(super) id: RequestId,
    pub(super) started: Instant,
}

impl Proxy {
    pub fn new(generations: Generations, metrics: Metrics) -> Self {
        Self { generations, metrics, ids: RequestIds::new(), denials: Memory::new() }
    }

    /// Answers `request` of `client`, which came to that listener; its body is not read.
    pub async fn handle<B>(
        &self,
        facing: Facing,
        client: SocketAddr,
        request: Request<B>,
    ) -> Response<Body> {
        let started = Instant::now();
        let (head, _) = request.into_parts();
        let generation = self.generations.current();
        let exchange = Exchange {
            proxy: self,
            gate: &generation.gate,
            denial_status: generation.denial_status,
            facing,
            client,
            path: head.uri.path(),
            headers: &head.headers,
            head: head.method == Method::HEAD,
            id: self.ids.next(),
            started,
        };
        let route =
            Route::parse(&head.method, head.uri.path(), head.uri.query(), &generation.names);
        // What is not a manifest is on the heap: the room for it is not carried around for one.
        let (kind, response) = match route {
            Err(malformed) => (Kind::Malformed, exchange.malformed(&malformed)),
            Ok(Route::Base) => (Kind::Base, respond::base()),
            Ok(Route::Manifest(image)) => (Kind::Manifest, exchange.manifest(&image).await),
            Ok(Route::Blob { registry, repository, digest }) => {
                (Kind::Blob, Box::pin(exchange.blob(&registry, &repository, digest)).await)
            }
            Ok(Route::Tags { registry, repository, name, ns, page }) => {
                let listed = Listed { name: &name, ns: ns.as_ref() };
                let found = Box::pin(exchange.gate.tags(&registry, &repository, &page)).await;
                let response = match found {
                    Ok(page) => respond::tags(&page, &listed),
                    Err(denial) => exchange.failed(&denial),
                };
                (Kind::Tags, response)
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
        if let Some(again) = self.denied_before(&image.reference) {
            return again;
        }
        match self.gate.admit(image).await {
            Ok(admitted) => {
                if self.facing == Facing::Mirror
                    && let Err(denial) = self.config_is_there(image, &admitted).boxed().await
                {
                    return self.no_manifest(&image.reference, &denial);
                }
                audit::admitted(&self.proxy.metrics, self.asked(), image, &admitted);
                respond::manifest(admitted, self.headers)
            }
            Err(denial) => self.no_manifest(&image.reference, &denial),
        }
    }

    /// Docker asks a mirror for an image's config only once, and the registry itself after any error.
    async fn config_is_there(&self, image: &ImageRef, admitted: &Admitted) -> Result<(), Denial> {
        patiently(PATIENCE, is_passing, || self.gate.fetch_config(image, admitted)).await
    }

    async fn blob(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: Digest,
    ) -> Response<Body> {
        let name = ContentName::of(&digest);
        let gate = self.gate;
        if let Some(none) = self.config_of_denial(&digest) {
            return none;
        }
        // What the client has is looked at before a range (RFC 9110, 13.2.2), which is of what GET
        // sends (14.2).
        let unchanged = conditions::is_unchanged(self.headers, name.etag());
        if unchanged || self.head {
            let found = gate.blob_length(registry, repository, &digest).await;
            return match found {
                Ok(_) if unchanged => respond::unchanged(&name),
                Ok(length) => respond::blob_length(length, &name),
                Err(denial) => self.failed(&denial),
            };
        }
        match conditions::range(self.headers, name.etag()) {
            Ok(range) => {
                let found = match self.facing {
                    Facing::Clients => gate.blob(registry, repository, &digest, range).await,
                    Facing::Mirror => {
                        let open = || gate.steady_blob(registry, repository, &digest, range);
                        patiently(PATIENCE, is_passing, open).boxed().await
                    }
                };
                match found {
                    Ok(blob) => respond::blob(blob, &name, &self.proxy.metrics),
                    Err(denial) => self.failed(&denial),
                }
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
}
