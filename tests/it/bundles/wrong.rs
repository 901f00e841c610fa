//! Bundles with wrong bytes under a digest: they hide no other copy of the content.

use countersign::oci::Digest;
use serde_json::json;

use super::Site;
use crate::attached::{BUNDLE, MINE, key_bundle, put_referrer};
use crate::carried::Carried;
use crate::fake_registry::{Fault, respond};
use crate::whole_gate::APP;

/// A bundle that comes before those that state an earlier time.
fn fetched(mut carried: Carried, at: i64) -> Carried {
    carried.notaryv1.push(json!({ "gun": "x/y", "anchor": "a", "server": "", "fetched": at }));
    carried
}

/// Replaces content of the bundle by other bytes of the same length, so that the lists agree.
fn spoilt(mut carried: Carried, content: &[u8]) -> Carried {
    carried.blobs.insert(Digest::of(content), vec![b'!'; content.len()]);
    carried
}

impl Site {
    /// Writes two bundles; the first has a wrong copy of `content`.
    fn carry_wrong_and_right(&self, content: &[u8]) {
        fetched(spoilt(self.carried(), content), 2_000).write(&self.path("a.tar"));
        fetched(self.carried(), 1_000).write(&self.path("b.tar"));
    }

    fn blob(content: &[u8]) -> String {
        format!("/v2/{APP}/blobs/{}", Digest::of(content))
    }
}

#[tokio::test]
async fn a_wrong_manifest_does_not_hide_that_of_another_bundle() {
    let site = Site::new(false).await;
    let manifest = site.push_signed("v1", "one");
    site.carry_wrong_and_right(&manifest);
    site.world.pull("v1").await.serves(&manifest);
    site.world.pull(Digest::of(&manifest)).await.serves(&manifest);
}

#[tokio::test]
async fn a_wrong_blob_does_not_hide_that_of_another_bundle() {
    let site = Site::new(false).await;
    // Longer than the gate holds back until it knows the digest.
    let text = "x".repeat(3 << 20);
    let manifest = site.push_signed("v1", &text);
    site.carry_wrong_and_right(text.as_bytes());
    site.world.pull("v1").await.serves(&manifest);
    let path = Site::blob(text.as_bytes());
    // The bytes are compared while they are sent.
    let first = site.world.try_mirror(&path).await;
    assert!(first.is_err() || first.unwrap().len() < text.len());
    assert_eq!(&*site.world.get(&path).await.body, text.as_bytes());
}

#[tokio::test]
async fn a_blob_that_nobody_reads_to_its_end_does_not_hide_that_of_another_bundle() {
    let site = Site::new(false).await;
    // The gate stops after 20 MiB of a blob that begins as JSON.
    let text = "x".repeat(22 << 20);
    let manifest = site.push_signed("v1", &text);
    let mut wrong = site.carried();
    let mut json = vec![b' '; text.len()];
    json[0] = b'{';
    wrong.blobs.insert(Digest::of(text.as_bytes()), json);
    fetched(wrong, 2_000).write(&site.path("a.tar"));
    fetched(site.carried(), 1_000).write(&site.path("b.tar"));
    site.world.pull("v1").await.serves(&manifest);
    let path = Site::blob(text.as_bytes());
    assert_ne!(site.world.get(&path).await.status, 200);
    assert_eq!(site.world.get(&path).await.body.len(), text.len());
}

#[tokio::test]
async fn a_wrong_referrer_does_not_hide_that_of_another_bundle() {
    let site = Site::new(false).await;
    let manifest = site.world.push("v1", "one");
    let bundle = key_bundle(&manifest, &MINE).to_string();
    let referrer = put_referrer(&site.world.registry, &manifest, BUNDLE, BUNDLE, bundle.as_bytes());
    site.carry_wrong_and_right(&referrer);
    site.world.pull("v1").await.serves(&manifest);
    let list = site.world.get(&format!("/v2/{APP}/referrers/{}", Digest::of(&manifest))).await;
    assert!(String::from_utf8_lossy(&list.body).contains(BUNDLE), "{list:?}");
}

#[tokio::test]
async fn a_wrong_media_type_does_not_hide_an_image() {
    let site = Site::new(false).await;
    let manifest = site.push_signed("v1", "one");
    let mut carried = site.carried();
    for image in &mut carried.images {
        image["mediaType"] = json!("application/vnd.oci.image.index.v1+json");
    }
    carried.write(&site.path("a.tar"));
    site.world.pull("v1").await.serves(&manifest);
}

#[tokio::test]
async fn wrong_content_does_not_hide_that_of_the_registry() {
    let site = Site::new(true).await;
    let manifest = site.push_signed("v1", "one");
    spoilt(spoilt(site.carried(), &manifest), b"one").write(&site.path("a.tar"));
    site.world.pull(Digest::of(&manifest)).await.serves(&manifest);
    site.world.pull("v1").await.serves(&manifest);
    let path = Site::blob(b"one");
    site.world.get(&path).await.is_refused("content_mismatch");
    assert_eq!(&*site.world.get(&path).await.body, b"one");
}

#[tokio::test]
async fn wrong_content_that_nobody_else_has_is_a_mismatch() {
    let site = Site::new(true).await;
    let manifest = site.push_signed("v1", "one");
    spoilt(site.carried(), b"one").write(&site.path("a.tar"));
    site.world.pull("v1").await.serves(&manifest);
    site.world.registry.hook(|asked| {
        let error = r#"{"errors":[{"code":"BLOB_UNKNOWN"}]}"#;
        asked.path.contains("/blobs/").then(|| Fault::Respond(respond(404, error)))
    });
    for _ in 0..3 {
        site.world.get(&Site::blob(b"one")).await.is_refused("content_mismatch");
    }
}

#[tokio::test]
async fn wrong_content_is_undecided_while_the_registry_does_not_answer() {
    let site = Site::new(true).await;
    let manifest = site.push_signed("v1", "one");
    spoilt(site.carried(), b"one").write(&site.path("a.tar"));
    site.world.pull("v1").await.serves(&manifest);
    site.world.registry.hook(|_| Some(Fault::Drop));
    let path = Site::blob(b"one");
    site.world.get(&path).await.is_refused("content_mismatch");
    site.world.get(&path).await.is_undecided("upstream_unreachable");
}
