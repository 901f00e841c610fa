//! The cost of hostile input: the peak memory of a separate process that handles only this input.

use std::process::Command;

use countersign::oci::{Digest, MediaType, Repository};
use countersign::pull_through::{FetchError, PullThrough};
use futures_util::future::join_all;
use serde_json::json;

use crate::fake_registry::{FakeRegistry, hosted};

/// The length of each manifest in bytes.
const LENGTH: usize = 3_900 << 10;
/// The memory for the texts, once at the registry's connections and once here, and for parsing them.
const MANIFESTS: usize = 12 * 2 * LENGTH + (64 << 20);

fn app() -> Repository {
    "library/app".parse().unwrap()
}

/// By how many bytes the peak memory grows in a process that runs only the test `name`.
pub(crate) fn growth(name: &str) -> usize {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture", "--test-threads", "1"])
        .output()
        .unwrap();
    let reported = String::from_utf8(child.stdout).unwrap();
    assert!(child.status.success(), "{reported}");
    let line = reported.lines().find_map(|line| line.split_once("grew by "));
    let bytes = line.and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
    bytes.unwrap_or_else(|| panic!("{reported}"))
}

/// A figure of this process in bytes, from `/proc/self/status`.
pub(crate) fn figure(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

/// Prints by how much the memory of this process has exceeded `before`.
#[expect(clippy::print_stdout, reason = "the parent process reads it")]
pub(crate) fn grew_from(before: usize) {
    println!("grew by {} bytes", figure("VmHWM").saturating_sub(before));
}

/// A manifest of [`LENGTH`] bytes with as many members as fit.
fn manifest(number: usize) -> String {
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": Digest::of(&number.to_be_bytes()).to_string(), "size": 2});
    let mut text = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"x":["#);
    text.reserve_exact(LENGTH);
    while text.len() < LENGTH - 16 {
        text.push_str(r#"{"":0},"#);
    }
    text.push_str("0]}");
    text
}

#[test]
fn twelve_large_manifests_at_once_stay_within_the_budget() {
    let grown = growth("loads::twelve_large_manifests");
    assert!(grown <= MANIFESTS, "{} MiB of {} MiB", grown >> 20, MANIFESTS >> 20);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in a process of its own, which the test above starts"]
async fn twelve_large_manifests() {
    let fake = FakeRegistry::start().await;
    let put = |number| {
        fake.registry().put_manifest(&app(), MediaType::OciImage.as_str(), manifest(number))
    };
    let digests: Vec<Digest> = (0..12).map(put).collect();
    let pull_through = PullThrough::new([fake.upstream()], PullThrough::CACHE);
    let before = figure("VmRSS");
    let pulls = digests.into_iter().map(|digest| {
        let pull_through = pull_through.clone();
        tokio::spawn(async move { pull_through.manifest(&hosted(app()), &digest).await })
    });
    for answer in join_all(pulls).await {
        let answer = answer.unwrap();
        assert!(matches!(answer, Err(FetchError::Invalid(_))), "{answer:?}");
    }
    grew_from(before);
}
