//! P1-P7: the whole gate over HTTP serves signed images, by their signed digest, and nothing else.

use countersign::oci::{Digest, MediaType};
use http::Method;
use serde_json::{Value, json};

use crate::fake_registry::{Fault, respond, with};
use crate::notary_repository::{RELEASES, in_days};
use crate::whole_gate::{APP, World, app, described};

#[tokio::test]
async fn a_signed_tag_is_served_and_head_agrees_with_get() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    let digest = Digest::of(&manifest);
    for reference in ["v1".to_owned(), digest.to_string()] {
        let got = world.pull(&reference).await;
        got.serves(&manifest);
        assert_eq!(got.header("content-type"), MediaType::OciImage.as_str());
        let path = format!("/v2/{APP}/manifests/{reference}");
        let head = world.send(Method::HEAD, &path, &[]).await;
        assert!(head.body.is_empty());
        for name in ["docker-content-digest", "content-type", "content-length"] {
            assert_eq!(head.header(name), got.header(name), "{name}");
        }
        assert_eq!(got.header("content-length"), manifest.len().to_string());
        assert_eq!((head.status, got.status), (got.status, head.status));
    }
    let path = format!("/v2/{APP}/manifests/v2");
    let head = world.send(Method::HEAD, &path, &[]).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (404, 0));
}

#[tokio::test]
async fn p1_other_bytes_than_the_signed_ones_are_refused() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.registry.hook(|asked| asked.path.contains("/manifests/").then_some(Fault::Corrupt));
    world.pull("v1").await.is_refused("content_mismatch");
    world.pull(Digest::of(&manifest)).await.is_refused("content_mismatch");
    world.registry.hook(|_| None);
    world.pull("v1").await.serves(&manifest);
}

#[tokio::test]
async fn p1_another_valid_image_instead_of_the_signed_one_is_refused() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    let evil = world.put_image("evil");
    let signed = Digest::of(&manifest).to_string();
    world.registry.hook(move |_| {
        let answer = with(
            respond(200, evil.clone()),
            "docker-content-digest".parse::<http::HeaderName>().unwrap(),
            &signed,
        );
        let media_type = MediaType::OciImage.as_str();
        Some(Fault::Respond(with(answer, http::header::CONTENT_TYPE, media_type)))
    });
    world.pull("v1").await.is_refused("content_mismatch");
}

#[tokio::test]
async fn p2_a_tag_moved_after_signing_still_serves_the_signed_image() {
    let mut world = World::new().await;
    let signed = world.push_signed("v1", "one");
    let evil = world.push("v1", "evil");
    world.pull("v1").await.serves(&signed);
    world.pull(Digest::of(&evil)).await.is_absent("digest_not_signed");
    assert!(
        world.registry.asked_for("/manifests/v1").is_empty(),
        "the registry was asked by the client's tag"
    );
}

#[tokio::test]
async fn p3_an_unsigned_digest_and_its_tag_are_absent() {
    let mut world = World::new().await;
    let signed = world.push_signed("v1", "one");
    let unsigned = world.push("edge", "last night's");
    world.pull(Digest::of(&signed)).await.serves(&signed);
    world.pull(Digest::of(&unsigned)).await.is_absent("digest_not_signed");
    world.pull("edge").await.is_absent("tag_not_signed");
    world.pull(Digest::of(b"what nobody has")).await.is_absent("digest_not_signed");
}

#[tokio::test]
async fn p3_a_formerly_signed_digest_is_absent_after_its_tag_is_signed_again() {
    let mut world = World::new().await;
    let old = world.push_signed("v1", "one");
    world.pull(Digest::of(&old)).await.serves(&old);
    let new = world.push_signed("v1", "one, fixed");
    world.pass(std::time::Duration::from_secs(600));
    world.pull("v1").await.serves(&new);
    world.pull(Digest::of(&old)).await.is_absent("digest_not_signed");
}

#[tokio::test]
async fn p3_a_denied_manifest_is_not_served_as_a_blob_either() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    let unsigned = world.push("edge", "last night's");
    let digest = Digest::of(&unsigned);
    // containerd requests the same digest as a manifest and then as a blob.
    world.pull(digest).await.is_absent("digest_not_signed");
    // Some registries serve manifests as blobs.
    world.registry.registry().put_blob(&app(), unsigned.clone());
    let blob = world.get(&format!("/v2/{APP}/blobs/{digest}")).await;
    assert_eq!(blob.status.as_u16(), 404, "{blob:?}");
}

