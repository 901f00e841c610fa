//! What `bundle create` writes, and what it does not write.

use std::fs;
use std::time::Duration;

use countersign::bundle::Bundle;
use countersign::commands::bundle::Inspected;
use countersign::oci::{Digest, MediaType, RepositoryRef};
use serde_json::{Value, json};

use super::{Exporter, open};
use crate::attached::{BUNDLE, MINE, OTHER, key_bundle, layer, put_referrer, put_sig, tag_of};
use crate::carried::Carried;
use crate::fake_registry::{Fault, REGISTRY};
use crate::notary_repository::GUN;
use crate::whole_gate::app;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn has(bundle: &Bundle, content: &[u8]) -> bool {
    bundle.whole_blob(&Digest::of(content), 1 << 20).unwrap().is_some_and(|blob| blob == content)
}

#[tokio::test]
async fn a_bundle_contains_the_images_of_every_scheme_and_all_their_proofs() {
    let mut exporter = Exporter::new().await;
    let signed = exporter.world.push_signed("v1", "by notary");
    let cosigned = exporter.push_cosigned("v2", "by cosign");
    let statement = key_bundle(&cosigned, &MINE).to_string().into_bytes();
    let referrer = put_referrer(&exporter.world.registry, &cosigned, BUNDLE, BUNDLE, &statement);
    let bundle = exporter.bundle("a.tar", &["v1", "v2"]).await;
    for content in [&signed[..], &cosigned, b"by notary", b"by cosign", &referrer, &statement] {
        assert!(has(&bundle, content), "{}", String::from_utf8_lossy(content));
    }
    let names: Vec<String> =
        bundle.index().images.iter().map(|image| image.name.to_string()).collect();
    assert_eq!(names, ["v1", "v2"].map(|tag| super::image(tag).to_string()));
    let subject = Digest::of(&cosigned);
    let attached = &bundle.index().attached;
    let tags: Vec<Option<String>> =
        attached.iter().map(|it| it.tag.as_ref().map(ToString::to_string)).collect();
    assert!(attached.iter().all(|it| it.subject == subject), "{attached:?}");
    assert_eq!(tags.len(), 2);
    assert!(tags.contains(&Some(tag_of(&cosigned, ".sig"))) && tags.contains(&None), "{tags:?}");
    // The files of the Notary server, byte for byte.
    let folder = Digest::of(GUN.as_bytes()).hex();
    for role in ["root", "timestamp", "snapshot", "targets", "targets/releases"] {
        let title = format!("notaryv1/{folder}/{role}.json");
        let file = bundle.document(&title).unwrap();
        assert_eq!(file.as_deref(), Some(exporter.world.signer.file(role)), "{role}");
    }
    let version: Value = serde_json::from_slice(exporter.world.signer.file("root")).unwrap();
    let title = format!("notaryv1/{folder}/{}.root.json", version["signed"]["version"]);
    assert!(bundle.document(&title).unwrap().is_some(), "{title}");
    let contents = bundle.contents();
    assert_eq!(contents.notaryv1[0].gun, GUN);
    assert_eq!(contents.notaryv1[0].fetched, exporter.world.clock.now().unix());
    let anchors: Vec<&str> =
        contents.images.iter().flat_map(|it| &it.decision.anchors).map(|it| &*it.name).collect();
    assert_eq!(anchors.len(), 2);
    assert!(anchors.contains(&"team") && anchors.contains(&"ci"), "{anchors:?}");
}

#[tokio::test]
async fn the_proposed_rules_contain_no_secret_and_the_keys_as_files() {
    let tables = super::TABLES.replace(
        "root_keys",
        "username = \"robot\"\npassword_file = \"password\"\nrefresh = \"1m\"\nroot_keys",
    );
    let mut setup = Exporter::new().await;
    setup.world.setup.tables =
        format!("{tables}{}", super::RULE.replace("registry.example", REGISTRY));
    setup.world.setup.files.push(("password".to_owned(), b"hunter2".to_vec()));
    setup.push_cosigned("v1", "one");
    let bundle = setup.bundle("a.tar", &["v1"]).await;
    let rules = bundle.document("rules.toml").unwrap().unwrap();
    let rules = std::str::from_utf8(&rules).unwrap();
    for secret in ["robot", "password", "hunter2", "listen", "[store]", "refresh"] {
        assert!(!rules.contains(secret), "{secret}: {rules}");
    }
    assert!(rules.contains("sigstore/ci/mine.pub"), "{rules}");
    let key = bundle.document("sigstore/ci/mine.pub").unwrap();
    assert_eq!(key.as_deref(), Some(MINE.pem().as_bytes()));
}

