//! Failed requests decide nothing: they do not hide a valid answer from elsewhere, and without one the result is
//! undecided, not absent.

use countersign::oci::{Digest, MediaType};
use serde_json::json;

use crate::fake_notary::FakeNotary;
use crate::fake_registry::{Fault, respond};
use crate::whole_gate::{DEFAULTS, World, app, described};

/// A pin that matches no key.
const NOBODY: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// An anchor at `url`, and a rule that requires it for `images`.
fn also(name: &str, url: &str, images: &str, require: &str) -> String {
    format!(
        r#"
        [[anchor]]
        name = "{name}"
        scheme = "notaryv1"
        url = "{url}"
        root_keys = ["{NOBODY}"]

        [[rule]]
        images = ["registry.example.com/{images}"]
        require = {require}
        "#
    )
}

/// Makes upstream refuse only these manifests.
fn refuse(world: &World, manifests: &[Vec<u8>]) {
    let paths: Vec<String> =
        manifests.iter().map(|bytes| format!("/manifests/{}", Digest::of(bytes))).collect();
    world.registry.hook(move |asked| {
        let refused = paths.iter().any(|path| asked.path.ends_with(path));
        refused.then(|| Fault::Respond(respond(403, "")))
    });
}

#[tokio::test]
async fn an_unreadable_manifest_does_not_hide_a_child_of_a_readable_index() {
    let mut world = World::new().await;
    let child = world.put_image("amd64");
    let index = world.put_index(&[&child]);
    world.sign("index", &index);
    let quarantined: Vec<Vec<u8>> =
        (0..8).map(|n| world.push_signed(&format!("v{n}"), &format!("bad {n}"))).collect();
    refuse(&world, &quarantined);
    world.pull(Digest::of(&child)).await.serves(&child);
    let stranger = world.put_image("stranger");
    world.pull(Digest::of(&stranger)).await.is_undecided("upstream_refused");
    world.registry.hook(|_| None);
    world.pull(Digest::of(&stranger)).await.is_absent("digest_not_signed");
}

/// docker, containerd, podman and skopeo show only the status line of a 5xx response.
#[tokio::test]
async fn the_status_line_explains_an_undecided_answer() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    world.notary.goes_down();
    for method in [http::Method::GET, http::Method::HEAD] {
        let path = format!("/v2/{}/manifests/v1", crate::whole_gate::APP);
        let answer = world.send(method, &path, &[]).await;
        assert_eq!(answer.status, 503);
        let words = "cannot decide about registry.example.com/library/app:v1 now: ";
        assert!(answer.reason.starts_with(words), "{}", answer.reason);
        assert!(answer.reason.contains(" (request "), "{}", answer.reason);
    }
    world.notary.comes_back();
    world.pass(std::time::Duration::from_secs(5));
    assert_eq!(world.pull("v2").await.reason, "");
}

#[tokio::test]
async fn a_referrer_of_an_unreadable_image_is_undecided() {
    let mut world = World::new().await;
    let image = world.push_signed("v1", "one");
    let media_type = MediaType::OciImage.as_str();
    let sbom = json!({
        "schemaVersion": 2, "mediaType": media_type, "artifactType": "application/spdx+json",
        "config": described("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [described("application/spdx+json", b"{}")],
        "subject": described(media_type, &image),
    });
    let sbom = sbom.to_string().into_bytes();
    world.registry.registry().put_manifest(&app(), media_type, sbom.clone());
    refuse(&world, std::slice::from_ref(&image));
    world.pull(Digest::of(&sbom)).await.is_undecided("upstream_refused");
    world.registry.hook(|_| None);
    world.pull(Digest::of(&sbom)).await.serves(&sbom);
}

#[tokio::test]
async fn a_digest_denied_by_one_rule_and_undecided_by_another_is_undecided() {
    let (empty, down) = (FakeNotary::start().await, FakeNotary::start().await);
    down.only_says(403);
    let rules = also("absent", &empty.url(), "library/app:a", r#"["team", "absent"]"#)
        + &also("down", &down.url(), "library/app:b", r#"["team", "down"]"#);
    let mut world = World::with(DEFAULTS, &rules).await;
    let image = world.push_signed("a", "one");
    world.sign("b", &image);
    world.pull("a").await.is_absent("no_trust_data");
    world.pull("b").await.is_undecided("trust_unreachable");
    world.pull(Digest::of(&image)).await.is_undecided("trust_unreachable");
}
