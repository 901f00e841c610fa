//! A disk that does not answer: no thread that serves clients waits for it, and content comes from upstream instead.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use countersign::app::Stopped;
use countersign::oci::Digest;
use countersign::pull_through::{Inspected, Origin};
use countersign::registry_client::ByteRange;
use countersign::tasks::Task;
use http_body_util::BodyExt as _;

use crate::blob_site::{BlobSite, app, blob, drain, is_whole};
use crate::fake_registry::hosted;
use crate::notary_repository::{Certificate, GUN, Key, NotaryRepository};
use crate::whole_gate::{APP, Setup, World};

const PATIENCE: Duration = Duration::from_secs(30);
/// The longest delay of other tasks, on a busy machine.
const HELD_UP: Duration = Duration::from_secs(3);

/// Blocks threads until it is opened.
#[derive(Default)]
struct Gate {
    hangs: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn hang(&self, hangs: bool) {
        *self.hangs.lock().unwrap() = hangs;
        self.changed.notify_all();
    }

    fn pass(&self) {
        drop(self.changed.wait_while(self.hangs.lock().unwrap(), |hangs| *hangs).unwrap());
    }
}

/// Opens it, also if the test fails: the blocked threads must end.
struct Opens(Arc<Gate>);

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.hang(false);
    }
}

/// A FIFO that is finally written, which releases the threads that wait for it in the kernel.
struct Written(PathBuf);

impl Drop for Written {
    fn drop(&mut self) {
        drop(OpenOptions::new().read(true).write(true).open(&self.0));
    }
}

