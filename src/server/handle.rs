//! Connects each route to one call and one response. Decides nothing itself: [`Route`] parses names, the gate decides
//! about trust, `respond` builds responses, and `denied` responds to denials.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};

use crate::access::{ClientCertificate, Clients};
use crate::audit::{Audit, RequestId};
use crate::gate::{Admitted, Denial, Gate, ReferrerList, Resource};
use crate::http_client::{patiently, via};
use crate::oci::headers::ContentName;
use crate::oci::{Digest, ImageRef, RepositoryRef};
use crate::trust::Relayed;
use crate::trust::notaryv1::{File, Gun};

use super::audit;
use super::body::Body;
use super::conditions;
use super::config::DenialStatus;
use super::denied::{ANSWER, PATIENCE, is_passing};
use super::drain;
use super::generation::Generations;
use super::listener_kind::ListenerKind;
use super::load::Load;
use super::metrics::{Metrics, RequestKind};
use super::mirror::Memory;
use super::objection::Objection;
use super::respond::{self, Listed};
use super::route::{Malformed, Route};

/// The public service: responds to every request of every client.
#[derive(Debug)]
pub struct Proxy {
    generations: Generations,
    pub(super) load: Load,
    pub(super) metrics: Metrics,
    pub(super) audit: Audit,
    /// Recent denials on the mirror listener.
    pub(super) denials: Memory,
}

/// One request, as far as its response depends on it.
pub(super) struct Exchange<'a> {
    pub(super) proxy: &'a Proxy,
    gate: &'a Gate,
    pub(super) denial_status: DenialStatus,
    pub(super) listener: ListenerKind,
    pub(super) client: SocketAddr,
    /// The authenticated user, if any.
    pub(super) user: Option<Arc<str>>,
    pub(super) path: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) head: bool,
    pub(super) id: RequestId,
    pub(super) started: Instant,
    /// When the response must begin, if the client does not wait longer.
    pub(super) answer_by: Option<tokio::time::Instant>,
}

impl Proxy {
    /// Serves with `generations` within `load`, counts in `metrics`, and records in `audit`.
    pub fn new(generations: Generations, load: Load, metrics: Metrics, audit: Audit) -> Self {
        Self { generations, load, metrics, audit, denials: Memory::new() }
    }

    /// Responds to a `request` of `client` on that listener. Its body, which has no meaning, is read afterwards.
    pub async fn handle<B>(
        &self,
        listener: ListenerKind,
        client: SocketAddr,
        request: Request<B>,
    ) -> Response<Body>
    where
        B: http_body::Body + Send + Unpin + 'static,
    {
        let started = Instant::now();
        let (head, body) = request.into_parts();
        drain::begin(body);
        let generation = self.generations.current();
        let gate = generation.gate.on_behalf_of(client.into());
        let mut exchange = Exchange {
            proxy: self,
            gate: &gate,
            denial_status: generation.denial_status,
            listener,
            client,
            user: None,
            path: head.uri.path(),
            headers: &head.headers,
            head: head.method == Method::HEAD,
            id: self.audit.name(),
            started,
            answer_by: match listener {
                ListenerKind::Clients => None,
                ListenerKind::Mirror(_) => Some(tokio::time::Instant::now() + ANSWER),
            },
        };
        let route =
            Route::parse(&head.method, head.uri.path(), head.uri.query(), &generation.names);
        let kind = kind(&route);
        let certificate = head.extensions.get::<ClientCertificate>();
        let mut refused = match exchange.refused(&head) {
            Some(refused) => Some(refused),
            None => exchange.authorize(&generation.clients, certificate, &route).await,
        };
        let mut turn = None;
        if refused.is_none() && is_list(&route) {
            turn = Box::pin(self.load.list_turn()).await;
            refused = turn.is_none().then(|| exchange.list(None));
        }
        // Other routes are on the heap, so that manifest requests do not carry their space around.
        let response = match (refused, route) {
            (Some(refused), _) => refused,
            (None, Err(malformed)) => exchange.malformed(&malformed),
            (None, Ok(Route::Base)) => respond::base(),
            (None, Ok(Route::Manifest(image))) => exchange.manifest(&image).await,
            (None, Ok(Route::Blob { repository, digest })) => {
                Box::pin(exchange.blob(&repository, digest)).await
            }
            (None, Ok(Route::Tags { repository, name, ns, page })) => {
                let listed = Listed { name: &name, ns: ns.as_ref() };
                let asked = exchange.gate.tags(&repository, &page);
                let list = || Resource::tag_list(&repository);
                match Box::pin(exchange.in_time(list, asked)).await {
                    Ok(page) => exchange.list(respond::tags(&page, &listed, &self.load)),
                    Err(denial) => exchange.failed(&denial),
                }
            }
            (None, Ok(Route::Referrers { repository, digest, name, ns, artifact_type, page })) => {
                let listed = Listed { name: &name, ns: ns.as_ref() };
                let wanted = artifact_type.as_deref();
                let image = || ImageRef::by_digest(&repository, &digest);
                let found = Box::pin(async {
                    let subject = exchange.gate.subject(&repository, &digest);
                    match exchange.in_time(image, subject).await {
                        Ok(subject) => {
                            let listed = exchange.gate.referrers(subject, wanted, &page);
                            exchange.in_time(image, listed).await
                        }
                        Err(denial) => exchange.no_referrers(denial),
                    }
                });
                let found = found.await;
                exchange.either(found, |page| {
                    exchange.list(respond::referrers(page, &listed, &digest, wanted, &self.load))
                })
            }
            (None, Ok(Route::TrustMetadata { gun, file })) => {
                let found = Box::pin(exchange.trust_metadata(&gun, &file)).await;
                exchange.either(found, |metadata| {
                    exchange.list(respond::trust_metadata(metadata, &self.load))
                })
            }
            (None, Ok(Route::Token)) => {
                Box::pin(exchange.token(&head.method, &generation.clients)).await
            }
            (None, Ok(Route::Unsupported)) => respond::unsupported(head.version),
            (None, Ok(Route::NotFound)) => respond::not_found(),
        };
        drop(turn);
        self.metrics.count_request(kind, response.status(), started.elapsed());
        if exchange.head { respond::without_body(response) } else { response }
    }
}

