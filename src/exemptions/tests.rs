//! Valid, damaged and concurrently changed files, and the exemptions that a gate reads from them.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::file::held_by;
use super::*;
use crate::clock::{Clock, Timestamp};
use crate::oci::Digest;

const HOUR: Duration = Duration::from_secs(3600);
const START: i64 = 1_000_000;

struct Fixture {
    store: PathBuf,
    file: ExemptionFile,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.store);
    }
}

fn place(name: &str) -> Fixture {
    let name = format!("countersign-exemptions-{name}-{}", std::process::id());
    let store = std::env::temp_dir().join(name);
    let _ = fs::remove_dir_all(&store);
    fs::create_dir_all(&store).unwrap();
    let file = ExemptionFile::below(&store);
    Fixture { store, file }
}

fn said(content: &str, made: i64, lasts: Duration) -> Said {
    let made = Timestamp::from_unix(made);
    Said {
        repository: "r.example/app".parse().unwrap(),
        digest: Digest::of(content.as_bytes()),
        reason: "a test".to_owned(),
        by: "alice (uid 1000)".to_owned(),
        made,
        until: made.plus(lasts),
    }
}

fn replace(path: &Path, content: &[u8]) {
    let mut file = File::create(path).unwrap();
    file.write_all(content).unwrap();
}

impl Fixture {
    fn add(&self, content: &str) {
        self.file.add(said(content, START, HOUR)).unwrap();
    }

    fn watch(&self, clock: &Clock) -> Exemptions {
        let metrics = Metrics::registered(&mut prometheus_client::registry::Registry::default());
        Exemptions::new(self.file.clone(), clock.clone(), metrics, Reporting::Nothing)
    }

    fn folder(&self) -> PathBuf {
        self.store.join("exemptions")
    }

    /// The content of the file.
    fn json(&self) -> String {
        fs::read_to_string(self.file.path()).unwrap()
    }
}

fn in_force(watched: &Exemptions) -> usize {
    watched.of(&"r.example/app".parse().unwrap()).len()
}

#[test]
fn an_exemption_is_readable_by_all_and_writable_by_its_owner() {
    let place = place("written");
    assert_eq!(place.file.read().unwrap(), []);
    let said = said("one", START, HOUR);
    assert_eq!(place.file.add(said.clone()).unwrap(), None);
    let read = ExemptionFile::below(&place.store).read().unwrap();
    assert_eq!(read.iter().map(Exemption::says).collect::<Vec<_>>(), [&said]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&place.file.path()), mode(&place.folder())), (0o644, 0o755));
}

#[test]
fn a_new_exemption_of_the_same_digest_replaces_the_old_one() {
    let place = place("again");
    place.add("one");
    let shorter = said("one", START + 1, Duration::from_secs(60));
    let before = place.file.add(shorter.clone()).unwrap();
    assert_eq!(before.unwrap().says(), &said("one", START, HOUR));
    let read = place.file.read().unwrap();
    assert_eq!(read.iter().map(Exemption::says).collect::<Vec<_>>(), [&shorter]);
}

#[test]
fn concurrent_writers_lose_nothing() {
    let place = place("writers");
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let file = place.file.clone();
            scope.spawn(move || {
                for n in 0..5 {
                    file.add(said(&format!("{writer}/{n}"), START, HOUR)).unwrap();
                }
            });
        }
    });
    assert_eq!(place.file.read().unwrap().len(), 20);
}

#[test]
fn ending_one_exemption_leaves_the_others() {
    let place = place("end");
    place.add("one");
    place.add("two");
    let end = |repository: &str, content: &[u8]| {
        let repository = format!("r.example/{repository}").parse().unwrap();
        place.file.end(&repository, &Digest::of(content)).unwrap()
    };
    assert_eq!(end("other", b"one"), None);
    assert!(end("app", b"one").is_some());
    assert_eq!(end("app", b"one"), None);
    let left = place.file.read().unwrap();
    assert_eq!(left.iter().map(|one| one.says().digest).collect::<Vec<_>>(), [Digest::of(b"two")]);
}

#[test]
fn ended_exemptions_are_removed_by_the_next_write() {
    let place = place("forgotten");
    place.add("one");
    place.file.add(said("two", START + 3600, HOUR)).unwrap();
    assert_eq!(place.file.read().unwrap().len(), 1);
}