#[tokio::test]
async fn an_image_that_the_gate_denies_is_reported_and_not_written() {
    let exporter = Exporter::new().await;
    exporter.push_cosigned("good", "good");
    let unsigned = exporter.world.push("bad", "bad");
    let forged = exporter.world.push("forged", "forged");
    put_sig(&exporter.world.registry, &app(), &forged, &[layer(&forged, &OTHER)]);
    let order = exporter.order("a.tar", &["good", "bad", "forged", "gone"]);
    let created = exporter.create(&order).await.unwrap();
    assert_eq!(created.exit_status(), 3, "{created}");
    let left: Vec<(String, &str)> =
        created.left_out.iter().map(|it| (it.image.to_string(), it.verdict)).collect();
    let expected = [("bad", "absent"), ("forged", "absent"), ("gone", "missing")];
    assert_eq!(left, expected.map(|(tag, verdict)| (super::image(tag).to_string(), verdict)));
    let bundle = open(&exporter.path("a.tar"));
    assert_eq!(bundle.index().images.len(), 1);
    for content in [&unsigned[..], &forged, b"bad", b"forged"] {
        assert!(!has(&bundle, content), "{}", String::from_utf8_lossy(content));
    }
}

#[tokio::test]
async fn a_signature_that_cannot_be_read_makes_the_image_undecided() {
    let exporter = Exporter::new().await;
    let manifest = exporter.push_cosigned("v1", "one");
    // The signature admits the image, but another place may contain more.
    let list = format!("/referrers/{}", Digest::of(&manifest));
    exporter.world.registry.hook(move |asked| asked.path.ends_with(&list).then_some(Fault::Drop));
    let created = exporter.create(&exporter.order("a.tar", &["v1"])).await.unwrap();
    assert_eq!(created.exit_status(), 4, "{created}");
    assert!(!exporter.path("a.tar").exists());
}

#[tokio::test]
async fn a_download_that_breaks_is_continued_and_a_failed_one_leaves_no_file() {
    let exporter = Exporter::new().await;
    let text = "x".repeat(100_000);
    exporter.push_cosigned("v1", &text);
    let layer = format!("/blobs/{}", Digest::of(text.as_bytes()));
    let end = layer.clone();
    exporter.world.registry.hook(move |asked| {
        (asked.path.ends_with(&end) && asked.before == 0).then_some(Fault::Truncate(1_000))
    });
    let bundle = exporter.bundle("a.tar", &["v1"]).await;
    assert!(has(&bundle, text.as_bytes()));
    exporter
        .world
        .registry
        .hook(move |asked| asked.path.ends_with(&layer).then_some(Fault::Corrupt));
    exporter.create(&exporter.order("b.tar", &["v1"])).await.unwrap_err();
    let left = fs::read_dir(exporter.folder.path()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["a.tar"]);
}

#[tokio::test]
async fn one_platform_of_an_index_leaves_the_index_untouched() {
    let exporter = Exporter::new().await;
    let (world, platform) = (
        &exporter.world,
        |architecture: &str| json!({ "os": "linux", "architecture": architecture }),
    );
    let (amd, arm) = (world.put_image("amd64"), world.put_image("arm64"));
    let child = |manifest: &[u8], architecture| {
        let mut child = crate::whole_gate::described(MediaType::OciImage.as_str(), manifest);
        child["platform"] = platform(architecture);
        child
    };
    let index = json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(),
        "manifests": [child(&amd, "amd64"), child(&arm, "arm64")] });
    let index = world.put(MediaType::OciIndex, &index);
    world.put_tag("v1", &index);
    put_sig(&world.registry, &app(), &index, &[layer(&index, &MINE)]);
    let mut order = exporter.order("a.tar", &["v1"]);
    order.platforms = vec!["linux/arm64".parse().unwrap()];
    let created = exporter.create(&order).await.unwrap();
    assert_eq!(created.exit_status(), 0, "{created}");
    let bundle = open(&exporter.path("a.tar"));
    assert!(has(&bundle, &index) && has(&bundle, &arm) && has(&bundle, b"arm64"));
    assert!(!has(&bundle, &amd) && !has(&bundle, b"amd64"));
    assert_eq!(bundle.contents().images[0].platforms, ["linux/arm64"]);
    order.platforms = vec!["windows/amd64".parse().unwrap()];
    let created = exporter.create(&order).await.unwrap();
    assert_eq!(created.exit_status(), 3, "{created}");
}

#[tokio::test]
async fn equal_input_gives_equal_bytes() {
    let mut exporter = Exporter::new().await;
    exporter.world.push_signed("v1", "by notary");
    exporter.push_cosigned("v2", "by cosign");
    exporter.bundle("a.tar", &["v1", "v2"]).await;
    exporter.bundle("b.tar", &["v2", "v1", "v2"]).await;
    let [a, b] = ["a.tar", "b.tar"].map(|name| fs::read(exporter.path(name)).unwrap());
    assert!(a == b);
}