/// Whether the response is a list, whose bytes are limited.
fn is_list(route: &Result<Route, Malformed>) -> bool {
    matches!(route, Ok(Route::Tags { .. } | Route::Referrers { .. } | Route::TrustMetadata { .. }))
}

fn kind(route: &Result<Route, Malformed>) -> RequestKind {
    match route {
        Err(_) => RequestKind::Malformed,
        Ok(Route::Base) => RequestKind::Base,
        Ok(Route::Manifest(_)) => RequestKind::Manifest,
        Ok(Route::Blob { .. }) => RequestKind::Blob,
        Ok(Route::Tags { .. }) => RequestKind::Tags,
        Ok(Route::Referrers { .. }) => RequestKind::Referrers,
        Ok(Route::Token) => RequestKind::Token,
        Ok(Route::TrustMetadata { .. }) => RequestKind::TrustMetadata,
        Ok(Route::Unsupported) => RequestKind::Unsupported,
        Ok(Route::NotFound) => RequestKind::NotFound,
    }
}

/// The message for a list that finds no room.
const TOO_MANY_LISTS: &str = "too many lists are waiting or being sent to clients; retry later";
/// The message for a request that this gate sent itself.
const LOOP: &str = "this gate sent the request itself (its name is in Via): an upstream's `url`, or an address that \
                    the upstream redirects to, leads back to the gate";

