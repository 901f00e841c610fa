//! The `Warning` header of a manifest: which responses carry it, on both listeners, and that no text breaks it.

use std::time::Duration;

use countersign::oci::Digest;
use http::Method;

use crate::exempted::{exempt, exempt_because};
use crate::fake_registry::REGISTRY;
use crate::notary_repository::{RELEASES, in_days};
use crate::whole_gate::{APP, Answer, DEFAULTS, World};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The warnings of one response.
fn warnings(answer: &Answer) -> Vec<&str> {
    let all = answer.headers.get_all("warning").into_iter();
    all.map(|value| value.to_str().unwrap()).collect()
}

/// The warnings about a manifest, which must be the same for GET and HEAD, by tag and by digest, on both listeners.
async fn about(world: &World, tag: &str, manifest: &[u8]) -> Vec<String> {
    let digest = Digest::of(manifest).to_string();
    let mut seen: Vec<Vec<String>> = Vec::new();
    for reference in [tag, &digest] {
        let path = format!("/v2/{APP}/manifests/{reference}");
        for method in [Method::GET, Method::HEAD] {
            for answer in [
                world.send(method.clone(), &path, &[]).await,
                world.as_mirror(method.clone(), &path, &[]).await,
            ] {
                assert_eq!(answer.status, 200, "{method} {path}");
                assert_eq!(answer.header("docker-content-digest"), digest);
                seen.push(warnings(&answer).into_iter().map(str::to_owned).collect());
            }
        }
    }
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:#?}");
    seen.swap_remove(0)
}

#[tokio::test]
async fn a_signed_image_has_no_warning() {
    let mut world = World::new().await;
    let image = world.push_signed("v1", "one");
    assert!(about(&world, "v1", &image).await.is_empty());
}

#[tokio::test]
async fn an_exempted_image_has_a_warning_with_the_end_and_the_reason() {
    let world = World::new().await;
    let image = world.push("v1", "one");
    exempt(&world, &image);
    let found = about(&world, "v1", &image).await;
    assert_eq!(found.len(), 1, "{found:?}");
    let start = "299 - \"countersign: the image is not signed; it is exempted until ";
    assert!(found[0].starts_with(start) && found[0].ends_with("Z: OPS-12\""), "{found:?}");
    // The person who made it is not the clients' concern.
    assert!(!found[0].contains("alice"), "{found:?}");
}

#[tokio::test]
async fn a_child_of_an_exempted_index_has_the_same_warning() {
    let world = World::new().await;
    let child = world.put_image("amd64");
    let index = world.put_index(&[&child]);
    world.put_tag("v1", &index);
    exempt(&world, &index);
    let of_index = about(&world, "v1", &index).await;
    let answer = world.pull(Digest::of(&child)).await;
    answer.serves(&child);
    assert_eq!(warnings(&answer), of_index);
}

#[tokio::test]
async fn the_reason_of_an_exemption_cannot_break_the_header() {
    let world = World::new().await;
    let image = world.push("v1", "one");
    let reason = "\"evil\" \\ %0d%0aX: \u{202e}\u{f6}";
    exempt_because(&world, APP, Digest::of(&image), reason);
    let found = about(&world, "v1", &image).await;
    assert!(found[0].ends_with("Z: 'evil' ? ?0d?0aX: ??\""), "{found:?}");
}

#[tokio::test]
async fn an_image_that_only_an_audit_rule_serves_has_a_warning_with_the_denial() {
    let audit = format!(
        "[[rule]]\nimages = [\"{REGISTRY}/{APP}\"]\nrequire = [\"team\"]\nmode = \"audit\"\n"
    );
    let mut world = World::with(DEFAULTS, &audit).await;
    let signed = world.push_signed("signed", "signed");
    let image = world.push("v1", "one");
    assert!(about(&world, "signed", &signed).await.is_empty());
    let by_tag = world.pull("v1").await;
    by_tag.serves(&image);
    let found = warnings(&by_tag);
    let start = "299 - \"countersign: this image will be denied once its rule is enforced: remote trust \
                 data does not exist for ";
    assert!(found.len() == 1 && found[0].starts_with(start), "{found:?}");
    assert!(found[0].contains(&format!("{REGISTRY}/{APP}:v1")), "{found:?}");
    let by_digest = world.pull(Digest::of(&image)).await;
    assert!(warnings(&by_digest)[0].starts_with(start), "{by_digest:?}");
}

#[tokio::test]
async fn trust_data_that_a_person_must_renew_within_7_days_causes_a_warning() {
    for (role, is_renewed_by_a_person) in [
        ("root", true),
        ("targets", true),
        (RELEASES, true),
        // A Notary server signs these itself, and a timestamp never lasts long.
        ("snapshot", false),
        ("timestamp", false),
    ] {
        let mut world = World::new().await;
        world.signer.role_mut(role).expires = in_days(8);
        let image = world.push_signed("v1", "one");
        assert!(about(&world, "v1", &image).await.is_empty(), "{role}: 8 days");
        world.pass(DAY);
        let found = about(&world, "v1", &image).await;
        assert_eq!(found.len(), usize::from(is_renewed_by_a_person), "{role}: {found:?}");
        if let Some(warning) = found.first() {
            let start = "299 - \"countersign: the trust data of team expires at ";
            assert!(warning.starts_with(start), "{warning}");
        }
    }
}

#[tokio::test]
async fn an_unchanged_manifest_has_the_warning_and_a_denial_has_none() {
    let world = World::new().await;
    let (image, denied) = (world.push("v1", "one"), world.push("v2", "two"));
    exempt(&world, &image);
    let path = format!("/v2/{APP}/manifests/v1");
    let etag = format!("\"{}\"", Digest::of(&image));
    let answer = world.send(Method::GET, &path, &[("if-none-match", &etag)]).await;
    assert_eq!((answer.status.as_u16(), warnings(&answer).len()), (304, 1));
    let answer = world.pull(Digest::of(&denied)).await;
    answer.is_absent("no_trust_data");
    assert!(warnings(&answer).is_empty());
}