#[test]
fn the_exemptions_of_one_repository_are_limited() {
    let place = place("full");
    let (mut last, mut added) = (Ok(None), 0);
    while last.is_ok() && added < 100 {
        last = place.file.add(said(&added.to_string(), START, HOUR));
        added += 1;
    }
    assert_eq!(last, Err(ExemptionsError::Full(50, " in this repository")));
    assert_eq!(place.file.read().unwrap().len(), 50);
}

#[test]
fn no_store_is_created_for_an_exemption() {
    let place = place("none");
    fs::remove_dir_all(&place.store).unwrap();
    let added = place.file.add(said("one", START, HOUR));
    assert_eq!(added, Err(ExemptionsError::NoStore(place.store.clone())));
    assert!(!place.store.exists());
}

#[test]
fn a_truncated_file_is_an_error_at_every_length() {
    let place = place("half");
    place.add("one");
    let whole = place.json();
    for end in 0..whole.trim_end().len() {
        replace(&place.file.path(), &whole.as_bytes()[..end]);
        let read = place.file.read();
        assert!(matches!(read, Err(ExemptionsError::Corrupt { .. })), "{end}: {read:?}");
    }
}

#[test]
fn one_invalid_exemption_invalidates_the_whole_file() {
    let place = place("forged");
    place.add("one");
    let whole = place.json();
    let made = Timestamp::from_unix(START);
    let (until, late) = (made.plus(HOUR), made.plus(LONGEST + HOUR));
    let digest = Digest::of(b"one").to_string();
    for (from, to) in [
        (until.to_string(), late.to_string()),
        (until.to_string(), "tomorrow".to_owned()),
        (format!("@{digest}"), ":v1".to_owned()),
        (format!("r.example/app@{digest}"), "*".to_owned()),
        ("\"a test\"".to_owned(), "\"\"".to_owned()),
        ("\"format\": 1".to_owned(), "\"format\": 2".to_owned()),
        ("\"format\": 1".to_owned(), "\"format\": 1, \"all\": true".to_owned()),
        ("\"reason\"".to_owned(), "\"tag\": \"v1\", \"reason\"".to_owned()),
    ] {
        assert!(whole.contains(&from), "{from}");
        replace(&place.file.path(), whole.replace(&from, &to).as_bytes());
        let read = place.file.read();
        assert!(matches!(read, Err(ExemptionsError::Corrupt { .. })), "{to}: {read:?}");
        // And no write replaces it.
        assert!(place.file.add(said("two", START, HOUR)).is_err());
    }
}

#[test]
fn a_huge_file_is_not_read() {
    let place = place("huge");
    place.add("one");
    let mut padded = place.json().into_bytes();
    padded.resize(3 << 20, b' ');
    replace(&place.file.path(), &padded);
    assert!(matches!(place.file.read(), Err(ExemptionsError::Corrupt { .. })));
}

#[test]
fn a_link_exempts_nothing() {
    let place = place("link");
    place.add("one");
    let (path, aside) = (place.file.path(), place.store.join("aside"));
    fs::rename(&path, &aside).unwrap();
    symlink(&aside, &path).unwrap();
    assert!(matches!(place.file.read(), Err(ExemptionsError::NotOurs { .. })));
    fs::remove_file(&path).unwrap();
    fs::rename(&aside, &path).unwrap();
    assert_eq!(place.file.read().unwrap().len(), 1);
    let folder = place.folder();
    fs::rename(&folder, &aside).unwrap();
    symlink(&aside, &folder).unwrap();
    assert!(matches!(place.file.read(), Err(ExemptionsError::NotOurs { .. })));
}

#[test]
fn a_link_in_place_of_the_lock_is_not_followed() {
    let place = place("lock");
    place.add("one");
    let (lock, victim) = (place.folder().join(".lock"), place.store.join("victim"));
    fs::remove_file(&lock).unwrap();
    symlink(&victim, &lock).unwrap();
    assert!(place.file.add(said("two", START, HOUR)).is_err());
    assert!(!victim.exists());
}