impl Exchange<'_> {
    /// The response to a request that is refused whatever the gate would decide.
    fn refused(&self, head: &Parts) -> Option<Response<Body>> {
        if let Some(objection) = head.extensions.get::<Objection>().copied() {
            let answer = || respond::objection(objection, head.version);
            return Some(self.turned_away(objection.sentence(), answer));
        }
        via::was_here(&head.headers).then(|| respond::looped(LOOP))
    }

    /// The response with a list, or the error if there is no room for it.
    fn list(&self, list: Option<Response<Body>>) -> Response<Body> {
        list.unwrap_or_else(|| self.turned_away(TOO_MANY_LISTS, || respond::busy(TOO_MANY_LISTS)))
    }

    /// The error response for a client that may not request this, signed or not; `None` if it may.
    async fn authorize(
        &mut self,
        clients: &Clients,
        certificate: Option<&ClientCertificate>,
        route: &Result<Route, Malformed>,
    ) -> Option<Response<Body>> {
        if clients.is_open()
            || matches!(route, Ok(Route::Token | Route::Unsupported | Route::NotFound))
        {
            return None;
        }
        let identified = clients.identify(self.headers, self.client.ip(), certificate);
        let client = match Box::pin(identified).await {
            Ok(client) => client,
            Err(why) => {
                return Some(self.unauthorized(why, clients, matches!(route, Ok(Route::Base))));
            }
        };
        self.user = client.user().cloned();
        let of_gun;
        let named = match route {
            Ok(Route::Manifest(image)) => Some(&image.repository),
            Ok(
                Route::Blob { repository, .. }
                | Route::Tags { repository, .. }
                | Route::Referrers { repository, .. },
            ) => Some(repository),
            Ok(Route::TrustMetadata { gun, .. }) => {
                of_gun = self.gate.repository_of(gun);
                of_gun.as_ref()
            }
            Ok(Route::Base | Route::Token | Route::Unsupported | Route::NotFound) | Err(_) => None,
        };
        let repository = named?;
        if clients.may_pull(&client, repository) {
            return None;
        }
        let sentence = format!("{client} may not pull {repository}: no [[clients.rule]] grants it");
        Some(self.turned_away(&sentence, || respond::not_given(&sentence, self.id)))
    }

    async fn trust_metadata(&self, gun: &Gun, file: &File) -> Result<Option<Relayed>, Denial> {
        let Some(repository) = self.gate.repository_of(gun) else { return Ok(None) };
        let asked = self.gate.trust_metadata(gun, file);
        self.in_time(|| Resource::trust_metadata(&repository), asked).await
    }

    async fn manifest(&self, image: &ImageRef) -> Response<Body> {
        if let Some(again) = self.denied_before(&image.reference) {
            return again;
        }
        // On the heap, because hyper and its callers move the enclosing future several times per request.
        let decision = Box::pin(self.gate.admit(image));
        match self.in_time(|| image.clone(), decision).await {
            Ok(admitted) => {
                if self.listener != ListenerKind::Clients
                    && let Err(denial) = self.config_is_there(image, &admitted).boxed().await
                {
                    return self.no_manifest(&image.reference, &denial);
                }
                let Proxy { audit, metrics, .. } = self.proxy;
                audit::admitted(audit, metrics, self.asked(), image, &admitted);
                respond::manifest(admitted, self.headers, self.gate.clock().now())
            }
            Err(denial) => self.no_manifest(&image.reference, &denial),
        }
    }

    /// Checks that the config can be fetched: docker requests it from a mirror only once, and then falls back.
    async fn config_is_there(&self, image: &ImageRef, admitted: &Admitted) -> Result<(), Denial> {
        let fetching = patiently(PATIENCE, is_passing, || self.gate.fetch_config(image, admitted));
        self.in_time(|| image.clone(), fetching).await
    }

    async fn blob(&self, repository: &RepositoryRef, digest: Digest) -> Response<Body> {
        let name = ContentName::of(&digest);
        let gate = self.gate;
        let resource = || Resource::blob(repository, &digest);
        if let Some(none) = self.config_of_denial(&digest) {
            return none;
        }
        // Conditions take precedence over ranges (RFC 9110, 13.2.2), which apply to GET only (14.2).
        let unchanged = conditions::is_unchanged(self.headers, name.etag());
        if unchanged || self.head {
            let found = gate.blob_length(repository, &digest);
            return match self.in_time(resource, found).await {
                Ok(_) if unchanged => respond::unchanged(&name),
                Ok(length) => respond::blob_length(length, &name),
                Err(denial) => self.failed(&denial),
            };
        }
        match conditions::range(self.headers, name.etag()) {
            Ok(range) => {
                let found = match self.listener {
                    ListenerKind::Clients => gate.blob(repository, &digest, range).await,
                    ListenerKind::Mirror(_) => {
                        let open = || gate.steady_blob(repository, &digest, range);
                        self.in_time(resource, patiently(PATIENCE, is_passing, open)).boxed().await
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

    /// The referrers of a denied manifest: an empty list, unless a rule denies the manifest. The distribution-spec
    /// forbids a 404 ("Listing Referrers"), on which clients would try the referrers tag.
    fn no_referrers(&self, denial: Denial) -> Result<ReferrerList, Denial> {
        match denial {
            Denial::Refused(_) if denial.denied_by().is_some() => Err(denial),
            Denial::Absent(_) | Denial::Refused(_) | Denial::Missing { .. } => {
                self.record(&denial);
                Ok(ReferrerList::none())
            }
            Denial::Undecided(_) | Denial::Throttled { .. } | Denial::Unsatisfiable { .. } => {
                Err(denial)
            }
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
