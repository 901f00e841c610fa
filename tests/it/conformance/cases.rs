//! Signed images are served, and nothing else.

use std::time::Duration;

use countersign::oci::Digest;
use http::Method;

use super::site::{Scheme, Site};
use crate::whole_gate::APP;

pub(super) async fn a_signed_image_is_served_by_its_tag_and_by_its_digest(scheme: Scheme) {
    let mut site = Site::new(scheme).await;
    let manifest = site.push_signed("v1", "one");
    site.world.pull("v1").await.serves(&manifest);
    site.world.pull(Digest::of(&manifest)).await.serves(&manifest);
    // Also by its digest, from a gate that has not seen the tag.
    site.world.restart_afresh().await;
    site.world.pull(Digest::of(&manifest)).await.serves(&manifest);
}

pub(super) async fn an_unsigned_image_is_absent(scheme: Scheme) {
    let site = Site::new(scheme).await;
    let manifest = site.world.push("v2", "two");
    let [by_tag, by_digest] = scheme.absences();
    let answer = site.world.pull("v2").await;
    answer.is_absent(by_tag);
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let begins = format!("\"remote trust data does not exist for registry.example.com/{APP}:v2: ");
    assert!(text.contains(&begins), "{text}");
    assert!(text.contains("MANIFEST_UNKNOWN"), "{text}");
    site.world.pull(Digest::of(&manifest)).await.is_absent(by_digest);
}

pub(super) async fn an_image_signed_by_somebody_else_is_refused(scheme: Scheme) {
    let mut site = Site::new(scheme).await;
    let manifest = site.world.push("v1", "one");
    site.sign_as_another("v1", &manifest);
    site.world.pull("v1").await.is_refused("signature_invalid");
    site.world.pull(Digest::of(&manifest)).await.is_refused("signature_invalid");
}

pub(super) async fn an_image_whose_signature_has_expired_is_refused(scheme: Scheme) {
    let mut site = Site::new(scheme).await;
    let manifest = site.world.push("v1", "one");
    let Some(reason) = scheme.expiry() else {
        // A signature by a key has no expiry.
        site.sign("v1", &manifest);
        site.world.pass(Duration::from_secs(10 * 365 * 24 * 60 * 60));
        site.world.pull("v1").await.serves(&manifest);
        return;
    };
    site.sign_expired("v1", &manifest);
    site.world.pull("v1").await.is_refused(reason);
    site.world.pull(Digest::of(&manifest)).await.is_refused(reason);
}

pub(super) async fn head_and_get_agree(scheme: Scheme) {
    let mut site = Site::new(scheme).await;
    site.push_signed("v1", "one");
    site.world.push("v2", "two");
    for tag in ["v1", "v2"] {
        let path = format!("/v2/{APP}/manifests/{tag}");
        let head = site.world.send(Method::HEAD, &path, &[]).await;
        let get = site.world.get(&path).await;
        assert_eq!(head.status, get.status);
        for name in ["docker-content-digest", "content-type", "content-length"] {
            assert_eq!(head.header(name), get.header(name), "{tag}: {name}");
        }
        assert!(head.body.is_empty());
    }
}

pub(super) async fn a_child_is_served_through_its_index_before_any_sibling(scheme: Scheme) {
    let mut site = Site::new(scheme).await;
    let (index, [first, second]) = site.push_index("v1");
    site.sign("v1", &index);
    site.world.pull("v1").await.serves(&index);
    site.world.pull(Digest::of(&second)).await.serves(&second);
    site.world.pull(Digest::of(&first)).await.serves(&first);
    let stranger = site.world.put_image("stranger");
    assert_eq!(site.world.pull(Digest::of(&stranger)).await.denied().1, "absent");
}

pub(super) async fn a_child_is_served_through_its_index_after_a_restart(scheme: Scheme) {
    let mut site = Site::new(scheme).await;
    let (index, [first, _]) = site.push_index("v1");
    site.sign("v1", &index);
    site.world.pull("v1").await.serves(&index);
    site.world.restart().await;
    site.world.pull(Digest::of(&first)).await.serves(&first);
}

/// A scheme that signs names knows every signed index. A scheme that signs content does not, and a client requests the
/// index before it knows the child.
pub(super) async fn a_child_of_an_index_that_nobody_has_asked_for(scheme: Scheme) {
    let mut site = Site::new(scheme).await;
    let (index, [first, _]) = site.push_index("v1");
    site.sign("v1", &index);
    let child = site.world.pull(Digest::of(&first)).await;
    if scheme == Scheme::NotaryV1 {
        child.serves(&first);
    } else {
        child.is_absent("no_trust_data");
    }
    // The earlier absent result does not matter.
    site.world.pull("v1").await.serves(&index);
    site.world.pull(Digest::of(&first)).await.serves(&first);
}

pub(super) async fn a_child_of_an_unsigned_index_is_absent(scheme: Scheme) {
    let site = Site::new(scheme).await;
    let (_, [first, _]) = site.push_index("v1");
    let [by_tag, by_digest] = scheme.absences();
    site.world.pull("v1").await.is_absent(by_tag);
    site.world.pull(Digest::of(&first)).await.is_absent(by_digest);
}

pub(super) async fn hostile_sizes_admit_nothing(scheme: Scheme) {
    let mut site = Site::new(scheme).await;
    let manifest = site.push_signed("v1", "one");
    site.bloat(&manifest);
    if scheme == Scheme::CosignBundle || scheme == Scheme::Notation {
        // The valid one exists, too.
        site.world.pull("v1").await.serves(&manifest);
        let other = site.world.push("v1", "another");
        site.bloat(&other);
        site.world.pass(Duration::from_secs(5 * 60));
    }
    let denied = site.world.pull("v1").await.denied();
    assert!(denied.0 == 404 || denied.0 == 503, "{denied:?}");
}
