//! Lying registries and malicious clients, with a gate that stores content: other clients are not affected, and wrong
//! content never looks complete.

use std::time::Duration;

use countersign::clock::Clock;
use countersign::oci::{Digest, Registry, RepositoryRef};
use countersign::pull_through::{Metrics, Origin, PullThrough};
use countersign::registry_client::{self, Upstream};
use countersign::store::{self, Store};
use http::{Method, StatusCode};

use crate::blob_site::{BlobSite, LENGTH, app, blob, drain, is_whole, other};
use crate::fake_registry::{FakeRegistry, Fault, hosted, respond};
use crate::folder::Folder;
use crate::whole_gate::{self, APP, World};

/// Longer than any step of these tests.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client could take an empty answer for complete, because `Content-Length` would agree.
#[tokio::test]
async fn an_answer_without_content_never_looks_complete() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    let path = format!("/v2/{APP}/blobs/{}", Digest::of(b"one"));
    world.registry.hook(|asked| {
        let is_blob = asked.path.contains("/blobs/");
        is_blob.then(|| Fault::Respond(respond(200, "")))
    });
    let answer = world.get(&path).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_silent_registry_does_not_delay_clients_of_another() {
    let (slow, good) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let digest = slow.registry().put_blob(&app(), blob());
    good.registry().put_blob(&app(), blob());
    slow.hook(|_| Some(Fault::Stall(1000)));
    let elsewhere: Registry = "elsewhere.example.com".parse().unwrap();
    let url = good.url("127.0.0.1").parse().unwrap();
    let config = registry_client::Config::new(elsewhere.clone(), url);
    let beside = Upstream::new(&config, &registry_client::Metrics::default()).unwrap();

    let folder = Folder::new("hostile");
    let (path, scrub_every) = (folder.path().to_owned(), Duration::from_secs(3600));
    let config = store::Config { path, max_size: 64 << 20, scrub_every };
    let store = Store::open(&config, Clock::default(), &store::Metrics::default()).unwrap();
    let pull_through = PullThrough::new([slow.upstream(), beside], PullThrough::CACHE)
        .keeping(store, Metrics::default());
    let stalled = pull_through.blob(&hosted(app()), &digest, None).await.unwrap();
    let stream = pull_through
        .blob(&RepositoryRef { registry: elsewhere, name: app() }, &digest, None)
        .await
        .unwrap();
    is_whole(tokio::time::timeout(PATIENCE, drain(stream)).await.unwrap());
    drop(stalled);
}

/// Only GET confirms that another repository of the registry holds a stored blob; HEAD is not sent.
#[tokio::test]
async fn a_registry_without_head_serves_content_stored_for_another_repository() {
    for status in [403, 404, 405] {
        let site = BlobSite::new().await;
        is_whole(drain(site.open(&app(), None).await.unwrap()).await);
        site.kept(&app()).await;
        site.fake.registry().put_blob(&other(), blob());
        site.fake.hook(move |asked| {
            (asked.method == Method::HEAD).then(|| Fault::Respond(respond(status, "")))
        });
        let stream = site.open(&other(), None).await.unwrap();
        assert_eq!(stream.origin(), Origin::Store);
        is_whole(drain(stream).await);
    }
}

/// A registry may allow HEAD where it denies GET.
#[tokio::test]
async fn head_alone_does_not_confirm_that_a_repository_holds_a_stored_blob() {
    let site = BlobSite::new().await;
    is_whole(drain(site.open(&app(), None).await.unwrap()).await);
    site.kept(&app()).await;
    site.fake.registry().put_blob(&other(), blob());
    site.fake.hook(|asked| (asked.method == Method::GET).then(|| Fault::Respond(respond(403, ""))));
    let length = site.pull_through.blob_length(&hosted(other()), &site.digest).await;
    assert_eq!(length.unwrap(), Some(blob().len() as u64));
    site.open(&other(), None).await.unwrap_err();
}

