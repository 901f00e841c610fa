//! The store on a real disk, with a manual clock.

mod disk;
mod capacity;
mod scrub;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign::clock::{Clock, Timestamp};
use countersign::oci::{Digest, RepositoryRef};
use countersign::store::{Config, HeldAs, Ingest, Metrics, Store, StoredContent, Unkept};
use prometheus_client::encoding::text::encode;
use tokio_util::sync::CancellationToken;

use crate::fake_registry::hosted;
use crate::folder::Folder;

const SCRUB_EVERY: Duration = Duration::from_secs(3600);
/// Enough space for most tests.
const ROOM: u64 = 1 << 20;

/// A store in its own folder, and the repository that most tests use.
struct Rig {
    folder: Folder,
    clock: Clock,
    store: Store,
    metrics: prometheus_client::registry::Registry,
    repository: RepositoryRef,
}

fn manifest() -> HeldAs {
    HeldAs::Manifest { content_type: Some("application/vnd.oci.image.manifest.v1+json".to_owned()) }
}

fn repository(name: &str) -> RepositoryRef {
    hosted(name.parse().unwrap())
}

impl Rig {
    fn new(max_size: u64) -> Self {
        let clock = Clock::manual(Timestamp::from_unix(1_800_000_000));
        Self::open(Folder::new("store"), clock, max_size)
    }

    fn open(folder: Folder, clock: Clock, max_size: u64) -> Self {
        let mut metrics = prometheus_client::registry::Registry::default();
        let path = folder.path().to_owned();
        let config = Config { path, max_size, scrub_every: SCRUB_EVERY };
        let counted = Metrics::registered(&mut metrics);
        let store = Store::open(&config, clock.clone(), &counted).unwrap();
        Self { folder, clock, store, metrics, repository: repository("library/app") }
    }

    /// Shuts the store down, and opens it again.
    async fn restart(self, max_size: u64) -> Self {
        let ended = CancellationToken::new();
        ended.cancel();
        self.store.tend(ended).await;
        Self::open(self.folder, self.clock, max_size)
    }

    /// The store as the next process finds it if this process is killed now.
    fn crash(&self) -> Self {
        let folder = Folder::new("crash");
        copy(self.folder.path(), folder.path());
        Self::open(folder, self.clock.clone(), ROOM)
    }

    fn begin(&self, content: &[u8], length: Option<u64>) -> Result<Ingest, Unkept> {
        let mut ingest = self.store.ingest(&Digest::of(content), length)?;
        ingest.append(content)?;
        Ok(ingest)
    }

    fn keep(&self, content: &[u8], seen: HeldAs) -> Result<StoredContent, Unkept> {
        let ingest = self.begin(content, Some(content.len() as u64))?;
        ingest.verify().unwrap().publish(&self.repository, seen)
    }

    fn content(&self, content: &[u8]) -> Option<StoredContent> {
        let found = self.store.content(&self.repository, &Digest::of(content))?;
        assert_eq!(found.bytes(), content);
        Some(found)
    }

    fn keeps(&self, content: &[u8]) -> bool {
        self.store.keeps(&Digest::of(content))
    }

    fn path(&self, content: &[u8]) -> PathBuf {
        let hex = Digest::of(content).hex();
        self.folder.path().join("content/sha256").join(&hex[..2]).join(hex)
    }

    /// The files in a folder of the store, and in those below it.
    fn files(&self, folder: &str) -> Vec<PathBuf> {
        let mut open = vec![self.folder.join(folder)];
        let mut files = Vec::new();
        while let Some(at) = open.pop() {
            if at.is_dir() {
                open.extend(fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                files.push(at);
            }
        }
        files
    }

    /// The value of a metric; 0 if it is missing.
    fn metric(&self, name: &str) -> u64 {
        let mut text = String::new();
        encode(&mut text, &self.metrics).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let copied = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&copied).unwrap();
            copy(&entry.path(), &copied);
        } else {
            fs::copy(entry.path(), copied).unwrap();
        }
    }
}

