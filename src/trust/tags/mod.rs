//! The history of tags whose schemes sign content: for each tag the digest that was last admitted, since
//! when, and the newest time at which such an image was signed. Rollback protection and `on_unsigned =
//! "hold"` depend on it. Does not know rules.
//!
//! One record for each tag in its own database, `trust/tags.redb`. The store's database is replaced when it is damaged, and
//! deleting content must not change a verdict; so the history is kept apart. Reads come from memory; one thread writes, in
//! batches.
//!
//! # What is guaranteed
//!
//! [`TagHistory::note`] compares an image with the record and replaces the record in one step, on the writer thread.
//! Of two simultaneous pulls of one tag, the second is compared with the first.
//!
//! With [`Need::Required`], it returns only after the record is on disk (fsync). A restart or
//! a power loss cannot undo a decision that waited for it. A record that no rule depends on
//! ([`Need::Optional`]) is written up to a second later and may be lost or evicted. A required record is
//! never evicted: when there is no room for another one, `note` fails.
//!
//! Another process may read the database while a gate runs, and asks the gate to forget a tag with a file in
//! `trust/forget/`.

mod database;
mod forget;
mod json_files;
mod known;
mod record;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use thiserror::Error;

use self::database::Database;
use self::known::{Lookup, Records};
pub use self::record::Remembered;
use self::writer::{Note, Writer};
use crate::clock::Timestamp;
use crate::oci::{Digest, RepositoryRef, Tag};
use crate::store::atomic;

/// The most tags of one repository that have a record.
pub const MAX_TAGS: usize = 10_000;
/// The most records in all repositories together. They are kept in memory, about 250 bytes each.
pub const MAX_RECORDS: usize = 200_000;
/// The most tags that [`TagHistory::tags_of`] returns.
const MAX_SAME: usize = 16;

/// Whether a rule depends on a tag's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Required,
    Optional,
}

/// What [`TagHistory::note`] does with an image that was signed before another image of the same tag was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfOlder {
    Record,
    Reject,
}

/// The result of [`TagHistory::note`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    Recorded,
    /// A rollback: an image admitted before under the tag was signed at `newest` or later, after this one. Recorded only
    /// with [`IfOlder::Record`].
    Older {
        newest: Timestamp,
    },
}

/// Returns whether a rule currently depends on a tag's history.
pub type Needs = Arc<dyn Fn(&RepositoryRef, &Tag) -> Need + Send + Sync>;

/// Why the history of tags cannot be read or written.
#[derive(Clone, Debug, Error)]
pub enum TagsError {
    #[error("{}: {kind}", .path.display())]
    Io { path: PathBuf, kind: io::ErrorKind },
    /// A file of the former JSON format.
    #[error(
        "{} is damaged; restore it from a backup, or remove it to forget the history of the tags of one \
         repository, and with it their protection from rollback", .0.display()
    )]
    Corrupt(PathBuf),
    #[error(
        "the record of this tag in {} is damaged; restore the file from a backup, or run `countersign forget` \
         for this image to forget the tag's history, and with it its protection from rollback", .0.display()
    )]
    CorruptRecord(PathBuf),
    #[error(
        "{} cannot be read: {why}; restore it from a backup, or remove it to forget the history of all tags, \
         and with it their protection from rollback", .path.display()
    )]
    Unreadable { path: PathBuf, why: String },
    #[error("{} cannot be written: {why}", .path.display())]
    Unwritable { path: PathBuf, why: String },
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    #[error(
        "there is no room for the history of another tag: rules depend on all {limit} records of {of}; \
         remove a record that is no longer needed with `countersign forget`"
    )]
    Full { limit: usize, of: String },
    #[error("the history of tags is closed: the gate is stopping")]
    Closed,
    #[error(
        "the running gate did not forget the tag within {seconds} seconds; try again, or see its log"
    )]
    NotForgotten { seconds: u64 },
}

/// The history of all tags. Cheap to clone; clones share one history.
#[derive(Clone)]
pub struct TagHistory {
    folder: PathBuf,
    known: Arc<RwLock<Records>>,
    /// `None` in a process that only reads.
    writer: Option<Arc<Writer>>,
    /// Set once a process that only reads has read the database.
    loaded: Arc<OnceLock<()>>,
}

