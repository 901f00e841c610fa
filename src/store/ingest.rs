//! Content on its way into the store: written under a temporary name, hashed, and given its own name
//! only when it is complete and right. Whoever wants it meanwhile reads what is there.

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
use super::index::{HeldAs, NoFacts};
use super::layout::Layout;
use super::mapped::Mapped;
use super::metrics::Operation;
use super::removal::Removal;
use crate::oci::{Digest, Hasher, Mismatch, Registry, Repository};

/// The most bytes that are set aside on a registry's word, before they came.
const MAX_AHEAD: u64 = 16 << 20;

/// Why something is not kept. It can be passed on all the same.
#[derive(Debug, Error)]
pub enum Unkept {
    #[error("it is larger than the share of the store that one content may take")]
    TooLarge,
    #[error("there is no room, and nothing that could go")]
    NoRoom,
    #[error("the disk does not answer")]
    Hangs,
    #[error("the disk does not take it: {0}")]
    Disk(#[from] io::Error),
    #[error("{0}")]
    ContentIndex(String),
}

impl From<NoFacts> for Unkept {
    fn from(error: NoFacts) -> Self {
        Self::ContentIndex(error.to_string())
    }
}

/// Content that is being written. Dropped before it is published, it was never there.
pub struct Ingest {
    disk: Arc<Disk>,
    incoming: Arc<Incoming>,
    hasher: Hasher,
    /// How many bytes are to come in all, if that is known.
    length: Option<u64>,
    /// Where it is being written; nowhere once it has its own name.
    path: Option<PathBuf>,
}

/// The file behind an [`Ingest`], for as long as anyone writes or reads it.
struct Incoming {
    /// `None` only while this is dropped.
    file: Option<File>,
    /// How much of it was written.
    position: AtomicU64,
    // The room is given back when the file is closed: what has no name takes room, too.
    room: Arc<Reservation>,
    pin: Arc<Pin>,
    removal: Arc<Removal>,
}

/// Reads what an [`Ingest`] has written so far, also when that has ended. Cheap to clone.
#[derive(Clone)]
pub struct Arriving {
    incoming: Arc<Incoming>,
}

/// Content that is complete, and has the digest that was asked for.
pub struct Whole {
    ingest: Ingest,
}

impl Ingest {
    pub(super) fn begin(
        disk: Arc<Disk>,
        digest: &Digest,
        length: Option<u64>,
    ) -> Result<Self, Unkept> {
        if length.is_some_and(|length| length > disk.room.most_of_one(true)) {
            return Err(Unkept::TooLarge);
        }
        disk.see_to();
        if !disk.facts.is_open() {
            return Err(NoFacts::Closed.into());
        }
        if disk.removal.is_behind() {
            return Err(Unkept::Hangs);
        }
        let pin = disk.in_use.wait_and_pin(digest);
        let path = disk.layout.incoming();
        let file = create(&disk.layout, &path);
        let file = file.map_err(|error| disk.unkept(Operation::Write, error))?;
        let (file, position, room) = (Some(file), AtomicU64::new(0), Arc::new(disk.room.reserve()));
        let removal = disk.removal.clone();
        let incoming = Arc::new(Incoming { file, position, room, pin, removal });
        let hasher = Hasher::new(digest.algorithm());
        // From here on the file goes when this does.
        let ingest = Self { disk, incoming, hasher, length, path: Some(path) };
        ingest.make_room(0)?;
        Ok(ingest)
    }

    /// Writes `bytes` at the end, and then hashes them; after an error it is as if it was never tried.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Unkept> {
        let position = self.position();
        let after = position + bytes.len() as u64;
        if after > self.disk.room.most_of_one(self.length.is_some()) {
            return Err(Unkept::TooLarge);
        }
        self.make_room(after)?;
        let written = self.incoming.file().and_then(|file| file.write_all_at(bytes, position));
        written.map_err(|error| self.disk.unkept(Operation::Write, error))?;
        self.hasher.update(bytes);
        self.incoming.position.store(after, Ordering::Release);
        Ok(())
    }

    /// Sees to it that there is room for the bytes before `until`, and for some of those after them.
    fn make_room(&self, until: u64) -> Result<(), Unkept> {
        let room = &self.incoming.room;
        if until > room.bytes() || until == 0 {
            let ahead = self.length.unwrap_or(0).min(until.saturating_add(MAX_AHEAD));
            self.disk.make_room(room, until.max(ahead).saturating_sub(room.bytes()))?;
        }
        Ok(())
    }

