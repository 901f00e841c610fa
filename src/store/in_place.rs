//! Checks that an open file or folder is still the one at its path. If it was removed or replaced, another
//! process may own the new one.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::atomic;

/// An open file or folder. All clones share it.
#[derive(Clone, Debug)]
pub struct InPlace {
    path: PathBuf,
    // While the file is open, no other file gets its inode number.
    file: Arc<File>,
}

impl InPlace {
    /// Opens the file or folder at `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: Arc::new(File::open(path)?) })
    }

    /// Fails if it is no longer at its path, or if that cannot be determined.
    pub fn check(&self) -> io::Result<()> {
        self.check_is(&self.file)
    }

    /// Publishes a file of `length` bytes in the folder, and removes it.
    pub(super) fn probe(&self, length: usize) -> io::Result<()> {
        self.check()?;
        let path = self.path.join("probe");
        atomic::publish(&path, &vec![0; length])?;
        fs::remove_file(path)
    }

    /// Whether both are the same open file or folder.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file)
    }

    /// Fails if `file` is not the file at the path.
    pub(super) fn check_is(&self, file: &File) -> io::Result<()> {
        let is = match fs::metadata(&self.path) {
            Ok(there) => {
                let open = file.metadata()?;
                (there.dev(), there.ino()) == (open.dev(), open.ino())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if is {
            return Ok(());
        }
        let path = self.path.display();
        Err(io::Error::other(format!(
            "{path} was removed or replaced while Countersign runs; restore it, or restart Countersign"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recreated_folder_is_another_one_and_a_restored_folder_is_the_same() {
        let top = std::env::temp_dir().join(format!("countersign-in-place-{}", std::process::id()));
        let (folder, away) = (top.join("folder"), top.join("away"));
        fs::create_dir_all(&folder).unwrap();
        let place = InPlace::open(&folder).unwrap();
        place.check().unwrap();
        fs::rename(&folder, &away).unwrap();
        let error = place.check().unwrap_err().to_string();
        assert!(error.contains("was removed or replaced") && error.contains("in-place"), "{error}");
        fs::create_dir(&folder).unwrap();
        assert!(place.check().is_err());
        fs::remove_dir(&folder).unwrap();
        fs::rename(&away, &folder).unwrap();
        place.check().unwrap();
        fs::remove_dir_all(top).unwrap();
    }
}
