//! Artifacts of a signed image are relayed unchanged, so that clients can verify for themselves. Nothing that an
//! engine can run is served as an artifact.

use countersign::oci::{Digest, MediaType};
use serde_json::{Value, json};

use super::site::{Scheme, Site};
use crate::attached::{JOSE, NOTATION, OTHER, layer, put_referrer, put_sig, put_tagged, tag_of};
use crate::whole_gate::{APP, app, described};

const DSSE: &str = "application/vnd.dsse.envelope.v1+json";
const SPDX: &str = "application/spdx+json";

pub(super) async fn what_is_about_a_signed_image_passes(scheme: Scheme) {
    let mut site = Site::new(scheme).await;
    let manifest = site.push_signed("v1", "one");
    let sbom = put_referrer(&site.world.registry, &manifest, SPDX, SPDX, b"{}");
    let mut under_tags = vec![(".att", site.put_dressed(&manifest, DSSE, b"{}"))];
    if scheme != Scheme::CosignKey && scheme != Scheme::CosignKeyless {
        let layers = [layer(&manifest, &OTHER)];
        under_tags.push((".sig", put_sig(&site.world.registry, &app(), &manifest, &layers)));
    }
    for (suffix, artifact) in under_tags {
        // By the tag, and then by the digest that the client got with it.
        site.world.pull(tag_of(&manifest, suffix)).await.serves(&artifact);
        site.world.pull(Digest::of(&artifact)).await.serves(&artifact);
    }
    site.world.pull(Digest::of(&sbom)).await.serves(&sbom);
    let listed = site.world.get(&format!("/v2/{APP}/referrers/{}", Digest::of(&manifest))).await;
    let text = String::from_utf8_lossy(&listed.body).into_owned();
    assert!(text.contains(&Digest::of(&sbom).to_string()), "{text}");
}

pub(super) async fn what_is_about_an_unsigned_image_does_not_pass(scheme: Scheme) {
    let site = Site::new(scheme).await;
    let manifest = site.world.push("v1", "one");
    let signature = put_referrer(&site.world.registry, &manifest, NOTATION, JOSE, b"{}");
    put_sig(&site.world.registry, &app(), &manifest, &[layer(&manifest, &OTHER)]);
    assert_eq!(site.world.pull(tag_of(&manifest, ".sig")).await.denied().0, 404);
    assert_eq!(site.world.pull(Digest::of(&signature)).await.denied().0, 404);
    let listed = site.world.get(&format!("/v2/{APP}/referrers/{}", Digest::of(&manifest))).await;
    let list: Value = serde_json::from_slice(&listed.body).unwrap();
    assert_eq!((listed.status.as_u16(), &list["manifests"]), (200, &json!([])));
}

pub(super) async fn an_image_dressed_as_a_signature_is_refused(scheme: Scheme) {
    let mut site = Site::new(scheme).await;
    let manifest = site.push_signed("v1", "one");
    let tar = [b"etc/passwd".as_slice(), &[0; 502]].concat();
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03";
    for (media_type, content) in [
        ("application/vnd.oci.image.layer.v1.tar", &tar[..]),
        ("application/vnd.oci.image.layer.v1.tar+gzip", &gzip[..]),
        ("application/vnd.dev.cosign.simplesigning.v1+json", &tar[..]),
        ("application/vnd.dev.cosign.simplesigning.v1+json", &gzip[..]),
    ] {
        let dressed = site.put_dressed(&manifest, media_type, content);
        site.world.pull(tag_of(&manifest, ".att")).await.is_absent("digest_not_signed");
        assert_eq!(site.world.pull(Digest::of(&dressed)).await.denied().0, 404);
    }
}

pub(super) async fn an_index_dressed_as_a_signature_is_refused(scheme: Scheme) {
    let mut site = Site::new(scheme).await;
    let manifest = site.push_signed("v1", "one");
    let evil = site.world.put_image("evil");
    let index = json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(),
        "manifests": [described(MediaType::OciImage.as_str(), &evil)] });
    let registry = &site.world.registry;
    let index = put_tagged(registry, &app(), &manifest, ".att", MediaType::OciIndex, &index);
    site.world.pull(tag_of(&manifest, ".att")).await.is_absent("digest_not_signed");
    assert_eq!(site.world.pull(Digest::of(&index)).await.denied().0, 404);
    assert_eq!(site.world.pull(Digest::of(&evil)).await.denied().0, 404);
}

/// The list under `sha256-<hex>` replaces the referrers API, which the gate implements itself. The list is not served,
/// and the gate decides about each entry separately.
pub(super) async fn a_list_of_referrers_admits_nothing_that_it_lists(scheme: Scheme) {
    let mut site = Site::new(scheme).await;
    let manifest = site.push_signed("v1", "one");
    let evil = site.world.put_image("evil");
    let sbom = put_referrer(&site.world.registry, &manifest, SPDX, SPDX, b"{}");
    let of = MediaType::OciImage.as_str();
    let list = json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(),
        "manifests": [described(of, &evil), described(of, &sbom)] });
    let registry = &site.world.registry;
    let list = put_tagged(registry, &app(), &manifest, "", MediaType::OciIndex, &list);
    site.world.pull(tag_of(&manifest, "")).await.is_absent("digest_not_signed");
    assert_eq!(site.world.pull(Digest::of(&list)).await.denied().0, 404);
    site.world.pull(Digest::of(&sbom)).await.serves(&sbom);
    assert_eq!(site.world.pull(Digest::of(&evil)).await.denied().0, 404);
    site.world.restart().await;
    assert_eq!(site.world.pull(Digest::of(&evil)).await.denied().0, 404);
}
