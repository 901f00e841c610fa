//! Reads the headers of a bundle once into a table of offsets. Rejects everything that `write` does not produce.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

use thiserror::Error;

use super::header::{self, Block, Header};
use super::{BLOCK, MAX_ENTRIES, MAX_USTAR, Name, padding};
use crate::bundle::blob::Checked;
use crate::bundle::source::Source;
use crate::oci::Digest;

/// Longest PAX records: one record with a size.
const MAX_PAX: u64 = 64;

/// Why a file is not the tar of a bundle. `at` is the offset of the header.
#[derive(Debug, Error)]
pub enum TarError {
    #[error("cannot read it: {0}")]
    Io(#[from] io::Error),
    #[error("the header at byte {at} is not a ustar header")]
    NotUstar { at: u64 },
    #[error("the header at byte {at} has a wrong checksum")]
    Checksum { at: u64 },
    #[error("the entry at byte {at} is not a regular file (type {kind:?})")]
    Kind { at: u64, kind: char },
    #[error("the entry at byte {at} has a name that no bundle contains: {name:?}")]
    Name { at: u64, name: String },
    #[error("the entry at byte {at} has an invalid size")]
    Size { at: u64 },
    #[error("the entry {name} has {size} bytes and extends beyond the end of the file")]
    BeyondEnd { name: Name, size: u64 },
    #[error("the header at byte {at} has an unexpected PAX record: {record:?}")]
    Pax { at: u64, record: String },
    #[error("the entry {0} occurs twice")]
    Duplicate(Name),
    #[error("the padding at byte {at} is not empty")]
    Padding { at: u64 },
    #[error("it has more than {MAX_ENTRIES} entries")]
    TooManyEntries,
    #[error(
        "it ends at byte {at} without the end of a tar file: the file or its last volume is incomplete"
    )]
    Truncated { at: u64 },
    #[error("it has data after the end of the tar file, at byte {at}")]
    Trailing { at: u64 },
}

/// Where the content of an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bundle) struct Extent {
    /// Offset of the first byte in the file.
    pub(in crate::bundle) offset: u64,
    /// The number of bytes.
    pub(in crate::bundle) size: u64,
}

/// The entries of a bundle. Takes 49 bytes for each blob.
#[derive(Debug)]
pub(in crate::bundle) struct Table {
    pub(in crate::bundle) oci_layout: Option<Extent>,
    pub(in crate::bundle) index: Option<Extent>,
    /// Sorted by hash.
    blobs: Vec<([u8; 32], Extent)>,
    /// What is known about each blob: a [`Checked`].
    checked: Box<[AtomicU8]>,
}

/// The bytes in memory for each blob.
pub(in crate::bundle) const ENTRY_SIZE: u64 = 49;

impl Table {
    /// Reads all headers of `source`.
    pub(in crate::bundle) fn read(source: &Source) -> Result<Self, TarError> {
        let mut reader = Reader { source, at: 0 };
        let mut named = [None; 3];
        let mut blobs: Vec<([u8; 32], Extent)> = Vec::new();
        let mut entries = 0;
        while let Some((name, extent)) = reader.next()? {
            entries += 1;
            if entries > MAX_ENTRIES {
                return Err(TarError::TooManyEntries);
            }
            let place = match name {
                Name::OciLayout => &mut named[0],
                Name::Index => &mut named[1],
                Name::DockerManifest => &mut named[2],
                Name::Blob(digest) => {
                    let hash = sha256(&digest).ok_or(TarError::Duplicate(name))?;
                    blobs.push((hash, extent));
                    continue;
                }
            };
            if place.replace(extent).is_some() {
                return Err(TarError::Duplicate(name));
            }
        }
        blobs.sort_unstable_by_key(|(hash, _)| *hash);
        if let Some(pair) = blobs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(TarError::Duplicate(Name::Blob(Digest::from_sha256(pair[0].0))));
        }
        let [oci_layout, index, _] = named;
        blobs.shrink_to_fit();
        let checked = blobs.iter().map(|_| AtomicU8::new(Checked::Unread as u8)).collect();
        Ok(Self { oci_layout, index, blobs, checked })
    }

    /// Where the blob `digest` is; `None` if the bundle does not contain it.
    pub(in crate::bundle) fn blob(&self, digest: &Digest) -> Option<Extent> {
        self.find(digest).map(|(_, extent)| extent)
    }

    /// The same with its position in this table.
    pub(in crate::bundle) fn find(&self, digest: &Digest) -> Option<(usize, Extent)> {
        let hash = sha256(digest)?;
        let at = self.blobs.binary_search_by_key(&hash, |(hash, _)| *hash).ok()?;
        self.blobs.get(at).map(|(_, extent)| (at, *extent))
    }

    /// The digest in the name of the blob at position `at`.
    pub(in crate::bundle) fn digest(&self, at: usize) -> Digest {
        Digest::from_sha256(self.blobs[at].0)
    }

    /// What is known about the blob at position `at`.
    pub(in crate::bundle) fn checked(&self, at: usize) -> Checked {
        let known = self.checked[at].load(Ordering::Relaxed);
        [Checked::Good, Checked::Unread, Checked::Interrupted]
            .into_iter()
            .find(|checked| *checked as u8 == known)
            .unwrap_or(Checked::Wrong)
    }

    /// Records that all bytes of the blob at position `at` were compared with its digest.
    pub(in crate::bundle) fn set_compared(&self, at: usize, is_right: bool) {
        let checked = if is_right { Checked::Good } else { Checked::Wrong };
        self.checked[at].store(checked as u8, Ordering::Relaxed);
    }

    /// Records that a reader of the blob at position `at` stopped early, unless more is known.
    pub(in crate::bundle) fn set_interrupted(&self, at: usize) {
        let (unread, interrupted) = (Checked::Unread as u8, Checked::Interrupted as u8);
        let order = Ordering::Relaxed;
        // Otherwise another reader knows more.
        self.checked[at].compare_exchange(unread, interrupted, order, order).ok();
    }

    /// The number of blobs.
    pub(in crate::bundle) fn len(&self) -> usize {
        self.blobs.len()
    }

    /// All blobs and their sizes, sorted by digest.
    pub(in crate::bundle) fn blobs(&self) -> impl Iterator<Item = (Digest, u64)> {
        self.blobs.iter().map(|(hash, extent)| (Digest::from_sha256(*hash), extent.size))
    }
}

