//! Finds the content of a store without opening it: the process that uses the store has its index open.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use super::layout::Layout;
use crate::oci::{Algorithm, Digest};

/// The digests of the content in the store's folder, by file name. Reads no content.
pub fn digests(folder: &Path) -> io::Result<BTreeSet<Digest>> {
    let layout = Layout::new(folder);
    let mut all = BTreeSet::new();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        for first in 0..=u8::MAX {
            all.extend(layout.digests(algorithm, first)?);
        }
    }
    Ok(all)
}

/// Whether the store's folder has the content of `digest`, by file name. Reads no content.
pub fn has_file(folder: &Path, digest: &Digest) -> io::Result<bool> {
    match fs::symlink_metadata(Layout::new(folder).content(digest)) {
        Ok(found) => Ok(found.is_file()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
