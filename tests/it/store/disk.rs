//! Failing disks, crashes, and unreadable databases: nothing is lost but time.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use countersign::clock::Clock;
use countersign::oci::Digest;
use countersign::store::{Config, HeldAs, InPlace, Metrics, Store, Unkept};

use super::{ROOM, Rig, SCRUB_EVERY, copy, manifest};
use crate::folder::Folder;

/// Longer than the store waits before it retries a failed disk and uses it again.
const A_WHILE: Duration = Duration::from_secs(60);

fn write(path: &Path, content: &[u8]) {
    let _ = fs::remove_file(path);
    File::create_new(path).unwrap().write_all(content).unwrap();
}

impl Rig {
    fn is_usable(&self) -> bool {
        self.metric("countersign_store_usable") == 1
    }
}

#[test]
fn a_crash_during_a_write_leaves_no_content() {
    let rig = Rig::new(ROOM);
    rig.keep(b"whole", HeldAs::Blob).unwrap();
    let mut unfinished = rig.store.ingest(&Digest::of(b"unfinished"), None).unwrap();
    unfinished.append(b"unfin").unwrap();
    let unpublished = rig.begin(b"unpublished", None).unwrap().verify().unwrap();
    assert_eq!(rig.files("incoming").len(), 2);
    let after = rig.crash();
    assert!(after.files("incoming").is_empty());
    assert!(after.content(b"whole").is_some());
    assert!(!after.keeps(b"unfinished") && !after.keeps(b"unpublished"));
    drop((unfinished, unpublished));
}

#[test]
fn a_sweep_removes_files_that_the_index_does_not_know() {
    let rig = Rig::new(ROOM);
    rig.keep(b"known", HeldAs::Blob).unwrap();
    let orphan = rig.path(b"orphan");
    fs::create_dir_all(orphan.parent().unwrap()).unwrap();
    write(&orphan, b"orphan");
    let after = rig.crash();
    assert_eq!(after.files("content").len(), 2);
    after.store.look_after();
    assert_eq!(after.files("content"), [after.path(b"known")]);
    assert!(after.content(b"known").is_some());
}

#[test]
fn a_sweep_forgets_entries_without_a_file() {
    let rig = Rig::new(ROOM);
    rig.keep(b"there", HeldAs::Blob).unwrap();
    rig.keep(b"not there", HeldAs::Blob).unwrap();
    fs::remove_file(rig.path(b"not there")).unwrap();
    let after = rig.crash();
    assert_eq!(after.metric("countersign_store_bytes"), 14);
    after.store.look_after();
    assert_eq!(after.metric("countersign_store_bytes"), 5);
    assert!(after.keeps(b"there") && !after.keeps(b"not there"));
}

#[test]
fn a_file_where_a_folder_should_be_is_an_error_at_start() {
    for name in ["content", "incoming", "rotten"] {
        let folder = Folder::new("no-folder");
        folder.write(name, "");
        let config =
            Config { path: folder.path().to_owned(), max_size: ROOM, scrub_every: SCRUB_EVERY };
        let opened = Store::open(&config, Clock::default(), &Metrics::default());
        let reported = opened.unwrap_err().to_string();
        assert!(reported.contains("cannot be opened"), "{reported}");
    }
}

#[test]
fn on_a_read_only_disk_stored_content_is_served_and_nothing_is_stored() {
    let rig = Rig::new(ROOM);
    rig.keep(b"kept", HeldAs::Blob).unwrap();
    fs::remove_dir(rig.folder.join("incoming")).unwrap();
    write(&rig.folder.join("incoming"), b"");
    for _ in 0..3 {
        assert!(matches!(rig.keep(b"new", HeldAs::Blob), Err(Unkept::Disk(_))));
    }
    assert!(!rig.is_usable());
    assert!(rig.content(b"kept").is_some());
    rig.clock.advance(A_WHILE);
    rig.store.look_after();
    assert!(!rig.is_usable());
    let failures = rig.metric("countersign_store_failures_total{operation=\"write\"}");
    assert!(failures >= 3, "{failures}");

    fs::remove_file(rig.folder.join("incoming")).unwrap();
    rig.keep(b"new", HeldAs::Blob).unwrap();
    rig.clock.advance(A_WHILE);
    rig.store.look_after();
    assert!(rig.is_usable());
    assert!(rig.content(b"new").is_some() && rig.content(b"kept").is_some());
}

