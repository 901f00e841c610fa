//! F14, F15, M7, M8: a Notary server that is down, silent, or returns something else. Verified trust data is used for
//! `max_stale` and never past its expiry; nothing else is served.

use std::time::Duration;

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};

use crate::fake_registry::{Fault, redirect, respond, with};
use crate::notary_repository::{GUN, RELEASES, in_days};
use crate::whole_gate::World;
use crate::wire::soon;

const HOUR: Duration = Duration::from_secs(60 * 60);

#[tokio::test]
async fn f14_verified_trust_data_is_used_for_exactly_max_stale() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.notary.goes_down();
    world.pass(23 * HOUR);
    world.pull("v1").await.serves(&manifest);
    world.pass(HOUR);
    world.pull("v1").await.serves(&manifest);
    world.pass(Duration::from_secs(1));
    world.pull("v1").await.is_undecided("trust_unreachable");
    // Without an answer, an unknown tag is undecided too, not absent.
    world.pull("v2").await.is_undecided("trust_unreachable");
    world.notary.comes_back();
    world.pass(Duration::from_secs(5));
    world.pull("v1").await.serves(&manifest);
}

#[tokio::test]
async fn f14_max_stale_applies_across_restarts() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.notary.goes_down();
    world.restart().await;
    world.pull("v1").await.serves(&manifest);
    world.pass(24 * HOUR);
    world.restart().await;
    world.pull("v1").await.serves(&manifest);
    world.pass(Duration::from_secs(1));
    world.restart().await;
    world.pull("v1").await.is_undecided("trust_unreachable");
}

#[tokio::test(start_paused = true)]
async fn f14_a_server_that_never_answers_is_handled_like_one_that_is_down() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.notary.hook(|_| Some(Fault::Silence));
    for restart in [false, true] {
        if restart {
            world.restart().await;
        }
        world.pass(HOUR);
        let started = tokio::time::Instant::now();
        world.pull("v1").await.serves(&manifest);
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn f14_verified_trust_data_is_never_used_past_its_expiry() {
    let mut world = World::with("refresh = \"5m\"\nmax_stale = \"8760h\"", "").await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.notary.goes_down();
    world.pass(14 * 24 * HOUR);
    world.pull("v1").await.serves(&manifest);
    world.pass(Duration::from_secs(1));
    world.pull("v1").await.is_undecided("trust_unreachable");
    world.restart().await;
    world.pull("v1").await.is_undecided("trust_unreachable");
}

#[tokio::test]
async fn f14_without_earlier_trust_data_a_gate_is_undecided() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    world.notary.goes_down();
    for reference in ["v1", "v2"] {
        world.pull(reference).await.is_undecided("trust_unreachable");
    }
    assert!(world.registry.asked().is_empty(), "the registry was queried before the trust server");
}

#[tokio::test]
async fn f14_every_status_except_200_and_404_counts_as_unreachable() {
    for status in [204, 302, 400, 401, 403, 429, 500, 503] {
        let mut world = World::new().await;
        let manifest = world.push_signed("v1", "one");
        world.notary.only_says(status);
        world.pull("v1").await.is_undecided("trust_unreachable");
        world.notary.comes_back();
        world.pass(Duration::from_secs(5));
        world.pull("v1").await.serves(&manifest);
        world.notary.only_says(status);
        world.pass(HOUR);
        world.pull("v1").await.serves(&manifest);
    }
}

#[tokio::test]
async fn f14_a_missing_timestamp_of_a_known_repository_is_not_an_outage() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.notary.hook(|asked| {
        asked.path.ends_with("/timestamp.json").then(|| Fault::Respond(respond(404, "")))
    });
    world.pass(HOUR);
    world.pull("v1").await.is_refused("trust_removed");
    world.pull(countersign::oci::Digest::of(&manifest)).await.is_refused("trust_removed");
}

#[tokio::test]
async fn f15_removed_trust_data_is_refused_also_after_a_restart() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.notary.remove(GUN);
    world.pass(HOUR);
    world.pull("v1").await.is_refused("trust_removed");
    world.restart().await;
    world.pull("v1").await.is_refused("trust_removed");
    world.restart_afresh().await;
    world.pull("v1").await.is_absent("no_trust_data");
}

