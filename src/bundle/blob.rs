//! One blob of an opened bundle: a copy of the content that its digest names. Its bytes may be wrong. The first reader of
//! the whole blob finds out; [`super::copies`] then prefers other copies.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::source::Source;
use super::tar::read::{Extent, Table};
use crate::http_client::{LocalBody, Pieces};
use crate::oci::{Algorithm, Digest, Hasher};

/// The bytes of a blob that are read at once.
const PIECE: usize = 256 << 10;

/// What is known about the bytes of a copy. A better state is smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::bundle) enum Checked {
    /// They have the digest.
    Good,
    /// Nobody has read all of them yet.
    Unread,
    /// A reader stopped before their end, because they could not be read, or for a reason of its own.
    Interrupted,
    /// They do not have the digest.
    Wrong,
}

/// A blob in a bundle. Its bytes are not checked.
#[derive(Clone, Debug)]
pub struct Blob {
    source: Arc<Source>,
    table: Arc<Table>,
    /// Its position in the table.
    entry: usize,
    extent: Extent,
}

impl Blob {
    /// The blob `digest`; `None` if the bundle does not contain it.
    pub(super) fn find(source: &Arc<Source>, table: &Arc<Table>, digest: &Digest) -> Option<Self> {
        let (entry, extent) = table.find(digest)?;
        Some(Self { source: source.clone(), table: table.clone(), entry, extent })
    }

    /// In bytes.
    pub fn size(&self) -> u64 {
        self.extent.size
    }

    /// Up to `most` bytes from `offset` on: fewer at the end of the blob, none beyond it. Blocks.
    pub fn read(&self, offset: u64, most: usize) -> io::Result<Bytes> {
        let left = self.extent.size.saturating_sub(offset);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(most);
        let mut piece = vec![0; length];
        if length > 0 {
            self.source.read_exact_at(&mut piece, self.extent.offset + offset)?;
        }
        Ok(piece.into())
    }

    /// What is known about its bytes.
    pub(super) fn checked(&self) -> Checked {
        self.table.checked(self.entry)
    }

    /// Whether its bytes do not have the digest.
    pub(super) fn is_wrong(&self) -> bool {
        self.checked() == Checked::Wrong
    }

    /// All bytes, at most `most`, and whether they have the digest. Blocks.
    pub(super) fn whole(&self, most: usize) -> io::Result<(Bytes, bool)> {
        let bytes = self.read(0, most)?;
        let is_right = self.compare(&Digest::of(&bytes));
        Ok((bytes, is_right))
    }

    /// Reads all bytes, and finds out whether they have the digest. Blocks.
    pub fn check(&self) -> io::Result<bool> {
        let (mut hasher, mut at) = (Hasher::new(Algorithm::Sha256), 0);
        while at < self.size() {
            let piece = self.read(at, PIECE)?;
            hasher.update(&piece);
            at += piece.len() as u64;
        }
        Ok(self.compare(&hasher.finish()))
    }

    /// The bytes from `first` to `end` as a body. Reading a whole blob finds out whether it has the digest.
    pub(super) fn body(self, first: u64, end: u64) -> LocalBody {
        let is_whole = first == 0 && end == self.size();
        let is_new = is_whole && self.checked() != Checked::Good;
        let hasher = is_new.then(|| Hasher::new(Algorithm::Sha256));
        let mut pieces = BlobPieces { blob: self, at: first, end, hasher };
        // A body without bytes is never read.
        pieces.end_of_hash();
        LocalBody::pieces(end - first, pieces)
    }

    /// Compares the digest of its bytes with its name, and remembers the result.
    fn compare(&self, found: &Digest) -> bool {
        let is_right = *found == self.table.digest(self.entry);
        self.table.set_compared(self.entry, is_right);
        is_right
    }
}

/// A blob, piece by piece.
#[derive(Debug)]
struct BlobPieces {
    blob: Blob,
    at: u64,
    end: u64,
    /// The hash of all bytes before `at`, until the last byte is read.
    hasher: Option<Hasher>,
}

impl BlobPieces {
    /// Compares the digest after the last byte.
    fn end_of_hash(&mut self) {
        if self.at == self.end
            && let Some(hasher) = self.hasher.take()
        {
            self.blob.compare(&hasher.finish());
        }
    }
}

impl Pieces for BlobPieces {
    fn next(&mut self) -> io::Result<Bytes> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let piece = self.blob.read(self.at, left.min(PIECE))?;
        self.at += piece.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&piece);
        }
        self.end_of_hash();
        Ok(piece)
    }
}

impl Drop for BlobPieces {
    fn drop(&mut self) {
        if self.hasher.is_some() {
            self.blob.table.set_interrupted(self.blob.entry);
        }
    }
}