/// The bytes can be written, but the file cannot get its final name.
#[test]
fn a_failed_publication_leaves_no_content() {
    let rig = Rig::new(ROOM);
    write(&rig.folder.join("content/sha256"), b"");
    assert!(matches!(rig.keep(b"new", HeldAs::Blob), Err(Unkept::Disk(_))));
    assert!(!rig.keeps(b"new") && rig.files("incoming").is_empty());
    assert_eq!(rig.metric("countersign_store_bytes"), 0);
    fs::remove_file(rig.folder.join("content/sha256")).unwrap();
    rig.keep(b"new", HeldAs::Blob).unwrap();
}

#[test]
fn a_store_whose_folder_was_removed_starts_empty() {
    let rig = Rig::new(ROOM);
    let reading = rig.keep(&[1; 100_000], HeldAs::Blob).unwrap();
    rig.keep(b"kept", HeldAs::Blob).unwrap();
    fs::remove_dir_all(rig.folder.path()).unwrap();
    assert!(rig.content(b"kept").is_none());
    assert_eq!(reading.bytes()[99_999], 1);
    rig.clock.advance(A_WHILE);
    rig.keep(b"new", HeldAs::Blob).unwrap();
    assert!(rig.content(b"new").is_some() && rig.content(b"kept").is_none());
    assert_eq!(rig.metric("countersign_store_bytes"), 3);
    rig.clock.advance(A_WHILE);
    rig.store.look_after();
    assert!(rig.is_usable());
}

#[test]
fn a_restored_folder_has_all_its_content() {
    let rig = Rig::new(ROOM);
    rig.keep(b"kept", HeldAs::Blob).unwrap();
    let away = Folder::new("away");
    fs::rename(rig.folder.path(), away.join("store")).unwrap();
    assert!(rig.content(b"kept").is_none());
    assert!(rig.store.ingest(&Digest::of(b"new"), None).is_err() || rig.folder.path().exists());
    let _ = fs::remove_dir_all(rig.folder.path());
    fs::rename(away.join("store"), rig.folder.path()).unwrap();
    rig.clock.advance(A_WHILE);
    rig.store.look_after();
    assert!(rig.content(b"kept").is_some());
}

#[test]
fn an_unreadable_database_is_quarantined_and_replaced() {
    let rig = Rig::new(ROOM);
    rig.keep(b"kept", HeldAs::Blob).unwrap();
    let good = fs::read(rig.folder.join("facts.redb")).unwrap();
    let mut scribbled = good.clone();
    scribbled[4096..].fill(0x5a);
    let broken: [&[u8]; 4] = [b"this is no database", &good[..5000], &scribbled, &[0; 8192]];
    for broken in broken {
        let folder = Folder::new("broken");
        copy(rig.folder.path(), folder.path());
        write(&folder.join("facts.redb"), broken);
        let after = Rig::open(folder, rig.clock.clone(), ROOM);
        assert!(after.content(b"kept").is_none());
        assert_eq!(
            fs::read(after.folder.join("facts.redb.unreadable")).unwrap().len(),
            broken.len()
        );
        after.keep(b"new", manifest()).unwrap();
        after.store.look_after();
        assert_eq!(after.files("content"), [after.path(b"new")]);
        assert!(after.content(b"new").is_some() && after.is_usable());
    }
}

#[test]
fn without_a_database_a_folder_is_an_empty_store() {
    let rig = Rig::new(ROOM);
    rig.keep(b"kept", HeldAs::Blob).unwrap();
    let folder = Folder::new("without");
    copy(rig.folder.path(), folder.path());
    fs::remove_file(folder.join("facts.redb")).unwrap();
    let after = Rig::open(folder, rig.clock.clone(), ROOM);
    assert!(!after.keeps(b"kept"));
    after.store.look_after();
    assert!(after.files("content").is_empty());
}

