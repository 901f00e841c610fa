//! Upstreams that lead back to the gate, and chained gates.

use countersign::oci::Digest;
use http::{Response, StatusCode};
use http_body_util::Full;

use super::open_files::Gate;
use crate::fake_registry::{Fault, REGISTRY};
use crate::whole_gate::{APP, DEFAULTS, World};

/// Before the fix, one request became 224.
#[tokio::test]
async fn an_upstream_that_redirects_to_the_gate_is_asked_only_for_the_first_request() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    let before = world.registry.asked().len();
    let gate = world.public();
    world.registry.hook(move |asked| {
        let back = format!("http://{gate}{}", asked.path);
        let redirect = Response::builder().status(307).header("location", back);
        Some(Fault::Respond(redirect.body(Full::default()).unwrap()))
    });
    let blob = format!("/v2/{APP}/blobs/{}", Digest::of(b"elsewhere"));
    assert_eq!(world.get(&blob).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let asked = world.registry.asked().len() - before;
    eprintln!("one request became {asked}");
    assert!((1..=3).contains(&asked), "{asked}");
    let metrics = world.metrics().await;
    assert!(metrics.contains("status=\"508\""), "{metrics}");
}

#[tokio::test]
async fn a_gate_behind_another_serves_it() {
    let open = r#"[[rule]]
        images = ["registry.example.com/open/**"]
        mode = "allow"
        reason = "a test"
        "#;
    let world = World::with(DEFAULTS, open).await;
    let blob = world.registry.registry().put_blob(&"open/app".parse().unwrap(), "one");
    let far = format!(
        "[[upstream]]\nregistry = \"{REGISTRY}\"\nurl = \"http://{}\"\ndefault = true\n{open}",
        world.public()
    );
    let gate = tokio::task::spawn_blocking(move || Gate::start("", &far)).await.unwrap();
    let path = format!("/v2/open/app/blobs/{blob}");
    let answer = gate.get(&path).await;
    assert!(answer.ends_with("\r\n\r\none"), "{answer}");
    let asked = world.registry.asked();
    let via = asked.last().unwrap().header(http::header::VIA).to_owned();
    assert!(via.starts_with("1.1 countersign-"), "{via}");
}
