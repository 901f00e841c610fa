//! The files that a configuration is made of, and whether they changed. Looks at their size, time and
//! place, and never into them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The most files of one folder that are looked at.
const MAX_FILES: usize = 1024;

/// The configuration's file, and the files and folders that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchedFiles(BTreeSet<PathBuf>);

/// What the files were when they were looked at. Two that are the same stand for the same content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileStamps(BTreeMap<PathBuf, Option<State>>);

/// One file, where there is one. A link counts as what it leads to, so that a mounted folder whose link
/// is replaced has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    device: u64,
    inode: u64,
    length: u64,
    /// When its content changed, and when anything of it did: seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl WatchedFiles {
    pub(super) fn new(files: BTreeSet<PathBuf>) -> Self {
        Self(files)
    }

    /// One file alone.
    pub fn of(file: &Path) -> Self {
        Self(BTreeSet::from([file.to_owned()]))
    }

    #[cfg(any(test, feature = "test-support"))]
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(PathBuf::as_path)
    }

    /// Looks at all of them. Blocks.
    pub fn look(&self) -> FileStamps {
        let mut seen = BTreeMap::new();
        for path in &self.0 {
            let found = fs::metadata(path);
            if found.as_ref().is_ok_and(Metadata::is_dir) {
                // What cannot be listed is told where it is read; here it is one that changed.
                for inside in listed(path).unwrap_or_default() {
                    let state = fs::metadata(&inside).ok().as_ref().map(State::of);
                    seen.insert(inside, state);
                }
            }
            seen.insert(path.clone(), found.ok().as_ref().map(State::of));
        }
        FileStamps(seen)
    }
}

impl State {
    fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

fn listed(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.take(MAX_FILES).map(|entry| Ok(entry?.path())).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("watched-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn write(path: &Path, text: &str) {
        // Renamed into its place, as editors do it: another file then.
        let beside = path.with_extension("new");
        io::Write::write_all(&mut fs::File::create(&beside).unwrap(), text.as_bytes()).unwrap();
        fs::rename(beside, path).unwrap();
    }

    #[test]
    fn a_file_that_is_written_taken_away_or_put_back_has_changed() {
        let folder = folder("file");
        let (here, missing) = (folder.join("a"), folder.join("b"));
        write(&here, "1");
        let files = WatchedFiles::new(BTreeSet::from([here.clone(), missing.clone()]));
        let first = files.look();
        assert_eq!(first, files.look());
        write(&here, "2");
        let second = files.look();
        assert_ne!(first, second);
        write(&missing, "3");
        let third = files.look();
        assert_ne!(second, third);
        fs::remove_file(&missing).unwrap();
        assert_eq!(second, files.look());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_in_a_folder_and_the_aim_of_a_link_are_seen() {
        let folder = folder("folder");
        let (inside, link) = (folder.join("inside"), folder.join("link"));
        fs::create_dir_all(&inside).unwrap();
        for name in ["one", "two"] {
            write(&folder.join(name), name);
        }
        symlink(folder.join("one"), &link).unwrap();
        let files = WatchedFiles::new(BTreeSet::from([inside.clone(), link.clone()]));
        let first = files.look();
        write(&inside.join("root.pem"), "root");
        let second = files.look();
        assert_ne!(first, second);
        fs::remove_file(&link).unwrap();
        symlink(folder.join("two"), &link).unwrap();
        assert_ne!(second, files.look());
        fs::remove_dir_all(folder).unwrap();
    }
}
