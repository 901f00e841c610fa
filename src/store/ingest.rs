//! Ingests content: writes it under a temporary name, hashes it, and gives it its final name only when it
//! is complete and its digest is correct. Meanwhile, readers can read the bytes that were written so far.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use thiserror::Error;

use super::StoredContent;
use super::capacity::Reservation;
use super::disk::Disk;
use super::in_use::Pin;
use super::index::{HeldAs, IndexError};
use super::layout::Layout;
use super::mapped::Mapped;
use super::metrics::Operation;
use super::removal::Removal;
use crate::oci::{Digest, Hasher, Mismatch, RepositoryRef};

/// The maximum number of bytes to reserve for an announced length before they arrive.
const MAX_AHEAD: u64 = 16 << 20;

/// Why content is not stored. It can still be relayed.
#[derive(Debug, Error)]
pub enum Unkept {
    #[error("it is larger than the share of the store that one file may take")]
    TooLarge,
    #[error("the store is full, and nothing in it can be evicted")]
    NoRoom,
    #[error("the disk does not answer")]
    Hangs,
    #[error("cannot write to disk: {0}")]
    Disk(#[from] io::Error),
    #[error("{0}")]
    Index(String),
}

impl From<IndexError> for Unkept {
    fn from(error: IndexError) -> Self {
        Self::Index(error.to_string())
    }
}

/// Content that is being written. If this is dropped before it is published, nothing is stored.
pub struct Ingest {
    disk: Arc<Disk>,
    incoming: Arc<Incoming>,
    hasher: Hasher,
    /// The total length in bytes, if known.
    length: Option<u64>,
    /// The temporary path; `None` once the file has its final name.
    path: Option<PathBuf>,
}

/// The file of an [`Ingest`]. It exists until its writer and all readers are dropped.
struct Incoming {
    /// `None` only while this value is dropped.
    file: Option<File>,
    /// How many bytes were written.
    position: AtomicU64,
    // Released when the file is closed: an unlinked open file still takes space.
    reservation: Arc<Reservation>,
    pin: Arc<Pin>,
    removal: Arc<Removal>,
}

/// Reads the bytes that an [`Ingest`] has written so far, also after it ended. Cheap to clone.
#[derive(Clone)]
pub struct Arriving {
    incoming: Arc<Incoming>,
}

/// Complete content with the requested digest.
pub struct Whole {
    ingest: Ingest,
}

impl Ingest {
    pub(super) fn begin(
        disk: Arc<Disk>,
        digest: &Digest,
        length: Option<u64>,
    ) -> Result<Self, Unkept> {
        if length.is_some_and(|length| length > disk.capacity.max_content(true)) {
            return Err(Unkept::TooLarge);
        }
        disk.ensure_open();
        if !disk.index.is_open() {
            return Err(IndexError::Closed.into());
        }
        if disk.removal.is_behind() {
            return Err(Unkept::Hangs);
        }
        let pin = disk.in_use.wait_and_pin(digest);
        let path = disk.layout.incoming();
        let file = create(&disk.layout, &path);
        let file = file.map_err(|error| disk.unkept(Operation::Write, error))?;
        let (file, position, reservation) =
            (Some(file), AtomicU64::new(0), Arc::new(disk.capacity.reserve()));
        let removal = disk.removal.clone();
        let incoming = Arc::new(Incoming { file, position, reservation, pin, removal });
        let hasher = Hasher::new(digest.algorithm());
        // From here on, dropping `ingest` removes the file.
        let ingest = Self { disk, incoming, hasher, length, path: Some(path) };
        ingest.reserve_space(0)?;
        Ok(ingest)
    }

    /// Appends `bytes`, then hashes them. An error leaves the content as it was before the call.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Unkept> {
        let position = self.position();
        let after = position + bytes.len() as u64;
        if after > self.disk.capacity.max_content(self.length.is_some()) {
            return Err(Unkept::TooLarge);
        }
        self.reserve_space(after)?;
        let written = self.incoming.file().and_then(|file| file.write_all_at(bytes, position));
        written.map_err(|error| self.disk.unkept(Operation::Write, error))?;
        self.hasher.update(bytes);
        self.incoming.position.store(after, Ordering::Release);
        Ok(())
    }

    /// Reserves space for the bytes before `until`, and for some bytes after them.
    fn reserve_space(&self, until: u64) -> Result<(), Unkept> {
        let reservation = &self.incoming.reservation;
        if until > reservation.bytes() || until == 0 {
            let ahead = self.length.unwrap_or(0).min(until.saturating_add(MAX_AHEAD));
            self.disk
                .reserve_space(reservation, until.max(ahead).saturating_sub(reservation.bytes()))?;
        }
        Ok(())
    }

    /// The number of bytes that were written.
    pub fn position(&self) -> u64 {
        self.incoming.position.load(Ordering::Acquire)
    }

    /// A copy of the hasher of the bytes that were written.
    pub fn hasher(&self) -> Hasher {
        self.hasher.clone()
    }

    /// A reader of the bytes that were and will be written.
    pub fn arriving(&self) -> Arriving {
        Arriving { incoming: self.incoming.clone() }
    }

    /// Takes away the temporary name, and gives the name that the content is found by.
    fn give_name(&mut self, digest: &Digest) -> io::Result<()> {
        let layout = &self.disk.layout;
        layout.make_folder_of(digest)?;
        if let Some(path) = &self.path {
            if !self.incoming.is_at(path)? {
                return Err(io::Error::other("another file replaced the temporary file"));
            }
            fs::rename(path, layout.content(digest))?;
        }
        self.path = None;
        Ok(())
    }

