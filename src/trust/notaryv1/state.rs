//! Stores the trust memory of each GUN and its metadata files on disk. A memory is replaced atomically, after the files
//! that it names are written. A memory that cannot be read is an error, never a fresh start.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::store::{InPlace, MemoryHealth, Undone, atomic};

use super::archive::{Capture, Evidence, TrustFiles};
use super::disk::{Disk, writing};
use super::gun::Gun;
use super::memory::Memory;
use super::role::{File, Role};
use super::stored::{MAX_MEMORY, MEMORY, Stored, StoredEvidence, content_name, hash};
use super::update::Updated;

/// The largest part of an exporter's statement, in bytes.
const MAX_EVIDENCE: u64 = 4 << 20;

/// Why a trust memory cannot be read or written.
#[derive(Debug, Error)]
pub enum StateError {
    #[error("{}: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error(
        "{} is damaged: {why}; restore it from a backup, or remove its folder to forget the trust memory of this \
         repository, and with it the protection from rollback", .path.display()
    )]
    Corrupt { path: PathBuf, why: String },
    /// Nothing is known about the memory.
    #[error(transparent)]
    Disk(#[from] Undone),
    /// Another update ran at the same time. It remembered newer versions, or that the server's answer was refused.
    #[error("newer trust data was remembered meanwhile; retry")]
    Superseded,
}

/// The trust memories of one anchor.
#[derive(Clone, Debug)]
pub struct State {
    folder: PathBuf,
    /// The open folder. `None` if the memories are only read, because another process may be writing them.
    place: Option<InPlace>,
    /// Where failed writes are reported.
    health: Option<MemoryHealth>,
    pub(super) disk: Disk,
}

/// A memory, and the files to verify it again.
#[derive(Debug)]
pub struct Remembered {
    pub memory: Memory,
    folder: PathBuf,
    files: BTreeMap<String, String>,
    evidence: Option<StoredEvidence>,
    pub(super) disk: Disk,
}

impl State {
    /// The memories of `anchor` in the store's folder. Creates the folder if it is missing.
    pub fn open(store: &Path, anchor: &str) -> Result<Self, StateError> {
        let folder = store.join("trust").join("notaryv1").join(anchor);
        let opened = atomic::make_folder(&folder).and_then(|()| InPlace::open(&folder));
        let place = opened.map_err(|error| StateError::Io { path: folder.clone(), error })?;
        Ok(Self { folder, place: Some(place), health: None, disk: Disk::default() })
    }

    /// As [`Self::open`], but read-only: no folder is created, and writes do nothing.
    pub fn look(store: &Path, anchor: &str) -> Self {
        let folder = store.join("trust").join("notaryv1").join(anchor);
        Self { folder, place: None, health: None, disk: Disk::default() }
    }

    /// The same, which reports to `health` whether writes succeed.
    #[must_use]
    pub fn reporting(self, health: MemoryHealth) -> Self {
        Self { health: Some(health), ..self }
    }

    /// Why the last write failed; `None` if it succeeded.
    pub fn failure(&self) -> Option<String> {
        self.health.as_ref().and_then(MemoryHealth::failure)
    }

    /// Reports the result of a write.
    pub(super) fn report<T>(&self, written: &Result<T, StateError>) {
        if let (Some(health), Some(place)) = (&self.health, &self.place) {
            health.record(place, written);
        }
    }

    /// The folder of the memories.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of a GUN. Named by a hash, because a GUN can be too long for a file name.
    pub(super) fn folder_of(&self, gun: &Gun) -> PathBuf {
        self.folder.join(hex::encode(Sha256::digest(gun.as_str())))
    }

    /// The memory of `gun`. `None` if there is none.
    pub fn read(&self, gun: &Gun) -> Result<Option<Remembered>, StateError> {
        let folder = self.folder_of(gun);
        let Some((stored, memory)) = Stored::read_all(&folder.join(MEMORY), gun)? else {
            return Ok(None);
        };
        let (files, evidence, disk) = (stored.files, stored.evidence, self.disk.clone());
        Ok(Some(Remembered { memory, folder, files, evidence, disk }))
    }

    /// The remembered roots of at most `most` repositories. Only for hints: unreadable ones are skipped.
    pub(super) fn roots(&self, most: usize) -> impl Iterator<Item = Vec<u8>> {
        let folders = fs::read_dir(&self.folder).into_iter().flatten().flatten().take(most);
        folders.filter_map(|folder| {
            let text = atomic::read(&folder.path().join(MEMORY), MAX_MEMORY).ok().flatten()?;
            Stored::root_in(&text)
        })
    }

    /// Records that the server's present answer about `gun` was refused. Its earlier answer is no longer used, not even if
    /// the server stops answering.
    pub fn refused(&self, gun: &Gun) -> Result<(), StateError> {
        let Some(place) = &self.place else { return Ok(()) };
        let written = self.forget_answer(place, gun);
        self.report(&written);
        written
    }

