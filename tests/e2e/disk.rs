//! Disks that fail: pulls continue with correct content, the operator is notified, and the gate stores content again
//! when the disk recovers.

use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;

use crate::engines::Client;
use crate::gate::{Clock, Gate};
use crate::mount::{make_read_only, make_writable, small_disk};
use crate::notary::Keys;
use crate::process::wait_for;
use crate::quarantine::kept;
use crate::random::Random;
use crate::reader::Reader;
use crate::requests;
use crate::site::{OpenSite, PROMPT, Site};

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        with_a_full_disk_pulls_continue_and_storing_resumes_when_space_is_free,
        with_a_read_only_disk_pulls_continue_and_storing_resumes_when_it_is_writable,
        after_the_folders_are_removed_pulls_continue_and_storing_resumes,
        with_a_full_disk_verified_images_are_served_and_others_are_undecided,
        a_gate_started_on_a_read_only_disk_serves_verified_images,
    ]
}

/// Longer than the gate waits before it retries a failed disk and uses it again.
const A_WHILE: Duration = Duration::from_secs(60);

struct Blob {
    digest: String,
    content: Bytes,
}

impl Blob {
    fn put(site: &OpenSite, seed: u64, length: usize) -> Self {
        let content = Random::new(seed).content(length);
        Self { digest: site.registry.put_blob("library/app", content.clone()), content }
    }

    fn path(&self) -> String {
        format!("/v2/library/app/blobs/{}", self.digest)
    }

    fn arrives(&self, gate: &Gate) {
        let mut reader = Reader::get(gate.port, &self.path(), &[]).unwrap();
        assert_eq!(reader.status(), 200);
        reader.ends_with(&self.content).unwrap();
    }

    /// Whether the gate serves the blob without a request to the registry.
    fn is_kept(&self, site: &OpenSite, gate: &Gate) -> bool {
        let asked = || site.registry.asked("GET", &self.path());
        let before = asked();
        self.arrives(gate);
        asked() == before
    }

    fn becomes_stored(&self, site: &OpenSite, gate: &Gate) {
        wait_for("content to be stored again", A_WHILE, || {
            std::thread::sleep(Duration::from_millis(200));
            self.is_kept(site, gate).then_some(())
        });
        kept(gate, &self.digest);
    }
}

const UNUSABLE: &str = "the store cannot be used";
const USABLE: &str = "the store can be used again";

/// Checks that the failure was logged once since the disk last worked, that the metrics still show it, and that the
/// gate is ready.
fn is_logged_once(gate: &Gate, why: &str) {
    let log = gate.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains(UNUSABLE)).collect();
    assert_eq!(lines.len(), log.matches(USABLE).count() + 1, "{lines:#?}");
    assert!(lines[0].contains("ERROR") && lines[0].contains(why), "{lines:#?}");
    assert_eq!(gate.metric("countersign_store_usable"), 0);
    let metrics = requests::get(&gate.admin("/metrics")).text();
    assert!(metrics.contains("countersign_store_failures_total{operation="), "{metrics}");
    assert_eq!(requests::get(&gate.admin("/readyz")).status, 200);
}

fn recovery_is_logged(gate: &Gate) {
    wait_for("the store to be usable again", A_WHILE, || {
        (gate.metric("countersign_store_usable") == 1).then_some(())
    });
    let log = gate.log();
    assert_eq!(log.matches(USABLE).count(), log.matches(UNUSABLE).count(), "{log}");
}

fn with_a_full_disk_pulls_continue_and_storing_resumes_when_space_is_free() {
    const DISK: u64 = 48 << 20;
    let site = OpenSite::new();
    let (small, large) = (Blob::put(&site, 41, 2 << 20), Blob::put(&site, 42, 24 << 20));
    let mut gate = Gate::prepare(0, "", "max_size = \"1GiB\"", &site.config(), Clock::Machine);
    small_disk(&gate.store(), DISK);
    gate.run();
    small.arrives(&gate);
    kept(&gate, &small.digest);

    // Other files: the gate has less space than the large blob needs.
    let others = gate.store().join("of-another");
    let mut filling = File::create(&others).unwrap();
    filling.write_all(&vec![0; 34 << 20]).unwrap();
    for _ in 0..2 {
        large.arrives(&gate);
    }
    is_logged_once(&gate, "write");
    assert!(!large.is_kept(&site, &gate));
    assert!(small.is_kept(&site, &gate), "stored content is gone");

    // Fills the rest of the disk.
    while filling.write_all(&[0; 4096]).is_ok() {}
    for _ in 0..3 {
        large.arrives(&gate);
        small.arrives(&gate);
    }
    is_logged_once(&gate, "write");

    fs::remove_file(others).unwrap();
    drop(filling);
    large.becomes_stored(&site, &gate);
    assert!(small.is_kept(&site, &gate), "stored content is lost");
    recovery_is_logged(&gate);
}