fn sha256(digest: &Digest) -> Option<[u8; 32]> {
    digest.raw().try_into().ok()
}

struct Reader<'a> {
    source: &'a Source,
    at: u64,
}

impl Reader<'_> {
    fn next(&mut self) -> Result<Option<(Name, Extent)>, TarError> {
        let mut long = None;
        loop {
            let at = self.at;
            match header::decode(&self.block()?, at)? {
                Header::File { name, size } => {
                    let size = match (long, size) {
                        (None, size) => size,
                        (Some(long), 0) => long,
                        // Readers that ignore PAX would see another entry.
                        (Some(_), _) => return Err(TarError::Size { at }),
                    };
                    return self.entry(at, &name, size).map(Some);
                }
                Header::Pax { size: size @ 1..=MAX_PAX } if long.is_none() => {
                    let record = self.block()?;
                    let (record, rest) = record.split_at(usize::try_from(size).unwrap_or(0));
                    if rest.iter().any(|byte| *byte != 0) {
                        return Err(TarError::Padding { at: at + BLOCK });
                    }
                    long = Some(header::pax_size(record, at)?);
                }
                Header::Pax { .. } => {
                    return Err(TarError::Pax {
                        at,
                        record: "empty, too long, or repeated".to_owned(),
                    });
                }
                Header::End => return self.end(at, long).map(|()| None),
            }
        }
    }

    fn entry(&mut self, at: u64, name: &str, size: u64) -> Result<(Name, Extent), TarError> {
        let unknown = |_| TarError::Name { at, name: crate::text::shown(name, 160) };
        let name: Name = name.parse().map_err(unknown)?;
        let extent = Extent { offset: self.at, size };
        let padding = padding(size);
        let end = self.at.checked_add(size).and_then(|end| end.checked_add(padding));
        let end = end.filter(|end| *end <= self.source.len());
        let end = end.ok_or(TarError::BeyondEnd { name, size })?;
        let mut rest: Block = [0; header::SIZE];
        let rest = &mut rest[..usize::try_from(padding).unwrap_or(0)];
        self.source.read_exact_at(rest, end - padding)?;
        if rest.iter().any(|byte| *byte != 0) {
            return Err(TarError::Padding { at: end - padding });
        }
        self.at = end;
        Ok((name, extent))
    }

    /// Checks the end of the file after its first block of zeros.
    fn end(&mut self, at: u64, long: Option<u64>) -> Result<(), TarError> {
        if long.is_some() {
            return Err(TarError::Pax { at, record: "without a file".to_owned() });
        }
        if self.block()?.iter().any(|byte| *byte != 0) {
            return Err(TarError::Truncated { at });
        }
        if self.at != self.source.len() {
            return Err(TarError::Trailing { at: self.at });
        }
        Ok(())
    }

    fn block(&mut self) -> Result<Block, TarError> {
        let mut block = [0; header::SIZE];
        let end = self.at.checked_add(BLOCK).filter(|end| *end <= self.source.len());
        let end = end.ok_or(TarError::Truncated { at: self.at })?;
        self.source.read_exact_at(&mut block, self.at)?;
        self.at = end;
        Ok(block)
    }
}

/// The size of the tar with entries of these sizes, in bytes.
pub(in crate::bundle) fn tar_size(sizes: impl Iterator<Item = u64>) -> u64 {
    let entry = |size: u64| {
        let headers = if size > MAX_USTAR { 3 * BLOCK } else { BLOCK };
        headers.saturating_add(size).saturating_add(padding(size))
    };
    sizes.map(entry).fold(2 * BLOCK, u64::saturating_add)
}
