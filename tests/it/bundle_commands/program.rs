//! `bundle create` from a shell: which images it takes, what it writes, and what an interruption leaves.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use countersign::bundle::Bundle;
use countersign::clock::{Clock, Timestamp};
use countersign::oci::{Digest, MediaType};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use super::{Exporter, open};
use crate::attached::{MINE, layer, put_sig};
use crate::commands::{Said, countersign};
use crate::fake_registry::{Fault, REGISTRY};
use crate::whole_gate::{APP, app, described};

const DAY: i64 = 24 * 60 * 60;

/// Runs `bundle create -o a.tar` with these arguments.
async fn create(exporter: &Exporter, arguments: &[&str]) -> Said {
    let all = command(exporter, arguments);
    spawn_blocking(move || countersign(&all.iter().map(String::as_str).collect::<Vec<_>>()))
        .await
        .unwrap()
}

fn command(exporter: &Exporter, arguments: &[&str]) -> Vec<String> {
    let (output, config) = (exporter.path("a.tar"), exporter.world.config().file);
    let begin = ["bundle", "create", "-o", output.to_str().unwrap()];
    let end = ["--config", config.to_str().unwrap()];
    [&begin, arguments, &end].concat().into_iter().map(str::to_owned).collect()
}

fn name(tag: &str) -> String {
    format!("{REGISTRY}/{APP}:{tag}")
}

fn tags_in(bundle: &Bundle) -> Vec<String> {
    let images = bundle.index().images.iter();
    images.map(|image| image.name.tag().unwrap().to_string()).collect()
}

