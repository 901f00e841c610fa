//! The lock of a store's folder: only one process may use it, because two would overwrite each other's state.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::in_place::InPlace;

/// Why a store cannot be used.
#[derive(Debug, Error)]
pub enum LockError {
    #[error("the store {} is in use by another process; stop that process, or set another `path` in [store]", .0.display())]
    InUse(PathBuf),
    #[error("the store {} cannot be used: {error}; `path` in [store] must be a folder that this user can write to", .path.display())]
    Io { path: PathBuf, error: io::Error },
}

/// Ownership of a store's folder, until it is dropped.
#[derive(Debug)]
pub struct StoreLock {
    _file: File,
    place: InPlace,
}

impl StoreLock {
    /// Creates the folder if it is missing, and locks it.
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let failed = |error| LockError::Io { path: folder.to_owned(), error };
        fs::create_dir_all(folder).map_err(failed)?;
        let path = folder.join("lock");
        let file = match File::create(&path) {
            // On a read-only file system, an earlier process may have created the lock file.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => File::open(&path),
            made => made,
        };
        let file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Self::locked(file, &path).map_err(failed),
            Err(TryLockError::WouldBlock) => Err(LockError::InUse(folder.to_owned())),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    fn locked(file: File, path: &Path) -> io::Result<Self> {
        // A second descriptor: checking the place must not keep the lock.
        let place = InPlace::open(path)?;
        // Another process may have replaced the file before we locked it.
        place.check_is(&file)?;
        Ok(Self { _file: file, place })
    }

    /// The lock file. If it is gone, another process can lock the folder.
    pub fn place(&self) -> InPlace {
        self.place.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_has_one_owner_at_a_time() {
        let folder = std::env::temp_dir().join(format!("countersign-lock-{}", std::process::id()));
        let first = StoreLock::take(&folder).unwrap();
        assert!(matches!(StoreLock::take(&folder), Err(LockError::InUse(_))));
        drop(first);
        drop(StoreLock::take(&folder).unwrap());
        fs::remove_dir_all(folder).unwrap();
    }
}