    /// How many bytes were written.
    pub fn position(&self) -> u64 {
        self.incoming.position.load(Ordering::Acquire)
    }

    /// What hashed them.
    pub fn hasher(&self) -> Hasher {
        self.hasher.clone()
    }

    /// Reads what was written, and what will be.
    pub fn arriving(&self) -> Arriving {
        Arriving { incoming: self.incoming.clone() }
    }

    /// Takes away the temporary name, and gives the name that the content is found by.
    fn give_name(&mut self, digest: &Digest) -> io::Result<()> {
        let layout = &self.disk.layout;
        layout.make_folder_of(digest)?;
        if let Some(path) = &self.path {
            if !self.incoming.is_at(path)? {
                return Err(io::Error::other("another file is where it was written"));
            }
            fs::rename(path, layout.content(digest))?;
        }
        self.path = None;
        Ok(())
    }

    /// Holds what was written against the digest that was asked for.
    pub fn verify(self) -> Result<Whole, Mismatch> {
        let (asked, got) = (*self.incoming.pin.digest(), self.hasher.clone().finish());
        if got == asked { Ok(Whole { ingest: self }) } else { Err(Mismatch { asked, got }) }
    }
}

impl Incoming {
    fn file(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or(io::ErrorKind::NotFound.into())
    }

    /// Whether `path` names this file, and not another one that has its name by now.
    fn is_at(&self, path: &Path) -> io::Result<bool> {
        let (written, there) = (self.file()?.metadata()?, fs::symlink_metadata(path)?);
        Ok((written.dev(), written.ino()) == (there.dev(), there.ino()))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let (file, room) = (self.file.take(), self.room.clone());
        // The last client may drop this on a thread that serves others, and to close a file that has no name any more
        // frees its blocks.
        self.removal.run(move || {
            drop(file);
            drop(room);
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
    /// Gives the content its name, and has it found by those who may have it: from here on it outlives
    /// a power loss.
    pub fn publish(
        self,
        registry: &Registry,
        repository: &Repository,
        seen: HeldAs,
    ) -> Result<StoredContent, Unkept> {
        let mut ingest = self.ingest;
        let (disk, incoming) = (ingest.disk.clone(), ingest.incoming.clone());
        let (digest, length) = (*incoming.pin.digest(), ingest.position());
        let failed = |error| disk.unkept(Operation::Publish, error);
        let kept = disk.facts.keeps(&digest) == Some(true);
        let file = incoming.file().map_err(failed)?;
        finish(file, length).map_err(failed)?;
        let opened = Mapped::of(file, length).map_err(failed)?;
        ingest.give_name(&digest).map_err(failed)?;
        let folder = File::open(disk.layout.folder(&digest)).and_then(|folder| folder.sync_all());
        let noted = folder.map_err(failed).and_then(|()| {
            let noted = disk.facts.keep((registry, repository), &digest, length, &seen);
            noted.map_err(|error| {
                disk.health.failed(Operation::Publish, &error);
                Unkept::from(error)
            })
        });
        if let Err(unkept) = noted {
            if !kept {
                // Nobody finds it; what cannot be removed now is swept away later.
                let _ = fs::remove_file(disk.layout.content(&digest));
            }
            return Err(unkept);
        }
        disk.published.note(registry, &digest);
        // From here on it is counted as kept.
        incoming.room.give_back();
        disk.health.worked();
        incoming.pin.forget_opened();
        let opened = incoming.pin.opened(|| Ok::<_, Unkept>(opened))?;
        Ok(StoredContent::new(digest, opened, seen))
    }
}

/// A new file to write; its folder is made if somebody removed it.
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

/// Makes the file what it will be for ever.
fn finish(file: &File, length: u64) -> io::Result<()> {
    if file.metadata()?.len() != length {
        // A write that failed half-way, and was not tried again.
        file.set_len(length)?;
    }
    file.set_permissions(Permissions::from_mode(0o444))?;
    file.sync_all()
}

impl Arriving {
    /// At most `most` bytes from `position` on, of those that were written; none at the end of them.
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
    async fn a_download_that_ends_while_the_disk_hangs_holds_up_no_thread_that_serves_clients() {
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
        // The file and its room stay taken until the disk answers.
        assert_eq!((files(), store.disk.room.lacks(max_size)), (1, 2));
        drop(answer);
        store.wait_for_removals(Duration::from_secs(30));
        assert_eq!((files(), store.disk.room.lacks(max_size)), (0, 0));
        std::fs::remove_dir_all(path).unwrap();
    }
}
