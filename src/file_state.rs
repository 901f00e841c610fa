//! The state of a file according to its metadata. Shows that a file changed without reading its content.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

/// The state of one file at one time. Equal states mean the same file with the same content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState {
    device: u64,
    inode: u64,
    /// In bytes.
    length: u64,
    /// When the content changed, and when the content or metadata changed: seconds and nanoseconds since 1970.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileState {
    /// The state that `found` describes.
    pub fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }

    /// When the content changed, in seconds since 1970.
    pub fn modified(&self) -> i64 {
        self.modified.0
    }
}
