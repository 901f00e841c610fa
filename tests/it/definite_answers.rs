//! Answers of a registry that a retry does not change: a client gets a 4xx with the reason, and no time to retry after. A
//! registry that refuses the gate's credentials denies no tag whose digest is known.

use std::time::Duration;

use http::Method;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::Value;

use crate::fake_registry::{Fault, REGISTRY, respond, with};
use crate::whole_gate::{APP, Answer, DEFAULTS, World};

const HOUR: Duration = Duration::from_secs(60 * 60);

async fn world() -> World {
    let rule = format!(
        "[[rule]]\nimages = [\"{REGISTRY}/{APP}\"]\nmode = \"allow\"\nreason = \"a test\"\n"
    );
    World::with(DEFAULTS, &rule).await
}

#[track_caller]
fn is_definite(answer: &Answer, words: &str) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    let error = &body["errors"][0];
    assert_eq!((answer.status.as_u16(), &error["code"]), (404, &"UNSUPPORTED".into()), "{body}");
    assert!(error["message"].as_str().unwrap().contains(words), "{body}");
    assert!(!answer.headers.contains_key(RETRY_AFTER));
}

#[tokio::test]
async fn a_manifest_above_the_limit_is_a_definite_no() {
    let world = world().await;
    world.push("v1", "one");
    let large = vec![b' '; 5 << 20];
    let kind = "application/vnd.oci.image.manifest.v1+json";
    world.registry.hook(move |asked| {
        let answer = || with(respond(200, large.clone()), CONTENT_TYPE, kind);
        (asked.method == Method::GET).then(|| Fault::Respond(answer()))
    });
    is_definite(&world.pull("v1").await, "exceeds");
}

#[tokio::test]
async fn a_405_of_the_registry_is_a_definite_no() {
    let world = world().await;
    world.registry.hook(|_| Some(Fault::Respond(respond(405, ""))));
    is_definite(&world.pull("v1").await, "405");
}

#[tokio::test]
async fn a_query_that_the_registry_does_not_support_is_a_definite_no() {
    let world = world().await;
    world.registry.hook(|_| Some(Fault::Respond(respond(400, ""))));
    is_definite(&world.get(&format!("/v2/{APP}/tags/list?n=2&order=newest")).await, "400");
}

#[tokio::test]
async fn credentials_that_expired_deny_neither_a_known_tag_nor_its_digest() {
    for status in [401, 403] {
        let world = world().await;
        let image = world.push("v1", "one");
        world.pull("v1").await.serves(&image);
        world.registry.hook(move |_| Some(Fault::Respond(respond(status, ""))));
        world.pass(HOUR);
        world.pull("v1").await.serves(&image);
        world.pull(countersign::oci::Digest::of(&image)).await.serves(&image);
        // Nothing is known of another tag.
        world.pull("v2").await.is_undecided("upstream_refused");
    }
}
