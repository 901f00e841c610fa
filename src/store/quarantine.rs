//! Sets aside content that is not what its name says, for whoever wants to know what happened to it.
//! A few are kept, and only while nothing else wants the room.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::disk::Disk;
use super::in_use::Pin;
use super::metrics::{Fault, Operation};

/// The most that are kept.
const MOST: usize = 4;

impl Disk {
    /// Content is not what it was: it is not found any more, and is fetched again.
    pub(super) fn lose(&self, pin: &Pin, fault: Fault) {
        let digest = pin.digest();
        self.metrics.lost(fault);
        tracing::warn!(%digest, fault = fault.as_str(), "stored content is not what it was; it is fetched again");
        pin.forget_opened();
        self.warm.clear();
        if fault != Fault::Missing
            && let Err(error) = fs::rename(self.layout.content(digest), self.layout.rotten(digest))
            // Another who read it was first.
            && error.kind() != io::ErrorKind::NotFound
        {
            self.health.failed(Operation::Remove, &error);
        }
        self.facts.forget(digest);
        self.count_rotten(MOST);
    }

    /// Removes all that was set aside. Whether that was anything.
    pub(super) fn clear_rotten(&self) -> bool {
        self.count_rotten(0) > 0
    }

    /// Counts what was set aside as taken room, and removes all but the last `most`. How many were
    /// removed.
    pub(super) fn count_rotten(&self, most: usize) -> usize {
        let counted = self.try_count_rotten(most);
        counted.unwrap_or_else(|error| {
            self.health.failed(Operation::Remove, &error);
            0
        })
    }

    fn try_count_rotten(&self, most: usize) -> io::Result<usize> {
        let mut rotten: Vec<(i64, PathBuf, u64)> = Vec::new();
        for entry in fs::read_dir(self.layout.rotten_folder())? {
            let entry = entry?;
            let file = entry.metadata()?;
            // What was a folder in the place of a file is for whoever put it there.
            if !file.is_dir() {
                rotten.push((file.ctime(), entry.path(), file.len()));
            }
        }
        rotten.sort();
        let surplus = rotten.len().saturating_sub(most);
        let removed = rotten[..surplus].iter().try_for_each(|(_, path, _)| fs::remove_file(path));
        self.room.set_aside(rotten[surplus..].iter().map(|(_, _, length)| length).sum());
        removed.map(|()| surplus)
    }
}