/// After a refusal, the earlier trust data is not used again, not even while the server does not answer.
#[tokio::test]
async fn f15_refused_trust_data_is_not_used_while_the_server_is_down_or_after_a_restart() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.notary.remove(GUN);
    world.pass(HOUR);
    world.pull("v1").await.is_refused("trust_removed");
    world.notary.goes_down();
    world.pass(HOUR);
    world.pull("v1").await.is_undecided("trust_unreachable");
    world.restart().await;
    world.pull("v1").await.is_undecided("trust_unreachable");
    world.publish();
    world.notary.comes_back();
    world.pass(HOUR);
    world.pull("v1").await.serves(&manifest);
}

/// The same while the server answers: right after a restart, before a refresh is due.
#[tokio::test]
async fn f15_a_restart_does_not_admit_what_was_just_refused() {
    let mut world = World::with("refresh = \"1h\"", "").await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.notary.remove(GUN);
    // The background refresh is refused.
    world.pass(50 * HOUR / 60);
    soon(async {
        while world.pull("v1").await.status == 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    world.restart().await;
    world.pull("v1").await.is_refused("trust_removed");
}

#[tokio::test]
async fn f12_a_rollback_is_refused_also_after_a_restart() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    let old = world.signer.publish();
    let fixed = world.push_signed("v1", "one, fixed");
    world.pull("v1").await.serves(&fixed);
    world.notary.publish(GUN, old);
    world.restart().await;
    // The refresh is not due yet.
    world.pull("v1").await.serves(&fixed);
    world.pass(HOUR);
    world.pull("v1").await.is_refused("rollback");
    world.restart().await;
    world.pull("v1").await.is_refused("rollback");
}

/// An unreadable memory is not a fresh start: an attacker who can damage the file must not gain from it.
#[tokio::test]
async fn f12_a_damaged_memory_leaves_the_decision_undecided() {
    for broken in ["", "{}", "{\"format\":1", "\0"] {
        let mut world = World::new().await;
        let manifest = world.push_signed("v1", "one");
        world.pull("v1").await.serves(&manifest);
        let memories = world.files("memory.json");
        assert_eq!(memories.len(), 1);
        let good = std::fs::read(&memories[0]).unwrap();
        world.break_file(&memories[0], broken.as_bytes());
        world.restart().await;
        world.pull("v1").await.is_undecided("trust_unreachable");
        world.break_file(&memories[0], &good);
        world.pass(HOUR);
        world.pull("v1").await.serves(&manifest);
    }
}

#[tokio::test]
async fn damaged_metadata_on_disk_is_fetched_and_stored_again() {
    for same_length in [false, true] {
        let mut world = World::new().await;
        let manifest = world.push_signed("v1", "one");
        world.pull("v1").await.serves(&manifest);
        damage_all_except_the_memory(&world, same_length);
        world.restart().await;
        world.pull("v1").await.serves(&manifest);
        // It is complete again, so that the gate needs no server.
        world.notary.goes_down();
        world.restart().await;
        world.pull("v1").await.serves(&manifest);
        // Damaged metadata that cannot be fetched either leaves the decision undecided.
        damage_all_except_the_memory(&world, same_length);
        world.restart().await;
        world.pull("v1").await.is_undecided("trust_unreachable");
    }
}

fn damage_all_except_the_memory(world: &World, same_length: bool) {
    for file in world.files(".json").iter().filter(|file| !file.ends_with("memory.json")) {
        let length = if same_length { std::fs::metadata(file).unwrap().len() } else { 2 };
        world.break_file(file, &vec![b' '; usize::try_from(length).unwrap()]);
    }
}

#[tokio::test]
async fn f4_expired_trust_data_is_refused() {
    let mut world = World::new().await;
    world.signer.role_mut("timestamp").expires = in_days(1);
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.pass(24 * HOUR);
    world.pull("v1").await.serves(&manifest);
    world.pass(Duration::from_secs(1));
    world.pull("v1").await.is_refused("expired");
}

#[tokio::test]
async fn f4_trust_data_that_expires_before_the_refresh_is_fetched_again() {
    let mut world = World::with("refresh = \"48h\"\nmax_stale = \"96h\"", "").await;
    world.signer.role_mut("timestamp").expires = in_days(1);
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.pass(24 * HOUR + Duration::from_secs(1));
    world.signer.role_mut("timestamp").expires = in_days(15);
    world.signer.role_mut("timestamp").version += 1;
    world.publish();
    world.pull("v1").await.serves(&manifest);
}

#[tokio::test]
async fn f5_an_expired_releases_role_is_refused_by_the_gate_even_if_targets_names_the_tag() {
    let mut world = World::new().await;
    let old = world.push("old", "one, years ago");
    world.signer.tag("targets", "v1", &old);
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.signer.role_mut(RELEASES).expires = in_days(-1);
    world.signer.role_mut(RELEASES).version += 1;
    world.publish();
    world.pass(HOUR);
    world.pull("v1").await.is_refused("expired");
}

#[tokio::test]
async fn m7_an_answer_beyond_the_size_limit_is_not_read_to_its_end() {
    for file in ["root", "timestamp"] {
        let mut world = World::new().await;
        world.push_signed("v1", "one");
        world.notary.hook(move |asked| {
            let long = vec![b' '; 20 << 20];
            let wanted = asked.path.ends_with(&format!("/{file}.json"));
            wanted.then(|| Fault::Respond(with(respond(200, long), CONTENT_TYPE, "text/plain")))
        });
        world.pull("v1").await.is_refused("malformed");
    }
}

#[tokio::test]
async fn m6_a_file_longer_than_its_entry_in_the_parent_is_not_read_to_its_end() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    world.notary.hook(move |asked| {
        let long = vec![b' '; 20 << 20];
        let wanted = asked.path.contains("/snapshot.");
        wanted.then(|| Fault::Respond(with(respond(200, long), CONTENT_TYPE, "text/plain")))
    });
    world.pull("v1").await.is_refused("mix_and_match");
}

