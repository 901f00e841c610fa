//! The private listener.

use std::sync::Arc;

use countersign::admin::why::MAX_AT_ONCE;
use countersign::admin::{Admin, Denials, Part, Readiness, Why};
use countersign::audit::Audit;
use countersign::clock::Clock;
use countersign::server::DenialStatus;
use countersign::server::Limits;
use futures_util::FutureExt;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use serde_json::Value;

use crate::proxy::{generations, stand};
use crate::wire::{Served, body, header, serve, status};

async fn admin(readiness: &Arc<Readiness>) -> Served {
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let why = Why::new(
        generations(nowhere, &mut Registry::default(), DenialStatus::NotFound),
        Audit::new(Clock::System, None),
    );
    admin_with(readiness, why).await
}

async fn admin_with(readiness: &Arc<Readiness>, why: Why) -> Served {
    let mut registry = Registry::default();
    let counter: Counter = Counter::default();
    counter.inc_by(3);
    registry.register("countersign_things", "Things that were counted", counter);
    let denials = Denials::new(Audit::new(Clock::System, None));
    let admin = Arc::new(Admin::new(Arc::clone(readiness), registry, why, denials));
    let service = move |_, request: http::Request<_>| {
        let admin = Arc::clone(&admin);
        async move { admin.handle(request).await }
    };
    serve(Limits::default(), None, service).await
}

#[tokio::test]
async fn ready_requires_every_part() {
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
async fn no_other_path_exists() {
    let served = admin(&Arc::default()).await;
    for target in ["/", "/v2/", "/metrics/", "/livez/x", "/debug/pprof"] {
        assert_eq!(status(&served.request("GET", target, "").await), 404, "{target}");
    }
    for target in ["/metrics", "/why?image=r.example/open/app:v1"] {
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let answer = served.request(method, target, "").await;
            assert_eq!((status(&answer), header(&answer, "allow")), (405, Some("GET, HEAD")));
        }
    }
    let answer = served.request("HEAD", "/livez", "").await;
    assert_eq!((status(&answer), body(&answer)), (200, ""));
    assert_eq!(header(&answer, "content-length"), Some("6"));
}

fn json(answer: &str) -> Value {
    assert_eq!(header(answer, "content-type"), Some("application/json"), "{answer}");
    serde_json::from_str(body(answer)).unwrap()
}

#[tokio::test]
async fn why_explains_the_gates_decision_about_an_image() {
    let stand = stand().await;
    let why = Why::new(stand.generations.clone(), stand.audit.clone());
    let served = admin_with(&Arc::default(), why).await;
    for (image, verdict, rule) in [
        ("r.example/open/app:v1", "admitted", "*/open/**"),
        ("r.example/shut/app:v1", "refused", "*/shut/**"),
    ] {
        let answer = served.request("GET", &format!("/why?image={image}"), "").await;
        assert_eq!(status(&answer), 200, "{answer}");
        let reported = json(&answer);
        assert_eq!((&reported["image"], &reported["verdict"]), (&image.into(), &verdict.into()));
        assert_eq!(reported["rule"]["images"], rule);
    }
}

#[tokio::test]
async fn why_shows_the_recorded_decision_and_the_current_one() {
    let stand = stand().await;
    let why = Why::new(stand.generations.clone(), stand.audit.clone());
    let served = admin_with(&Arc::default(), why).await;
    let denied = stand.served.request("GET", "/v2/shut/app/manifests/v1", "").await;
    let id = json(&denied)["errors"][0]["detail"]["request_id"].clone();
    let answer = served.request("GET", &format!("/why?request={}", id.as_str().unwrap()), "").await;
    let reported = json(&answer);
    assert_eq!((status(&answer), &reported["request_id"]), (200, &id));
    assert_eq!(
        (&reported["verdict"], &reported["reason"]),
        (&"refused".into(), &"denied_by_rule".into())
    );
    let because = reported["because"].as_str().unwrap();
    let message = format!("{because} (request {})", id.as_str().unwrap());
    assert_eq!(json(&denied)["errors"][0]["message"], message);
    assert_eq!(reported["now"]["image"], "r.example/shut/app:v1");
    assert_eq!(reported["now"]["because"], reported["because"]);
}

#[tokio::test]
async fn why_explains_its_syntax_and_what_is_stored() {
    let served = admin(&Arc::default()).await;
    for target in ["/why", "/why?image=", "/why?image=NO/image", "/why?request=12"] {
        let answer = served.request("GET", target, "").await;
        assert_eq!(status(&answer), 400, "{target}");
        assert!(body(&answer).contains("write /why?image=registry/repository"), "{answer}");
    }
    let answer = served.request("GET", "/why?request=0123456789abcdef", "").await;
    assert_eq!(status(&answer), 404);
    assert!(body(&answer).contains("its last 10,000 denials"), "{answer}");
}

/// Each explanation costs as much as a decision.
#[tokio::test]
async fn concurrent_explanations_are_limited() {
    // Accepts connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gate =
        generations(silent.local_addr().unwrap(), &mut Registry::default(), DenialStatus::NotFound);
    let why = Why::new(gate, Audit::new(Clock::System, None));
    let denials = Denials::new(Audit::new(Clock::System, None));
    let admin = Arc::new(Admin::new(Arc::default(), Registry::default(), why, denials));
    let ask = || {
        let request = http::Request::get("/why?image=r.example/open/app:v1").body(()).unwrap();
        let admin = Arc::clone(&admin);
        Box::pin(async move { admin.handle(request).await })
    };
    let mut asked: Vec<_> = (0..MAX_AT_ONCE).map(|_| ask()).collect();
    for one in &mut asked {
        assert!(one.now_or_never().is_none());
    }
    let refused = ask().await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (503, &"1".parse().unwrap())
    );
    // A client that disconnects frees its place.
    drop(asked.pop());
    assert!(ask().now_or_never().is_none());
}