    /// Compares the digest of the written bytes with the requested digest.
    pub fn verify(self) -> Result<Whole, Mismatch> {
        let (asked, got) = (*self.incoming.pin.digest(), self.hasher.clone().finish());
        if got == asked { Ok(Whole { ingest: self }) } else { Err(Mismatch { asked, got }) }
    }
}

impl Incoming {
    fn file(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or(io::ErrorKind::NotFound.into())
    }

    /// Whether `path` is this file, and not a replacement.
    fn is_at(&self, path: &Path) -> io::Result<bool> {
        let (written, there) = (self.file()?.metadata()?, fs::symlink_metadata(path)?);
        Ok((written.dev(), written.ino()) == (there.dev(), there.ino()))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let (file, reservation) = (self.file.take(), self.reservation.clone());
        // The last reader may drop this on a thread that serves clients, and closing an unlinked file frees its blocks,
        // which is slow.
        self.removal.run(move || {
            drop(file);
            drop(reservation);
        });
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        let Some(path) = self.path.take() else { return };
        let (incoming, health) = (self.incoming.clone(), self.disk.health.clone());
        self.disk.removal.run(move || {
            let removed = match incoming.is_at(&path) {
                Ok(false) => Ok(()),
                Ok(true) => fs::remove_file(path),
                Err(error) => Err(error),
            };
            if let Err(error) = removed {
                health.failed(Operation::Remove, &error);
            }
        });
    }
}

impl Whole {
    /// Gives the file its final name and adds the content to the index. From then on, the content survives a
    /// power loss.
    pub fn publish(
        self,
        repository: &RepositoryRef,
        seen: HeldAs,
    ) -> Result<StoredContent, Unkept> {
        let mut ingest = self.ingest;
        let (disk, incoming) = (ingest.disk.clone(), ingest.incoming.clone());
        let (digest, length) = (*incoming.pin.digest(), ingest.position());
        let failed = |error| disk.unkept(Operation::Publish, error);
        let kept = disk.index.keeps(&digest) == Some(true);
        let file = incoming.file().map_err(failed)?;
        finish(file, length).map_err(failed)?;
        let opened = Mapped::of(file, length).map_err(failed)?;
        ingest.give_name(&digest).map_err(failed)?;
        let folder = File::open(disk.layout.folder(&digest)).and_then(|folder| folder.sync_all());
        let noted = folder.map_err(failed).and_then(|()| {
            let noted = disk.index.keep(repository, &digest, length, &seen);
            noted.map_err(|error| {
                disk.health.failed(Operation::Publish, &error);
                Unkept::from(error)
            })
        });
        if let Err(unkept) = noted {
            if !kept {
                // The index does not list this file. If it cannot be removed now, a sweep removes it later.
                let _ = fs::remove_file(disk.layout.content(&digest));
            }
            return Err(unkept);
        }
        disk.published.note(&repository.registry, &digest);
        // From here on, its space is counted as stored content.
        incoming.reservation.release();
        disk.health.worked();
        incoming.pin.forget_opened();
        let opened = incoming.pin.opened(|| Ok::<_, Unkept>(opened))?;
        Ok(StoredContent::new(digest, opened, seen))
    }
}

/// Creates a new file, and its folder if that was removed.
fn create(layout: &Layout, path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            layout.make_folders()?;
            options.open(path)
        }
        opened => opened,
    }
}

/// Gives the file its final length and mode, and syncs it.
fn finish(file: &File, length: u64) -> io::Result<()> {
    if file.metadata()?.len() != length {
        // A write failed halfway and was not retried.
        file.set_len(length)?;
    }
    file.set_permissions(Permissions::from_mode(0o444))?;
    file.sync_all()
}

impl Arriving {
    /// Reads at most `most` written bytes, starting at `position`; returns no bytes at their end.
    pub fn read_at(&self, position: u64, most: usize) -> io::Result<Bytes> {
        let written = self.incoming.position.load(Ordering::Acquire).saturating_sub(position);
        let length = usize::try_from(written).map_or(most, |written| written.min(most));
        let mut bytes = vec![0; length];
        self.incoming.file()?.read_exact_at(&mut bytes, position)?;
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use crate::clock::Clock;
    use crate::oci::Digest;
    use crate::store::{Config, Metrics, Store};

    #[tokio::test]
    async fn a_download_that_ends_on_a_hanging_disk_blocks_no_serving_thread() {
        let name = format!("countersign-ingest-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let (max_size, scrub_every) = (1 << 20, Duration::from_secs(1));
        let config = Config { path: path.clone(), max_size, scrub_every };
        let store = Store::open(&config, Clock::default(), &Metrics::default()).unwrap();
        let files = || std::fs::read_dir(path.join("incoming")).unwrap().count();
        let mut ingest = store.ingest(&Digest::of(b"abc"), None).unwrap();
        ingest.append(b"ab").unwrap();
        let arriving = ingest.arriving();
        let (answer, answers) = channel::<()>();
        store.disk.removal.run(move || assert!(answers.recv().is_err()));
        drop(ingest);
        drop(arriving);
        // The file and its reservation remain until the disk answers.
        assert_eq!((files(), store.disk.capacity.shortfall(max_size)), (1, 2));
        drop(answer);
        store.wait_for_removals(Duration::from_secs(30));
        assert_eq!((files(), store.disk.capacity.shortfall(max_size)), (0, 0));
        std::fs::remove_dir_all(path).unwrap();
    }
}