/// The longest time in which no other task ran during `work`.
async fn held_up<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let ends = Arc::new(AtomicBool::new(false));
    let ended = ends.clone();
    let beat = tokio::spawn(async move {
        let (mut longest, mut last) = (Duration::ZERO, Instant::now());
        while !ended.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        longest
    });
    let done = tokio::time::timeout(PATIENCE, work).await.expect("all threads wait for the disk");
    ends.store(true, Ordering::Relaxed);
    (done, beat.await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_blobs_come_from_upstream_while_reads_hang() {
    let site = BlobSite::new().await;
    is_whole(drain(site.open(&app(), None).await.unwrap()).await);
    site.kept(&app()).await;
    let gate = Arc::new(Gate::default());
    let _opens = Opens(gate.clone());
    let waits = gate.clone();
    site.store().before_each_read(move || waits.pass());
    // Recently classified content would need no disk.
    tokio::time::sleep(Duration::from_millis(250)).await;
    gate.hang(true);
    let pulls = async {
        for _ in 0..3 {
            let pulls = (0..40).map(async |_| {
                let stream = site.open(&app(), None).await.unwrap();
                assert_eq!(stream.origin(), Origin::Upstream);
                is_whole(drain(stream).await);
            });
            futures_util::future::join_all(pulls).await;
        }
    };
    let ((), held_up) = held_up(pulls).await;
    assert!(held_up < HELD_UP, "{held_up:?}");
    gate.hang(false);
    let start = Instant::now();
    while site.open(&app(), None).await.unwrap().origin() != Origin::Store {
        assert!(start.elapsed() < PATIENCE, "the store is not used again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_started_range_continues_from_upstream_when_the_disk_hangs() {
    let mut site = BlobSite::new().await;
    is_whole(drain(site.open(&app(), None).await.unwrap()).await);
    site.kept(&app()).await;
    // No page is known to be in memory.
    site.restart().await;
    let gate = Arc::new(Gate::default());
    let _opens = Opens(gate.clone());
    let waits = gate.clone();
    site.store().before_each_read(move || waits.pass());
    let range = ByteRange::From { first: 7 };
    let stream = site.open(&app(), Some(range)).await.unwrap();
    assert_eq!(stream.origin(), Origin::Store);
    gate.hang(true);
    let ((came, end), held_up) = held_up(drain(stream)).await;
    end.unwrap();
    assert!(came == blob()[7..]);
    assert!(held_up < HELD_UP, "{held_up:?}");
}

/// Other clients read the blob recently, and this client continues much later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_clients_bytes_are_checked_again_before_they_are_sent() {
    let mut site = BlobSite::new().await;
    is_whole(drain(site.open(&app(), None).await.unwrap()).await);
    site.kept(&app()).await;
    site.restart().await;
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = reads.clone();
    let range = Some(ByteRange::From { first: 7 });
    let mut stream = site.open(&app(), range).await.unwrap();
    assert_eq!(stream.origin(), Origin::Store);
    site.store().before_each_read(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let first = stream.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(reads.load(Ordering::Relaxed), 1);
    // A read counts as recent for five seconds.
    tokio::time::sleep(Duration::from_millis(5_200)).await;
    let second = stream.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(reads.load(Ordering::Relaxed), 2);
    let (came, end) = drain(stream).await;
    end.unwrap();
    assert!([first, second, came].concat() == blob()[7..]);
}

/// The gate finds the blob without the disk; the disk hangs when the gate checks whether the blob is a manifest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_request_on_a_hanging_disk_goes_to_the_registry() {
    for range in [None, Some(ByteRange::From { first: 0 }), Some(ByteRange::From { first: 7 })] {
        let mut site = BlobSite::new().await;
        is_whole(drain(site.open(&app(), None).await.unwrap()).await);
        site.kept(&app()).await;
        // No page is known to be in memory, and no classification.
        site.restart().await;
        let gate = Arc::new(Gate::default());
        let _opens = Opens(gate.clone());
        let (waits, first) = (gate.clone(), AtomicBool::new(true));
        // The first read finds the blob.
        site.store().before_each_read(move || {
            if !first.swap(false, Ordering::Relaxed) {
                waits.pass();
            }
        });
        gate.hang(true);
        let (digest, app) = (site.digest, hosted(app()));
        let pull = site.pull_through.inspected_blob(&app, &digest, range, false);
        let Inspected::Blob(stream) = pull.await.unwrap() else { panic!("a manifest") };
        let (came, end) = drain(stream).await;
        end.unwrap();
        let first = if matches!(range, Some(ByteRange::From { first: 7 })) { 7 } else { 0 };
        assert!(came == blob()[first..]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cold_blobs_are_relayed_while_writes_hang() {
    let site = BlobSite::new().await;
    let gate = Arc::new(Gate::default());
    let _opens = Opens(gate.clone());
    let waits = gate.clone();
    site.store().before_each_write(move || waits.pass());
    gate.hang(true);
    let pull = async {
        is_whole(drain(site.open(&app(), None).await.unwrap()).await);
    };
    let ((), first) = held_up(pull).await;
    let start = Instant::now();
    is_whole(drain(site.open(&app(), None).await.unwrap()).await);
    let second = start.elapsed();
    assert!(first < HELD_UP, "{first:?}");
    assert!(second < Duration::from_secs(2), "the disk is known to hang: {second:?}");
    assert!(!site.store().keeps(&site.digest));
}

/// The kernel blocks a process that opens a FIFO without a writer.
#[tokio::test]
async fn a_file_that_hangs_on_opening_blocks_neither_pulls_nor_health_checks() {
    let tables = r#"
        [[rule]]
        images = ["registry.example.com/**"]
        mode = "allow"
        reason = "the disk is tested, not trust"
    "#;
    let mut world = World::of(Setup::new(tables)).await;
    let content = "x".repeat(200_000);
    world.push("v1", &content);
    let digest = Digest::of(content.as_bytes());
    let path = format!("/v2/{APP}/blobs/{digest}");
    assert_eq!(world.get(&path).await.status, 200);
    world.restart().await;
    let file = world.files(&digest.hex()).pop().unwrap();
    std::fs::remove_file(&file).unwrap();
    // The FIFO keeps its other name when the blob is stored again.
    let fifo = world.store().with_file_name("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    std::fs::hard_link(&fifo, &file).unwrap();
    let written = Written(fifo);
    let answer = tokio::time::timeout(PATIENCE, world.get(&path)).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body.len(), content.len());
    assert_eq!(world.ask_admin("/livez").await.status, 200);
    drop(written);
    world.stop().await;
}

/// Before: the request took 28 seconds, and each one like it a thread.
#[tokio::test]
async fn a_trust_memory_that_cannot_be_read_in_time_is_undecided_and_never_first_seen() {
    let tables = r#"
        [[anchor]]
        name = "team"
        scheme = "notaryv1"
        url = "NOTARY"
        trust_on_first_use = true

        [[rule]]
        images = ["registry.example.com/**"]
        require = ["team"]
    "#;
    let mut world = World::of(Setup::new(tables)).await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    world.stop().await;
    // Everything at the server is replaced, and the disk hangs after the restart.
    let mut other = NotaryRepository::empty(GUN);
    *other.keys_mut("root") = vec![Certificate::named(GUN).of(&Key::named("another root"))];
    other.tag("targets", "v1", &manifest);
    world.notary.publish(GUN, other.publish());
    let memory = world.files("memory.json").pop().unwrap();
    let aside = memory.with_extension("aside");
    std::fs::rename(&memory, &aside).unwrap();
    assert!(Command::new("mkfifo").arg(&memory).status().unwrap().success());
    let written = Written(memory.clone());
    world.start().await;
    let start = Instant::now();
    let answer = tokio::time::timeout(PATIENCE, world.pull("v1")).await.unwrap();
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    assert_eq!(world.ask_admin("/livez").await.status, 200);
    // The disk works again. The root that was first seen still counts.
    drop(written);
    std::fs::rename(&aside, &memory).unwrap();
    let start = Instant::now();
    loop {
        let answer = world.pull("v1").await;
        if answer.status == 404 {
            break;
        }
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(start.elapsed() < PATIENCE, "the disk is not used again");
        world.pass(Duration::from_secs(60));
    }
    world.stop().await;
}

#[tokio::test]
async fn a_gate_with_a_hanging_audit_disk_ends_in_time_and_reports_it() {
    let setup = Setup::new("[audit]\npath = \"audit.log\"").server("drain_timeout = \"1s\"");
    let mut world = World::of(setup).await;
    let supervisor = world.supervisor().clone();
    supervisor.hang(Task::AuditFile, true);
    // The thread checks once a second.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    world.pull("v1").await;
    let start = Instant::now();
    let stopped = tokio::time::timeout(PATIENCE, world.stopped()).await.unwrap();
    let took = start.elapsed();
    supervisor.hang(Task::AuditFile, false);
    assert_eq!(stopped, Stopped::Unfinished);
    assert!(took < Duration::from_secs(8), "{took:?}");
}
