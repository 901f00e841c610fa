//! Manifests are compared with their digests and stored.

use std::sync::Arc;

use countersign::oci::{Digest, MediaType, Repository};
use countersign::pull_through::{FetchError, PullThrough};
use countersign::registry_client::UpstreamError;
use http::header::CONTENT_TYPE;

use crate::fake_registry::{FakeRegistry, Fault, hosted, respond, with};

fn app() -> Repository {
    "library/app".parse().unwrap()
}

/// A registry, and the pull-through in front of it.
async fn started() -> (FakeRegistry, PullThrough) {
    let fake = FakeRegistry::start().await;
    let pull_through = PullThrough::new([fake.upstream()], PullThrough::CACHE);
    (fake, pull_through)
}

#[tokio::test]
async fn a_manifest_is_fetched_once_and_stored() {
    let (fake, pull_through) = started().await;
    let digest = fake.registry().put_image(&app(), "layer");
    for _ in 0..3 {
        let fetched = pull_through.manifest(&hosted(app()), &digest).await.unwrap();
        assert_eq!(fetched.digest(), &digest);
        assert_eq!(Digest::of(fetched.bytes()), digest);
        assert_eq!(fetched.manifest().media_type(), MediaType::OciImage);
    }
    assert_eq!(fake.asked().len(), 1);
    let other = hosted("other".parse().unwrap());
    assert!(pull_through.manifest(&other, &digest).await.is_err());
}

#[tokio::test]
async fn concurrent_requests_fetch_a_manifest_once() {
    let (fake, pull_through) = started().await;
    let digest = fake.registry().put_image(&app(), "layer");
    let pull_through = Arc::new(pull_through);
    let pulls: Vec<_> = (0..50)
        .map(|_| {
            let pull_through = Arc::clone(&pull_through);
            tokio::spawn(async move { pull_through.manifest(&hosted(app()), &digest).await })
        })
        .collect();
    for pull in pulls {
        pull.await.unwrap().unwrap();
    }
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn a_manifest_that_does_not_match_its_digest_is_refused_and_not_stored() {
    let (fake, pull_through) = started().await;
    let digest = fake.registry().put_image(&app(), "layer");
    fake.hook(|asked| (asked.before == 0).then_some(Fault::Corrupt));
    let error = pull_through.manifest(&hosted(app()), &digest).await.unwrap_err();
    let FetchError::Mismatch(mismatch) = error else { panic!("{error}") };
    assert_eq!(mismatch.asked, digest);
    pull_through.manifest(&hosted(app()), &digest).await.unwrap();
}

#[tokio::test]
async fn an_invalid_manifest_is_refused() {
    let (fake, pull_through) = started().await;
    let both = r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#;
    for body in [both, "<html>", "{}"] {
        let digest = fake.registry().put_manifest(&app(), MediaType::OciIndex.as_str(), body);
        let error = pull_through.manifest(&hosted(app()), &digest).await.unwrap_err();
        assert!(matches!(error, FetchError::Invalid(_)), "{body}: {error}");
    }
}

#[tokio::test]
async fn a_manifest_with_a_contradictory_type_is_refused() {
    let (fake, pull_through) = started().await;
    let digest = fake.registry().put_image(&app(), "layer");
    let bytes = pull_through.manifest(&hosted(app()), &digest).await.unwrap().bytes().clone();
    let fresh = PullThrough::new([fake.upstream()], PullThrough::CACHE);
    fake.hook(move |_| {
        let index = with(respond(200, bytes.clone()), CONTENT_TYPE, MediaType::OciIndex.as_str());
        Some(Fault::Respond(index))
    });
    let error = fresh.manifest(&hosted(app()), &digest).await.unwrap_err();
    assert!(matches!(error, FetchError::Invalid(_)), "{error}");
}

#[tokio::test]
async fn cached_manifests_stay_within_their_memory_limit() {
    let (fake, _) = started().await;
    let digest = fake.registry().put_image(&app(), "layer");
    let small = PullThrough::new([fake.upstream()], 1);
    small.manifest(&hosted(app()), &digest).await.unwrap();
    small.manifest(&hosted(app()), &digest).await.unwrap();
    assert_eq!(fake.asked().len(), 2);
}

#[tokio::test]
async fn missing_manifests_are_not_cached() {
    let (fake, pull_through) = started().await;
    let manifest = fake.registry().put_image(&app(), "layer");
    fake.hook(|asked| (asked.before == 0).then(|| Fault::Respond(respond(404, ""))));
    let lacks = pull_through.manifest(&hosted(app()), &manifest).await.unwrap_err();
    assert!(matches!(lacks, FetchError::Upstream(UpstreamError::Absent { .. })));
    pull_through.manifest(&hosted(app()), &manifest).await.unwrap();
}
