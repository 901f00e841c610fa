//! The store of content, on a real disk and with a clock that stands still.

use std::time::Duration;

use countersign::clock::{Clock, Timestamp};
use countersign::oci::{Digest, Registry, Repository};
use countersign::store::{Config, Content, Metrics, Seen, Store, Unkept};

use crate::folder::Folder;

/// A store in a folder of its own, and the one repository that most tests need.
struct Rig {
    folder: Folder,
    clock: Clock,
    store: Store,
    registry: Registry,
    repository: Repository,
}

impl Rig {
    fn new(max_size: u64) -> Self {
        let folder = Folder::new("store");
        let clock = Clock::manual(Timestamp::from_unix(1_800_000_000));
        let store = open(&folder, &clock, max_size);
        let (registry, repository) =
            ("registry.example.com".parse().unwrap(), "library/app".parse().unwrap());
        Self { folder, clock, store, registry, repository }
    }

    fn keep(&self, content: &[u8], seen: Seen) -> Result<Content, Unkept> {
        let mut ingest = self.store.ingest(&Digest::of(content), Some(content.len() as u64))?;
        ingest.append(content)?;
        ingest.verify().unwrap().publish(&self.registry, &self.repository, seen)
    }

    fn content(&self, content: &[u8]) -> Option<Content> {
        self.store.content(&self.registry, &self.repository, &Digest::of(content))
    }

    /// Ends the store, and opens it again.
    fn reopen(self, max_size: u64) -> Self {
        let Self { folder, clock, store, registry, repository } = self;
        drop(store);
        let store = open(&folder, &clock, max_size);
        Self { folder, clock, store, registry, repository }
    }
}

fn open(folder: &Folder, clock: &Clock, max_size: u64) -> Store {
    let scrub_every = Duration::from_secs(3600);
    let config = Config { path: folder.path().to_owned(), max_size, scrub_every };
    Store::open(&config, clock.clone(), &Metrics::default()).unwrap()
}

#[test]
fn what_was_published_is_found_also_after_a_restart() {
    let rig = Rig::new(1 << 20);
    let large = vec![7; 200_000];
    for content in [b"abc".as_slice(), &large] {
        assert!(rig.content(content).is_none());
        assert_eq!(rig.keep(content, Seen::Blob).unwrap().bytes(), content);
        assert_eq!(rig.content(content).unwrap().bytes(), content);
    }
    let rig = rig.reopen(1 << 20);
    for content in [b"abc".as_slice(), &large] {
        assert_eq!(rig.content(content).unwrap().bytes(), content);
    }
}
