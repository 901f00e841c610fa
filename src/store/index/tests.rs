//! Tests of a database on a failing disk.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use redb::backends::FileBackend;
use redb::{Builder, StorageBackend};

use super::*;
use crate::oci::RepositoryRef;
use crate::store::metrics::Metrics;

/// A disk that fails on request.
#[derive(Debug)]
struct Failing {
    disk: FileBackend,
    fails: Arc<AtomicBool>,
}

impl Failing {
    fn check(&self) -> io::Result<()> {
        match self.fails.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl StorageBackend for Failing {
    fn len(&self) -> io::Result<u64> {
        self.check()?;
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.check()?;
        self.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        self.disk.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        self.disk.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.disk.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.disk.close()
    }
}

/// An index in its own folder.
struct Rig {
    folder: PathBuf,
    clock: Clock,
    health: Arc<Health>,
    index: ContentIndex,
    place: RepositoryRef,
}

impl Rig {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("countersign-index-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let clock = Clock::manual(Timestamp::from_unix(1_800_000_000));
        let health = Health::new(clock.clone(), Metrics::default());
        let capacity =
            Arc::new(Capacity::new(1000, prometheus_client::metrics::gauge::Gauge::default()));
        let layout = Arc::new(Layout::new(&folder));
        let index = ContentIndex::new(layout, clock.clone(), health.clone(), capacity);
        let place = "registry.example.com/library/app".parse().unwrap();
        Self { folder, clock, health, index, place }
    }

    fn keep(&self, digest: &Digest) -> Result<(), IndexError> {
        self.index.keep(&self.place, digest, 1, &HeldAs::Blob)
    }

    /// Moves the database to a disk that can be made to fail.
    fn make_fallible(&self) -> Arc<AtomicBool> {
        let file = self.index.opened.swap(None).unwrap().file;
        let disk = File::options().read(true).write(true).open(self.index.layout.index()).unwrap();
        let fails = Arc::new(AtomicBool::new(false));
        let disk = Failing { disk: FileBackend::new(disk).unwrap(), fails: fails.clone() };
        let database = Builder::new().create_with_backend(disk).unwrap();
        self.index.opened.store(Some(Arc::new(Opened::new(database, file))));
        fails
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_database_that_failed_is_opened_again_after_a_while() {
    let rig = Rig::new("poisoned");
    let (kept, lost) = (Digest::of(b"kept"), Digest::of(b"lost"));
    assert!(rig.index.ensure_open());
    rig.keep(&kept).unwrap();
    let fails = rig.make_fallible();
    assert_eq!(rig.index.keeps(&kept), Some(true));

    fails.store(true, Ordering::SeqCst);
    assert!(matches!(rig.keep(&lost), Err(IndexError::Failed(_))));
    fails.store(false, Ordering::SeqCst);
    assert!(!rig.health.is_good());
    // Until it is opened again, all lookups miss and all changes fail.
    assert_eq!(rig.index.keeps(&kept), None);
    assert!(matches!(rig.keep(&lost), Err(IndexError::Closed)));
    assert!(!rig.index.ensure_open(), "the last attempt was just now");

    rig.clock.advance(Duration::from_secs(5));
    assert!(rig.index.ensure_open());
    assert_eq!(rig.index.keeps(&kept), Some(true));
    assert_eq!(rig.index.keeps(&lost), Some(false));
    rig.keep(&lost).unwrap();
    assert_eq!(rig.index.keeps(&lost), Some(true));
}

#[test]
fn a_failure_of_a_database_that_was_replaced_does_not_close_the_new_one() {
    let rig = Rig::new("replaced");
    assert!(rig.index.ensure_open());
    let old = rig.index.opened.load_full().unwrap();
    rig.put_another();
    rig.index.close(&old, &Error::PreviousIo);
    assert!(rig.index.is_open());
}

impl Rig {
    /// Puts another database in place of the one that is open.
    fn put_another(&self) {
        let database =
            Builder::new().create_with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        self.index.opened.store(Some(Arc::new(Opened::new(database, (0, 0)))));
    }
}

#[test]
fn a_corrupt_database_is_renamed_and_a_new_one_created() {
    let rig = Rig::new("broken");
    let kept = Digest::of(b"kept");
    assert!(rig.index.ensure_open());
    rig.keep(&kept).unwrap();
    let broken = || -> Result<(), Error> { Err(Error::Corrupted("a page".to_owned())) };
    assert!(rig.index.write(Lasting::Later, |_| broken()).is_err());
    rig.clock.advance(Duration::from_secs(5));
    assert!(rig.index.ensure_open());
    assert_eq!(rig.index.keeps(&kept), Some(false));
    assert!(rig.index.layout.unreadable_index().exists());
}

#[test]
fn inconsistent_tables_are_a_corrupt_database() {
    let rig = Rig::new("disagree");
    let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
    assert!(rig.index.ensure_open());
    for digest in [&one, &other] {
        rig.keep(digest).unwrap();
    }
    let opened = rig.index.opened.load_full().unwrap();
    let writing = opened.database().unwrap().begin_write().unwrap();
    {
        let mut content = writing.open_table(tables::CONTENT).unwrap();
        content.insert(tables::key(&one).as_slice(), (1, 0, 7, 7)).unwrap();
    }
    writing.commit().unwrap();
    drop(opened);
    assert!(rig.index.scrubbed_until(rig.clock.now()).is_none());
    assert!(!rig.index.is_open());
    rig.clock.advance(Duration::from_secs(5));
    assert!(rig.index.ensure_open());
    assert_eq!(rig.index.keeps(&other), Some(false));
}

#[test]
fn a_database_that_makes_its_reader_panic_is_corrupt() {
    let rig = Rig::new("panics");
    assert!(rig.index.ensure_open());
    let answer: Option<()> = rig.index.read(|_| panic!("an invalid page"));
    assert!(answer.is_none() && !rig.index.is_open());
    assert!(rig.index.unreadable.load(Ordering::Relaxed));
}

#[test]
fn a_database_of_an_unknown_version_is_renamed() {
    let rig = Rig::new("version");
    assert!(rig.index.ensure_open());
    {
        let opened = rig.index.opened.swap(None).unwrap();
        let writing = opened.database().unwrap().begin_write().unwrap();
        let other = tables::VERSION + 1;
        writing.open_table(tables::ABOUT).unwrap().insert("version", other).unwrap();
        writing.commit().unwrap();
    }
    rig.clock.advance(Duration::from_secs(5));
    assert!(rig.index.ensure_open());
    assert!(rig.index.layout.unreadable_index().exists());
    rig.keep(&Digest::of(b"")).unwrap();
}

#[test]
fn ticks_increase_even_if_the_clock_does_not_move() {
    let rig = Rig::new("ticks");
    let first = rig.index.tick();
    let second = rig.index.tick();
    rig.clock.advance(Duration::from_secs(1));
    let third = rig.index.tick();
    assert!(first < second && second < third);
    assert_eq!(third, 1_800_000_001_000_000_000);
}

#[test]
fn content_claimed_by_several_registries_must_be_delivered_again_after_migration() {
    let rig = Rig::new("by-word");
    let (alone, shared) = (Digest::of(b"alone"), Digest::of(b"shared"));
    let liar: RepositoryRef = "x.test/library/app".parse().unwrap();
    let place = &rig.place;
    assert!(rig.index.ensure_open());
    rig.keep(&alone).unwrap();
    rig.keep(&shared).unwrap();
    rig.index.hold(&liar, &shared, &HeldAs::Blob);
    let opened = rig.index.opened.swap(None).unwrap();
    let transaction = opened.database().unwrap().begin_write().unwrap();
    transaction
        .open_table(tables::ABOUT)
        .unwrap()
        .insert("version", tables::CLAIMED_HOLDERS)
        .unwrap();
    transaction.commit().unwrap();
    drop(opened);
    rig.clock.advance(Duration::from_secs(5));
    assert!(rig.index.ensure_open());
    assert!(rig.index.held(place, &alone).is_some());
    assert!(rig.index.held(&liar, &shared).is_none());
    assert!(rig.index.held(place, &shared).is_none() && rig.index.keeps(&shared) == Some(true));
}

#[test]
fn a_registry_cannot_claim_content_that_another_delivered() {
    let rig = Rig::new("word");
    let digest = Digest::of(b"private");
    let liar: RepositoryRef = "x.test/library/app".parse().unwrap();
    let beside = "registry.example.com/team/other".parse().unwrap();
    assert!(rig.index.ensure_open());
    rig.keep(&digest).unwrap();
    rig.index.confirm(&liar, &digest);
    assert!(rig.index.held(&liar, &digest).is_none());
    assert!(!rig.index.has_delivered(&liar.registry, &digest));
    assert!(rig.index.has_delivered(&rig.place.registry, &digest));
    rig.index.confirm(&beside, &digest);
    assert!(rig.index.held(&beside, &digest).is_some());
}