/// The files in the folder of the bundle.
fn files(exporter: &Exporter) -> Vec<String> {
    let entries = fs::read_dir(exporter.folder.path()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_names_images_line_by_line_with_comments() {
    let exporter = Exporter::new().await;
    for tag in ["v1", "v2", "v3"] {
        exporter.push_cosigned(tag, tag);
    }
    let list = format!("# all\n{}  # the first\n\n  {}\r\n", name("v1"), name("v2"));
    let list = exporter.folder.write("list", list);
    let said = create(&exporter, &["--image-list", list.to_str().unwrap()]).await;
    assert_eq!(said.status, Some(0), "{}{}", said.stdout, said.stderr);
    assert_eq!(tags_in(&open(&exporter.path("a.tar"))), ["v1", "v2"]);
    let list = exporter.folder.write("list", "registry.example/UPPER\n");
    let said = create(&exporter, &["--image-list", list.to_str().unwrap()]).await;
    assert_eq!(said.status, Some(2), "{}", said.stderr);
    assert!(said.stderr.contains("registry.example/UPPER"), "{}", said.stderr);
    let missing = exporter.path("missing");
    let said = create(&exporter, &["--image-list", missing.to_str().unwrap()]).await;
    assert_eq!(said.status, Some(2), "{}", said.stderr);
    assert!(said.stderr.contains("missing"), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tags_takes_every_admitted_image_and_no_tags_of_signatures() {
    let exporter = Exporter::new().await;
    exporter.push_cosigned("v1", "one");
    exporter.push_cosigned("v2", "two");
    exporter.world.push("unsigned", "three");
    let said = create(&exporter, &["--all-tags", &format!("{REGISTRY}/{APP}")]).await;
    assert!(said.status == Some(0) || said.status == Some(3), "{}{}", said.stdout, said.stderr);
    assert_eq!(tags_in(&open(&exporter.path("a.tar"))), ["v1", "v2"]);
    let said = create(&exporter, &["--all-tags", &format!("{REGISTRY}/library/gone")]).await;
    assert_eq!(said.status, Some(1), "{}{}", said.stdout, said.stderr);
    assert!(said.stderr.contains("cannot list the tags of"), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_log_names_the_images_that_were_served_recently() {
    let exporter = Exporter::new().await;
    let event = |tag: &str, manifest: &[u8], verdict: &str, age: i64| {
        let at = Timestamp::from_unix(Clock::System.now().unix() - age);
        let event = json!({
            "timestamp": format!("{at:#}"), "level": "INFO", "target": "countersign::audit",
            "message": "verdict", "image.registry": REGISTRY, "image.repository": APP,
            "image.reference": tag, "manifest.digest": Digest::of(manifest).to_string(),
            "verdict": verdict, "client.address": "127.0.0.1:1", "request_id": "0",
            "duration_ms": 1,
        });
        format!("{event}\n")
    };
    let old = exporter.push_cosigned("old", "old");
    let new = exporter.push_cosigned("new", "new");
    let denied = exporter.push_cosigned("denied", "denied");
    let log = [
        event("old", &old, "admitted", 40 * DAY),
        event("new", &new, "admitted", DAY),
        event("denied", &denied, "refused", DAY),
    ];
    let log = exporter.folder.write("audit.log", log.concat());
    let log = log.to_str().unwrap();
    let said = create(&exporter, &["--from-audit", log, "--since", "30d"]).await;
    assert_eq!(said.status, Some(0), "{}{}", said.stdout, said.stderr);
    assert_eq!(tags_in(&open(&exporter.path("a.tar"))), ["new"]);
    let said = create(&exporter, &["--from-audit", log]).await;
    assert_eq!(said.status, Some(0), "{}{}", said.stdout, said.stderr);
    assert_eq!(tags_in(&open(&exporter.path("a.tar"))), ["new", "old"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_are_raw_cuts_with_checksums() {
    let exporter = Exporter::new().await;
    exporter.push_cosigned("v1", &"0123456789".repeat(250_000));
    let said = create(&exporter, &["--image", &name("v1")]).await;
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    let whole = fs::read(exporter.path("a.tar")).unwrap();
    // A file of the other form is not replaced.
    let said = create(&exporter, &["--image", &name("v1"), "--volume-size", "1MiB"]).await;
    assert_eq!(said.status, Some(1), "{}", said.stderr);
    assert!(said.stderr.contains("remove it"), "{}", said.stderr);
    fs::remove_file(exporter.path("a.tar")).unwrap();
    let said = create(&exporter, &["--image", &name("v1"), "--volume-size", "1MiB"]).await;
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    let volumes = ["a.tar.001", "a.tar.002", "a.tar.003"];
    assert_eq!(files(&exporter), [&volumes[..], &["a.tar.sha256"]].concat());
    let volumes = volumes.map(|name| (name, fs::read(exporter.path(name)).unwrap()));
    assert!(volumes.iter().map(|(_, bytes)| &bytes[..]).collect::<Vec<_>>().concat() == whole);
    let sums: String = volumes
        .iter()
        .map(|(name, bytes)| format!("{}  {name}\n", Digest::of(bytes).hex()))
        .collect();
    assert_eq!(fs::read_to_string(exporter.path("a.tar.sha256")).unwrap(), sums);
    open(&exporter.path("a.tar")).check_volumes().unwrap();
    for size in ["1KiB", "much"] {
        let said = create(&exporter, &["--image", &name("v1"), "--volume-size", size]).await;
        assert!(said.status != Some(0) && said.stderr.contains("volume"), "{}", said.stderr);
    }
}

/// `manifest.json` in the tar.
fn docker_manifest(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap();
    let begin = b"[{\"Config\":";
    let at = bytes.windows(begin.len()).rposition(|window| window == begin).unwrap();
    serde_json::Deserializer::from_slice(&bytes[at..]).into_iter().next().unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_compat_adds_one_platform_of_each_image() {
    let exporter = Exporter::new().await;
    let world = &exporter.world;
    let (amd, arm) = (world.put_image("amd64"), world.put_image("arm64"));
    let child = |manifest: &[u8], architecture: &str| {
        let mut child = described(MediaType::OciImage.as_str(), manifest);
        child["platform"] = json!({ "os": "linux", "architecture": architecture });
        child
    };
    let index = json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(),
        "manifests": [child(&amd, "amd64"), child(&arm, "arm64")] });
    let index = world.put(MediaType::OciIndex, &index);
    world.put_tag("multi", &index);
    put_sig(&world.registry, &app(), &index, &[layer(&index, &MINE)]);
    let single = exporter.push_cosigned("single", "single");
    let by_digest = format!("{REGISTRY}/{APP}@{}", Digest::of(&single));
    let blob = |content: &[u8]| format!("blobs/sha256/{}", Digest::of(content).hex());
    for (platform, content) in [("linux/arm64", "arm64"), ("linux/amd64", "amd64")] {
        let said = create(
            &exporter,
            &["--docker-compat", "--platform", platform, "--image", &name("multi"), &by_digest],
        )
        .await;
        assert_eq!(said.status, Some(0), "{}{}", said.stdout, said.stderr);
        let expected = json!([
            { "Config": blob(b"{}"), "RepoTags": [name("multi")], "Layers": [blob(content.as_bytes())] },
            { "Config": blob(b"{}"), "RepoTags": [], "Layers": [blob(b"single")] },
        ]);
        assert_eq!(docker_manifest(&exporter.path("a.tar")), expected);
    }
    // docker could not load an image without its layers.
    let said = create(&exporter, &["--docker-compat", "--have", "x", "--image", &by_digest]).await;
    assert_eq!(said.status, Some(2), "{}", said.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_create_leaves_no_file_under_the_final_name() {
    let exporter = Exporter::new().await;
    let text = "x".repeat(100_000);
    exporter.push_cosigned("v1", &text);
    let layer = format!("/blobs/{}", Digest::of(text.as_bytes()));
    let (asked, notify) = (Arc::new(Notify::new()), layer.clone());
    let seen = asked.clone();
    exporter.world.registry.hook(move |request| {
        let is_layer = request.path.ends_with(&notify);
        is_layer.then(|| {
            seen.notify_one();
            Fault::Stall(1_000)
        })
    });
    let mut running = Command::new(env!("CARGO_BIN_EXE_countersign"));
    let running = running.args(command(&exporter, &["--image", &name("v1")]));
    let mut running = running.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    asked.notified().await;
    // A second writer of the same file is refused.
    let second = create(&exporter, &["--image", &name("v1")]).await;
    assert_eq!(second.status, Some(1), "{}", second.stderr);
    assert!(second.stderr.contains("another process writes"), "{}", second.stderr);
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!(files(&exporter), [".a.tar.part"]);
    exporter.world.registry.hook(|_| None);
    exporter.bundle("a.tar", &["v1"]).await;
    assert_eq!(files(&exporter), ["a.tar"]);
}
