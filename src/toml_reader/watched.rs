//! The files of a configuration, and whether they changed. Compares size, times and identity, and never reads the
//! content.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use crate::file_state::FileState;

/// The most files of one folder that are checked.
const MAX_FILES: usize = 1024;

/// The configuration file, and the files and folders that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchedFiles(BTreeSet<PathBuf>);

/// The state of the files at one time. Equal stamps mean equal content. A link counts as its target, so that a mounted
/// folder whose link is replaced has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileStamps(BTreeMap<PathBuf, Option<FileState>>);

impl WatchedFiles {
    pub(super) fn new(files: BTreeSet<PathBuf>) -> Self {
        Self(files)
    }

    /// A single file.
    pub fn of(file: &Path) -> Self {
        Self(BTreeSet::from([file.to_owned()]))
    }

    #[cfg(feature = "test-support")]
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(PathBuf::as_path)
    }

    /// Reads the state of all files. Blocks.
    pub fn look(&self) -> FileStamps {
        let mut states = BTreeMap::new();
        for path in &self.0 {
            let found = fs::metadata(path);
            if found.as_ref().is_ok_and(Metadata::is_dir) {
                // An error is reported where the folder is read; here the folder counts as changed.
                for inside in listed(path).unwrap_or_default() {
                    let state = fs::metadata(&inside).ok().as_ref().map(FileState::of);
                    states.insert(inside, state);
                }
            }
            states.insert(path.clone(), found.ok().as_ref().map(FileState::of));
        }
        FileStamps(states)
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
        // Renamed into place, as editors do, so that it is a new file.
        let beside = path.with_extension("new");
        io::Write::write_all(&mut fs::File::create(&beside).unwrap(), text.as_bytes()).unwrap();
        fs::rename(beside, path).unwrap();
    }

    #[test]
    fn a_file_that_is_written_removed_or_restored_has_changed() {
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
    fn files_in_a_folder_and_link_targets_are_watched() {
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
