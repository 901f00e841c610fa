//! The private listener.

use std::sync::Arc;

use countersign::admin::{Admin, Part, Readiness};
use countersign::server::Limits;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use crate::wire::{Served, body, header, serve, status};

async fn admin(readiness: &Arc<Readiness>) -> Served {
    let mut registry = Registry::default();
    let counter: Counter = Counter::default();
    counter.inc_by(3);
    registry.register("countersign_things", "Things that were counted", counter);
    let admin = Arc::new(Admin::new(Arc::clone(readiness), registry));
    let service = move |_, request: http::Request<_>| {
        let answer = admin.handle(&request);
        async { answer }
    };
    serve(Limits::default(), None, service).await
}

#[tokio::test]
async fn ready_is_what_has_everything_in_place() {
    let readiness = Arc::new(Readiness::default());
    let served = admin(&readiness).await;
    assert_eq!(status(&served.request("GET", "/livez", "").await), 200);
    let answer = served.request("GET", "/readyz", "").await;
    assert_eq!((status(&answer), body(&answer)), (503, "not ready: config, store, listener\n"));
    readiness.set(Part::Config, true);
    readiness.set(Part::Store, true);
    let answer = served.request("GET", "/readyz", "").await;
    assert_eq!((status(&answer), body(&answer)), (503, "not ready: listener\n"));
    readiness.set(Part::Listener, true);
    let answer = served.request("GET", "/readyz", "").await;
    assert_eq!((status(&answer), body(&answer)), (200, "ready\n"));
    readiness.set(Part::Listener, false);
    assert_eq!(status(&served.request("GET", "/readyz", "").await), 503);
}

#[tokio::test]
async fn metrics_are_in_the_open_format() {
    let served = admin(&Arc::default()).await;
    let answer = served.request("GET", "/metrics", "").await;
    let expected = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!((status(&answer), header(&answer, "content-type")), (200, Some(expected)));
    assert!(body(&answer).contains("# TYPE countersign_things counter\n"), "{answer}");
    assert!(body(&answer).ends_with("\ncountersign_things_total 3\n# EOF\n"), "{answer}");
}

#[tokio::test]
async fn there_is_nothing_else() {
    let served = admin(&Arc::default()).await;
    for target in ["/", "/v2/", "/metrics/", "/livez/x", "/debug/pprof"] {
        assert_eq!(status(&served.request("GET", target, "").await), 404, "{target}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = served.request(method, "/metrics", "").await;
        assert_eq!((status(&answer), header(&answer, "allow")), (405, Some("GET, HEAD")));
    }
    let answer = served.request("HEAD", "/livez", "").await;
    assert_eq!((status(&answer), body(&answer)), (200, ""));
    assert_eq!(header(&answer, "content-length"), Some("6"));
}
