//! kill -9 at any moment: all content in the store matches its digest, and no temporary files remain.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::capacity::size_below;
use crate::engines::Client;
use crate::gate::{Clock, Gate};
use crate::line::Line;
use crate::notary::Keys;
use crate::process::{free_port, wait_for};
use crate::random::Random;
use crate::reader::Reader;
use crate::registry::digest_of;
use crate::requests::ACCEPT;
use crate::site::{PROMPT, Site};

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        after_repeated_kills_under_load_all_stored_content_matches_its_digest,
        a_pull_during_which_the_gate_is_killed_ends_well_after_its_restart,
    ]
}

const KILLS: u32 = 200;
/// The time limit, for machines too slow for this number of kills.
const LONG_ENOUGH: Duration = Duration::from_secs(80);
const FEW: u32 = 60;
const CLIENTS: u64 = 6;
/// Less than the size of all content, so that downloads and evictions never stop.
const MOST: &str = "max_size = \"48MiB\"";

struct Load {
    port: u16,
    content: Vec<(String, Bytes)>,
    over: AtomicBool,
    whole: AtomicU64,
    cut: AtomicU64,
}

/// Ends the load with the test, even if it fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn after_repeated_kills_under_load_all_stored_content_matches_its_digest() {
    let seed = std::env::var("E2E_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed =
        seed.unwrap_or_else(|| (u64::from(std::process::id()) << 20) | u64::from(free_port()));
    let mut random = Random::new(seed);
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    let mut content = Vec::new();
    for tag in ["1", "2"] {
        let digest = signer.push(&site.image(&format!("library/app:{tag}")), tag);
        let manifest = site.registry.manifest("library/app", &digest);
        content.push((format!("/v2/library/app/manifests/{tag}"), manifest.clone()));
        content.push((format!("/v2/library/app/manifests/{digest}"), manifest));
    }
    let small = (0..40).map(|_| 1 + random.below(200 << 10)).collect::<Vec<_>>();
    for length in small.into_iter().chain([9 << 20, 14 << 20, 20 << 20, 26 << 20]) {
        let blob = random.content(usize::try_from(length).unwrap());
        let digest = site.registry.put_blob("library/app", blob.clone());
        content.push((format!("/v2/library/app/blobs/{digest}"), blob));
    }
    let known = content.iter().map(|(_, content)| (digest_of(content), content.clone())).collect();
    let config = site.config(&[&signer.root_key_id()], PROMPT);
    let port = free_port();
    let mut gate = Gate::prepare(port, "", MOST, &config, Clock::Machine);
    let (whole, cut) = (AtomicU64::new(0), AtomicU64::new(0));
    let load = Load { port, content, over: AtomicBool::new(false), whole, cut };

    let (begun, mut kills) = (Instant::now(), 0);
    thread::scope(|scope| {
        let _over = Over(&load.over);
        for client in 0..CLIENTS {
            let load = &load;
            scope.spawn(move || load.pull(Random::new(seed + 1 + client)));
        }
        while kills < KILLS && begun.elapsed() < LONG_ENOUGH {
            let some = |end: u64, random: &mut Random| Duration::from_millis(random.below(end));
            if random.below(5) == 0 {
                gate.start_and_kill(some(80, &mut random));
            } else {
                gate.run();
                thread::sleep(some(400, &mut random));
                gate.kill();
            }
            kills += 1;
            content_matches_its_digest(&gate.store(), &known);
        }
        gate.run();
        thread::sleep(Duration::from_secs(1));
    });
    let (whole, cut) = (load.whole.into_inner(), load.cut.into_inner());
    eprintln!(
        "E2E_SEED={seed}: {kills} kills in {:?}; {whole} answers were complete, {cut} were truncated",
        begun.elapsed()
    );
    assert!(kills >= FEW && whole > 0 && cut > 0);
    nothing_is_left_over(&gate);
    content_matches_its_digest(&gate.store(), &known);
    gate.stop();
    nothing_temporary_is_below(&gate.store());
}

