//! A database whose disk fails under it.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use redb::backends::FileBackend;
use redb::{Builder, StorageBackend};

use super::*;
use crate::store::metrics::Metrics;

/// A disk that fails when it is told to.
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

/// Facts in a folder of their own.
struct Rig {
    folder: PathBuf,
    clock: Clock,
    health: Arc<Health>,
    facts: ContentIndex,
    place: (Registry, Repository),
}

impl Rig {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("countersign-facts-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let clock = Clock::manual(Timestamp::from_unix(1_800_000_000));
        let health = Health::new(clock.clone(), Metrics::default());
        let room =
            Arc::new(Capacity::new(1000, prometheus_client::metrics::gauge::Gauge::default()));
        let layout = Arc::new(Layout::new(&folder));
        let facts = ContentIndex::new(layout, clock.clone(), health.clone(), room);
        let place = ("registry.example.com".parse().unwrap(), "library/app".parse().unwrap());
        Self { folder, clock, health, facts, place }
    }

    fn keep(&self, digest: &Digest) -> Result<(), NoFacts> {
        self.facts.keep((&self.place.0, &self.place.1), digest, 1, &HeldAs::Blob)
    }

    /// Has the database be on a disk that can be made to fail.
    fn make_fallible(&self) -> Arc<AtomicBool> {
        let file = self.facts.opened.swap(None).unwrap().file;
        let disk = File::options().read(true).write(true).open(self.facts.layout.facts()).unwrap();
        let fails = Arc::new(AtomicBool::new(false));
        let disk = Failing { disk: FileBackend::new(disk).unwrap(), fails: fails.clone() };
        let database = Builder::new().create_with_backend(disk).unwrap();
        self.facts.opened.store(Some(Arc::new(Opened::new(database, file))));
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
    assert!(rig.facts.see_to());
    rig.keep(&kept).unwrap();
    let fails = rig.make_fallible();
    assert_eq!(rig.facts.keeps(&kept), Some(true));

    fails.store(true, Ordering::SeqCst);
    assert!(matches!(rig.keep(&lost), Err(NoFacts::Failed(_))));
    fails.store(false, Ordering::SeqCst);
    assert!(!rig.health.is_good());
    // Until then nothing is known, and nothing can be noted.
    assert_eq!(rig.facts.keeps(&kept), None);
    assert!(matches!(rig.keep(&lost), Err(NoFacts::Closed)));
    assert!(!rig.facts.see_to(), "it was tried a moment ago");

    rig.clock.advance(Duration::from_secs(5));
    assert!(rig.facts.see_to());
    assert_eq!(rig.facts.keeps(&kept), Some(true));
    assert_eq!(rig.facts.keeps(&lost), Some(false));
    rig.keep(&lost).unwrap();
    assert_eq!(rig.facts.keeps(&lost), Some(true));
}

#[test]
fn a_failure_of_a_database_that_was_replaced_does_not_close_the_new_one() {
    let rig = Rig::new("replaced");
    assert!(rig.facts.see_to());
    let old = rig.facts.opened.load_full().unwrap();
    rig.put_another();
    rig.facts.close(&old, &Error::PreviousIo);
    assert!(rig.facts.is_open());
}

impl Rig {
    /// Puts another database in place of the one that is open.
    fn put_another(&self) {
        let database =
            Builder::new().create_with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        self.facts.opened.store(Some(Arc::new(Opened::new(database, (0, 0)))));
    }
}

#[test]
fn a_database_that_turns_out_to_be_broken_is_set_aside_and_a_new_one_begun() {
    let rig = Rig::new("broken");
    let kept = Digest::of(b"kept");
    assert!(rig.facts.see_to());
    rig.keep(&kept).unwrap();
    let broken = || -> Result<(), Error> { Err(Error::Corrupted("a page".to_owned())) };
    assert!(rig.facts.write(Lasting::Later, |_| broken()).is_err());
    rig.clock.advance(Duration::from_secs(5));
    assert!(rig.facts.see_to());
    assert_eq!(rig.facts.keeps(&kept), Some(false));
    assert!(rig.facts.layout.facts_aside().exists());
}

#[test]
fn tables_that_do_not_agree_are_a_broken_database() {
    let rig = Rig::new("disagree");
    let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
    assert!(rig.facts.see_to());
    for digest in [&one, &other] {
        rig.keep(digest).unwrap();
    }
    let opened = rig.facts.opened.load_full().unwrap();
    let writing = opened.database().unwrap().begin_write().unwrap();
    {
        let mut content = writing.open_table(tables::CONTENT).unwrap();
        content.insert(tables::key(&one).as_slice(), (1, 0, 7, 7)).unwrap();
    }
    writing.commit().unwrap();
    drop(opened);
    assert!(rig.facts.scrubbed_until(rig.clock.now()).is_none());
    assert!(!rig.facts.is_open());
    rig.clock.advance(Duration::from_secs(5));
    assert!(rig.facts.see_to());
    assert_eq!(rig.facts.keeps(&other), Some(false));
}

#[test]
fn a_database_that_makes_its_reader_panic_is_broken() {
    let rig = Rig::new("panics");
    assert!(rig.facts.see_to());
    let answer: Option<()> = rig.facts.read(|_| panic!("a page that is none"));
    assert!(answer.is_none() && !rig.facts.is_open());
    assert!(rig.facts.unreadable.load(Ordering::Relaxed));
}

#[test]
fn a_database_of_another_version_is_set_aside() {
    let rig = Rig::new("version");
    assert!(rig.facts.see_to());
    {
        let opened = rig.facts.opened.swap(None).unwrap();
        let writing = opened.database().unwrap().begin_write().unwrap();
        let other = tables::VERSION + 1;
        writing.open_table(tables::ABOUT).unwrap().insert("version", other).unwrap();
        writing.commit().unwrap();
    }
    rig.clock.advance(Duration::from_secs(5));
    assert!(rig.facts.see_to());
    assert!(rig.facts.layout.facts_aside().exists());
    rig.keep(&Digest::of(b"")).unwrap();
}

#[test]
fn a_later_time_is_later_also_when_the_clock_stands() {
    let rig = Rig::new("ticks");
    let first = rig.facts.tick();
    let second = rig.facts.tick();
    rig.clock.advance(Duration::from_secs(1));
    let third = rig.facts.tick();
    assert!(first < second && second < third);
    assert_eq!(third, 1_800_000_001_000_000_000);
}

#[test]
fn what_several_registries_held_by_their_word_each_has_to_deliver_again() {
    let rig = Rig::new("by-word");
    let (alone, shared) = (Digest::of(b"alone"), Digest::of(b"shared"));
    let liar = ("x.test".parse().unwrap(), rig.place.1.clone());
    let place = (&rig.place.0, &rig.place.1);
    assert!(rig.facts.see_to());
    rig.keep(&alone).unwrap();
    rig.keep(&shared).unwrap();
    rig.facts.hold((&liar.0, &liar.1), &shared, &HeldAs::Blob);
    let opened = rig.facts.opened.swap(None).unwrap();
    let transaction = opened.database().unwrap().begin_write().unwrap();
    transaction.open_table(tables::ABOUT).unwrap().insert("version", tables::BY_WORD).unwrap();
    transaction.commit().unwrap();
    drop(opened);
    rig.clock.advance(Duration::from_secs(5));
    assert!(rig.facts.see_to());
    assert!(rig.facts.held(place, &alone).is_some());
    assert!(rig.facts.held((&liar.0, &liar.1), &shared).is_none());
    assert!(rig.facts.held(place, &shared).is_none() && rig.facts.keeps(&shared) == Some(true));
}

#[test]
fn the_word_of_a_registry_makes_it_no_holder_of_what_another_delivered() {
    let rig = Rig::new("word");
    let digest = Digest::of(b"private");
    let liar = ("x.test".parse().unwrap(), rig.place.1.clone());
    let beside = "team/other".parse().unwrap();
    assert!(rig.facts.see_to());
    rig.keep(&digest).unwrap();
    rig.facts.confirm((&liar.0, &liar.1), &digest);
    assert!(rig.facts.held((&liar.0, &liar.1), &digest).is_none());
    assert!(!rig.facts.has_delivered(&liar.0, &digest));
    assert!(rig.facts.has_delivered(&rig.place.0, &digest));
    rig.facts.confirm((&rig.place.0, &beside), &digest);
    assert!(rig.facts.held((&rig.place.0, &beside), &digest).is_some());
}