#[tokio::test]
async fn published_content_is_found_after_a_restart() {
    let rig = Rig::new(ROOM);
    let large = vec![7; 200_000];
    for content in [b"abc".as_slice(), &large, b""] {
        assert!(rig.content(content).is_none());
        assert_eq!(rig.keep(content, HeldAs::Blob).unwrap().bytes(), content);
        assert!(rig.content(content).is_some() && rig.keeps(content));
    }
    let rig = rig.restart(ROOM).await;
    for content in [b"abc".as_slice(), &large, b""] {
        assert!(rig.content(content).is_some());
    }
    assert_eq!(rig.metric("countersign_store_bytes"), 200_003);
    assert_eq!(rig.metric("countersign_store_hits_total"), 3);
    assert_eq!(rig.metric("countersign_store_misses_total"), 0);
}

#[test]
fn content_is_found_only_in_repositories_known_to_hold_it() {
    let rig = Rig::new(ROOM);
    let digest = Digest::of(b"private");
    rig.keep(b"private", HeldAs::Blob).unwrap();
    let other = repository("library/other");
    let registry = "other.example.com".parse().unwrap();
    let elsewhere = RepositoryRef { registry, name: rig.repository.name.clone() };
    assert!(rig.store.content(&other, &digest).is_none());
    assert!(rig.store.content(&elsewhere, &digest).is_none());
    assert!(rig.store.keeps(&digest));
    rig.store.hold(&other, &digest, &HeldAs::Blob);
    assert!(rig.store.content(&other, &digest).is_some());
    assert!(rig.store.content(&elsewhere, &digest).is_none());
    assert_eq!(rig.files("content").len(), 1);
}

#[test]
fn content_that_is_not_stored_has_no_holders() {
    let rig = Rig::new(ROOM);
    let digest = Digest::of(b"later");
    rig.store.hold(&rig.repository, &digest, &manifest());
    assert!(!rig.store.is_manifest(&rig.repository, &digest));
    assert!(!rig.store.keeps(&digest));
}

#[test]
fn a_manifest_stays_a_manifest_in_its_repository() {
    let rig = Rig::new(ROOM);
    let digest = Digest::of(b"{}");
    rig.keep(b"{}", HeldAs::Blob).unwrap();
    let is_manifest = |name: &str| rig.store.is_manifest(&repository(name), &digest);
    assert!(!is_manifest("library/app"));
    rig.store.hold(&rig.repository, &digest, &manifest());
    for seen in [HeldAs::Blob, HeldAs::Manifest { content_type: None }] {
        rig.store.hold(&rig.repository, &digest, &seen);
    }
    assert!(is_manifest("library/app") && !is_manifest("library/other"));
    let content = rig.content(b"{}").unwrap();
    assert_eq!(content.content_type(), Some("application/vnd.oci.image.manifest.v1+json"));
    rig.store.hold(&repository("library/other"), &digest, &HeldAs::Blob);
    assert!(!is_manifest("library/other"));
}

#[test]
fn the_newest_stored_parents_are_known_in_their_repository() {
    let rig = Rig::new(ROOM);
    let child = Digest::of(b"child");
    let parents: Vec<Vec<u8>> = (0..20).map(|n| format!("parent {n}").into_bytes()).collect();
    for parent in &parents {
        rig.store.link(&rig.repository, &child, &Digest::of(parent));
    }
    assert!(rig.store.parents(&rig.repository, &child).is_empty());
    for parent in &parents {
        rig.keep(parent, manifest()).unwrap();
        rig.store.link(&rig.repository, &child, &Digest::of(parent));
    }
    rig.store.link(&rig.repository, &child, &Digest::of(&parents[10]));
    let mut expected: Vec<Digest> = parents[4..].iter().rev().map(|p| Digest::of(p)).collect();
    let again = expected.remove(9);
    expected.insert(0, again);
    assert_eq!(rig.store.parents(&rig.repository, &child), expected);
    assert!(rig.store.parents(&repository("library/other"), &child).is_empty());
}

