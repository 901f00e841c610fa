//! Hostile bundles: the gate treats them as it treats a hostile registry.

use std::fs;
use std::time::Duration;

use countersign::oci::{Digest, MediaType};
use http::StatusCode;
use serde_json::json;

use super::{Site, is_unknown};
use crate::carried::{header, put, tar};
use crate::whole_gate::{APP, app};

#[tokio::test]
async fn a_blob_that_is_not_what_its_name_says_is_refused() {
    let site = Site::new(false).await;
    let manifest = site.push_signed("v1", "one");
    let mut carried = site.carried();
    carried.blobs.insert(Digest::of(b"one"), b"two".to_vec());
    carried.write(&site.path("a.tar"));
    site.world.pull("v1").await.serves(&manifest);
    let path = format!("/v2/{APP}/blobs/{}", Digest::of(b"one"));
    for _ in 0..2 {
        site.world.get(&path).await.is_refused("content_mismatch");
    }
    // A bundle with the right content repairs it.
    site.carry("b.tar");
    fs::remove_file(site.path("a.tar")).unwrap();
    assert_eq!(&*site.world.get(&path).await.body, b"one");
}

#[tokio::test]
async fn a_manifest_that_is_not_what_its_name_says_is_refused() {
    let site = Site::new(false).await;
    let manifest = site.push_signed("v1", "one");
    let evil = site.world.put_image("evil");
    let mut carried = site.carried();
    // Of the same length, so that the lists agree.
    let mut lie = evil.clone();
    lie.resize(manifest.len(), b' ');
    carried.blobs.insert(Digest::of(&manifest), lie);
    carried.write(&site.path("a.tar"));
    for reference in ["v1".to_owned(), Digest::of(&manifest).to_string()] {
        let answer = site.world.pull(reference).await;
        assert_ne!(answer.status, StatusCode::OK, "{answer:?}");
    }
}

#[tokio::test]
async fn a_tag_that_points_to_an_unsigned_image_is_not_served() {
    let site = Site::new(false).await;
    site.push_signed("v1", "one");
    let evil = site.world.put_image("evil");
    site.world.put_tag("v1", &evil);
    site.carry("a.tar");
    site.world.pull("v1").await.is_absent("no_trust_data");
}