#[tokio::test]
async fn children_of_a_signed_index_are_served_by_digest_without_the_index() {
    let mut world = World::new().await;
    let [amd64, arm64] = ["amd64", "arm64"].map(|text| world.put_image(text));
    let nested = world.put_index(&[&arm64]);
    let index = world.put_index(&[&amd64, &nested]);
    world.sign("v1", &index);
    let other = world.push_signed("v2", "another");
    let stranger = world.put_index(&[&world.put_image("stranger")]);

    world.pull("v1").await.serves(&index);
    world.pull(Digest::of(&arm64)).await.serves(&arm64);
    world.pull(Digest::of(&amd64)).await.serves(&amd64);
    for afresh in [false, true] {
        if afresh {
            world.restart_afresh().await;
        } else {
            world.restart().await;
        }
        world.pull(Digest::of(&amd64)).await.serves(&amd64);
        world.pull(Digest::of(&arm64)).await.serves(&arm64);
        world.pull(Digest::of(&nested)).await.serves(&nested);
        world.pull(Digest::of(&other)).await.serves(&other);
        world.pull(Digest::of(&stranger)).await.is_absent("digest_not_signed");
        let of_stranger = Digest::of(&world.put_image("stranger"));
        world.pull(of_stranger).await.is_absent("digest_not_signed");
    }
}

#[tokio::test]
async fn a_child_is_absent_once_its_index_is_no_longer_signed() {
    let mut world = World::new().await;
    let child = world.put_image("amd64");
    let index = world.put_index(&[&child]);
    world.sign("v1", &index);
    world.pull(Digest::of(&child)).await.serves(&child);
    world.push_signed("v1", "no index any more");
    world.pass(std::time::Duration::from_secs(600));
    world.pull(Digest::of(&child)).await.is_absent("digest_not_signed");
}

#[tokio::test]
async fn a_child_must_match_the_digest_and_size_in_the_index() {
    let mut world = World::new().await;
    let child = world.put_image("amd64");
    let index = world.put_index(&[&child]);
    // The same index with another size of the child.
    let mut lying: Value = serde_json::from_slice(&index).unwrap();
    lying["manifests"][0]["size"] = json!(child.len() + 1);
    let lying = lying.to_string().into_bytes();
    let media_type = MediaType::OciIndex.as_str();
    world.registry.registry().put_manifest(&app(), media_type, lying.clone());
    world.sign("v1", &lying);
    world.pull("v1").await.serves(&lying);
    world.pull(Digest::of(&child)).await.is_absent("digest_not_signed");
    world.sign("v2", &index);
    world.pass(std::time::Duration::from_secs(600));
    world.pull(Digest::of(&child)).await.serves(&child);
}

#[tokio::test]
async fn p4_a_manifest_with_another_length_than_signed_is_refused() {
    for wrong in [-1_i64, 1] {
        let mut world = World::new().await;
        let manifest = world.push("v1", "one");
        let length = i64::try_from(manifest.len()).unwrap() + wrong;
        world.signer.tag(RELEASES, "v1", &manifest);
        world.signer.edit_signed(RELEASES, move |signed| {
            signed["targets"]["v1"]["length"] = json!(length);
        });
        world.publish();
        world.pull("v1").await.is_refused("content_mismatch");
        world.pull(Digest::of(&manifest)).await.is_refused("content_mismatch");
    }
}

#[tokio::test]
async fn m4_a_manifest_with_another_sha512_than_signed_is_refused() {
    let mut world = World::new().await;
    let manifest = world.push("v1", "one");
    world.signer.tag(RELEASES, "v1", &manifest);
    world.signer.edit_signed(RELEASES, |signed| {
        let zeros = "A".repeat(86) + "==";
        signed["targets"]["v1"]["hashes"]["sha512"] = json!(zeros);
    });
    world.publish();
    world.pull("v1").await.is_refused("content_mismatch");
}

#[tokio::test]
async fn m6_an_impossible_signed_length_is_refused_at_the_gate() {
    for length in [0, (4 << 20) + 1] {
        let mut world = World::new().await;
        let manifest = world.push("v1", "one");
        world.signer.tag(RELEASES, "v1", &manifest);
        world.signer.edit_signed(RELEASES, move |signed| {
            signed["targets"]["v1"]["length"] = json!(length);
        });
        world.publish();
        world.pull("v1").await.is_refused("malformed");
    }
}

#[tokio::test]
async fn p5_unsigned_tags_are_not_listed_and_pages_are_preserved() {
    let mut world = World::new().await;
    for tag in ["a1", "a3", "b1"] {
        world.push_signed(tag, tag);
    }
    for tag in ["a0", "a2", "b2"] {
        world.push(tag, tag);
    }
    let list = world.get(&format!("/v2/{APP}/tags/list")).await;
    let body: Value = serde_json::from_slice(&list.body).unwrap();
    assert_eq!(body, json!({ "name": APP, "tags": ["a1", "a3", "b1"] }));

    let mut tags = Vec::new();
    let mut next = Some(format!("/v2/{APP}/tags/list?n=2"));
    while let Some(path) = next {
        let page = world.get(&path).await;
        let body: Value = serde_json::from_slice(&page.body).unwrap();
        tags.extend(body["tags"].as_array().unwrap().clone());
        next = page.next_page();
    }
    assert_eq!(tags, ["a1", "a3", "b1"]);
}