/// Otherwise the text of the answer would reveal whether another repository's blob is stored.
#[tokio::test]
async fn a_denial_does_not_reveal_whether_content_is_stored() {
    let site = BlobSite::new().await;
    let before = site.open(&other(), None).await.unwrap_err().to_string();
    is_whole(drain(site.open(&app(), None).await.unwrap()).await);
    site.kept(&app()).await;
    assert_eq!(site.open(&other(), None).await.unwrap_err().to_string(), before);
}

#[tokio::test]
async fn a_blob_requested_as_a_manifest_is_still_served_without_upstream() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    let path = |content| format!("/v2/{APP}/blobs/{}", Digest::of(content));
    for content in [&b"one"[..], b"{}"] {
        assert_eq!(world.get(&path(content)).await.body, content);
    }
    world.restart().await;
    for content in [&b"one"[..], b"{}"] {
        world.pull(Digest::of(content)).await.is_absent("digest_not_signed");
    }
    // Content that may be a manifest only because of its bytes is requested once more.
    assert_eq!(world.get(&path(b"{}")).await.status, StatusCode::OK);
    world.registry.hook(|_| Some(Fault::Drop));
    for content in [&b"one"[..], b"{}"] {
        let answer = world.get(&path(content)).await;
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, content));
    }
}

#[tokio::test]
async fn a_download_resumes_even_if_upstream_does_not_support_ranges() {
    let site = BlobSite::new().await;
    site.fake.hook(|asked| {
        Some(match asked.before {
            0 => Fault::Truncate(345_678),
            _ => Fault::Respond(respond(200, blob())),
        })
    });
    let streams = site.open_many(3).await;
    for stream in streams {
        is_whole(drain(stream).await);
    }
    site.kept(&app()).await;
    assert_eq!(site.gets().len(), 2);
}

#[tokio::test]
async fn if_the_store_fills_up_without_ranges_each_client_continues_from_upstream() {
    let site = BlobSite::with_room(LENGTH as u64 / 2).await;
    site.fake.hook(|asked| {
        Some(match asked.before {
            0 => Fault::Unsized(70_000),
            _ => Fault::Respond(respond(200, blob())),
        })
    });
    is_whole(drain(site.open(&app(), None).await.unwrap()).await);
}

#[tokio::test]
async fn an_evicted_manifest_is_stored_again_during_a_pull() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    let name = Digest::of(&manifest).hex();
    let kept = loop {
        match world.files(&name).pop() {
            Some(kept) => break kept,
            None => tokio::task::yield_now().await,
        }
    };
    std::fs::remove_file(kept).unwrap();
    world.pass(Duration::from_secs(10 * 60));
    world.pull("v1").await.serves(&manifest);
    world.restart().await;
    world.registry.hook(|_| Some(Fault::Drop));
    world.pull("v1").await.serves(&manifest);
}

/// More indexes list it than the store remembers, and only the first of them is still signed.
#[tokio::test]
async fn a_signed_index_is_found_behind_many_formerly_signed_ones() {
    let mut world = World::new().await;
    let child = world.put_image("child");
    for n in 0..20 {
        let tag = format!("v{n}");
        let index = world.put_index(&[&child, &world.put_image(&tag)]);
        world.registry.registry().put_tag(
            &whole_gate::app(),
            tag.parse().unwrap(),
            Digest::of(&index),
        );
        world.sign(&tag, &index);
        world.pass(Duration::from_secs(60 * 60));
        world.pull(&tag).await.serves(&index);
    }
    world.pull(Digest::of(&child)).await.serves(&child);
    for n in 1..20 {
        world.signer.untag(crate::notary_repository::RELEASES, &format!("v{n}"));
    }
    world.publish();
    world.pass(Duration::from_secs(60 * 60));
    world.pull("v1").await.is_absent("tag_not_signed");
    world.pull(Digest::of(&child)).await.serves(&child);
}