#[tokio::test]
async fn m7_a_compressed_answer_is_not_decompressed() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    world.notary.hook(|asked| {
        let root = asked.path.ends_with("/root.json");
        root.then(|| Fault::Respond(with(respond(200, "\x1f\u{8b}"), CONTENT_ENCODING, "gzip")))
    });
    world.pull("v1").await.is_undecided("trust_unreachable");
    let asked = world.notary.asked();
    assert!(asked.iter().all(|asked| ["", "identity"].contains(&asked.header(ACCEPT_ENCODING))));
}

#[tokio::test]
async fn m8_a_redirect_is_not_followed() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    let elsewhere = crate::fake_notary::FakeNotary::start().await;
    elsewhere.publish(GUN, world.signer.publish());
    let url = elsewhere.url();
    world.notary.hook(move |asked| Some(redirect(format!("{url}{}", asked.path))));
    world.pull("v1").await.is_undecided("trust_unreachable");
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn m8_a_sign_in_page_with_status_200_is_refused() {
    for (content_type, body) in [
        ("text/html", "<!doctype html><title>Sign in</title>"),
        ("text/plain", "<!doctype html><title>Sign in</title>"),
        ("application/json", ""),
        ("application/json", "{\"error\":\"sign in\"}"),
        ("image/png", "{}"),
    ] {
        let mut world = World::new().await;
        world.push_signed("v1", "one");
        world.notary.hook(move |_| {
            Some(Fault::Respond(with(respond(200, body), CONTENT_TYPE, content_type)))
        });
        let (status, verdict, reason) = world.pull("v1").await.denied();
        assert_eq!((status, verdict.as_str()), (404, "refused"), "{content_type}");
        assert!(["malformed", "signature_invalid"].contains(&reason.as_str()), "{reason}");
    }
}

#[tokio::test]
async fn m8_an_interrupted_answer_counts_as_unreachable() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.notary.hook(|asked| asked.path.contains("/targets.").then_some(Fault::Drop));
    world.pull("v1").await.is_undecided("trust_unreachable");
    world.notary.comes_back();
    world.pass(Duration::from_secs(5));
    world.pull("v1").await.serves(&manifest);
}

#[tokio::test]
async fn an_upstream_that_is_down_is_undecided_and_its_own_not_found_is_passed_on() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.registry.hook(|_| Some(Fault::Respond(respond(500, ""))));
    world.pull("v1").await.is_undecided("upstream_unreachable");
    world.registry.hook(|_| Some(Fault::Respond(respond(403, ""))));
    world.pull("v1").await.is_undecided("upstream_refused");
    world.registry.hook(|_| {
        let answer = respond(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"gone"}]}"#);
        Some(Fault::Respond(with(answer, CONTENT_TYPE, "application/json")))
    });
    let gone = world.pull("v1").await;
    assert_eq!(gone.status, 404);
    let body: serde_json::Value = serde_json::from_slice(&gone.body).unwrap();
    assert_eq!(body["errors"][0]["code"], "MANIFEST_UNKNOWN");
    world.registry.hook(|_| {
        let answer = with(respond(429, ""), http::header::RETRY_AFTER, "17");
        Some(Fault::Respond(answer))
    });
    let throttled = world.pull("v1").await;
    assert_eq!((throttled.status.as_u16(), throttled.header("retry-after")), (429, "17"));
    world.registry.hook(|_| None);
    world.pull("v1").await.serves(&manifest);
}