    fn forget_answer(&self, place: &InPlace, gun: &Gun) -> Result<(), StateError> {
        let folder = self.folder_of(gun);
        let _writing = writing(&folder);
        self.check(place)?;
        let path = folder.join(MEMORY);
        match Stored::read(&path, gun)? {
            Some(stored) => stored.refused().publish(&path),
            None => Ok(()),
        }
    }

    /// Fails if another process may have replaced the folder.
    fn check(&self, place: &InPlace) -> Result<(), StateError> {
        place.check().map_err(|error| StateError::Io { path: self.folder.clone(), error })
    }

    /// Replaces the memory of `gun`. `before` is the memory that the update was judged with.
    pub fn write(
        &self,
        gun: &Gun,
        updated: &Updated,
        before: Option<&Memory>,
    ) -> Result<(), StateError> {
        let Some(place) = &self.place else { return Ok(()) };
        let written = self.replace(place, gun, updated, before);
        // Not a failure of the disk.
        if !matches!(written, Err(StateError::Superseded)) {
            self.report(&written);
        }
        written
    }

    fn replace(
        &self,
        place: &InPlace,
        gun: &Gun,
        updated: &Updated,
        before: Option<&Memory>,
    ) -> Result<(), StateError> {
        let folder = self.folder_of(gun);
        let _writing = writing(&folder);
        self.check(place)?;
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| StateError::Io { path, error }
        };
        atomic::make_folder(&folder).map_err(failed(&folder))?;
        // The update was judged with `before`. A memory that was written since then was not judged.
        match Stored::read_all(&folder.join(MEMORY), gun)? {
            Some((_, now)) if before != Some(&now) && updated.memory.is_older_than(&now) => {
                return Err(StateError::Superseded);
            }
            Some(_) | None => {}
        }
        let keep = |content: &Bytes| {
            let hash = hash(content);
            let path = folder.join(content_name(&hash));
            // A file that is already complete is not written again.
            let kept = atomic::read(&path, content.len() as u64);
            if !matches!(kept, Ok(Some(kept)) if kept == *content) {
                atomic::publish(&path, content).map_err(failed(&path))?;
            }
            Ok::<String, StateError>(hash)
        };
        let mut files = BTreeMap::new();
        for (file, content) in &updated.files {
            files.insert(file.to_string(), keep(content)?);
        }
        let evidence = match &updated.evidence {
            Some(evidence) => Some(StoredEvidence {
                artifact: keep(&evidence.artifact)?,
                signatures: evidence.signatures.iter().map(keep).collect::<Result<_, _>>()?,
            }),
            None => None,
        };
        let stored = Stored::new(gun, &updated.memory, files, evidence);
        stored.publish(&folder.join(MEMORY))?;
        // The memory is written. Leftover files are harmless.
        if let Err(error) = stored.sweep(&folder) {
            tracing::warn!(folder = %folder.display(), %error, "unneeded trust files cannot be removed");
        }
        Ok(())
    }
}

impl Remembered {
    /// Whether `updated` leaves nothing to write.
    pub(super) fn is(&self, updated: &Updated) -> bool {
        let evidence = updated.evidence.as_ref().map(StoredEvidence::of);
        self.memory == updated.memory && self.evidence == evidence
    }

    /// Whether an exporter stated when the files were fetched.
    pub(super) fn has_evidence(&self) -> bool {
        self.evidence.is_some()
    }

    /// The files and the exporter's statement about them, as an archive contains them. Blocks.
    pub(super) fn capture(&self) -> Capture {
        let root = (Role::Root.to_string(), Bytes::copy_from_slice(&self.memory.root));
        let files = self
            .files
            .keys()
            .filter_map(|name| Some((name.clone(), self.file(&File::parse(name)?)?)));
        let files = TrustFiles::new(files.chain([root]));
        let evidence = self.evidence.as_ref().and_then(|evidence| {
            let read = |hash: &String| self.content(hash, MAX_EVIDENCE);
            let signatures = evidence.signatures.iter().map(read).collect::<Option<_>>()?;
            Some(Evidence { artifact: read(&evidence.artifact)?, signatures })
        });
        Capture { files, evidence }
    }

    /// The content of a stored file. `None` if it is missing or damaged.
    pub fn file(&self, file: &File) -> Option<Bytes> {
        self.content(self.files.get(&file.to_string())?, file.ceiling())
    }

    /// The stored content with this hash, of at most `most` bytes. `None` if it is missing or damaged.
    fn content(&self, hash: &str, most: u64) -> Option<Bytes> {
        let file = content_name(hash);
        match atomic::read(&self.folder.join(&file), most) {
            Ok(Some(content)) if self::hash(&content) == *hash => Some(content.into()),
            Ok(Some(_)) => {
                tracing::warn!(folder = %self.folder.display(), file, "a trust file is damaged; fetching it again");
                None
            }
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(folder = %self.folder.display(), file, %error, "a trust file cannot be read");
                None
            }
        }
    }
}