#[tokio::test]
async fn content_of_one_repository_is_not_in_another() {
    let site = Site::new(false).await;
    let manifest = site.push_signed("v1", "one");
    let other = "library/other".parse().unwrap();
    site.world.registry.registry().put_image(&other, "other");
    site.carry("a.tar");
    site.world.pull("v1").await.serves(&manifest);
    let path = format!("/v2/library/app/blobs/{}", Digest::of(b"other"));
    assert_eq!(site.world.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn wrong_bytes_open_no_stored_content_of_another_repository() {
    let site = Site::new(false).await;
    site.push_signed("v1", "one");
    let other = "library/other".parse().unwrap();
    site.world.registry.registry().put_image(&other, "other");
    site.carry("a.tar");
    let layer = Digest::of(b"other");
    let stored = site.world.get(&format!("/v2/library/other/blobs/{layer}")).await;
    assert_eq!(&*stored.body, b"other");
    site.world.registry.registry().put_blob(&app(), b"other".to_vec());
    let mut carried = site.carried();
    carried.blobs.insert(layer, b"wrong".to_vec());
    carried.write(&site.path("a.tar"));
    for _ in 0..2 {
        let got = site.world.try_mirror(&format!("/v2/{APP}/blobs/{layer}")).await;
        assert!(!got.is_ok_and(|body| body == b"other"[..]));
    }
    // The right content opens it.
    site.carry("a.tar");
    let path = format!("/v2/{APP}/blobs/{layer}");
    assert_eq!(&*site.world.get(&path).await.body, b"other");
}

#[tokio::test]
async fn a_file_that_is_no_bundle_changes_nothing() {
    let site = Site::new(false).await;
    let manifest = site.push_signed("v1", "one");
    site.carry("a.tar");
    let good = site.carried().entries();
    let whole = tar(&good);
    let mut linked = header("index.json", 0, b'2', "/etc/passwd");
    linked.extend([0; 1024]);
    let escape = vec![("../escape".to_owned(), b"x".to_vec())];
    let twice = [good.clone(), good.clone()].concat();
    let hostile: [&[u8]; 7] = [
        b"",
        b"no tar",
        &whole[..whole.len() / 2],
        &linked,
        &tar(&escape),
        &tar(&twice),
        &[&whole[..], &whole[..]].concat(),
    ];
    for (at, bytes) in hostile.iter().enumerate() {
        put(&site.path(&format!("evil-{at}.tar")), bytes);
        site.world.pull("v1").await.serves(&manifest);
        is_unknown(&site.world.pull("v2").await);
    }
    assert!(!site.world.incoming().parent().unwrap().join("escape").exists());
}

/// Absence is an answer only if everything was read.
#[tokio::test]
async fn an_unreadable_folder_is_undecided_and_not_absent() {
    let site = Site::new(false).await;
    let manifest = site.push_signed("v1", "one");
    site.carry("a.tar");
    site.world.pull("v1").await.serves(&manifest);
    let (folder, away) = (site.world.incoming(), site.world.incoming().with_extension("away"));
    fs::rename(&folder, &away).unwrap();
    site.world.pull("v2").await.is_undecided("upstream_unreachable");
    fs::rename(&away, &folder).unwrap();
    is_unknown(&site.world.pull("v2").await);
}

#[tokio::test]
async fn a_bundle_that_changes_while_it_is_served_is_refused() {
    let site = Site::new(false).await;
    let text = "x".repeat(2 << 20);
    let manifest = site.push_signed("v1", &text);
    site.carry("a.tar");
    site.world.pull("v1").await.serves(&manifest);
    // The new file has another content of the same length.
    let mut bytes = fs::read(site.path("a.tar")).unwrap();
    let at = bytes.windows(64).position(|window| window == [b'x'; 64]).unwrap();
    bytes[at + (1 << 20)] = b'y';
    put(&site.path("a.tar"), &bytes);
    let path = format!("/v2/{APP}/blobs/{}", Digest::of(text.as_bytes()));
    let got = site.world.try_mirror(&path).await;
    assert!(got.map_or(true, |body| body.len() < text.len()), "the changed content was served");
}

#[tokio::test]
async fn a_list_of_referrers_in_pieces_is_read_to_its_end() {
    let site = Site::new(false).await;
    let manifest = site.push_signed("v1", "one");
    site.world.registry.registry().put_blob(&app(), b"{}".to_vec());
    for at in 0..150 {
        let referrer = json!({
            "schemaVersion": 2, "mediaType": MediaType::OciImage.as_str(),
            "artifactType": "application/spdx+json",
            "config": { "mediaType": "application/vnd.oci.empty.v1+json",
                "digest": Digest::of(b"{}").to_string(), "size": 2 },
            "layers": [], "annotations": { "at": at.to_string() },
            "subject": { "mediaType": MediaType::OciImage.as_str(),
                "digest": Digest::of(&manifest).to_string(), "size": manifest.len() },
        });
        site.world.put(MediaType::OciImage, &referrer);
    }
    site.carry("a.tar");
    site.world.pull("v1").await.serves(&manifest);
    let mut listed = 0;
    let mut next = Some(format!("/v2/{APP}/referrers/{}", Digest::of(&manifest)));
    while let Some(path) = next {
        let page = site.world.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        let list: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
        listed += list["manifests"].as_array().unwrap().len();
        next = page.next_page();
    }
    assert_eq!(listed, 150);
}

#[tokio::test]
async fn an_older_bundle_after_a_newer_one_brings_nothing_back() {
    let mut site = Site::of_notary().await;
    let first = site.world.push_signed("v1", "one");
    site.carry("a.tar");
    site.world.pull("v1").await.serves(&first);
    let older = site.carried();
    site.world.pass(Duration::from_secs(600));
    let second = site.world.push_signed("v1", "two");
    site.carry("a.tar");
    site.world.pull("v1").await.serves(&second);
    older.write(&site.path("a.tar"));
    site.world.pass(Duration::from_secs(600));
    // The trust memory has the newer data.
    site.world.pull("v1").await.serves(&second);
    site.world.restart().await;
    site.world.pull("v1").await.serves(&second);
    // The newer bundle is the answer again, whatever else is there.
    site.carry("b.tar");
    site.world.pass(Duration::from_secs(600));
    site.world.pull("v1").await.serves(&second);
}

#[tokio::test]
async fn trust_data_of_another_repository_does_not_count() {
    let mut site = Site::of_notary().await;
    let manifest = site.world.push("v1", "one");
    site.world.signer.tag(crate::notary_repository::RELEASES, "v1", &manifest);
    let files = site.world.signer.publish();
    let mut carried = site.carried();
    carried.add_gun("registry.example.com/library/other", &files);
    carried.write(&site.path("a.tar"));
    site.world.pull("v1").await.is_absent("no_trust_data");
}
