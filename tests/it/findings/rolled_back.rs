//! `on_rollback`: a tag that moves to an image with an older signature. Only Notary v1 protects from this itself; for the
//! other schemes, the gate remembers the signing times of admitted images.

use std::sync::Arc;
use std::time::Duration;

use countersign::clock::Timestamp;
use countersign::oci::{Digest, RepositoryRef, Tag};
use countersign::trust::tags::{IfOlder, MAX_TAGS, Need, Needs, TagHistory};

use super::{platform, push_signed_at, put, rule, setup, sign, sign_at, world};
use crate::attached::{JOSE, MINE, NOTATION, ROOT, envelope, layer_at, put_referrer};
use crate::audit::Page;
use crate::fake_registry::hosted;
use crate::sigstore::{HOUR, NOW, Sigstore};
use crate::whole_gate::{World, app};

const REFRESH: Duration = Duration::from_secs(5 * 60);
const REFUSE: &str = "on_rollback = \"refuse\"";

/// A gate that has served `v1`. The tag then moves to an older signed image.
async fn moved_back(rule: &str) -> (World, Vec<u8>) {
    let world = world("", rule).await;
    let older = push_signed_at(&world, "old", "older", NOW);
    let newer = push_signed_at(&world, "v1", "newer", NOW + 60);
    world.pull("v1").await.serves(&newer);
    world.put_tag("v1", &older);
    world.pass(REFRESH);
    (world, older)
}

