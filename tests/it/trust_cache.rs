//! The trust cache in a complete gate: how often it queries servers, and when changes take effect.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use http::Method;

use countersign::oci::Digest;

use crate::fake_registry::{Fault, respond};
use crate::notary_repository::{GUN, Key, RELEASES};
use crate::whole_gate::{APP, World};
use crate::wire::soon;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_answer_is_used_until_refresh_and_then_fetched_again() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    for _ in 0..3 {
        world.pull("v1").await.serves(&manifest);
        world.pass(Duration::from_secs(20));
    }
    assert_eq!(world.notary.asked_for("timestamp"), 1);
    world.pass(5 * MINUTE);
    world.pull("v1").await.serves(&manifest);
    assert_eq!(world.notary.asked_for("timestamp"), 2);
    // Without changes, only the timestamp and the next root were fetched.
    assert_eq!(world.notary.asked_for("root"), 1);
    let by_hash = world.notary.asked().into_iter().filter(|asked| asked.path.contains("/targets."));
    assert_eq!(by_hash.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newly_signed_tag_is_served_before_the_next_refresh() {
    let mut world = World::new().await;
    let first = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&first);
    // The last query was a moment ago.
    world.pull("v2").await.is_absent("tag_not_signed");
    assert_eq!(world.notary.asked_for("timestamp"), 1);
    let second = world.push_signed("v2", "two");
    world.pass(Duration::from_secs(10));
    for answer in join_all((0..20).map(|_| world.pull("v2"))).await {
        answer.serves(&second);
    }
    assert_eq!(world.notary.asked_for("timestamp"), 2);
    world.pull("v1").await.serves(&first);
}

#[tokio::test]
async fn unsigned_tags_cause_at_most_one_query_of_a_repository_in_ten_seconds() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    for times in 2..5 {
        world.pass(Duration::from_secs(10));
        for tag in ["a", "b", "a"] {
            world.pull(tag).await.is_absent("tag_not_signed");
        }
        assert_eq!(world.notary.asked_for("timestamp"), times);
    }
}

#[tokio::test]
async fn an_unknown_tag_is_denied_with_cached_names_while_the_server_fails() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.notary.only_says(503);
    world.pass(Duration::from_secs(10));
    world.pull("v2").await.is_absent("tag_not_signed");
    world.pull("v1").await.serves(&manifest);
}

