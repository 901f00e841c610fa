//! Content that a disk corrupted is detected when it is opened or scrubbed.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use countersign::oci::Digest;
use countersign::store::{Config, HeldAs, Metrics, Store};

use super::{ROOM, Rig, SCRUB_EVERY, manifest};

/// Overwrites a file with other bytes.
fn damage(path: &Path, content: &[u8]) {
    fs::remove_file(path).unwrap();
    File::create_new(path).unwrap().write_all(content).unwrap();
}

impl Rig {
    fn scrub(&self) {
        self.store.scrub_due(self.clock.now());
    }

    fn lost(&self, fault: &str) -> u64 {
        self.metric(&format!("countersign_store_lost_total{{fault=\"{fault}\"}}"))
    }
}

#[test]
fn content_of_another_length_is_not_served_and_is_fetched_again() {
    let rig = Rig::new(ROOM);
    rig.keep(b"content", HeldAs::Blob).unwrap();
    for wrong in [b"conten".as_slice(), b"content and more"] {
        damage(&rig.path(b"content"), wrong);
        assert!(rig.content(b"content").is_none());
        assert!(!rig.keeps(b"content"));
        rig.keep(b"content", HeldAs::Blob).unwrap();
        assert!(rig.content(b"content").is_some());
    }
    assert_eq!((rig.lost("length"), rig.files("rotten").len()), (2, 1));
    assert_eq!(rig.metric("countersign_store_bytes"), 7);
}

/// Recently read content is still mapped.
#[test]
fn recently_read_content_of_another_length_is_not_served() {
    let rig = Rig::new(ROOM);
    let content = vec![1; 100_000];
    for (times, length) in [(1, Some(99_999)), (2, Some(100_001)), (2, None)] {
        drop(rig.keep(&content, HeldAs::Blob).unwrap());
        assert!(rig.content(&content).is_some());
        match length {
            Some(length) => {
                let file = File::options().write(true).open(rig.path(&content)).unwrap();
                file.set_len(length).unwrap();
            }
            None => fs::remove_file(rig.path(&content)).unwrap(),
        }
        let digest = Digest::of(&content);
        let found = rig.store.content(&rig.repository, &digest);
        assert!(found.is_none(), "{length:?}");
        assert_eq!((rig.lost("length"), rig.lost("missing")), (times, u64::from(length.is_none())));
    }
}

#[test]
fn content_whose_file_is_gone_is_fetched_again() {
    let rig = Rig::new(ROOM);
    rig.keep(b"content", HeldAs::Blob).unwrap();
    fs::remove_file(rig.path(b"content")).unwrap();
    assert!(rig.content(b"content").is_none() && !rig.keeps(b"content"));
    assert_eq!((rig.lost("missing"), rig.metric("countersign_store_bytes")), (1, 0));
    rig.keep(b"content", HeldAs::Blob).unwrap();
    assert!(rig.content(b"content").is_some());
}

#[test]
fn a_due_scrub_quarantines_corrupt_content() {
    let rig = Rig::new(ROOM);
    rig.keep(b"good", HeldAs::Blob).unwrap();
    rig.keep(b"bad!", manifest()).unwrap();
    damage(&rig.path(b"bad!"), b"ba d");
    rig.clock.advance(SCRUB_EVERY - Duration::from_secs(1));
    rig.scrub();
    assert!(rig.keeps(b"bad!"), "the scrub was not due yet");
    rig.clock.advance(Duration::from_secs(1));
    rig.scrub();
    assert!(rig.keeps(b"good") && !rig.keeps(b"bad!"));
    assert!(rig.content(b"bad!").is_none());
    assert_eq!((rig.lost("digest"), rig.files("rotten").len()), (1, 1));
    rig.keep(b"bad!", HeldAs::Blob).unwrap();
    assert!(rig.content(b"bad!").is_some());
}

#[test]
fn content_is_read_again_only_when_it_is_due_again() {
    let rig = Rig::new(ROOM);
    rig.keep(b"content", HeldAs::Blob).unwrap();
    rig.clock.advance(SCRUB_EVERY);
    rig.scrub();
    damage(&rig.path(b"content"), b"CONTENT");
    rig.scrub();
    assert!(rig.keeps(b"content"));
    rig.clock.advance(SCRUB_EVERY);
    rig.scrub();
    assert!(!rig.keeps(b"content"));
}

