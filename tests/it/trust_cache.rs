//! The trust cache through the whole gate: who is asked, how often, and when a change takes effect.

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
async fn an_answer_is_used_for_as_long_as_refresh_and_then_asked_again() {
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
    // Nothing changed, so nothing but the timestamp, and the next root, had to come again.
    assert_eq!(world.notary.asked_for("root"), 1);
    let by_hash = world.notary.asked().into_iter().filter(|asked| asked.path.contains("/targets."));
    assert_eq!(by_hash.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_was_signed_since_is_served_without_waiting_for_refresh() {
    let mut world = World::new().await;
    let first = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&first);
    // The server was asked a moment ago.
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
async fn tags_that_nobody_signs_cause_one_query_of_a_repository_in_ten_seconds() {
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
async fn an_unknown_tag_is_denied_by_the_known_names_while_the_server_fails() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.notary.only_says(503);
    world.pass(Duration::from_secs(10));
    world.pull("v2").await.is_absent("tag_not_signed");
    world.pull("v1").await.serves(&manifest);
}

#[tokio::test]
async fn refresh_of_nothing_asks_every_time() {
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
async fn one_flight_is_enough_for_however_many_clients() {
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
async fn one_flight_is_enough_also_where_it_fails() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    world.notary.only_says(403);
    for answer in join_all((0..50).map(|_| world.pull("v1"))).await {
        answer.is_undecided("trust_unreachable");
    }
    assert_eq!(world.notary.asked_for("root"), 1);
}

#[tokio::test]
async fn what_is_in_use_is_refreshed_ahead_and_no_client_waits_for_it() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    let fixed = world.push_signed("v1", "one, fixed");
    world.pull("v1").await.serves(&manifest);
    world.pass(Duration::from_secs(4 * 60 + 1));
    // Nobody asks; the gate does.
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
async fn a_warm_request_does_not_wait_for_a_notary_server_that_says_nothing() {
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
async fn what_nobody_uses_is_not_refreshed() {
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
    // Nobody has pulled since, so that nothing is due however long that takes.
    for _ in 0..3 {
        world.pass(30 * MINUTE);
    }
    let asked = world.notary.asked_for("timestamp");
    assert!(asked <= 3, "{asked}");
    world.pull("v1").await.serves(&manifest);
}

#[tokio::test]
async fn an_answer_of_no_is_used_for_a_moment_only() {
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
async fn silence_is_remembered_for_five_seconds_at_most() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.notary.only_says(403);
    world.pull("v1").await.is_undecided("trust_unreachable");
    let asked = world.notary.asked().len();
    world.pull("v1").await.is_undecided("trust_unreachable");
    assert_eq!(world.notary.asked().len(), asked, "asked again at once");
    world.notary.comes_back();
    world.pass(Duration::from_secs(5));
    world.pull("v1").await.serves(&manifest);
}

#[tokio::test]
async fn a_tag_signed_anew_a_signer_removed_and_a_key_rotated_take_effect_within_refresh() {
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
async fn d7_signers_who_disagree_are_refused_at_the_gate() {
    let mut world = World::with("signers = [\"alice\"]", "").await;
    world.signer.delegate("targets/alice", Key::named("alice"));
    let one = world.push("v1", "one");
    world.signer.tag("targets/alice", "v1", b"another");
    world.sign("v1", &one);
    world.pull("v1").await.is_refused("signers_disagree");
    world.pull(Digest::of(&one)).await.is_refused("signers_disagree");
}

#[tokio::test]
async fn r9_a_root_that_no_pin_names_is_refused_at_the_gate_and_takes_nothing_back() {
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
async fn trust_metadata_is_relayed_byte_for_byte_and_nothing_else_of_that_server() {
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
    assert_eq!(world.notary.asked().len(), asked, "the server was asked for something else");
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let path = format!("/v2/{GUN}/_trust/tuf/");
        let got = world.send(method, &path, &[]).await;
        assert!([404, 405].contains(&got.status.as_u16()), "{}", got.status);
    }
    let missing = world.get(&format!("/v2/{GUN}/_trust/tuf/targets/nobody.json")).await;
    assert_eq!(missing.status.as_u16(), 404);
}

#[tokio::test]
async fn trust_metadata_is_relayed_also_where_the_gate_itself_refuses_it_and_503_where_it_is_silent()
 {
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
async fn a_server_that_publishes_while_it_is_read_is_read_once_more() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    let old = world.signer.publish();
    let fixed = world.push_signed("v1", "one, fixed");
    // The first timestamp is the old one, and what it names is already gone.
    let first = Arc::new(AtomicBool::new(true));
    world.notary.hook(move |asked| {
        let timestamp = asked.path.ends_with("/timestamp.json");
        (timestamp && first.swap(false, Ordering::SeqCst))
            .then(|| Fault::Respond(respond(200, old["timestamp"].clone())))
    });
    world.pull("v1").await.serves(&fixed);
}

#[tokio::test]
async fn a_thousand_tags_and_their_digests_are_found_like_one() {
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
