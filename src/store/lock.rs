//! One process owns a store: two would each forget what the other remembers.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::in_place::InPlace;

/// Why a store cannot be used.
#[derive(Debug, Error)]
pub enum LockError {
    #[error("the store {} is in use by another process: stop that one, or give this one a `path` of its own", .0.display())]
    InUse(PathBuf),
    #[error("the store {} cannot be used: {error}; `path` of [store] must be a folder that this user may write to", .path.display())]
    Io { path: PathBuf, error: io::Error },
}

/// Ownership of a store's folder, until it is dropped.
#[derive(Debug)]
pub struct StoreLock {
    _file: File,
    place: InPlace,
}

impl StoreLock {
    /// Makes the folder if it is missing, and takes it.
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let failed = |error| LockError::Io { path: folder.to_owned(), error };
        fs::create_dir_all(folder).map_err(failed)?;
        let path = folder.join("lock");
        let file = match File::create(&path) {
            // Where nothing can be written, there may be one from before.
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
        // Opened once more: what only looks at it must not hold the lock.
        let place = InPlace::open(path)?;
        // Another process may have replaced the file before it was locked.
        place.check_is(&file)?;
        Ok(Self { _file: file, place })
    }

    /// The lock's file: if it is gone, another process can take the folder.
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