#[test]
fn a_file_writable_by_others_exempts_nothing() {
    let place = place("mode");
    place.add("one");
    for path in [place.file.path(), place.folder()] {
        let before = fs::metadata(&path).unwrap().permissions();
        for mode in [0o664, 0o646, 0o777] {
            fs::set_permissions(&path, Permissions::from_mode(mode | 0o111)).unwrap();
            let read = place.file.read();
            assert!(matches!(read, Err(ExemptionsError::NotOurs { .. })), "{mode:o}: {read:?}");
        }
        fs::set_permissions(&path, before).unwrap();
    }
    assert_eq!(place.file.read().unwrap().len(), 1);
}

#[test]
fn a_file_owned_by_another_user_exempts_nothing() {
    assert!(held_by(&[0, 65534], 65534, 0o100_644).is_ok());
    assert!(held_by(&[0, 65534], 0, 0o100_644).is_ok());
    assert!(held_by(&[0, 65534], 1000, 0o100_644).is_err());
    assert!(held_by(&[0, 65534], 65534, 0o100_664).is_err());
}

#[test]
fn a_pipe_does_not_block() {
    let place = place("pipe");
    place.add("one");
    fs::remove_file(place.file.path()).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::mknodat(rustix::fs::CWD, place.file.path(), rustix::fs::FileType::Fifo, mode, 0)
        .unwrap();
    assert!(matches!(place.file.read(), Err(ExemptionsError::NotOurs { .. })));
}

#[test]
fn changes_by_another_process_take_effect_within_a_second() {
    let place = place("watch");
    let clock = Clock::manual(Timestamp::from_unix(START));
    let watched = place.watch(&clock);
    assert_eq!(in_force(&watched), 0);
    place.add("one");
    assert_eq!(in_force(&watched), 0);
    clock.advance(Duration::from_secs(1));
    assert_eq!(in_force(&watched), 1);
    place.file.end(&"r.example/app".parse().unwrap(), &Digest::of(b"one")).unwrap();
    clock.advance(Duration::from_secs(1));
    assert_eq!(in_force(&watched), 0);
}

#[test]
fn each_exemption_ends_on_time_though_the_file_is_unchanged() {
    let place = place("instant");
    place.add("one");
    let clock = Clock::manual(Timestamp::from_unix(START));
    let watched = place.watch(&clock);
    assert_eq!(in_force(&watched), 1);
    clock.advance(HOUR - Duration::from_nanos(1));
    assert_eq!(in_force(&watched), 1);
    clock.advance(Duration::from_nanos(1));
    assert_eq!(in_force(&watched), 0);
}

#[test]
fn a_clock_set_back_neither_revives_nor_prolongs_an_exemption() {
    let place = place("clock");
    place.add("one");
    let nanos = Arc::new(AtomicI64::new(START * 1_000_000_000));
    let clock = Clock::Manual(nanos.clone());
    let at = |seconds: i64| nanos.store((START + seconds) * 1_000_000_000, Ordering::SeqCst);
    let watched = place.watch(&clock);
    at(-10);
    assert_eq!(in_force(&watched), 0, "before it was made");
    at(10);
    assert_eq!(in_force(&watched), 1);
    at(3600);
    assert_eq!(in_force(&watched), 0);
    at(10);
    assert_eq!(in_force(&watched), 0, "after it ended");
}

#[test]
fn a_damaged_file_ends_all_exemptions_and_is_counted_until_repaired() {
    let place = place("broken");
    place.add("one");
    let mut registry = prometheus_client::registry::Registry::default();
    let clock = Clock::manual(Timestamp::from_unix(START));
    let metrics = Metrics::registered(&mut registry);
    let watched = Exemptions::new(place.file.clone(), clock.clone(), metrics, Reporting::Log);
    let counted = || {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().parse::<u64>().unwrap()
        };
        (
            value("countersign_exemptions_in_force "),
            value("countersign_exemptions_unreadable_total "),
        )
    };
    watched.tend();
    assert_eq!(counted(), (1, 0));
    let good = place.json();
    replace(&place.file.path(), b"{");
    clock.advance(Duration::from_secs(1));
    watched.tend();
    assert_eq!((in_force(&watched), counted()), (0, (0, 1)));
    clock.advance(Duration::from_secs(1));
    watched.tend();
    assert_eq!(counted(), (0, 2));
    replace(&place.file.path(), good.as_bytes());
    clock.advance(Duration::from_secs(1));
    watched.tend();
    assert_eq!((in_force(&watched), counted()), (1, (1, 2)));
}