#[tokio::test]
async fn layers_that_the_receiver_has_are_assumed_and_manifests_are_not() {
    let exporter = Exporter::new().await;
    let manifest = exporter.push_cosigned("v1", "one");
    let mut order = exporter.order("a.tar", &["v1"]);
    order.have = [Digest::of(b"one"), Digest::of(&manifest)].into();
    let created = exporter.create(&order).await.unwrap();
    assert_eq!(created.exit_status(), 0, "{created}");
    let bundle = open(&exporter.path("a.tar"));
    assert!(has(&bundle, &manifest) && !has(&bundle, b"one"));
    assert_eq!(bundle.contents().images[0].assumed, [Digest::of(b"one").to_string()]);
}

#[tokio::test]
async fn nothing_is_written_if_a_proof_expires_too_soon() {
    let mut exporter = Exporter::new().await;
    exporter.world.push_signed("v1", "one");
    let mut order = exporter.order("a.tar", &["v1"]);
    order.valid_for = Some(DAY);
    let created = exporter.create(&order).await.unwrap();
    assert_eq!(created.exit_status(), 0, "{created}");
    let first = created.calendar[0].at().since(exporter.world.clock.now());
    fs::remove_file(exporter.path("a.tar")).unwrap();
    order.valid_for = Some(first + DAY);
    let created = exporter.create(&order).await.unwrap();
    assert_eq!(created.exit_status(), 3, "{created}");
    assert!(!created.too_soon.is_empty() && !exporter.path("a.tar").exists());
}

#[tokio::test]
async fn signatures_in_a_signature_repository_are_carried_with_their_place() {
    let tables = format!("{}signature_repository = \"{REGISTRY}/signatures\"\n", super::TABLES);
    let exporter = Exporter::with(&tables).await;
    let manifest = exporter.world.push("v1", "one");
    let place = format!("{REGISTRY}/signatures").parse::<RepositoryRef>().unwrap();
    let signature =
        put_sig(&exporter.world.registry, &place.name, &manifest, &[layer(&manifest, &MINE)]);
    let bundle = exporter.bundle("a.tar", &["v1"]).await;
    assert!(has(&bundle, &signature));
    let attached = &bundle.index().attached[0];
    assert_eq!(attached.repository, Some(place));
    assert_eq!(attached.tag.as_ref().unwrap().as_str(), tag_of(&manifest, ".sig"));
}

#[tokio::test]
async fn inspect_shows_signers_and_dates() {
    let mut exporter = Exporter::new().await;
    exporter.world.push_signed("v1", "one");
    let bundle = exporter.bundle("a.tar", &["v1"]).await;
    let inspected = Inspected::of(&bundle);
    let (text, json) = (inspected.to_string(), serde_json::to_value(&inspected).unwrap());
    for words in
        ["targets/releases (team [notaryv1]", "timestamp (notaryv1)", "without a statement"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(json["images"][0]["signed_by"][0]["anchor"], "team", "{json:#}");
    assert_eq!(json["proposed"], json!(["rules.toml", "sigstore/ci/mine.pub"]));
}

#[tokio::test]
async fn inspect_shows_no_control_characters() {
    let exporter = Exporter::new().await;
    exporter.world.push("v1", "one");
    let evil = "\u{1b}[2J\u{9b}\u{202e}\nevil";
    let mut carried = Carried::of(exporter.world.registry.registry(), &Default::default());
    let image = &mut carried.contents[0];
    image["platforms"] = json!([evil]);
    image["assumed"] = json!([evil]);
    image["decision"] = json!({ "rule": evil, "ends": 1, "anchors": [{ "name": evil,
        "scheme": evil, "signers": [evil], "key_ids": [evil], "ends": 1 }] });
    carried.notaryv1 = vec![json!({ "gun": evil, "anchor": evil, "server": evil, "fetched": 1,
        "ends": { evil: 1 } })];
    carried.revocation = vec![json!({ "url": evil, "document": evil, "ends": 1 })];
    carried.write(&exporter.path("evil.tar"));
    let inspected = Inspected::of(&open(&exporter.path("evil.tar")));
    let (text, json) = (inspected.to_string(), serde_json::to_string(&inspected).unwrap());
    assert!(text.matches("evil").count() >= 10 && json.matches("evil").count() >= 12, "{text}");
    assert!(text.chars().all(|c| c == '\n' || countersign::text::is_plain(c)), "{text:?}");
    assert!(json.chars().all(countersign::text::is_plain) && !json.contains("\\u"), "{json}");
    assert!(!text.lines().any(|line| line.starts_with("evil")), "{text}");
}
