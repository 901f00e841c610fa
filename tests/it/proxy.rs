//! The public service with the real gate and an in-process registry. Without anchors: the rules allow one folder of
//! images without a signature and deny another.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use countersign::access::Clients;
use countersign::audit::Audit;
use countersign::clock::Clock;
use countersign::exemptions::{self, ExemptionFile, Exemptions, Reporting};
use countersign::gate::Gate;
use countersign::oci::{Digest, Registry};
use countersign::policy::{Artifacts, Mode, OnRollback, OnUnsigned, Policy, Rule};
use countersign::pull_through::PullThrough;
use countersign::registry_client::{self, Upstream};
use countersign::server::{
    DenialStatus, Generation, Generations, Limits, ListenerKind, Load, Metrics, Names, Proxy,
};
use countersign::trust::discovery::Places;
use countersign::trust::findings::AnchorVerdicts;
use countersign::trust::tags::TagHistory;
use countersign::trust::{self, Trust, notaryv1};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LINK, RANGE, RETRY_AFTER};
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::wire::{Served, serve};

pub(crate) const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

/// The registry's content: `open/app` with the tag `v1` and one blob.
#[derive(Clone)]
pub(crate) struct Content {
    pub(crate) manifest: Bytes,
    pub(crate) blob: Bytes,
}

impl Content {
    fn new() -> Self {
        let blob = Bytes::from((0..100_000).map(|n| format!("{n:07}\n")).collect::<String>());
        let descriptor = |media_type: &str| serde_json::json!({"mediaType": media_type, "digest": Digest::of(&blob).to_string(), "size": blob.len()});
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": OCI_IMAGE,
            "config": descriptor("application/vnd.oci.image.config.v1+json"),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar")],
        });
        Self { manifest: manifest.to_string().into(), blob }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (manifest, blob) = (Digest::of(&self.manifest), Digest::of(&self.blob));
        let path = request.uri().path();
        let Some(rest) = path.strip_prefix("/v2/open/app/") else {
            return if path.starts_with("/v2/open/broken/") { later(503) } else { plain(404, "") };
        };
        if rest == "manifests/busy" {
            later(429)
        } else if rest == "manifests/v1" || rest == format!("manifests/{manifest}") {
            let mut found = plain(200, self.manifest.clone());
            found.headers_mut().insert(CONTENT_TYPE, OCI_IMAGE.parse().unwrap());
            let digest = manifest.to_string().parse().unwrap();
            found.headers_mut().insert("docker-content-digest", digest);
            bodiless(request, found)
        } else if rest == format!("blobs/{blob}") {
            bodiless(request, self.blob(request))
        } else if rest == "tags/list" {
            let mut list = plain(200, r#"{"name":"open/app","tags":["v1"]}"#);
            if request.uri().query() == Some("n=1") {
                let next = r#"</v2/open/app/tags/list?n=1&last=v1>; rel="next""#;
                list.headers_mut().insert(LINK, next.parse().unwrap());
            }
            list
        } else {
            plain(404, "")
        }
    }

    fn blob(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let Some(range) = request.headers().get(RANGE) else {
            return plain(200, self.blob.clone());
        };
        let total = self.blob.len();
        let range = range.to_str().unwrap().strip_prefix("bytes=").unwrap();
        let (first, last) = match range.split_once('-').unwrap() {
            ("", last) => (total - last.parse::<usize>().unwrap(), total - 1),
            (first, "") => (first.parse().unwrap(), total - 1),
            (first, last) => {
                (first.parse().unwrap(), last.parse::<usize>().unwrap().min(total - 1))
            }
        };
        if first >= total {
            let mut beyond = plain(416, "");
            let size = format!("bytes */{total}").parse().unwrap();
            beyond.headers_mut().insert(CONTENT_RANGE, size);
            return beyond;
        }
        let mut part = plain(206, self.blob.slice(first..=last));
        let range = format!("bytes {first}-{last}/{total}").parse().unwrap();
        part.headers_mut().insert(CONTENT_RANGE, range);
        part
    }
}

