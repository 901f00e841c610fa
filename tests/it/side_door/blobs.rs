//! Content that can be read as a manifest and is stored as a blob is treated as a manifest.

use std::time::Duration;

use countersign::oci::Digest;
use http::Method;
use serde_json::{Value, json};

use super::{Door, begin, image_of, whole};
use crate::fake_registry::Fault;
use crate::whole_gate::{APP, DEFAULTS, World};

/// Spellings that a permissive reader accepts as the manifest of the image with `layer`.
fn spellings(layer: &str) -> Vec<Vec<u8>> {
    let manifest = image_of(layer).to_string();
    let layers = image_of(layer)["layers"].to_string();
    let texts = [
        manifest.clone(),
        format!(" \t\r\n{manifest}"),
        format!("{manifest} trailing"),
        format!("{manifest}{{}}"),
        manifest.replace("\"layers\"", "\"LAYERS\"").replace("\"config\"", "\"Config\""),
        manifest.replace("\"layers\"", "\"layer\u{17f}\"").replace("\"config\"", "\"Config\""),
        manifest
            .replace("\"layers\"", "\"\\u006cayers\"")
            .replace("\"config\"", "\"\\u0063onfig\""),
        format!("{{\"layers\":[],\"layers\":{layers}}}"),
        format!("{{\"layers\":{layers},\"layers\":[]}}"),
        format!("{{\"manifests\":{layers}}}"),
        format!("{{\"fsLayers\":[{{\"blobSum\":\"{}\"}}]}}", Digest::of(layer.as_bytes())),
        format!("{{\"blobs\":{layers}}}"),
        serde_json::to_string_pretty(&image_of(layer)).unwrap(),
    ];
    let mut all: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
    all.push([b"{\"x\":\"\xff\",", &manifest.as_bytes()[1..]].concat());
    all
}

#[tokio::test]
async fn a_manifest_that_is_stored_as_a_blob_is_not_served() {
    let door = Door::new().await;
    for content in spellings("cold") {
        door.blob(&content);
        door.keeps_back(&content).await;
    }
}

#[tokio::test]
async fn a_hidden_manifest_is_not_served_by_head_or_ranges() {
    let door = Door::new().await;
    let content = door.hidden();
    let path = format!("/v2/{APP}/blobs/{}", Digest::of(&content));
    let head = door.world.send(Method::HEAD, &path, &[]).await;
    assert_eq!(head.status, 404, "{head:?}");
    let other = door.world.send(Method::HEAD, &path, &[("if-none-match", "\"x\"")]).await;
    assert_eq!(other.status, 404);
    for at in [0, 1, content.len() / 2, content.len() - 1] {
        let range = format!("bytes={at}-{at}");
        let got = door.world.send(Method::GET, &path, &[("range", &range)]).await;
        assert_eq!(got.status, 404, "{range}: {got:?}");
    }
}

#[tokio::test]
async fn a_hidden_manifest_without_a_length_is_not_served() {
    let door = Door::new().await;
    for pieces in [1, 7, 1 << 20] {
        let content = image_of(&format!("unsized {pieces}")).to_string().into_bytes();
        door.blob(&content);
        door.world.registry.hook(move |asked| {
            let blob = asked.method == Method::GET && asked.path.contains("/blobs/");
            blob.then_some(Fault::Unsized(pieces))
        });
        let path = format!("/v2/{APP}/blobs/{}", Digest::of(&content));
        assert_eq!(door.world.get(&path).await.status, 404);
        assert_eq!(door.world.send(Method::HEAD, &path, &[]).await.status, 404);
    }
}

#[tokio::test]
async fn a_large_hidden_manifest_or_one_after_white_space_is_not_served() {
    let door = Door::new().await;
    let mut large = image_of("large");
    large["annotations"] = json!({"a": "x".repeat(3 << 20)});
    let large = large.to_string().into_bytes();
    let padded = [vec![b' '; 3 << 20], image_of("padded").to_string().into_bytes()].concat();
    for content in [large, padded] {
        door.blob(&content);
        let path = format!("/v2/{APP}/blobs/{}", Digest::of(&content));
        for _ in 0..2 {
            assert_eq!(door.world.send(Method::HEAD, &path, &[]).await.status, 404);
            assert_eq!(door.world.get(&path).await.status, 404);
        }
    }
}