/// Current readers of the corrupt bytes continue; no other client gets them, also after the content was fetched again.
#[test]
fn corrupted_bytes_in_use_are_not_shared() {
    let rig = Rig::new(ROOM);
    let content = vec![1; 100_000];
    drop(rig.keep(&content, HeldAs::Blob).unwrap());
    damage(&rig.path(&content), &vec![2; 100_000]);
    let digest = Digest::of(&content);
    let rotten = rig.store.content(&rig.repository, &digest).unwrap();
    rig.clock.advance(SCRUB_EVERY);
    rig.scrub();
    rig.keep(&content, HeldAs::Blob).unwrap();
    assert!(rig.content(&content).is_some());
    assert_eq!(rotten.bytes()[..3], [2, 2, 2]);
}

#[test]
fn scrubbing_does_not_count_as_a_use() {
    let rig = Rig::new(300);
    for n in 1..=3 {
        rig.keep(&[n; 100], HeldAs::Blob).unwrap();
        rig.clock.advance(Duration::from_secs(1));
    }
    rig.clock.advance(SCRUB_EVERY);
    rig.scrub();
    rig.keep(&[4; 100], HeldAs::Blob).unwrap();
    assert!(!rig.keeps(&[1; 100]) && rig.keeps(&[2; 100]));
}

#[test]
fn a_few_quarantined_files_are_kept_until_space_is_needed() {
    let rig = Rig::new(600);
    for n in 1..=6 {
        rig.keep(&[n; 100], HeldAs::Blob).unwrap();
        damage(&rig.path(&[n; 100]), &[0; 100]);
    }
    rig.clock.advance(SCRUB_EVERY);
    rig.scrub();
    assert_eq!((rig.files("content").len(), rig.files("rotten").len()), (0, 4));
    rig.keep(&[7; 200], HeldAs::Blob).unwrap();
    assert_eq!(rig.files("rotten").len(), 4);
    rig.keep(&[8; 100], HeldAs::Blob).unwrap();
    assert_eq!((rig.files("content").len(), rig.files("rotten").len()), (2, 0));
}

/// The store scrubs by itself while it is used.
#[tokio::test(start_paused = true)]
async fn background_scrubbing_finds_corrupt_content() {
    let rig = Rig::new(ROOM);
    rig.keep(b"content", HeldAs::Blob).unwrap();
    damage(&rig.path(b"content"), b"CONTENT");
    rig.clock.advance(SCRUB_EVERY);
    let shutdown = tokio_util::sync::CancellationToken::new();
    let tending = tokio::spawn(rig.store.clone().tend(shutdown.clone()));
    while rig.keeps(b"content") {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    shutdown.cancel();
    tending.await.unwrap();
}

#[test]
fn an_opened_store_counts_its_quarantined_files() {
    let rig = Rig::new(ROOM);
    rig.keep(b"content", HeldAs::Blob).unwrap();
    damage(&rig.path(b"content"), b"content and more");
    assert!(rig.content(b"content").is_none());
    let Rig { folder, clock, store, .. } = rig;
    drop(store);
    let config = Config { path: folder.path().to_owned(), max_size: 20, scrub_every: SCRUB_EVERY };
    let store = Store::open(&config, clock, &Metrics::default()).unwrap();
    drop(store.ingest(&Digest::of(b""), Some(5)).unwrap());
    assert_eq!(fs::read_dir(folder.join("rotten")).unwrap().count(), 0);
}

/// Replaces a file with a symbolic link to itself.
fn unreadable(path: &Path) {
    fs::remove_file(path).unwrap();
    std::os::unix::fs::symlink(path, path).unwrap();
}

#[test]
fn content_that_cannot_be_opened_is_fetched_again() {
    let rig = Rig::new(ROOM);
    rig.keep(b"content", HeldAs::Blob).unwrap();
    unreadable(&rig.path(b"content"));
    assert!(rig.content(b"content").is_none() && !rig.keeps(b"content"));
    rig.keep(b"content", HeldAs::Blob).unwrap();
    assert!(rig.content(b"content").is_some());
}

#[test]
fn an_unreadable_file_does_not_stop_scrubbing() {
    let rig = Rig::new(ROOM);
    rig.keep(b"unreadable", HeldAs::Blob).unwrap();
    rig.clock.advance(Duration::from_secs(1));
    rig.keep(b"bad!", HeldAs::Blob).unwrap();
    unreadable(&rig.path(b"unreadable"));
    damage(&rig.path(b"bad!"), b"ba d");
    rig.clock.advance(SCRUB_EVERY);
    rig.scrub();
    assert!(!rig.keeps(b"unreadable") && !rig.keeps(b"bad!"));
    assert_eq!((rig.lost("unreadable"), rig.lost("digest")), (1, 1));
}
