//! A server that does not answer leaves a request undecided.

use std::time::Duration;

use countersign::oci::Digest;

use super::site::{Scheme, Site};
use crate::fake_registry::{Fault, respond, with};

const HOUR: Duration = Duration::from_secs(60 * 60);

pub(super) async fn what_was_verified_is_served_for_max_stale_while_nothing_answers(
    scheme: Scheme,
) {
    let mut site = Site::new(scheme).await;
    let manifest = site.push_signed("v1", "one");
    site.world.pull("v1").await.serves(&manifest);
    site.everything_goes_down();
    site.world.pass(23 * HOUR);
    site.world.pull("v1").await.serves(&manifest);
    site.world.pull(Digest::of(&manifest)).await.serves(&manifest);
    site.world.pass(2 * HOUR);
    site.world.pull("v1").await.is_undecided(scheme.silence());
    site.world.pull(Digest::of(&manifest)).await.is_undecided("trust_unreachable");
    site.everything_comes_back();
    site.world.pass(Duration::from_secs(5));
    site.world.pull("v1").await.serves(&manifest);
}

pub(super) async fn what_was_not_verified_is_undecided_while_nothing_answers(scheme: Scheme) {
    let mut site = Site::new(scheme).await;
    let manifest = site.push_signed("v1", "one");
    site.everything_goes_down();
    for reference in ["v1", "v2", &Digest::of(&manifest).to_string()] {
        site.world.pull(reference).await.is_undecided(scheme.silence());
    }
}

pub(super) async fn a_gate_that_never_saw_anything_is_undecided_while_nothing_answers(
    scheme: Scheme,
) {
    let mut site = Site::new(scheme).await;
    let manifest = site.push_signed("v1", "one");
    site.world.pull("v1").await.serves(&manifest);
    site.everything_goes_down();
    site.world.restart_afresh().await;
    site.world.pull("v1").await.is_undecided(scheme.silence());
    site.world.pull(Digest::of(&manifest)).await.is_undecided(scheme.silence());
}

pub(super) async fn that_too_many_requests_came_is_passed_on(scheme: Scheme) {
    let mut site = Site::new(scheme).await;
    site.push_signed("v1", "one");
    site.world
        .registry
        .hook(|_| Some(Fault::Respond(with(respond(429, ""), http::header::RETRY_AFTER, "77"))));
    let answer = site.world.pull("v1").await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, "77"), "{text}");
    assert!(text.contains("TOOMANYREQUESTS"), "{text}");
}