impl Load {
    /// Requests random content during the load. A complete answer must be correct.
    fn pull(&self, mut random: Random) {
        while !self.over.load(Ordering::Relaxed) {
            let (path, content) = match random.below(10) {
                // The large ones are last, and the manifests first.
                0..2 => &self.content[self.content.len() - 1 - random.below(4) as usize],
                _ => &self.content[random.below(self.content.len() as u64 - 4) as usize],
            };
            let first = usize::try_from(random.below(content.len() as u64)).unwrap();
            let range = format!("bytes={first}-");
            let in_part = path.contains("/blobs/") && random.below(3) == 0;
            let (header, status, expected) = match in_part {
                true => (("range", range.as_str()), 206, content.slice(first..)),
                false => (("accept", ACCEPT), 200, content.clone()),
            };
            let came = Reader::get(self.port, path, &[header]).and_then(|mut reader| {
                assert_eq!(reader.status(), status, "{path} {header:?}");
                reader.ends_with(&expected)
            });
            match came {
                Ok(()) => drop(self.whole.fetch_add(1, Ordering::Relaxed)),
                Err(error) => {
                    let broken = [
                        ErrorKind::ConnectionRefused,
                        ErrorKind::ConnectionReset,
                        ErrorKind::BrokenPipe,
                        ErrorKind::UnexpectedEof,
                    ];
                    assert!(broken.contains(&error.kind()), "{path}: {error}");
                    if error.kind() != ErrorKind::ConnectionRefused {
                        self.cut.fetch_add(1, Ordering::Relaxed);
                    }
                    thread::sleep(Duration::from_millis(10));
                }
            }
        }
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let below = |entry: std::fs::DirEntry| match entry.path() {
        path if path.is_dir() => files_below(&path),
        path => vec![path],
    };
    entries.flatten().flat_map(below).collect()
}

fn content_matches_its_digest(store: &Path, known: &BTreeMap<String, Bytes>) {
    for path in files_below(&store.join("content")) {
        let name = format!("sha256:{}", path.file_name().unwrap().to_string_lossy());
        let content = std::fs::read(&path).unwrap();
        // Comparing is faster than hashing.
        let same = known.get(&name).is_some_and(|known| *known == content);
        assert!(same || digest_of(&content) == name, "{}: {} bytes", path.display(), content.len());
    }
}

/// Checks that the files on disk and the index agree.
fn nothing_is_left_over(gate: &Gate) {
    wait_for("the sweep", Duration::from_secs(15), || {
        let kept = gate.metric("countersign_store_bytes");
        let nothing_arrives = files_below(&gate.store().join("incoming")).is_empty();
        (nothing_arrives && kept == size_below(&gate.store().join("content"))).then_some(())
    });
    nothing_temporary_is_below(&gate.store());
}

fn nothing_temporary_is_below(store: &Path) {
    for folder in ["incoming", "rotten"] {
        assert!(files_below(&store.join(folder)).is_empty(), "{folder}");
    }
    assert!(!store.join("facts.redb.unreadable").exists());
    let temporary = |path: &PathBuf| path.to_string_lossy().contains("/.tmp-");
    let left: Vec<_> = files_below(store).into_iter().filter(temporary).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Docker waits longer before its next attempt than a gate takes to start. (Other clients retry at once, and give up.)
fn a_pull_during_which_the_gate_is_killed_ends_well_after_its_restart() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    let text = hex::encode(Random::new(61).content(12 << 20));
    let digest = signer.push(&site.image("library/app:1"), &text);
    let config = site.config(&[&signer.root_key_id()], PROMPT);
    let mut gate = Gate::start_keeping(free_port(), "", &config);
    let line = Line::to(gate.port);
    let image = format!("{}/library/app:1", line.name());
    let docker = &Client::all()[0];
    line.hold_after(7 << 20);
    thread::scope(|scope| {
        let pull = scope.spawn(|| docker.pull(&image));
        wait_for("the download of the layer to start", Duration::from_secs(30), || {
            (gate.sent() > 6 << 20).then_some(())
        });
        gate.kill_and_restart();
        line.open();
        let said = pull.join().unwrap();
        assert!(said.ok(), "{}", said.all());
    });
    assert_eq!(docker.digest(&image), digest);
    docker.forget(&image);
}