/// Clients have no size limit for a manifest, or a larger one.
#[tokio::test]
async fn a_hidden_manifest_padded_beyond_the_limit_is_not_served() {
    let door = Door::new().await;
    for length in [(4 << 20) + 1, 5 << 20, (20 << 20) + 1] {
        let mut padded = door.evil();
        padded.resize(length, b' ');
        let mut led = vec![b' '; length];
        led.extend(door.evil());
        for content in [padded, led] {
            door.blob(&content);
            let path = format!("/v2/{APP}/blobs/{}", Digest::of(&content));
            for range in ["bytes=0-", "bytes=0-9", "bytes=1-"] {
                let got = door.world.send(Method::GET, &path, &[("range", range)]).await;
                assert_eq!(got.status, 404, "{range}");
            }
            assert_eq!(door.world.get(&path).await.status, 404);
        }
    }
}

/// HEAD and conditional requests are judged like GET, whatever length upstream states.
#[tokio::test]
async fn head_and_conditional_requests_get_the_verdict_of_get() {
    let door = Door::new().await;
    for length in [0, (4 << 20) + 1, (20 << 20) + 1] {
        for (method, tag) in [(Method::HEAD, ""), (Method::HEAD, "*"), (Method::GET, "*")] {
            // Each request is the first for its content.
            let name = format!("{method} {tag} {length}");
            let mut content = image_of(&name).to_string().into_bytes();
            content.resize(length.max(content.len()), b' ');
            let path = format!("/v2/{APP}/blobs/{}", door.blob(&content));
            let got = door.world.send(method, &path, &[("if-none-match", tag)]).await;
            assert_eq!(got.status, 404, "{name}: {got:?}");
        }
    }
}

#[tokio::test]
async fn head_of_a_manifest_that_upstream_calls_empty_or_large_is_denied() {
    for length in ["0", "5000000"] {
        let door = Door::new().await;
        let content = door.hidden();
        door.world.registry.hook(move |asked| {
            let mut lie = crate::fake_registry::respond(200, Vec::new());
            lie.headers_mut().insert("content-length", length.parse().unwrap());
            let head = asked.method == Method::HEAD && asked.path.contains("/blobs/");
            head.then_some(Fault::Respond(lie))
        });
        let path = format!("/v2/{APP}/blobs/{}", Digest::of(&content));
        let got = door.world.send(Method::HEAD, &path, &[]).await;
        assert_eq!(got.status, 404, "{length}: {got:?}");
        let got = door.world.send(Method::GET, &path, &[("if-none-match", "*")]).await;
        assert_eq!(got.status, 404, "{length}: {got:?}");
    }
}

#[tokio::test]
async fn head_of_a_large_layer_costs_no_download() {
    let door = Door::new().await;
    let layer = [b"\x1f\x8b".as_slice(), &[7; 6 << 20]].concat();
    let digest = door.blob(&layer);
    let path = format!("/v2/{APP}/blobs/{digest}");
    let before = door.world.registry.asked().len();
    let head = door.world.send(Method::HEAD, &path, &[]).await;
    assert_eq!((head.status.as_u16(), head.header("content-length")), (200, "6291458"));
    let etag = format!("\"{digest}\"");
    let same = door.world.send(Method::GET, &path, &[("if-none-match", &etag)]).await;
    assert_eq!(same.status, 304);
    let asked = door.world.registry.asked();
    let whole = asked[before..].iter().filter(|asked| asked.method == Method::GET);
    assert!(whole.clone().all(|asked| asked.headers.contains_key("range")), "{asked:?}");
    assert_eq!(whole.count(), 2);
}

#[tokio::test]
async fn a_hidden_manifest_is_not_served_after_a_restart_or_later() {
    let mut door = Door::new().await;
    let content = door.hidden();
    door.keeps_back(&content).await;
    door.world.restart().await;
    door.keeps_back(&content).await;
    door.world.pass(Duration::from_secs(3_600));
    door.keeps_back(&content).await;
}

#[tokio::test]
async fn an_unsigned_manifest_is_not_served_as_a_blob_after_a_flood_of_others() {
    let door = Door::new().await;
    let evil = door.evil();
    door.blob(&evil);
    for n in 0..100 {
        drop(door.world.pull(Digest::of(format!("{n}").as_bytes())).await);
    }
    door.keeps_back(&evil).await;
}

#[tokio::test]
async fn a_signed_manifest_is_served_as_a_blob() {
    let door = Door::new().await;
    door.blob(&door.image);
    door.gives_blob(&door.image).await;
}