fn plain(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let body = body.into();
    let response = Response::builder().status(status).header(CONTENT_LENGTH, body.len());
    response.body(Full::new(body)).unwrap()
}

/// An error that is not retried now.
fn later(status: u16) -> Response<Full<Bytes>> {
    let mut response = plain(status, "");
    response.headers_mut().insert(RETRY_AFTER, 7.into());
    response
}

fn bodiless(request: &Request<Incoming>, response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    if request.method() == Method::HEAD { response.map(|_| Full::default()) } else { response }
}

/// The service, the registry behind it, and the registry's content.
pub(crate) struct Standing {
    pub(crate) served: Served,
    pub(crate) content: Content,
    pub(crate) registry: prometheus_client::registry::Registry,
    pub(crate) generations: Generations,
    pub(crate) audit: Audit,
    _upstream: Served,
}

/// Serves `r.example`, the default, and `docker.io` from one registry.
pub(crate) async fn stand() -> Standing {
    stand_with(DenialStatus::NotFound).await
}

/// The same, but denied manifests get that status.
pub(crate) async fn stand_with(denial_status: DenialStatus) -> Standing {
    let content = Content::new();
    let has = content.clone();
    let behind = serve(Limits::default(), None, move |_, request| {
        let answer = has.answer(&request);
        async { answer }
    })
    .await;
    let mut registry = prometheus_client::registry::Registry::default();
    let generations = generations(behind.address, &mut registry, denial_status);
    let metrics = Metrics::registered(&mut registry);
    let audit = Audit::new(Clock::System, None);
    let proxy = Arc::new(Proxy::new(
        generations.clone(),
        Load::new(&Limits::default()),
        metrics,
        audit.clone(),
    ));
    let served = serve(Limits::default(), None, move |client, request| {
        let proxy = Arc::clone(&proxy);
        async move { proxy.handle(ListenerKind::Clients, client, request).await }
    })
    .await;
    Standing { served, content, registry, generations, audit, _upstream: behind }
}

/// The gate for the registry at `address`.
pub(crate) fn generations(
    address: SocketAddr,
    registry: &mut prometheus_client::registry::Registry,
    denial_status: DenialStatus,
) -> Generations {
    let names: Vec<Registry> = ["r.example", "docker.io"].map(|name| name.parse().unwrap()).into();
    let asked = registry_client::Metrics::registered(registry);
    let upstreams = names.iter().map(|name| {
        let url = format!("http://{}", address).parse().unwrap();
        Upstream::new(&registry_client::Config::new(name.clone(), url), &asked).unwrap()
    });
    let pull_through = PullThrough::new(upstreams, PullThrough::CACHE);
    let rule = |pattern: &str, mode| Rule {
        patterns: vec![pattern.parse().unwrap()],
        mode,
        on_unsigned: OnUnsigned::default(),
        on_rollback: OnRollback::default(),
        artifacts: Artifacts::default(),
        tag_lifetimes: None,
        until: None,
    };
    let policy = Policy::new(vec![
        rule("*/open/**", Mode::Allow { reason: "a test".to_owned() }),
        rule("*/shut/**", Mode::Deny { reason: Some("a test".to_owned()) }),
    ]);
    let refreshes = trust::Metrics::registered(registry);
    let known = notaryv1::TrustCache::new(Clock::System, refreshes.clone());
    let places = Places::new(pull_through.clone(), Clock::System);
    let verdicts = AnchorVerdicts::new(places, Clock::System, refreshes);
    let trust = Trust::new([], known, verdicts);
    let tags = TagHistory::look(&std::env::temp_dir());
    let file = ExemptionFile::below(&std::env::temp_dir().join("nowhere"));
    let exemptions =
        Exemptions::new(file, Clock::System, exemptions::Metrics::default(), Reporting::Nothing);
    let gate =
        Gate::new(policy, trust, pull_through, tags, exemptions, names.clone(), Clock::System);
    let names = Names { default: names.first().cloned(), registries: names, ..Names::default() };
    let clients = Clients::open();
    Generations::new(Generation { number: 1, gate, clients, names, denial_status })
}
