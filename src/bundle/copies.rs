//! Finds content that several bundles contain. A copy with wrong bytes hides no other copy: bundles with good or unread
//! copies come first. A bundle that is opened again starts without this knowledge.

use std::io;

use bytes::Bytes;

use super::blob::Blob;
use super::catalog::{Catalog, Held};
use super::set::Current;
use crate::oci::{Digest, RepositoryRef};

/// The whole content of a copy.
pub(super) struct Whole<'a> {
    /// The bundle that contains it.
    pub(super) catalog: &'a Catalog,
    pub(super) bytes: Bytes,
    /// Whether the bytes have the digest.
    pub(super) is_right: bool,
}

/// The bundles with content of a repository, the newest first.
pub(super) fn holders<'a>(
    current: &'a Current,
    place: &'a RepositoryRef,
) -> impl Iterator<Item = (&'a Catalog, &'a Held)> {
    let bundles = current.bundles.iter();
    bundles.filter_map(|catalog| Some((&**catalog, catalog.repository(place)?)))
}

/// The copies of `digest` that a reader of the repository may see, of the newest bundle first.
fn copies<'a>(
    current: &'a Current,
    place: &'a RepositoryRef,
    digest: &Digest,
) -> impl Iterator<Item = (&'a Catalog, Blob)> {
    holders(current, place)
        .filter(|(_, held)| held.has(digest))
        .filter_map(|(catalog, _)| Some((catalog, catalog.bundle().blob(digest)?)))
}

/// The best copy of `digest`; `None` if there is none.
///
/// # Errors
///
/// Only wrong copies can be read, and a bundle that cannot be read may contain a right one.
pub(super) fn best(
    current: &Current,
    place: &RepositoryRef,
    digest: &Digest,
) -> io::Result<Option<Blob>> {
    let best = copies(current, place, digest).map(|(_, blob)| blob);
    match (best.min_by_key(Blob::checked), &current.unreadable) {
        (Some(blob), Some(why)) if blob.is_wrong() => Err(io::Error::other(why.clone())),
        (best, _) => Ok(best),
    }
}

/// The content of `digest`, of at most `most` bytes, from the first copy whose digest is right, otherwise from a wrong one;
/// `None` if there is no copy of this size. Blocks.
///
/// # Errors
///
/// No copy that can be read is right, and a copy or a bundle cannot be read.
pub(super) fn whole<'a>(
    current: &'a Current,
    place: &'a RepositoryRef,
    digest: &Digest,
    most: usize,
) -> io::Result<Option<Whole<'a>>> {
    let (mut wrong, mut before, mut failed) = (None, None, None);
    let copies = copies(current, place, digest).filter(|(_, blob)| blob.size() <= most as u64);
    for (catalog, blob) in copies {
        // Of the copies that were wrong before, the answer needs only one.
        if blob.is_wrong() {
            before.get_or_insert((catalog, blob));
            continue;
        }
        match blob.whole(most) {
            Ok((bytes, true)) => return Ok(Some(Whole { catalog, bytes, is_right: true })),
            Ok((bytes, false)) => {
                wrong.get_or_insert(Whole { catalog, bytes, is_right: false });
            }
            Err(error) => failed = Some(error),
        }
    }
    if failed.is_none() && (wrong.is_some() || before.is_some()) {
        failed = current.unreadable.clone().map(io::Error::other);
    }
    match (failed, wrong, before) {
        (Some(error), ..) => Err(error),
        (None, Some(wrong), _) => Ok(Some(wrong)),
        (None, None, Some((catalog, blob))) => {
            let (bytes, is_right) = blob.whole(most)?;
            Ok(Some(Whole { catalog, bytes, is_right }))
        }
        (None, None, None) => Ok(None),
    }
}