#[tokio::test]
async fn p6_upstream_is_asked_for_every_type_and_by_digest() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    let path = format!("/v2/{APP}/manifests/v1");
    for accept in ["application/vnd.docker.distribution.manifest.v1+prettyjws", "*/*", "text/html"]
    {
        let got = world.send(Method::GET, &path, &[("accept", accept)]).await;
        got.serves(&manifest);
    }
    for asked in world.registry.asked() {
        let accept = asked.header(http::header::ACCEPT);
        for media_type in [MediaType::OciIndex, MediaType::OciImage] {
            assert!(accept.contains(media_type.as_str()), "{accept}");
        }
        assert!(asked.path.contains("/manifests/sha256:"), "{}", asked.path);
    }
}

#[tokio::test]
async fn p7_ambiguous_repository_names_are_invalid() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    for name in [
        "library/../app",
        "library/./app",
        "library/%2e%2e/app",
        "library%2fapp",
        "library//app",
        "Library/app",
        "library/app/",
        "/library/app",
        "library/app/_trust/tuf",
        "_trust",
        "library/app%00",
        "library/-app",
        "registry.example.com/../library/app",
    ] {
        let got = world.get(&format!("/v2/{name}/manifests/v1")).await;
        assert!([400, 404].contains(&got.status.as_u16()), "{name}: {}", got.status);
    }
    let odd = ["..", "//", "%", "L", "_trust/tuf/_"];
    let asked: Vec<String> = world.notary.asked().into_iter().map(|asked| asked.path).collect();
    assert!(asked.iter().all(|path| odd.iter().all(|odd| !path.contains(odd))), "{asked:?}");
}

#[tokio::test]
async fn p7_both_names_of_a_repository_get_the_same_verdict() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    let full = format!("/v2/registry.example.com/{APP}/manifests/v1");
    world.get(&full).await.serves(&manifest);
    world.get(&format!("/v2/{APP}/manifests/v1?ns=registry.example.com")).await.serves(&manifest);
    let other = world.get(&format!("/v2/{APP}/manifests/v1?ns=other.example.com")).await;
    assert_eq!(other.status.as_u16(), 404);
    // Signed for library/app, and not for another repository of the same publisher.
    world.get("/v2/library/other/manifests/v1").await.is_absent("no_trust_data");
}

#[tokio::test]
async fn r1_trust_data_of_another_repository_is_refused_at_the_gate() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    world.notary.publish("registry.example.com/library/other", world.signer.publish());
    world.get("/v2/library/other/manifests/v1").await.is_refused("wrong_repository");
}

#[tokio::test]
async fn rules_deny_without_a_request_for_trust_data() {
    let rules = r#"
        [[rule]]
        images = ["registry.example.com/retired/**"]
        mode = "deny"

        [[rule]]
        images = ["registry.example.com/library/app:nightly-*"]
        mode = "allow"
        reason = "nightly builds are not signed"
    "#;
    let mut world = World::with(crate::whole_gate::DEFAULTS, rules).await;
    world.push_signed("v1", "one");
    let nightly = world.push("nightly-1", "last night's");
    world.get("/v2/retired/app/manifests/v1").await.is_refused("denied_by_rule");
    world.pull("nightly-1").await.serves(&nightly);
    world.pull(Digest::of(&nightly)).await.serves(&nightly);
    world.pull("nightly").await.is_absent("tag_not_signed");
    world.pull("v1-nightly-1").await.is_absent("tag_not_signed");
}

#[tokio::test]
async fn an_expired_tag_makes_its_digest_and_children_unavailable() {
    let mut world = World::new().await;
    let child = world.put_image("amd64");
    let index = world.put_index(&[&child]);
    world.signer.role_mut("timestamp").expires = in_days(1);
    world.sign("v1", &index);
    world.pull(Digest::of(&child)).await.serves(&child);
    world.pass(std::time::Duration::from_secs(86_401));
    for digest in [Digest::of(&child), Digest::of(&index)] {
        world.pull(digest).await.is_refused("expired");
    }
}

#[tokio::test]
async fn referrers_of_a_signed_image_are_served_and_disguised_images_are_not() {
    let mut world = World::new().await;
    let image = world.push_signed("v1", "one");
    let about = |subject: &[u8], config: &str| {
        json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OciImage.as_str(),
            "artifactType": "application/spdx+json",
            "config": described(config, b"{}"),
            "layers": [described("application/spdx+json", b"{}")],
            "subject": described(MediaType::OciImage.as_str(), subject),
        })
        .to_string()
        .into_bytes()
    };
    let empty = "application/vnd.oci.empty.v1+json";
    let runnable = "application/vnd.oci.image.config.v1+json";
    let put = |manifest: &[u8]| {
        let media_type = MediaType::OciImage.as_str();
        world.registry.registry().put_manifest(&app(), media_type, manifest.to_vec());
    };
    let sbom = about(&image, empty);
    let dressed = about(&image, runnable);
    let of_a_stranger = about(&world.put_image("stranger"), empty);
    for manifest in [&sbom, &dressed, &of_a_stranger] {
        put(manifest);
    }
    world.pull(Digest::of(&sbom)).await.serves(&sbom);
    world.pull(Digest::of(&dressed)).await.is_absent("digest_not_signed");
    world.pull(Digest::of(&of_a_stranger)).await.is_absent("digest_not_signed");
}
