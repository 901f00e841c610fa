//! Files that fill up, are moved away, or are removed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

/// A temporary folder for one test.
struct Fixture(PathBuf);

impl Fixture {
    fn new(name: &str) -> Self {
        let name = format!("countersign-rotated-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn open(&self, max_size: u64, keep: u64) -> Rotated {
        Rotated::open(Config { path: self.path("audit"), max_size, keep }).unwrap()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn put(path: &Path, text: &str) {
    File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_full_file_is_rotated_between_lines_and_the_oldest_is_removed() {
    let place = Fixture::new("full");
    let mut file = place.open(10, 2);
    file.write(b"one\ntwo\nthree\n").unwrap();
    assert_eq!(
        (place.read("audit.1"), place.read("audit")),
        ("one\ntwo\n".into(), "three\n".into())
    );
    file.write(b"four\nfive\nsix\n").unwrap();
    assert_eq!(place.names(), ["audit", "audit.1", "audit.2"]);
    assert_eq!(place.read("audit.2"), "three\n");
    assert_eq!(
        (place.read("audit.1"), place.read("audit")),
        ("four\nfive\n".into(), "six\n".into())
    );
}

#[test]
fn a_line_longer_than_the_limit_gets_its_own_file() {
    let place = Fixture::new("long");
    let mut file = place.open(4, 9);
    file.write(b"a\na long line\nb\n").unwrap();
    let read = ["audit.2", "audit.1", "audit"].map(|name| place.read(name));
    assert_eq!(read, ["a\n", "a long line\n", "b\n"]);
}

#[test]
fn an_existing_file_is_appended_to_and_its_partial_line_ended() {
    let place = Fixture::new("on");
    put(&place.path("audit"), "one\ntor");
    place.open(1_000, 1).write(b"two\n").unwrap();
    assert_eq!(place.read("audit"), "one\ntor\ntwo\n");
}

#[test]
fn the_file_is_readable_only_by_owner_and_group() {
    let place = Fixture::new("mode");
    place.open(1_000, 1);
    let mode = fs::metadata(place.path("audit")).unwrap().permissions().mode();
    // The umask may be stricter.
    assert_eq!(mode & 0o777 & !MODE, 0, "{mode:o}");
    assert_eq!(mode & 0o600, 0o600, "{mode:o}");
}

#[test]
fn a_moved_file_is_written_until_it_is_reopened() {
    let place = Fixture::new("moved");
    let mut file = place.open(1_000, 1);
    file.write(b"one\n").unwrap();
    fs::rename(place.path("audit"), place.path("away")).unwrap();
    file.write(b"two\n").unwrap();
    file.reopen().unwrap();
    file.write(b"three\n").unwrap();
    assert_eq!((place.read("away"), place.read("audit")), ("one\ntwo\n".into(), "three\n".into()));
}

#[test]
fn a_full_file_that_was_moved_away_is_not_renamed() {
    let place = Fixture::new("moved-full");
    let mut file = place.open(4, 3);
    file.write(b"one\n").unwrap();
    fs::rename(place.path("audit"), place.path("away")).unwrap();
    put(&place.path("audit"), "mine\n");
    file.write(b"two\n").unwrap();
    assert_eq!(place.names(), ["audit", "away"]);
    assert_eq!((place.read("away"), place.read("audit")), ("one\n".into(), "mine\ntwo\n".into()));
}

#[test]
fn a_removed_file_is_recreated_and_lines_without_a_folder_are_counted() {
    let place = Fixture::new("gone");
    let mut file = place.open(1_000, 1);
    fs::remove_dir_all(&place.0).unwrap();
    let lost = file.write(b"one\ntwo\n").unwrap_err();
    assert_eq!((lost.lines, lost.why.kind()), (2, io::ErrorKind::NotFound));
    fs::create_dir_all(&place.0).unwrap();
    file.write(b"three\n").unwrap();
    assert_eq!(place.read("audit"), "three\n");
}

#[test]
fn a_file_that_cannot_be_rotated_grows() {
    let place = Fixture::new("stuck");
    let mut file = place.open(4, 2);
    file.write(b"one\n").unwrap();
    // A file cannot be renamed over a folder.
    fs::create_dir(place.path("audit.1")).unwrap();
    put(&place.path("audit.2"), "");
    file.write(b"two\n").unwrap();
    assert_eq!(place.read("audit"), "one\ntwo\n");
    fs::remove_dir(place.path("audit.1")).unwrap();
    file.write(b"three\n").unwrap();
    assert_eq!(
        (place.read("audit.1"), place.read("audit")),
        ("one\ntwo\n".into(), "three\n".into())
    );
}

#[test]
fn a_folder_is_not_opened() {
    let place = Fixture::new("folder");
    fs::create_dir(place.path("audit")).unwrap();
    let config = Config { path: place.path("audit"), max_size: 10, keep: 1 };
    assert!(Rotated::open(config).unwrap_err().to_string().contains("not a regular file"));
}

/// A full disk writes only a part of a line; `take_back` removes that part.
#[test]
fn a_partly_written_line_is_removed() {
    let place = Fixture::new("torn");
    let file = place.open(1_000, 1).file.unwrap();
    (&file).write_all(b"one\ntw").unwrap();
    assert_eq!(whole(b"one\ntw"), b"one\n");
    take_back(&file, 2).unwrap();
    assert_eq!(place.read("audit"), "one\n");
}

#[test]
fn a_link_is_not_followed() {
    let place = Fixture::new("link");
    put(&place.path("elsewhere"), "theirs\n");
    std::os::unix::fs::symlink(place.path("elsewhere"), place.path("audit")).unwrap();
    let config = Config { path: place.path("audit"), max_size: 10, keep: 1 };
    assert!(Rotated::open(config).unwrap_err().to_string().contains("not a regular file"));
    assert_eq!(place.read("elsewhere"), "theirs\n");
}

#[test]
fn a_link_in_place_of_the_file_is_not_written_or_rotated() {
    let place = Fixture::new("replaced");
    let mut file = place.open(4, 2);
    file.write(b"one\n").unwrap();
    fs::rename(place.path("audit"), place.path("away")).unwrap();
    std::os::unix::fs::symlink(place.path("away"), place.path("audit")).unwrap();
    assert!(file.reopen().is_err());
    file.write(b"two\n").unwrap();
    assert_eq!((place.names().len(), place.read("away")), (2, "one\ntwo\n".into()));
}
