//! The table of contents of the proxy: each route's one call and its one answer. Decides nothing
//! itself: names are [`Route`]'s, trust the gate's, headers `respond`'s.

use std::net::SocketAddr;
use std::time::Instant;

use http::{HeaderMap, Method, Request, Response};

use crate::clients::{ClientCertificate, Clients};
use crate::gate::{Denial, Gate};
use crate::oci::headers::ContentName;
use crate::oci::{Digest, ImageRef, Registry, Repository};

use super::audit::{self, Asked, RequestId, RequestIds};
use super::body::Body;
use super::conditions;
use super::generation::Generations;
use super::metrics::{Kind, Metrics};
use super::respond::{self, Listed};
use super::route::{Malformed, Route};

/// The public service: answers every request of every client.
#[derive(Debug)]
pub struct Proxy {
    generations: Generations,
    metrics: Metrics,
    ids: RequestIds,
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
    pub fn new(generations: Generations, metrics: Metrics) -> Self {
        Self { generations, metrics, ids: RequestIds::new() }
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
            id: self.ids.next(),
            started,
        };
        let route =
            Route::parse(&head.method, head.uri.path(), head.uri.query(), &generation.names);
        let kind = kind(&route);
        let certificate = head.extensions.get::<ClientCertificate>();
        let refused = exchange.let_in(&generation.clients, certificate, &route).await;
        // What is not a manifest is on the heap: the room for it is not carried around for one.
        let response = match (refused, route) {
            (Some(refused), _) => refused,
            (None, Err(malformed)) => respond::malformed(&malformed),
            (None, Ok(Route::Base)) => respond::base(),
            (None, Ok(Route::Manifest(image))) => exchange.manifest(&image).await,
            (None, Ok(Route::Blob { registry, repository, digest })) => {
                Box::pin(exchange.blob(&registry, &repository, digest)).await
            }
            (None, Ok(Route::Tags { registry, repository, name, ns, page })) => {
                let listed = Listed { name: &name, ns: ns.as_ref() };
                let found = Box::pin(exchange.gate.tags(&registry, &repository, &page)).await;
                exchange.either(found, |page| respond::tags(&page, &listed))
            }
            (
                None,
                Ok(Route::Referrers {
                    registry,
                    repository,
                    digest,
                    name,
                    ns,
                    artifact_type,
                    page,
                }),
            ) => {
                let listed = Listed { name: &name, ns: ns.as_ref() };
                let wanted = artifact_type.as_deref();
                let asked = exchange.gate.referrers(&registry, &repository, &digest, wanted, &page);
                let found = Box::pin(asked).await;
                exchange.either(found, |page| respond::referrers(page, &listed, &digest, wanted))
            }
            (None, Ok(Route::TrustMetadata { gun, file })) => {
                let found = Box::pin(exchange.gate.trust_metadata(&gun, &file)).await;
                exchange.either(found, respond::trust_metadata)
            }
            (None, Ok(Route::Unsupported)) => respond::unsupported(head.version),
            (None, Ok(Route::NotFound)) => respond::not_found(),
        };
        self.metrics.count_request(kind, response.status(), started.elapsed());
        if exchange.head { respond::without_body(response) } else { response }
    }
}

fn kind(route: &Result<Route, Malformed>) -> Kind {
    match route {
        Err(_) => Kind::Malformed,
        Ok(Route::Base) => Kind::Base,
        Ok(Route::Manifest(_)) => Kind::Manifest,
        Ok(Route::Blob { .. }) => Kind::Blob,
        Ok(Route::Tags { .. }) => Kind::Tags,
        Ok(Route::Referrers { .. }) => Kind::Referrers,
        Ok(Route::TrustMetadata { .. }) => Kind::TrustMetadata,
        Ok(Route::Unsupported) => Kind::Unsupported,
        Ok(Route::NotFound) => Kind::NotFound,
    }
}

impl Exchange<'_> {
    /// What the client is told where it may not have what it asks for, signed or not.
    async fn let_in(
        &self,
        clients: &Clients,
        certificate: Option<&ClientCertificate>,
        route: &Result<Route, Malformed>,
    ) -> Option<Response<Body>> {
        if clients.is_open() || matches!(route, Ok(Route::Unsupported | Route::NotFound)) {
            return None;
        }
        let client = match Box::pin(clients.identify(self.headers, certificate)).await {
            Ok(client) => client,
            Err(why) => return Some(respond::not_let_in(why, clients)),
        };
        let of_gun;
        let named = match route {
            Ok(Route::Manifest(image)) => Some((&image.registry, &image.repository)),
            Ok(
                Route::Blob { registry, repository, .. }
                | Route::Tags { registry, repository, .. }
                | Route::Referrers { registry, repository, .. },
            ) => Some((registry, repository)),
            Ok(Route::TrustMetadata { gun, .. }) => {
                of_gun = self.gate.repository_of(gun);
                of_gun.as_ref().map(|(registry, repository)| (registry, repository))
            }
            Ok(Route::Base | Route::Unsupported | Route::NotFound) | Err(_) => None,
        };
        let (registry, repository) = named?;
        let given = clients.may_pull(&client, registry, repository);
        (!given).then(|| respond::not_given(&client, registry, repository))
    }

    async fn manifest(&self, image: &ImageRef) -> Response<Body> {
        match self.gate.admit(image).await {
            Ok(admitted) => {
                audit::admitted(&self.proxy.metrics, self.asked(), image, &admitted);
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
        audit::denied(&self.proxy.metrics, self.asked(), denial);
        respond::denied(denial, self.id)
    }

    fn asked(&self) -> Asked {
        Asked { client: self.client, id: self.id, started: self.started }
    }
}
