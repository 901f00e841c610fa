//! How far a command has come, for people who wait for it.

/// What has been done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The gate decided about this number of images, and their content was checked or listed.
    Judged { images: usize, all: usize },
    /// This much of the content of a bundle was written.
    Written { bytes: u64, all: u64 },
    /// This number of images was stored or refused.
    Imported { images: usize, all: usize },
}
