//! Quarantines content whose bytes do not match its digest, so that an operator can examine it. Keeps only a
//! few files, and deletes them when the store needs the space.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::disk::Disk;
use super::in_use::Pin;
use super::metrics::{Fault, Operation};

/// The maximum number of quarantined files.
const MAX_FILES: usize = 4;

impl Disk {
    /// Removes corrupt or missing content from the index, and quarantines its file. The next request fetches it
    /// again.
    pub(super) fn quarantine(&self, pin: &Pin, fault: Fault) {
        let digest = pin.digest();
        self.metrics.lost(fault);
        tracing::warn!(%digest, fault = fault.as_str(), "stored content is corrupt or missing; it will be fetched again");
        pin.forget_opened();
        self.warm.clear();
        if fault != Fault::Missing
            && let Err(error) = fs::rename(self.layout.content(digest), self.layout.quarantine(digest))
            // Another reader may have been faster.
            && error.kind() != io::ErrorKind::NotFound
        {
            self.health.failed(Operation::Remove, &error);
        }
        self.index.forget(digest);
        self.trim_quarantine(MAX_FILES);
    }

    /// Removes all quarantined files. Returns whether there were any.
    pub(super) fn clear_quarantine(&self) -> bool {
        self.trim_quarantine(0) > 0
    }

    /// Counts the quarantined files toward the size of the store, and removes all but the newest `most`.
    /// Returns how many it removed.
    pub(super) fn trim_quarantine(&self, most: usize) -> usize {
        let counted = self.try_trim_quarantine(most);
        counted.unwrap_or_else(|error| {
            self.health.failed(Operation::Remove, &error);
            0
        })
    }

    fn try_trim_quarantine(&self, most: usize) -> io::Result<usize> {
        let mut files: Vec<(i64, PathBuf, u64)> = Vec::new();
        for entry in fs::read_dir(self.layout.quarantine_folder())? {
            let entry = entry?;
            let file = entry.metadata()?;
            // The store creates no folders here; leave them to their owner.
            if !file.is_dir() {
                files.push((file.ctime(), entry.path(), file.len()));
            }
        }
        files.sort();
        let surplus = files.len().saturating_sub(most);
        let removed = files[..surplus].iter().try_for_each(|(_, path, _)| fs::remove_file(path));
        self.capacity.set_aside(files[surplus..].iter().map(|(_, _, length)| length).sum());
        removed.map(|()| surplus)
    }
}