fn with_a_read_only_disk_pulls_continue_and_storing_resumes_when_it_is_writable() {
    let site = OpenSite::new();
    let (old, new) = (Blob::put(&site, 43, 2 << 20), Blob::put(&site, 44, 8 << 20));
    let gate = site.gate("");
    old.arrives(&gate);
    kept(&gate, &old.digest);

    make_read_only(&gate.store());
    for _ in 0..3 {
        new.arrives(&gate);
        assert!(old.is_kept(&site, &gate));
    }
    is_logged_once(&gate, "write");
    assert!(!new.is_kept(&site, &gate));

    make_writable(&gate.store());
    new.becomes_stored(&site, &gate);
    assert!(old.is_kept(&site, &gate));
    recovery_is_logged(&gate);
}

fn after_the_folders_are_removed_pulls_continue_and_storing_resumes() {
    let site = OpenSite::new();
    let blob = Blob::put(&site, 45, 8 << 20);
    let gate = site.gate("");
    blob.arrives(&gate);
    kept(&gate, &blob.digest);
    let all = ["content", "incoming", "rotten"];
    for folders in [&all[..1], &all[..2], &all[..]] {
        // Also during a response.
        let mut reading = Reader::get(gate.port, &blob.path(), &[]).unwrap();
        let read = reading.reads(&blob.content, 1 << 20).unwrap();
        for folder in folders {
            fs::remove_dir_all(gate.store().join(folder)).unwrap();
        }
        reading.ends_with(&blob.content[read..]).unwrap();
        blob.arrives(&gate);
        blob.becomes_stored(&site, &gate);
        assert_eq!(requests::get(&gate.admin("/readyz")).status, 200);
    }
}

/// New trust memory cannot be written, and new trust data counts only once it is written.
fn with_a_full_disk_verified_images_are_served_and_others_are_undecided() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    let known = signer.push(&site.image("library/known:1"), "known before");
    let new = signer.push(&site.image("library/new:1"), "not known before");
    let config = site.config(&[&signer.root_key_id()], PROMPT);
    let mut gate = Gate::prepare(0, "", "", &config, Clock::Machine);
    small_disk(&gate.store(), 8 << 20);
    gate.run();
    gate.comes_to("library/known", "1", Ok(&known));

    let others = gate.store().join("of-another");
    let mut filling = File::create(&others).unwrap();
    while filling.write_all(&[0; 4096]).is_ok() {}
    // The gate requests its trust data again meanwhile, more than once.
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(500));
        gate.comes_to("library/known", "1", Ok(&known));
    }
    arrives_and_runs(&gate, "library/known:1", "known before");
    let answer = gate.manifest("library/new", "1");
    let outcome = (answer.status.as_u16(), answer.reason());
    assert_eq!(outcome, (503, "trust_unreachable".to_owned()), "{}", answer.text());
    assert!(answer.text().contains("the trust memory cannot be written"), "{}", answer.text());
    let ready = requests::get(&gate.admin("/readyz"));
    let said = "the trust memory cannot be written";
    assert!(ready.status == 200 && ready.text().contains(said), "{}", ready.text());
    assert_eq!(gate.metric("countersign_store_usable"), 0);

    fs::remove_file(others).unwrap();
    drop(filling);
    gate.comes_to("library/new", "1", Ok(&new));
}

fn a_gate_started_on_a_read_only_disk_serves_verified_images() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    let known = signer.push(&site.image("library/known:1"), "known before");
    let mut gate = site.gate(&signer, PROMPT);
    gate.comes_to("library/known", "1", Ok(&known));
    gate.kill();

    make_read_only(&gate.store());
    gate.run();
    gate.comes_to("library/known", "1", Ok(&known));
    arrives_and_runs(&gate, "library/known:1", "known before");
    is_logged_once(&gate, "Read-only");

    make_writable(&gate.store());
    recovery_is_logged(&gate);
    arrives_and_runs(&gate, "library/known:1", "known before");
    assert!(gate.metric("countersign_store_bytes") > 0);
}

fn arrives_and_runs(gate: &Gate, image: &str, message: &str) {
    let image = format!("{}/{image}", gate.name());
    let docker = &Client::all()[0];
    let said = docker.pull(&image);
    assert!(said.ok(), "{}", said.all());
    assert_eq!(docker.run(&image).unwrap(), message);
    docker.forget(&image);
}