#[tokio::test]
async fn with_a_refresh_of_zero_every_request_queries_the_server() {
    let mut world = World::with("refresh = \"0s\"", "").await;
    let manifest = world.push_signed("v1", "one");
    for times in 1..4 {
        world.pull("v1").await.serves(&manifest);
        assert_eq!(world.notary.asked_for("timestamp"), times);
        world.pass(Duration::from_nanos(1));
    }
    let fixed = world.push_signed("v1", "one, fixed");
    world.pull("v1").await.serves(&fixed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_clients_share_one_update() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    for answer in join_all((0..50).map(|_| world.pull("v1"))).await {
        answer.serves(&manifest);
    }
    assert_eq!((world.notary.asked_for("root"), world.notary.asked_for("timestamp")), (1, 1));
    assert_eq!(world.registry.asked_for(&Digest::of(&manifest).to_string()).len(), 1);
    world.pass(6 * MINUTE);
    for answer in join_all((0..50).map(|_| world.pull("v1"))).await {
        answer.serves(&manifest);
    }
    assert_eq!(world.notary.asked_for("timestamp"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_clients_share_one_failed_update() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    world.notary.only_says(403);
    for answer in join_all((0..50).map(|_| world.pull("v1"))).await {
        answer.is_undecided("trust_unreachable");
    }
    assert_eq!(world.notary.asked_for("root"), 1);
}

#[tokio::test]
async fn trust_data_in_use_is_refreshed_in_the_background() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    let fixed = world.push_signed("v1", "one, fixed");
    world.pull("v1").await.serves(&manifest);
    world.pass(Duration::from_secs(4 * 60 + 1));
    // No client pulls; the gate refreshes.
    soon(async {
        while world.notary.asked_for("timestamp") < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    soon(async {
        while world.pull("v1").await.body != fixed {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(world.notary.asked_for("timestamp"), 2);
}

#[tokio::test]
async fn a_warm_request_does_not_wait_for_a_silent_notary_server() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.notary.hook(|_| Some(Fault::Silence));
    world.pass(Duration::from_secs(4 * 60 + 30));
    for _ in 0..5 {
        soon(world.pull("v1")).await.serves(&manifest);
    }
}

#[tokio::test]
async fn unused_trust_data_is_not_refreshed() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.pass(Duration::from_secs(4 * 60 + 1));
    soon(async {
        while world.notary.asked_for("timestamp") < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // No client has pulled since then, so no refresh is due.
    for _ in 0..3 {
        world.pass(30 * MINUTE);
    }
    let asked = world.notary.asked_for("timestamp");
    assert!(asked <= 3, "{asked}");
    world.pull("v1").await.serves(&manifest);
}

#[tokio::test]
async fn a_refusal_is_used_for_a_short_time_only() {
    let mut world = World::new().await;
    let manifest = world.push("v1", "one");
    for _ in 0..5 {
        world.pull("v1").await.is_absent("no_trust_data");
    }
    assert_eq!(world.notary.asked_for("root"), 1);
    world.sign("v1", &manifest);
    world.pull("v1").await.is_absent("no_trust_data");
    world.pass(Duration::from_secs(10));
    world.pull("v1").await.serves(&manifest);
}

#[tokio::test]
async fn an_unreachable_server_is_queried_again_after_five_seconds() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.notary.only_says(403);
    world.pull("v1").await.is_undecided("trust_unreachable");
    let asked = world.notary.asked().len();
    world.pull("v1").await.is_undecided("trust_unreachable");
    assert_eq!(world.notary.asked().len(), asked, "queried again at once");
    world.notary.comes_back();
    world.pass(Duration::from_secs(5));
    world.pull("v1").await.serves(&manifest);
}

#[tokio::test]
async fn a_new_signature_a_removed_signer_and_a_rotated_key_take_effect_within_refresh() {
    let mut world = World::with("refresh = \"5m\"\nsigners = [\"alice\"]", "").await;
    world.signer.delegate("targets/alice", Key::named("alice"));
    let sign = |world: &mut World, manifest: &[u8]| {
        world.signer.tag("targets/alice", "v1", manifest);
        world.sign("v1", manifest);
    };
    let one = world.push("v1", "one");
    sign(&mut world, &one);
    world.pull("v1").await.serves(&one);

    let two = world.push("v1", "two");
    sign(&mut world, &two);
    world.pass(5 * MINUTE);
    world.pull("v1").await.serves(&two);

    world.signer.rotate("targets", "targets-2").rotate("timestamp", "timestamp-2");
    world.signer.rotate("snapshot", "snapshot-2");
    let three = world.push("v1", "three");
    sign(&mut world, &three);
    world.pass(5 * MINUTE);
    world.pull("v1").await.serves(&three);

    world.signer.undelegate("targets/alice");
    world.publish();
    world.pass(5 * MINUTE);
    world.pull("v1").await.is_refused("signer_missing");
}

#[tokio::test]
async fn d7_signers_that_disagree_are_refused_by_the_gate() {
    let mut world = World::with("signers = [\"alice\"]", "").await;
    world.signer.delegate("targets/alice", Key::named("alice"));
    let one = world.push("v1", "one");
    world.signer.tag("targets/alice", "v1", b"another");
    world.sign("v1", &one);
    world.pull("v1").await.is_refused("signers_disagree");
    world.pull(Digest::of(&one)).await.is_refused("signers_disagree");
}

#[tokio::test]
async fn r9_an_unpinned_root_is_refused_by_the_gate_and_does_not_change_the_memory() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    let before = world.signer.publish();
    world.signer.rotate("root", "root-2");
    world.publish();
    world.pass(6 * MINUTE);
    world.pull("v1").await.is_refused("root_not_pinned");
    world.notary.publish(GUN, before);
    world.pass(MINUTE);
    world.pull("v1").await.serves(&manifest);
}

#[tokio::test]
async fn only_trust_metadata_is_relayed_and_byte_for_byte() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    let files = world.signer.publish();
    for (name, content) in &files {
        let got = world.get(&format!("/v2/{GUN}/_trust/tuf/{name}.json")).await;
        assert_eq!((got.status.as_u16(), &got.body[..]), (200, &content[..]), "{name}");
    }
    let asked = world.notary.asked().len();
    for path in [
        "/v2/registry.example.com/library/app/_trust/changefeed",
        "/v2/registry.example.com/library/app/_trust/tuf/timestamp.key",
        "/v2/registry.example.com/library/app/_trust/tuf/targets/../root.json",
        "/v2/registry.example.com/library/app/_trust/tuf/other.json",
        "/v2/other.example.com/library/app/_trust/tuf/root.json",
        "/v2/library/app/_trust/tuf/root.json",
        "/_notary_server/health",
    ] {
        let got = world.get(path).await;
        assert_eq!(got.status.as_u16(), 404, "{path}");
    }
    assert_eq!(world.notary.asked().len(), asked, "the gate sent another request");
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let path = format!("/v2/{GUN}/_trust/tuf/");
        let got = world.send(method, &path, &[]).await;
        assert!([404, 405].contains(&got.status.as_u16()), "{}", got.status);
    }
    let missing = world.get(&format!("/v2/{GUN}/_trust/tuf/targets/nobody.json")).await;
    assert_eq!(missing.status.as_u16(), 404);
}

#[tokio::test]
async fn the_metadata_of_a_gun_without_placeholders_is_relayed() {
    for (gun, rule) in [
        (GUN, ""),
        ("notary.example.com/team/apps", ""),
        (
            "notary.example.com/team/apps",
            "[[rule]]\nimages = [\"registry.example.com/a/b:v1\"]\nrequire = [\"team\"]",
        ),
    ] {
        let mut world = World::with(&format!("gun = {gun:?}"), rule).await;
        let files = world.signer.publish();
        world.notary.publish(gun, files.clone());
        for (name, content) in &files {
            let got = world.get(&format!("/v2/{gun}/_trust/tuf/{name}.json")).await;
            assert_eq!((got.status.as_u16(), &got.body[..]), (200, &content[..]), "{gun} {name}");
        }
        // Neither that of another name nor that of the image itself.
        for other in ["notary.example.com/team/app", "registry.example.com/library/other"] {
            let got = world.get(&format!("/v2/{other}/_trust/tuf/root.json")).await;
            assert_eq!(got.status.as_u16(), 404, "{other}");
        }
    }
}

#[tokio::test]
async fn refused_trust_metadata_is_relayed_too_and_a_silent_server_results_in_503() {
    let mut world = World::new().await;
    world.signer.role_mut("timestamp").expires = crate::notary_repository::in_days(-1);
    world.push_signed("v1", "one");
    world.pull("v1").await.is_refused("expired");
    let path = format!("/v2/{GUN}/_trust/tuf/timestamp.json");
    let got = world.get(&path).await;
    assert_eq!((got.status.as_u16(), &got.body[..]), (200, world.signer.file("timestamp")));
    world.notary.only_says(403);
    assert_eq!(world.get(&path).await.status.as_u16(), 503);
}

#[tokio::test]
async fn an_update_during_a_publication_is_tried_again() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    let old = world.signer.publish();
    let fixed = world.push_signed("v1", "one, fixed");
    // The first timestamp is the old one, and its files are already gone.
    let first = Arc::new(AtomicBool::new(true));
    world.notary.hook(move |asked| {
        let timestamp = asked.path.ends_with("/timestamp.json");
        (timestamp && first.swap(false, Ordering::SeqCst))
            .then(|| Fault::Respond(respond(200, old["timestamp"].clone())))
    });
    world.pull("v1").await.serves(&fixed);
}

#[tokio::test]
async fn a_thousand_tags_and_their_digests_are_found() {
    let mut world = World::new().await;
    let manifest = world.push("v1", "one");
    for number in 0..1000 {
        world.signer.tag(RELEASES, &format!("v{number}"), &manifest);
    }
    world.publish();
    for reference in ["v0", "v500", "v999"] {
        world.pull(reference).await.serves(&manifest);
    }
    world.pull(Digest::of(&manifest)).await.serves(&manifest);
    world.pull("v1000").await.is_absent("tag_not_signed");
    let list = world.get(&format!("/v2/{APP}/tags/list")).await;
    assert!(list.body.ends_with(b"[\"v1\"]}"), "{list:?}");
}
