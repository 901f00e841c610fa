//! A registry or Notary server that accepts connections and never answers. Clients abandon a mirror that does not
//! start its response within 30 seconds, and use the registry itself.

use std::time::Duration;

use countersign::oci::Digest;
use http::{Method, StatusCode};
use tokio::time::Instant;

use super::{ANY, FINAL, blobs, manifests};
use crate::fake_registry::{Fault, REGISTRY};
use crate::whole_gate::{APP, Answer, Setup, World};

/// The time limit for the start of each answer.
const LIMIT: Duration = Duration::from_secs(20);

impl World {
    async fn within_limit(&self, method: Method, path: &str) -> Answer {
        let begun = Instant::now();
        let answer = self.as_mirror(method.clone(), path, ANY).await;
        let took = begun.elapsed();
        assert!(took < LIMIT, "{method} {path} took {took:?}");
        answer
    }

    /// Checks that each way to request content is denied for good, within the limit.
    async fn sticks_within_limit(&self, signed: &Digest) {
        for reference in ["v1".to_owned(), signed.to_string()] {
            let head = self.within_limit(Method::HEAD, &manifests(&reference)).await;
            assert_eq!(head.status, StatusCode::NOT_MODIFIED);
            assert!(head.reason.starts_with("cannot decide about"), "{}", head.reason);
            let get = self.within_limit(Method::GET, &manifests(&reference)).await;
            get.final_denial(reference.contains(':'));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_begins_in_time_despite_a_silent_registry() {
    let mut world = World::new().await;
    let signed = Digest::of(&world.push_signed("v1", "one"));
    world.registry.hook(|_| Some(Fault::Silence));
    world.sticks_within_limit(&signed).await;
    for method in [Method::GET, Method::HEAD] {
        for path in [blobs(Digest::of(b"one")), format!("/v2/{APP}/tags/list")] {
            let answer = world.within_limit(method.clone(), &path).await;
            assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED, "{method} {path}");
            assert!(answer.reason.ends_with(FINAL), "{}", answer.reason);
        }
    }
    let referrers = world.within_limit(Method::GET, &format!("/v2/{APP}/referrers/{signed}")).await;
    assert_eq!(referrers.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn an_answer_begins_in_time_despite_a_silent_config() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    world.registry.hook(|asked| asked.path.contains("/blobs/").then_some(Fault::Silence));
    let denial = world.within_limit(Method::GET, &manifests("v1")).await.final_denial(false);
    assert!(denial.starts_with("cannot decide about"), "{denial}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_begins_in_time_despite_a_silent_notary_server() {
    let mut world = World::new().await;
    let signed = Digest::of(&world.push_signed("v1", "one"));
    world.notary.hook(|_| Some(Fault::Silence));
    world.sticks_within_limit(&signed).await;
    let tags = world.within_limit(Method::GET, &format!("/v2/{APP}/tags/list")).await;
    assert_eq!(tags.status, StatusCode::NOT_IMPLEMENTED);
}

/// A gate as a mirror with an allow rule: each pull resolves the tag at the registry.
#[tokio::test(start_paused = true)]
async fn an_allowed_image_of_a_silent_registry_is_denied_in_time() {
    let tables =
        format!("[[rule]]\nimages = [\"{REGISTRY}/**\"]\nmode = \"allow\"\nreason = \"a test\"\n");
    let world = World::of(Setup::new(tables)).await;
    let image = Digest::of(&world.push("v1", "one"));
    world.registry.hook(|_| Some(Fault::Silence));
    world.sticks_within_limit(&image).await;
}