#[tokio::test]
async fn with_warn_an_older_image_is_served_and_reported() {
    let (mut world, older) = moved_back("on_rollback = \"warn\"").await;
    // No rule depends on the record, so it is written with a delay. The restart flushes it.
    world.restart().await;
    let page = Page::default();
    let _here = page.is_written();
    let why = world.why("v1").await;
    assert!(why.remark.as_ref().unwrap().starts_with("rolled back: "), "{why:?}");
    world.pull("v1").await.serves(&older);
    let events = page.all();
    assert!(events.iter().any(|event| event["remark"] == "rolled_back"), "{events:?}");
    let metrics = world.metrics().await;
    assert!(metrics.contains("countersign_rollbacks_total{action=\"warn\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn with_refuse_an_older_image_is_refused() {
    let (mut world, older) = moved_back(REFUSE).await;
    let answer = world.pull("v1").await;
    answer.is_refused("rollback");
    assert!(String::from_utf8_lossy(&answer.body).contains("countersign forget"));
    let metrics = world.metrics().await;
    assert!(metrics.contains("countersign_rollbacks_total{action=\"refuse\"} 1\n"), "{metrics}");
    // The tag was rolled back; the image itself is valid.
    world.pull("old").await.serves(&older);
    world.pull(countersign::oci::Digest::of(&older)).await.serves(&older);
    world.restart().await;
    world.pull("v1").await.is_refused("rollback");
}

#[tokio::test]
async fn a_newer_image_is_not_a_rollback() {
    let world = world("", REFUSE).await;
    for (text, at) in [("one", NOW), ("two", NOW + 60), ("three", NOW + 61)] {
        let manifest = push_signed_at(&world, "v1", text, at);
        world.pull("v1").await.serves(&manifest);
        world.pass(REFRESH);
    }
}

#[tokio::test]
async fn the_same_image_signed_again_is_not_a_rollback() {
    let world = world("", REFUSE).await;
    let manifest = push_signed_at(&world, "v1", "one", NOW + 60);
    world.pull("v1").await.serves(&manifest);
    sign_at(&world, &manifest, NOW);
    world.pass(REFRESH);
    world.pull("v1").await.serves(&manifest);
}

/// An attacker who controls the registry can remove the log entry from an old signature.
#[tokio::test]
async fn an_image_without_a_signing_time_after_one_with_it_is_a_rollback() {
    let (world, older) = moved_back(REFUSE).await;
    sign(&world, &older);
    world.pull("v1").await.is_refused("rollback");
}

/// Anybody who can push can log an old signature again today.
#[tokio::test]
async fn an_old_signature_logged_again_is_still_a_rollback() {
    let (world, older) = moved_back(REFUSE).await;
    let layer = layer_at(&older, &MINE, NOW);
    let log = &Sigstore::shared().rekor;
    let (signature, pem) = (layer.signature(), MINE.pem());
    let today = log.hashedrekord(&layer.payload, &signature, &pem, NOW + 30 * 60);
    put(&world, &older, &[layer.logged(&today)]);
    world.pull("v1").await.is_refused("rollback");
}

#[tokio::test]
async fn images_without_signing_times_are_not_rollbacks_of_each_other() {
    let world = world("", REFUSE).await;
    for text in ["one", "two"] {
        let manifest = super::push_signed(&world, "v1", text);
        world.pull("v1").await.serves(&manifest);
        world.pass(REFRESH);
    }
}

#[tokio::test]
async fn a_damaged_history_does_not_reset_rollback_protection() {
    let (mut world, _) = moved_back(REFUSE).await;
    let memory = world.store().join("trust/tags.redb");
    world.stop().await;
    world.break_file(&memory, b"{}");
    world.start().await;
    let answer = world.pull("v1").await;
    answer.is_undecided("trust_unreachable");
    let said = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(said.contains("tags.redb") && said.contains("restore it from a backup"), "{said}");
}

#[tokio::test]
async fn the_newest_of_several_signatures_counts() {
    let world = world("", REFUSE).await;
    let newer = push_signed_at(&world, "v1", "newer", NOW + 60);
    world.pull("v1").await.serves(&newer);
    let again = world.push("v1", "again");
    let layers = [NOW, NOW + 120].map(|at| layer_at(&again, &MINE, at));
    put(&world, &again, &layers);
    world.pass(REFRESH);
    world.pull("v1").await.serves(&again);
}

/// A client can pull one signed image by any number of tags.
#[tokio::test]
async fn many_other_tags_do_not_remove_the_protection_of_a_tag() {
    let mut world = world("", REFUSE).await;
    let older = push_signed_at(&world, "old", "older", NOW);
    let newer = push_signed_at(&world, "v1", "newer", NOW + 60);
    world.pull("v1").await.serves(&newer);
    world.stop().await;
    // Pulling this many tags would take too long.
    let memory = TagHistory::open(&world.store()).unwrap();
    let needs: Needs = Arc::new(|_: &RepositoryRef, _: &Tag| Need::Required);
    let repository = hosted(app());
    let (digest, now) = (Digest::of(&newer), Timestamp::from_unix(NOW + 60));
    let note = async |number: usize| {
        let tag = format!("other{number}").parse().unwrap();
        let key = (&repository, &tag);
        memory.note(key, &digest, None, now, IfOlder::Record, &needs).await
    };
    let noted = futures_util::future::join_all((1..MAX_TAGS).map(note)).await;
    assert!(noted.iter().all(Result::is_ok));
    memory.close();
    world.start().await;
    for number in 0..50 {
        let tag = format!("more{number}");
        world.put_tag(&tag, &newer);
        let answer = world.pull(&tag).await;
        answer.is_undecided("trust_unreachable");
        assert!(String::from_utf8_lossy(&answer.body).contains("no room for the history"));
    }
    world.put_tag("v1", &older);
    world.pass(REFRESH);
    world.pull("v1").await.is_refused("rollback");
    world.restart().await;
    world.pull("v1").await.is_refused("rollback");
}

/// 9990-01-01T00:00:00Z.
const FAR_FUTURE: i64 = 253_086_768_000;

/// A gate with a notation anchor. Its signers state the signing time.
async fn stated(level: &str) -> World {
    let rule = rule(&format!("require = [\"platform\"]\n{REFUSE}"));
    World::of(setup(&[platform(&format!("level = {level:?}")), rule])).await
}

fn sign_stating(world: &World, manifest: &[u8], at: i64) {
    let signed = envelope(manifest, &ROOT, at).jws();
    put_referrer(&world.registry, manifest, NOTATION, JOSE, &signed);
}

#[tokio::test]
async fn a_signing_time_far_in_the_future_does_not_make_every_later_image_a_rollback() {
    for level in ["strict", "permissive"] {
        let world = stated(level).await;
        let poison = world.push("v1", "one");
        sign_stating(&world, &poison, FAR_FUTURE);
        world.pull("v1").await.is_refused("signature_invalid");
        let why = world.why("v1").await.to_text();
        assert!(why.contains("signing_time: the signature says that it was made at 9990"), "{why}");
        let good = world.push("v1", "two");
        sign_stating(&world, &good, NOW);
        world.pass(REFRESH);
        world.pull("v1").await.serves(&good);
        // Another signature with a plausible time counts.
        sign_stating(&world, &poison, NOW + 60);
        world.put_tag("v1", &poison);
        world.pass(REFRESH);
        world.pull("v1").await.serves(&poison);
    }
}

/// The clock of a signer may be slightly fast. The recorded time is never ahead of the gate's clock.
#[tokio::test]
async fn a_signing_time_slightly_in_the_future_is_recorded_as_now() {
    let (world, now) = (stated("strict").await, NOW + HOUR);
    let first = world.push("v1", "one");
    sign_stating(&world, &first, now + 240);
    world.pull("v1").await.serves(&first);
    let second = world.push("v1", "two");
    sign_stating(&world, &second, now + 60);
    world.pass(REFRESH);
    world.pull("v1").await.serves(&second);
}
