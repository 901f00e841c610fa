//! How often the gate resolves a tag and looks up its signatures, and how long it uses the results.

use std::time::Duration;

use http::Method;

use super::{platform, push_signed, resolved, rule, searched, setup, sign, world};
use crate::attached::{JOSE, NOTATION, ROOT, envelope, put_referrer};
use crate::fake_registry::{Fault, respond, with};
use crate::notation_signer::NOW;
use crate::whole_gate::{APP, World};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

#[tokio::test]
async fn a_tag_is_resolved_once_in_each_refresh() {
    let world = world("refresh = \"5m\"", "").await;
    let manifest = push_signed(&world, "v1", "one");
    for _ in 0..3 {
        world.pull("v1").await.serves(&manifest);
        world.pass(MINUTE);
    }
    assert_eq!((resolved(&world, "v1"), searched(&world, &manifest)), (1, 1));
    world.pass(2 * MINUTE);
    world.pull("v1").await.serves(&manifest);
    assert_eq!((resolved(&world, "v1"), searched(&world, &manifest)), (2, 2));
}

#[tokio::test]
async fn concurrent_requests_resolve_a_tag_once() {
    let world = world("", "").await;
    let manifest = push_signed(&world, "v1", "one");
    let pulls = (0..10).map(|_| world.pull("v1"));
    for answer in futures_util::future::join_all(pulls).await {
        answer.serves(&manifest);
    }
    assert_eq!((resolved(&world, "v1"), searched(&world, &manifest)), (1, 1));
}

/// CVE-2023-33959: the tag was resolved twice, one digest was verified and the other one used.
#[tokio::test]
async fn a_tag_that_moves_during_a_decision_does_not_change_the_served_digest() {
    let world = world("refresh = \"0s\"", "").await;
    let manifest = push_signed(&world, "v1", "one");
    let evil = world.put_image("evil");
    let digest = countersign::oci::Digest::of(&evil).to_string();
    world.registry.hook(move |asked| {
        let moved = asked.method == Method::HEAD
            && asked.path.ends_with("/manifests/v1")
            && asked.before > 0;
        let name = http::HeaderName::from_static("docker-content-digest");
        moved.then(|| Fault::Respond(with(respond(200, ""), name, &digest)))
    });
    world.pull("v1").await.serves(&manifest);
    let asked = world.registry.asked();
    let by_tag = asked.iter().filter(|asked| asked.path == format!("/v2/{APP}/manifests/v1"));
    assert_eq!(by_tag.map(|asked| &asked.method).collect::<Vec<_>>(), [Method::HEAD]);
    world.pull("v1").await.is_absent("no_trust_data");
}

#[tokio::test]
async fn two_tags_of_one_digest_share_one_search() {
    let world = world("", "").await;
    let manifest = push_signed(&world, "v1", "one");
    world.put_tag("latest", &manifest);
    world.pull("v1").await.serves(&manifest);
    world.pull("latest").await.serves(&manifest);
    assert_eq!(searched(&world, &manifest), 1);
}