#[test]
fn content_can_be_read_while_it_arrives_and_after() {
    let rig = Rig::new(ROOM);
    let digest = Digest::of(b"abcdef");
    let mut ingest = rig.store.ingest(&digest, None).unwrap();
    let arriving = ingest.arriving();
    let read = |position, most| arriving.read_at(position, most).unwrap();
    assert_eq!(read(0, 10), "");
    ingest.append(b"abc").unwrap();
    assert_eq!((ingest.position(), read(0, 10)), (3, "abc".into()));
    ingest.append(b"def").unwrap();
    assert_eq!((read(2, 2), read(6, 1), read(9, 1)), ("cd".into(), "".into(), "".into()));
    assert_eq!(ingest.hasher().finish(), digest);
    let whole = ingest.verify().unwrap();
    whole.publish(&rig.repository, HeldAs::Blob).unwrap();
    assert_eq!(read(3, 10), "def");

    let ingest = rig.begin(b"never finished", None).unwrap();
    let arriving = ingest.arriving();
    drop(ingest);
    assert!(rig.files("incoming").is_empty());
    assert_eq!(arriving.read_at(6, 8).unwrap(), "finished");
}

#[test]
fn a_wrong_or_abandoned_ingest_leaves_no_content() {
    let rig = Rig::new(ROOM);
    let mut ingest = rig.store.ingest(&Digest::of(b"right"), Some(5)).unwrap();
    ingest.append(b"wrong").unwrap();
    let mismatch = ingest.verify().unwrap_err();
    assert_eq!((mismatch.asked, mismatch.got), (Digest::of(b"right"), Digest::of(b"wrong")));
    drop(rig.begin(b"given up", None).unwrap());
    drop(rig.begin(b"whole", None).unwrap().verify().unwrap());
    for content in [b"right".as_slice(), b"wrong", b"given up", b"whole"] {
        assert!(!rig.keeps(content));
    }
    assert!(rig.files("incoming").is_empty() && rig.files("content").is_empty());
}

#[test]
fn concurrent_ingests_of_one_digest_store_it_once() {
    let rig = Rig::new(ROOM);
    let other = repository("library/other");
    let one = rig.begin(b"same", Some(4)).unwrap().verify().unwrap();
    let two = rig.begin(b"same", Some(4)).unwrap().verify().unwrap();
    let first = one.publish(&rig.repository, HeldAs::Blob).unwrap();
    let second = two.publish(&other, HeldAs::Blob).unwrap();
    assert_eq!(first.bytes(), second.bytes());
    assert!(rig.content(b"same").is_some());
    assert!(rig.store.content(&other, first.digest()).is_some());
    assert_eq!(rig.metric("countersign_store_bytes"), 4);
    assert_eq!((rig.files("content").len(), rig.files("incoming").len()), (1, 0));
}

#[test]
fn published_files_are_read_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let rig = Rig::new(ROOM);
    rig.keep(b"abc", HeldAs::Blob).unwrap();
    assert_eq!(fs::metadata(rig.path(b"abc")).unwrap().permissions().mode() & 0o777, 0o444);
}

/// A shutdown writes pending changes.
#[tokio::test]
async fn holders_and_links_outlive_a_restart() {
    let rig = Rig::new(ROOM);
    let other = repository("library/other");
    let (parent, child) = (Digest::of(b"parent"), Digest::of(b"child"));
    rig.keep(b"parent", manifest()).unwrap();
    rig.store.hold(&other, &parent, &manifest());
    rig.store.link(&other, &child, &parent);
    let rig = rig.restart(ROOM).await;
    assert!(rig.store.is_manifest(&other, &parent));
    assert_eq!(rig.store.parents(&other, &child), [parent]);
}
