//! Folders of bundles: files that cannot be read for a while, many bundles, and many names of one.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::bundle::set::Current;
use crate::registry_client::BundleFiles;

fn set(folder: &Folder) -> BundleSet {
    BundleSet::new(BundleFiles::new(&folder.0.join("*.tar")).unwrap())
}

fn state(current: &Current) -> (usize, bool) {
    (current.bundles.len(), current.unreadable.is_some())
}

#[test]
fn a_bundle_that_could_not_be_read_is_read_again_without_a_change() {
    static FAILS: AtomicBool = AtomicBool::new(true);
    static OPENED: AtomicUsize = AtomicUsize::new(0);
    fn open(path: &Path) -> Result<Bundle, OpenError> {
        OPENED.fetch_add(1, Ordering::Relaxed);
        if FAILS.load(Ordering::Relaxed) {
            let error = io::Error::from_raw_os_error(5);
            return Err(OpenError { path: path.to_owned(), problem: ReadError::Io(error).into() });
        }
        Bundle::open(path)
    }
    let folder = Folder::new("again");
    parts().write(&folder.path(), None);
    let mut set = set(&folder);
    set.open = open;
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    // Until it is readable, nobody knows what it contains.
    assert_eq!(state(&set.current_at(start)), (0, true));
    for seconds in [0, 1, 4] {
        assert_eq!(state(&set.current_at(after(seconds))), (0, true));
    }
    assert_eq!(OPENED.load(Ordering::Relaxed), 1, "it is not read for each request");
    assert_eq!(state(&set.current_at(after(5))), (0, true));
    assert_eq!(OPENED.load(Ordering::Relaxed), 2);
    FAILS.store(false, Ordering::Relaxed);
    assert_eq!(state(&set.current_at(after(6))), (0, true));
    assert_eq!(state(&set.current_at(after(10))), (1, false));
    assert_eq!(state(&set.current_at(after(99))), (1, false));
    assert_eq!(OPENED.load(Ordering::Relaxed), 3);
}

#[test]
fn bundles_beyond_the_memory_of_a_folder_are_rejected_by_name() {
    let folder = Folder::new("memory");
    for name in ["a.tar", "b.tar", "c.tar"] {
        parts().write(&folder.0.join(name), None);
    }
    let memory = Bundle::open(&folder.path()).unwrap().memory();
    let mut set = set(&folder);
    set.most_memory = 2 * memory + 1;
    let current = set.current();
    // The rest may contain what is asked for.
    assert_eq!(state(&current), (2, true));
    let flaws = set.flaws();
    assert!(flaws.len() == 1 && flaws[0].contains("c.tar: the bundles of the folder"), "{flaws:?}");
    fs::remove_file(folder.0.join("a.tar")).unwrap();
    assert_eq!(state(&set.current()), (2, false));
    assert_eq!(set.flaws(), [""; 0]);
}

#[test]
fn the_memory_of_a_bundle_grows_with_its_lists() {
    let mut large = parts();
    large.contents.images[0].platforms = vec![String::new(); 100_000];
    let [small, large] = [parts(), large].map(|parts| open(parts, "lists").unwrap().memory());
    let strings = 100_000 * size_of::<String>() as u64;
    assert!(large - small >= 2 * strings, "{small} {large}");
}

#[test]
fn one_file_with_many_names_is_opened_once() {
    static OPENED: AtomicUsize = AtomicUsize::new(0);
    fn open(path: &Path) -> Result<Bundle, OpenError> {
        OPENED.fetch_add(1, Ordering::Relaxed);
        Bundle::open(path)
    }
    let folder = Folder::new("names");
    parts().write(&folder.path(), None);
    for number in 0..50 {
        fs::hard_link(folder.path(), folder.0.join(format!("hard-{number}.tar"))).unwrap();
        let soft = folder.0.join(format!("soft-{number}.tar"));
        std::os::unix::fs::symlink(folder.path(), soft).unwrap();
    }
    let mut set = set(&folder);
    set.open = open;
    assert_eq!(state(&set.current()), (1, false));
    assert_eq!(OPENED.load(Ordering::Relaxed), 1);
    // The others keep it when a name disappears.
    fs::remove_file(folder.path()).unwrap();
    assert_eq!(state(&set.current()), (1, true), "links without a target cannot be read");
}