#[tokio::test]
async fn a_verdict_is_cached_by_digest_and_not_by_tag() {
    let world = world("refresh = \"0s\"", "").await;
    let manifest = push_signed(&world, "v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.push("v1", "another");
    world.pull("v1").await.is_absent("no_trust_data");
}

#[tokio::test]
async fn an_unsigned_result_is_used_for_ten_seconds() {
    let world = world("", "").await;
    let manifest = world.push("v1", "one");
    world.pull("v1").await.is_absent("no_trust_data");
    sign(&world, &manifest);
    world.pass(9 * SECOND);
    world.pull("v1").await.is_absent("no_trust_data");
    assert_eq!(searched(&world, &manifest), 1);
    world.pass(SECOND);
    world.pull("v1").await.serves(&manifest);
    assert_eq!(resolved(&world, "v1"), 1);
}

#[tokio::test]
async fn with_a_zero_refresh_every_request_asks_upstream() {
    let world = world("refresh = \"0s\"", "").await;
    let manifest = push_signed(&world, "v1", "one");
    for times in 1..=3 {
        world.pull("v1").await.serves(&manifest);
        assert_eq!((resolved(&world, "v1"), searched(&world, &manifest)), (times, times));
    }
}

#[tokio::test]
async fn a_verdict_expires_with_its_evidence() {
    let tables = [platform("refresh = \"1h\""), rule("require = [\"platform\"]")];
    let world = World::of(setup(&tables).at(NOW)).await;
    let manifest = world.push("v1", "one");
    let signed = envelope(&manifest, &ROOT, NOW).expiring(NOW + 60).jws();
    put_referrer(&world.registry, &manifest, NOTATION, JOSE, &signed);
    world.pull("v1").await.serves(&manifest);
    world.pass(59 * SECOND);
    world.pull("v1").await.serves(&manifest);
    world.pass(2 * SECOND);
    world.pull("v1").await.is_refused("signature_invalid");
    // Upstream's silence does not extend it either.
    world.registry.hook(|_| Some(Fault::Drop));
    world.pass(MINUTE);
    world.pull("v1").await.is_undecided("trust_unreachable");
}

/// A signature without a proven time could have been made later, with a stolen key.
#[tokio::test]
async fn a_verdict_ends_with_not_after() {
    let world = world("refresh = \"1h\"\nnot_after = 2026-01-15T01:01:00Z", "").await;
    let manifest = push_signed(&world, "v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.pass(MINUTE);
    world.pull("v1").await.serves(&manifest);
    world.pass(SECOND);
    world.pull("v1").await.is_refused("signature_invalid");
    let why = world.why("v1").await.to_text();
    assert!(why.contains("not_after: `not_after` has passed, and the signing time"), "{why}");
}

#[tokio::test]
async fn a_verdict_ends_with_max_age() {
    let world = world("refresh = \"1h\"\nmax_age = \"61m\"", "").await;
    let manifest = super::push_signed_at(&world, "v1", "one", crate::sigstore::NOW);
    world.pull("v1").await.serves(&manifest);
    world.pass(MINUTE);
    world.pull("v1").await.serves(&manifest);
    world.pass(SECOND);
    world.pull("v1").await.is_refused("signature_invalid");
    assert!(world.why("v1").await.to_text().contains("older than `max_age`"));
}

#[tokio::test]
async fn an_unresolvable_tag_keeps_its_digest_for_max_stale() {
    let world = world("refresh = \"5m\"\nmax_stale = \"2h\"", "").await;
    let manifest = push_signed(&world, "v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.registry.hook(|asked| (asked.method == Method::HEAD).then_some(Fault::Drop));
    world.pass(HOUR);
    world.pull("v1").await.serves(&manifest);
    world.pass(HOUR);
    world.pull("v1").await.is_undecided("upstream_unreachable");
    // The image itself is not affected.
    world.pull(countersign::oci::Digest::of(&manifest)).await.serves(&manifest);
}

#[tokio::test]
async fn a_verdict_that_cannot_be_renewed_is_used_for_max_stale() {
    let world = world("refresh = \"5m\"\nmax_stale = \"2h\"", "").await;
    let manifest = push_signed(&world, "v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.registry.hook(|asked| asked.path.ends_with(".sig").then_some(Fault::Drop));
    world.pass(HOUR);
    world.pull("v1").await.serves(&manifest);
    world.pass(HOUR);
    world.pull("v1").await.is_undecided("trust_unreachable");
}

#[tokio::test(start_paused = true)]
async fn a_silent_registry_is_no_worse_than_one_that_refuses_connections() {
    let world = world("refresh = \"5m\"\nmax_stale = \"2h\"", "").await;
    let manifest = push_signed(&world, "v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.registry.hook(|_| Some(Fault::Silence));
    world.pass(HOUR);
    let begun = tokio::time::Instant::now();
    world.pull("v1").await.serves(&manifest);
    assert!(begun.elapsed() < 18 * SECOND, "{:?}", begun.elapsed());
    // The gate does not wait for it again at once.
    let begun = tokio::time::Instant::now();
    world.pull("v1").await.serves(&manifest);
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
    world.pass(HOUR);
    world.pull("v1").await.is_undecided("upstream_unreachable");
}

#[tokio::test]
async fn a_rate_limit_is_passed_on_unless_a_verdict_is_known() {
    let world = world("refresh = \"5m\"", "").await;
    let manifest = push_signed(&world, "v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.push("v2", "two");
    world.registry.hook(|asked| {
        let busy = with(respond(429, ""), http::header::RETRY_AFTER, "77");
        asked.path.ends_with(".sig").then_some(Fault::Respond(busy))
    });
    world.pass(5 * MINUTE);
    world.pull("v1").await.serves(&manifest);
    let answer = world.pull("v2").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, "77"));
}

#[tokio::test]
async fn a_deleted_tag_is_absent_and_not_an_outage() {
    let world = world("refresh = \"5m\"", "").await;
    let manifest = push_signed(&world, "v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.registry.hook(|asked| {
        asked.path.ends_with("/manifests/v1").then(|| Fault::Respond(respond(404, "")))
    });
    world.pass(5 * MINUTE);
    assert_eq!(world.pull("v1").await.status.as_u16(), 404);
}

/// Anyone who may push can replace a signature by content over a limit.
#[tokio::test]
async fn content_over_a_limit_does_not_extend_a_signature_that_is_gone() {
    let world = world("refresh = \"5m\"", "").await;
    let manifest = push_signed(&world, "v1", "one");
    world.pull("v1").await.serves(&manifest);
    let mut layer = crate::attached::layer(&manifest, &crate::attached::MINE);
    layer.payload = vec![b' '; 1 << 20];
    crate::attached::put_sig(&world.registry, &crate::whole_gate::app(), &manifest, &[layer]);
    world.pass(6 * MINUTE);
    world.pull("v1").await.is_undecided("trust_unreachable");
}

/// The signature is fetched, and cosign's verifier does not examine it.
#[tokio::test]
async fn a_signature_over_a_limit_of_its_scheme_is_undecided_and_extends_nothing() {
    let long = |manifest: &[u8]| {
        let mut layer = crate::attached::layer(manifest, &crate::attached::MINE);
        let signature = "A".repeat(4 << 10);
        layer.annotations.insert("dev.cosignproject.cosign/signature".to_owned(), signature);
        layer
    };
    let put = |world: &World, manifest: &[u8]| {
        let app = crate::whole_gate::app();
        crate::attached::put_sig(&world.registry, &app, manifest, &[long(manifest)]);
    };
    let world = world("refresh = \"5m\"", "").await;
    let unsigned = world.push("v2", "two");
    put(&world, &unsigned);
    world.pull("v2").await.is_undecided("trust_unreachable");
    let signed = push_signed(&world, "v1", "one");
    world.pull("v1").await.serves(&signed);
    put(&world, &signed);
    world.pass(6 * MINUTE);
    world.pull("v1").await.is_undecided("trust_unreachable");
}