impl TagHistory {
    /// Opens the history in the store's folder, and creates the folder if it is missing. Moves records of the former format,
    /// one file for each repository, into the database. A database that cannot be read is not an error here: every tag whose
    /// history is needed is undecided until the database can be read.
    pub fn open(store: &Path) -> Result<Self, TagsError> {
        let folder = store.join("trust");
        atomic::make_folder(&folder).map_err(|error| failed(&folder, &error))?;
        let known = Arc::new(RwLock::new(Records::default()));
        let writer = Some(Arc::new(Writer::start(&folder, &known)?));
        Ok(Self { folder, known, writer, loaded: Arc::default() })
    }

    /// A read-only view of the history, beside a gate that may be running in another process. Only [`Self::forget`] changes
    /// it. The database is read once, on first use.
    pub fn look(store: &Path) -> Self {
        let (folder, known) = (store.join("trust"), Arc::default());
        Self { folder, known, writer: None, loaded: Arc::default() }
    }

    /// The record of `tag`.
    pub fn recall(
        &self,
        repository: &RepositoryRef,
        tag: &Tag,
    ) -> Result<Option<Remembered>, TagsError> {
        match self.known().find(repository, tag)? {
            Lookup::Record(of, _) => Ok(Some(of)),
            Lookup::Nothing => Ok(None),
            Lookup::Corrupt => Err(TagsError::CorruptRecord(database::path(&self.folder))),
        }
    }

    /// The tags whose last admitted digest is `digest`, at most 16.
    pub fn tags_of(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
    ) -> Result<Vec<Tag>, TagsError> {
        let (tags, damaged) = self.known().tags_of(repository, digest, MAX_SAME)?;
        if tags.is_empty() && damaged {
            return Err(TagsError::CorruptRecord(database::path(&self.folder)));
        }
        Ok(tags)
    }

    /// Records that `digest`, signed at `signed`, is admitted under `tag` at `now`. If the image is older than the recorded
    /// one, `if_older` decides. Returns at once if the record already says so. A signing time after `now` is recorded as
    /// `now`. `needs` decides which records may be evicted if there is no room. A read-only process compares but does not
    /// record.
    pub async fn note(
        &self,
        (repository, tag): (&RepositoryRef, &Tag),
        digest: &Digest,
        signed: Option<Timestamp>,
        now: Timestamp,
        if_older: IfOlder,
        needs: &Needs,
    ) -> Result<Noted, TagsError> {
        let (before, is_written) = match self.known().find(repository, tag)? {
            Lookup::Record(before, is_written) => (Some(before), is_written),
            Lookup::Nothing => (None, false),
            Lookup::Corrupt => {
                return Err(TagsError::CorruptRecord(database::path(&self.folder)));
            }
        };
        let Some(writer) = &self.writer else {
            return Ok(Remembered::compare(before.as_ref(), digest, signed));
        };
        let need = needs(repository, tag);
        let after = Remembered::after(before.as_ref(), digest, signed, now);
        if before == Some(after) && (is_written || need == Need::Optional) {
            return Ok(Noted::Recorded);
        }
        let (key, needs) = ((repository.clone(), tag.clone()), needs.clone());
        writer.note(Note { key, digest: *digest, signed, now, if_older, need, needs }).await
    }

    /// Removes the record of `tag` and returns it. Blocks until a running gate has done so; not for async code.
    pub fn forget(
        &self,
        repository: &RepositoryRef,
        tag: &Tag,
    ) -> Result<Option<Remembered>, TagsError> {
        let key = (repository.clone(), tag.clone());
        match &self.writer {
            Some(writer) => writer.forget(key),
            None => forget::in_any_process(&self.folder, &key),
        }
    }

    /// Writes pending records and closes the database. Later calls of [`Self::note`] fail.
    pub fn close(&self) {
        if let Some(writer) = &self.writer {
            writer.close();
        }
    }

    /// Waits until nothing can be recorded any more: the history was closed, or the writer thread ended.
    pub async fn ended(&self) {
        match &self.writer {
            Some(writer) => writer.ended().await,
            None => std::future::pending().await,
        }
    }

    fn known(&self) -> RwLockReadGuard<'_, Records> {
        if self.writer.is_none() {
            self.loaded.get_or_init(|| {
                let found = Database::look(&self.folder);
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = found;
            });
        }
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tag of a record.
type Key = (RepositoryRef, Tag);

fn failed(path: &Path, error: &io::Error) -> TagsError {
    TagsError::Io { path: path.to_owned(), kind: error.kind() }
}

#[cfg(test)]
mod tests;
