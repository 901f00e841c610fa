//! Trust data for the figures: the duration of one verification, and a site with many signed repositories. Uses only
//! the crate, not a running gate.

use std::fs;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use countersign::clock::{Clock, Timestamp};
use countersign::demo::{MemoryNotary, MemoryRegistry, Publisher, Signed, Statement, TrustFiles};
use countersign::oci::{Digest, Tag};
use countersign::trust::notaryv1::{File, Gun, Pin, Pins, Terms, update};
use countersign::trust::revoked::RevokedSet;
use futures_util::FutureExt as _;
use serde_json::json;
use tokio::net::TcpListener;

pub(crate) const REGISTRY: &str = "bench.test";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The number of repositories of `site`, each with [`TAGS`] tags.
const REPOSITORIES: usize = 1_000;
const TAGS: usize = 10;
/// The number of tags of the large repository.
const MANY_TAGS: usize = 10_000;
const ROUNDS: usize = 5;

/// Prints the CPU time of a whole update from files in memory: root, timestamp, snapshot, targets, and
/// `targets/releases` with the tags.
pub(crate) fn verify() {
    let now = Clock::System.now();
    for (tags, times) in [(TAGS, 400), (MANY_TAGS, 8)] {
        let publisher = Publisher::new().unwrap();
        let gun: Gun = format!("{REGISTRY}/library/app").parse().unwrap();
        let files = publish(&publisher, &gun, &signed(b"manifest", tags), now);
        let terms = terms(&publisher, &gun);
        let rounds: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let before = cpu_time();
                for _ in 0..times {
                    let fetch = |file: File| ready(Ok(files.get(&file.to_string()).cloned()));
                    let updated = update(fetch, &terms, None, now).now_or_never().unwrap();
                    assert_eq!(updated.unwrap().repository.len(), tags);
                }
                (cpu_time() - before).as_secs_f64() * 1e3 / f64::from(times)
            })
            .collect();
        let bytes: usize = files
            .iter()
            .filter(|(name, _)| !name.contains('.'))
            .map(|(_, content)| content.len())
            .sum();
        for round in rounds {
            println!("verification-{tags}.gate.milliseconds {round:.4}");
        }
        println!("verification-{tags}.gate.metadata {}", bytes / 1000);
    }
}

/// Serves until killed, and prints its addresses.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn site() {
    let publisher = Publisher::new().unwrap();
    let (registry, notary) = (Arc::new(MemoryRegistry::new()), Arc::new(MemoryNotary::new()));
    let now = Clock::System.now();
    let names = (0..REPOSITORIES).map(|n| (format!("team/app-{n:04}"), TAGS));
    for (name, tags) in names.chain([("library/many".to_owned(), MANY_TAGS)]) {
        let repository = name.parse().unwrap();
        let manifest = manifest(&name);
        registry.put_manifest(
            &repository,
            "application/vnd.oci.image.manifest.v1+json",
            manifest.clone(),
        );
        let gun: Gun = format!("{REGISTRY}/{name}").parse().unwrap();
        let files = publish(&publisher, &gun, &signed(&manifest, tags), now);
        notary.publish(gun, files);
    }
    let listener = async || TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (registry_listener, notary_listener) = (listener().await, listener().await);
    println!(
        "{} {} {}",
        registry_listener.local_addr().unwrap(),
        notary_listener.local_addr().unwrap(),
        publisher.root_key_id()
    );
    let (registry, notary) =
        tokio::join!(registry.serve(registry_listener), notary.serve(notary_listener));
    registry.and(notary).unwrap();
}

/// A manifest of typical size: eight layers, which exist nowhere.
pub(crate) fn manifest(name: &str) -> Vec<u8> {
    let descriptor = |media_type: &str, content: &str| {
        json!({ "mediaType": format!("application/vnd.oci.image.{media_type}"), "size": 1_000_000,
            "digest": Digest::of(content.as_bytes()).to_string() })
    };
    let layers: Vec<_> =
        (0..8).map(|n| descriptor("layer.v1.tar+gzip", &format!("{name} layer {n}"))).collect();
    json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("config.v1+json", name), "layers": layers })
    .to_string()
    .into_bytes()
}

/// The first tag signs `manifest`; the others sign images that exist nowhere.
fn signed(manifest: &[u8], tags: usize) -> Vec<Signed> {
    let tag = |n: usize| -> Tag { format!("v1.{n}").parse().unwrap() };
    (0..tags)
        .map(|n| match n {
            0 => (tag(0), Digest::of(manifest), manifest.len()),
            n => (tag(n), Digest::of(n.to_string().as_bytes()), 1_000),
        })
        .collect()
}

/// The trust data that is published for `name` with a manifest signed as its first tag, `v1.0`.
pub(crate) fn release(
    publisher: &Publisher,
    name: &str,
    manifest: &[u8],
    now: Timestamp,
) -> (Gun, TrustFiles) {
    let gun: Gun = format!("{REGISTRY}/{name}").parse().unwrap();
    let files = publish(publisher, &gun, &signed(manifest, TAGS), now);
    (gun, files)
}

/// Signs as docker does with a delegation: `targets` has no tags, a signer's role has all of them, and
/// `targets/releases` has the same.
fn publish(publisher: &Publisher, gun: &Gun, signed: &[Signed], now: Timestamp) -> TrustFiles {
    let signers = [("alice", signed)];
    let statement =
        Statement { gun, targets: &[], signers: &signers, now, timestamp_lasts: 14 * DAY };
    publisher.publish(&statement).unwrap()
}

fn terms(publisher: &Publisher, gun: &Gun) -> Terms {
    let pin = Pin::parse(&publisher.root_key_id().to_string()).unwrap();
    Terms {
        gun: gun.clone(),
        pins: Pins::Keys(vec![pin]),
        signers: Vec::new(),
        wildcard_root_names: false,
        max_timestamp_life: Duration::from_secs(90 * 24 * 60 * 60),
        revoked: RevokedSet::default(),
    }
}

/// The CPU time of this thread.
fn cpu_time() -> Duration {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(schedstat.split(' ').next().unwrap().parse().unwrap())
}