#[tokio::test]
async fn legitimate_json_blobs_are_served() {
    let door = Door::new().await;
    let blobs: [Value; 8] = [
        json!({}),
        json!({"architecture": "amd64", "config": {"Env": ["A=b"], "Labels": {"digest": "x"}},
               "rootfs": {"type": "layers", "diff_ids": ["sha256:a"]}}),
        json!({"name": "chart", "version": "1.0.0", "apiVersion": "v2"}),
        json!({"spdxVersion": "SPDX-2.3", "packages": [{"checksums": [{"algorithm": "SHA256"}]}]}),
        json!({"_type": "https://in-toto.io/Statement/v1", "subject": [{"name": "a", "digest": {"sha256": "b"}}]}),
        json!({"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "verificationMaterial": {}}),
        json!({"layers": [{"blob": "sha256:a", "parent": -1}], "records": [{"digest": "sha256:a", "layers": []}]}),
        json!({"Interface": {"Types": ["docker.volumedriver/1.0"]}, "Entrypoint": ["/x"], "rootfs": {"diff_ids": []}}),
    ];
    for blob in &blobs {
        let content = blob.to_string().into_bytes();
        door.blob(&content);
        door.gives_blob(&content).await;
    }
    let large = json!({"a": "x".repeat(1 << 20)}).to_string().into_bytes();
    door.blob(&large);
    door.gives_blob(&large).await;
}

#[tokio::test]
async fn content_other_than_a_json_object_streams_after_its_first_bytes() {
    let door = Door::new().await;
    let layer = [b"\x1f\x8b".as_slice(), &[7; 100_000]].concat();
    let digest = door.blob(&layer);
    let released = std::sync::Arc::new(tokio::sync::Semaphore::new(1));
    let gate = released.clone();
    door.world.registry.hook(move |asked| {
        asked.path.contains("/blobs/").then(|| Fault::Gated(50_000, gate.clone()))
    });
    let path = format!("/v2/{APP}/blobs/{digest}");
    let answer = begin(&door.world, &path).await.unwrap();
    assert_eq!(answer.status(), 200, "its head waits for no more than its first bytes");
    released.add_permits(10);
    assert_eq!(whole(answer).await.unwrap(), layer);
}

#[tokio::test]
async fn a_blob_interrupted_during_inspection_is_undecided() {
    let door = Door::new().await;
    let digest = door.blob(&json!({"a": "x".repeat(1000)}).to_string().into_bytes());
    door.world.registry.hook(|asked| {
        (asked.method == Method::GET && asked.path.contains("/blobs/"))
            .then_some(Fault::Truncate(100))
    });
    let got = door.world.get(&format!("/v2/{APP}/blobs/{digest}")).await;
    assert_eq!(got.status, 503, "{got:?}");
}

#[tokio::test]
async fn a_hidden_manifest_after_a_false_first_answer_is_not_served() {
    let door = Door::new().await;
    let content = door.hidden();
    let digest = Digest::of(&content);
    let lie = vec![b'x'; content.len()];
    door.world.registry.hook(move |asked| {
        let first =
            asked.method == Method::GET && asked.path.contains("/blobs/") && asked.before == 0;
        first.then(|| Fault::Respond(crate::fake_registry::respond(200, lie.clone())))
    });
    let path = format!("/v2/{APP}/blobs/{digest}");
    if let Ok(answer) = begin(&door.world, &path).await {
        drop(whole(answer).await);
    }
    door.world.registry.hook(|_| None);
    door.keeps_back(&content).await;
}

#[tokio::test]
async fn a_blob_of_a_repository_that_no_rule_serves_is_denied() {
    let denies = "[[rule]]\nimages = [\"registry.example.com/else/**\"]\nmode = \"deny\"\n";
    let world = World::with(DEFAULTS, denies).await;
    let digest = world.registry.registry().put_blob(&"else/app".parse().unwrap(), "layer");
    let path = format!("/v2/else/app/blobs/{digest}");
    for method in [Method::GET, Method::HEAD] {
        for headers in [vec![], vec![("if-none-match", "*")], vec![("range", "bytes=0-1")]] {
            let got = world.send(method.clone(), &path, &headers).await;
            assert_eq!(got.status, 404, "{method} {headers:?}: {got:?}");
            let got = world.as_mirror(method.clone(), &path, &headers).await;
            assert!(!got.status.is_success(), "{method} {headers:?}: {got:?}");
        }
    }
    let asked = world.registry.asked();
    assert!(asked.iter().all(|asked| !asked.path.contains("else/app")), "{asked:?}");
}
