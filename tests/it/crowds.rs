//! Load that one client causes with unknown names: which clients it may delay, and that it ends with the client. Each
//! attack is bounded and uses real connections on loopback; docs/limits.md states the limits.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use countersign::oci::{Digest, MediaType, Repository};
use futures_util::future::join_all;
use http::{Request, Version};
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::fake_registry::Fault;
use crate::notary_repository::{Key, NotaryRepository, RELEASES};
use crate::whole_gate::{APP, World};
use crate::wire::soon;

/// The longest pull of a stored manifest by a bystander, on a shared machine.
const MANIFEST: Duration = Duration::from_millis(500);
/// The longest wait for a new repository and for a cold blob.
const COLD: Duration = Duration::from_secs(2);
/// The requests of one attack.
const NAMES: usize = 2_000;
/// A repository that the gate has not seen before.
const NEW: &str = "library/new";

type Http2 = Client<HttpConnector, Empty<Bytes>>;

fn http2() -> Http2 {
    Client::builder(TokioExecutor::new()).http2_only(true).build_http()
}

fn request(gate: SocketAddr, path: &str) -> Request<Empty<Bytes>> {
    let url = format!("http://{gate}{path}");
    Request::get(url).version(Version::HTTP_2).body(Empty::new()).unwrap()
}

/// Requests `paths` over one HTTP/2 connection, and cancels each request shortly after.
async fn asks_and_leaves(gate: SocketAddr, paths: impl Iterator<Item = String>) {
    let client = http2();
    for path in paths {
        let asked = client.request(request(gate, &path));
        drop(tokio::time::timeout(Duration::from_millis(1), asked).await);
    }
}

/// Requests `paths` concurrently over one HTTP/2 connection, and waits for the answers.
fn asks_and_waits(gate: SocketAddr, paths: Vec<String>) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let client = http2();
        let asked = paths.iter().map(|path| client.request(request(gate, path)));
        drop(tokio::time::timeout(Duration::from_secs(8), join_all(asked)).await);
    })
}

fn random_names(of: usize) -> impl Iterator<Item = String> {
    (0..NAMES / 2).map(move |n| format!("/v2/random/name-{of}-{n}/manifests/v1"))
}

/// The slowest of a few pulls of a stored manifest.
async fn slowest_pull(world: &World, manifest: &[u8]) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let begun = Instant::now();
        world.pull("v1").await.serves(manifest);
        slowest = slowest.max(begun.elapsed());
    }
    slowest
}

/// Signs an image in its own repository, and returns its manifest.
fn push_signed_new(world: &World) -> Vec<u8> {
    let manifest = world.put_image("of a new repository");
    let new: Repository = NEW.parse().unwrap();
    let registry = world.registry.registry();
    registry.put_manifest(&new, MediaType::OciImage.as_str(), manifest.clone());
    registry.put_tag(&new, "v1".parse().unwrap(), Digest::of(&manifest));
    let gun = format!("registry.example.com/{NEW}");
    let mut signer = NotaryRepository::empty(&gun);
    signer.delegate(RELEASES, Key::named(RELEASES)).tag(RELEASES, "v1", &manifest);
    world.notary.publish(&gun, signer.publish());
    manifest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_names_delay_no_other_requests_and_end_with_their_client() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    let new = push_signed_new(&world);
    world.pull("v1").await.serves(&manifest);
    // The server never answers requests for random names.
    world.notary.hook(|asked| asked.path.contains("/random/").then_some(Fault::Silence));
    let gate = world.public();
    tokio::join!(asks_and_leaves(gate, random_names(1)), asks_and_leaves(gate, random_names(2)));
    let waiting = (0..200).map(|n| format!("/v2/random/waits-{n}/manifests/v1")).collect();
    let crowd = asks_and_waits(gate, waiting);
    let slowest = slowest_pull(&world, &manifest).await;
    assert!(slowest <= MANIFEST, "{slowest:?}");
    // The owner revokes the tag. The gate notices as quickly as without the attack.
    world.signer.untag(RELEASES, "v1");
    world.publish();
    world.pass(Duration::from_secs(5 * 60));
    let begun = Instant::now();
    world.pull("v1").await.is_absent("tag_not_signed");
    assert!(begun.elapsed() <= COLD, "{:?}", begun.elapsed());
    let begun = Instant::now();
    world.get(&format!("/v2/{NEW}/manifests/v1")).await.serves(&new);
    assert!(begun.elapsed() <= COLD, "{:?}", begun.elapsed());
    crowd.abort();
    // Requests of disconnected clients are not sent: only few of these names have reached the server.
    let asked = world.notary.asked().iter().filter(|asked| asked.path.contains("/random/")).count();
    assert!(asked < NAMES / 2, "the Notary server was asked about {asked} random names");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_digests_delay_no_cold_blob_of_a_known_image() {
    let mut world = World::new().await;
    let text = "seven".repeat(20_000);
    let (manifest, layer) = (world.push_signed("v1", &text), Digest::of(text.as_bytes()));
    world.pull("v1").await.serves(&manifest);
    let known = format!("/blobs/{layer}");
    world.registry.hook(move |asked| {
        (asked.path.contains("/blobs/") && !asked.path.ends_with(&known)).then_some(Fault::Silence)
    });
    let gate = world.public();
    let digests = |of: usize| {
        (0..NAMES / 4).map(move |n| {
            let digest = Digest::of(format!("{of}/{n}").as_bytes());
            format!("/v2/{APP}/blobs/{digest}")
        })
    };
    tokio::join!(asks_and_leaves(gate, digests(1)), asks_and_leaves(gate, digests(2)));
    let crowd = asks_and_waits(gate, digests(3).take(300).collect());
    slowest_pull(&world, &manifest).await;
    let begun = Instant::now();
    let blob = world.get(&format!("/v2/{APP}/blobs/{layer}")).await;
    assert_eq!(blob.body.len(), 100_000);
    assert!(begun.elapsed() <= COLD, "{:?}", begun.elapsed());
    crowd.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_waiting_requests_of_one_address_are_limited_and_the_limit_is_counted() {
    let world = World::new().await;
    world.notary.hook(|asked| asked.path.contains("/random/").then_some(Fault::Silence));
    let gate = world.public();
    // Each connection requests fewer names than it has streams, so no name waits for a stream.
    let crowd: Vec<_> = (0..20)
        .map(|connection| {
            let names = (0..30).map(|n| format!("/v2/random/{connection}-{n}/manifests/v1"));
            asks_and_waits(gate, names.collect())
        })
        .collect();
    let counted = async {
        loop {
            let metrics = world.metrics().await;
            let line = metrics.lines().find(|line| line.contains("unknown_names"));
            let count = line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
            // 600 names: 14 are in progress and 256 wait.
            if count.unwrap() >= 600 - 14 - 256 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    soon(counted).await;
    crowd.iter().for_each(tokio::task::JoinHandle::abort);
}