impl Rig {
    /// The machine's clock was wrong, and is corrected.
    fn turn_back(&self, by: Duration) {
        let Clock::Manual(nanos) = &self.clock else {
            panic!("the store uses the machine's clock")
        };
        let by = i64::try_from(by.as_nanos()).unwrap();
        nanos.fetch_sub(by, std::sync::atomic::Ordering::SeqCst);
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn a_recovered_disk_is_used_even_if_the_clock_goes_back() {
    let rig = Rig::new(ROOM);
    fs::remove_dir(rig.folder.join("incoming")).unwrap();
    write(&rig.folder.join("incoming"), b"");
    assert!(rig.keep(b"new", HeldAs::Blob).is_err());
    fs::remove_file(rig.folder.join("incoming")).unwrap();
    rig.turn_back(DAY);
    for _ in 0..2 {
        rig.keep(b"new", HeldAs::Blob).unwrap();
        rig.store.look_after();
        rig.clock.advance(A_WHILE);
    }
    assert!(rig.is_usable());
}

#[test]
fn a_failed_database_is_reopened_even_if_the_clock_goes_back() {
    let rig = Rig::new(ROOM);
    fs::remove_dir_all(rig.folder.path()).unwrap();
    assert!(rig.keep(b"new", HeldAs::Blob).is_err());
    rig.turn_back(DAY);
    for _ in 0..2 {
        rig.store.look_after();
        rig.clock.advance(A_WHILE);
    }
    rig.keep(b"new", HeldAs::Blob).unwrap();
}

#[test]
fn a_folder_among_the_files_is_ignored() {
    let rig = Rig::new(ROOM);
    let orphan = rig.path(b"orphan");
    fs::create_dir_all(orphan.parent().unwrap()).unwrap();
    write(&orphan, b"orphan");
    let folder = rig.folder.join(&format!("content/sha256/00/{}", "0".repeat(64)));
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir(rig.folder.join("rotten/folder")).unwrap();
    let after = rig.crash();
    after.store.look_after();
    assert!(!after.path(b"orphan").exists() && after.is_usable());
    after.keep(b"rots", HeldAs::Blob).unwrap();
    write(&after.path(b"rots"), b"rotten");
    assert!(after.content(b"rots").is_none());
    for n in 0..6 {
        after.keep(&[n], HeldAs::Blob).unwrap();
        write(&after.path(&[n]), b"rotten");
        assert!(after.content(&[n]).is_none());
    }
    assert!(after.is_usable());
}

/// As after a folder was restored, including unfinished files.
#[test]
fn a_replaced_temporary_file_is_not_published() {
    let rig = Rig::new(ROOM);
    let whole = rig.begin(b"mine", None).unwrap().verify().unwrap();
    let incoming = rig.files("incoming");
    write(&incoming[0], b"else");
    assert!(whole.publish(&rig.repository, HeldAs::Blob).is_err());
    assert!(!rig.keeps(b"mine") && rig.files("content").is_empty());
}

#[test]
fn trust_memory_is_usable_again_when_its_folder_is_back_even_if_nothing_is_written() {
    let (rig, top) = (Rig::new(ROOM), Folder::new("memory-probe"));
    let (folder, away) = (top.path().join("team"), top.path().join("away"));
    fs::create_dir(&folder).unwrap();
    let (place, health) = (InPlace::open(&folder).unwrap(), rig.store.memory_health());
    fs::rename(&folder, &away).unwrap();
    health.record::<(), _>(&place, &Err("gone"));
    rig.store.look_after();
    assert_eq!((health.failure().as_deref(), rig.is_usable()), (Some("gone"), false));
    assert!(!folder.exists(), "another process may own a folder at this path");

    fs::rename(&away, &folder).unwrap();
    rig.store.look_after();
    assert_eq!((health.failure(), rig.is_usable()), (None, true));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "the probe left a file");
}
