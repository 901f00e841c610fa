//! What is remembered of tags whose schemes sign content: the digest that was last admitted, and the
//! newest time at which one was signed. It is what tells an image that was rolled back, and what a tag
//! is held at. Knows no rule.
//!
//! One file for each repository, replaced as a whole. Another process may take a memory out of it
//! ([`TagMemory::forget`]) while a gate runs: whoever writes holds the lock, and whoever reads looks
//! whether the file has changed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::clock::Timestamp;
use crate::oci::{Digest, Registry, Repository, Tag};
use crate::store::atomic;

/// The most tags of one repository that are remembered; of more, the one that was admitted the longest
/// ago is forgotten.
const MAX_TAGS: usize = 10_000;
/// The most tags of one digest that are told.
const MAX_SAME: usize = 16;
/// The largest file: so many tags of 128 bytes each, with what is remembered of them.
const MAX_FILE: u64 = 8 << 20;
/// How many repositories are kept in memory.
const MAX_KNOWN: u64 = 1_000;
const FORMAT: u32 = 1;
const LOCK: &str = ".lock";

/// What is remembered of one tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The digest that was last admitted.
    pub digest: Digest,
    /// When that began.
    pub since: Timestamp,
    /// The newest time at which what was admitted under this tag was signed.
    pub newest: Option<Timestamp>,
}

/// Why what is remembered cannot be read or written.
#[derive(Clone, Debug, Error)]
pub enum TagsError {
    #[error("{}: {kind}", .path.display())]
    Io { path: PathBuf, kind: io::ErrorKind },
    #[error("{}: this is not what was written; if it cannot be restored, removing it forgets the tags of \
             one repository: which image each had, and protection from rollback", .0.display())]
    Corrupt(PathBuf),
}

impl TagsError {
    /// The thread that was to do it broke off.
    pub fn broken() -> Self {
        Self::Io { path: PathBuf::new(), kind: io::ErrorKind::Other }
    }
}

/// Which tags of one repository had what.
type Tags = BTreeMap<Tag, Remembered>;

/// The memory of all tags. Cheap to clone; the clones are one memory.
#[derive(Clone)]
pub struct TagMemory {
    folder: PathBuf,
    /// Another process may be keeping it: it is only looked at.
    only_read: bool,
    known: Cache<PathBuf, (Stamp, Arc<Tags>)>,
}

/// What tells one version of a file from another.
type Stamp = Option<(u64, i64, i64, u64)>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    repository: String,
    tags: BTreeMap<String, StoredTag>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTag {
    digest: String,
    since: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    newest: Option<(i64, u32)>,
}

impl TagMemory {
    /// The memory below the store's folder, which is made if it is missing.
    pub fn open(store: &Path) -> Result<Self, TagsError> {
        let memory = Self { only_read: false, ..Self::look(store) };
        let made = atomic::make_folder(&memory.folder);
        made.map_err(|error| failed(&memory.folder, &error))?;
        Ok(memory)
    }

    /// The same, of a gate that may be running: what is noted is not kept, and only [`Self::forget`]
    /// changes anything.
    pub fn look(store: &Path) -> Self {
        let folder = store.join("trust").join("tags");
        Self { folder, only_read: true, known: Cache::new(MAX_KNOWN) }
    }

    /// What is remembered of `tag`. Reads the disk where it has changed.
    pub fn recall(
        &self,
        registry: &Registry,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Option<Remembered>, TagsError> {
        let tags = self.read(&self.file(registry, repository), registry, repository)?;
        Ok(tags.get(tag).copied())
    }

    /// Tags under which `digest` was the last that was admitted; a few of them, if there are many.
    pub fn tags_of(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Vec<Tag>, TagsError> {
        let tags = self.read(&self.file(registry, repository), registry, repository)?;
        let same = tags.iter().filter(|(_, of)| of.digest == *digest);
        Ok(same.map(|(tag, _)| tag.clone()).take(MAX_SAME).collect())
    }

    /// Remembers that `digest` was admitted under `tag` at `now`, and when it was signed. Writes only
    /// what is new.
    pub fn note(
        &self,
        registry: &Registry,
        repository: &Repository,
        tag: &Tag,
        digest: &Digest,
        signed: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), TagsError> {
        let file = self.file(registry, repository);
        let newer = |before: Option<&Remembered>| {
            let newest = before.and_then(|before| before.newest).max(signed);
            let same = before.filter(|before| before.digest == *digest);
            let since = same.map_or(now, |before| before.since);
            Remembered { digest: *digest, since, newest }
        };
        let known = self.read(&file, registry, repository)?;
        let before = known.get(tag);
        if self.only_read || before == Some(&newer(before)) {
            return Ok(());
        }
        self.change(&file, registry, repository, |tags| {
            let after = newer(tags.get(tag));
            tags.insert(tag.clone(), after);
            while tags.len() > MAX_TAGS {
                let oldest = tags.iter().min_by_key(|(_, of)| of.since).map(|(tag, _)| tag.clone());
                let Some(oldest) = oldest else { break };
                tags.remove(&oldest);
            }
        })
    }

    /// Forgets `tag`; what was remembered of it.
    pub fn forget(
        &self,
        registry: &Registry,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Option<Remembered>, TagsError> {
        let file = self.file(registry, repository);
        let mut forgotten = None;
        if self.read(&file, registry, repository)?.contains_key(tag) {
            self.change(&file, registry, repository, |tags| forgotten = tags.remove(tag))?;
        }
        Ok(forgotten)
    }

    /// A repository's file: by the hash of its name, which can be longer than a file's may be.
    fn file(&self, registry: &Registry, repository: &Repository) -> PathBuf {
        let name = Sha256::digest(format!("{registry}/{repository}"));
        self.folder.join(format!("{}.json", hex::encode(name)))
    }

    fn read(
        &self,
        file: &Path,
        registry: &Registry,
        repository: &Repository,
    ) -> Result<Arc<Tags>, TagsError> {
        let stamp = stamp(file)?;
        if let Some((known, tags)) = self.known.get(file)
            && known == stamp
        {
            return Ok(tags);
        }
        let tags = Arc::new(load(file, registry, repository)?);
        self.known.insert(file.to_owned(), (stamp, tags.clone()));
        Ok(tags)
    }

    /// Reads, changes and replaces a file, while nobody else does.
    fn change(
        &self,
        file: &Path,
        registry: &Registry,
        repository: &Repository,
        how: impl FnOnce(&mut Tags),
    ) -> Result<(), TagsError> {
        let lock = self.folder.join(LOCK);
        let locked = File::create(&lock).and_then(|file| file.lock().map(|()| file));
        let _locked = locked.map_err(|error| failed(&lock, &error))?;
        let mut tags = load(file, registry, repository)?;
        how(&mut tags);
        let stored = Stored {
            format: FORMAT,
            repository: format!("{registry}/{repository}"),
            tags: tags.iter().map(|(tag, of)| (tag.to_string(), StoredTag::of(of))).collect(),
        };
        let json = serde_json::to_vec(&stored).map_err(|_| TagsError::Corrupt(file.to_owned()))?;
        atomic::publish(file, &json).map_err(|error| failed(file, &error))?;
        self.known.invalidate(file);
        Ok(())
    }
}

fn load(file: &Path, registry: &Registry, repository: &Repository) -> Result<Tags, TagsError> {
    let json = atomic::read(file, MAX_FILE).map_err(|error| failed(file, &error))?;
    let Some(json) = json else { return Ok(Tags::new()) };
    let corrupt = || TagsError::Corrupt(file.to_owned());
    let stored: Stored = serde_json::from_slice(&json).map_err(|_| corrupt())?;
    if stored.format != FORMAT || stored.repository != format!("{registry}/{repository}") {
        return Err(corrupt());
    }
    let tag = |(tag, of): (String, StoredTag)| Some((tag.parse().ok()?, of.read()?));
    stored.tags.into_iter().map(tag).collect::<Option<Tags>>().ok_or_else(corrupt)
}

impl StoredTag {
    fn of(of: &Remembered) -> Self {
        Self {
            digest: of.digest.to_string(),
            since: of.since.unix(),
            newest: of.newest.map(|newest| (newest.unix(), newest.subsec_nanos())),
        }
    }

    fn read(&self) -> Option<Remembered> {
        let newest = self.newest.map(|(seconds, nanos)| {
            Timestamp::from_unix(seconds).plus(std::time::Duration::from_nanos(nanos.into()))
        });
        let since = Timestamp::from_unix(self.since);
        Some(Remembered { digest: self.digest.parse().ok()?, since, newest })
    }
}

fn stamp(file: &Path) -> Result<Stamp, TagsError> {
    match fs::metadata(file) {
        Ok(is) => Ok(Some((is.ino(), is.mtime(), is.mtime_nsec(), is.len()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(file, &error)),
    }
}

fn failed(path: &Path, error: &io::Error) -> TagsError {
    TagsError::Io { path: path.to_owned(), kind: error.kind() }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        store: PathBuf,
        memory: TagMemory,
        registry: Registry,
        repository: Repository,
    }

    fn place(name: &str) -> Place {
        let name = format!("countersign-tags-{name}-{}", std::process::id());
        let store = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&store);
        let memory = TagMemory::open(&store).unwrap();
        let (registry, repository) = ("r.example".parse().unwrap(), "library/app".parse().unwrap());
        Place { store, memory, registry, repository }
    }

    impl Place {
        fn note(&self, tag: &str, content: &str, signed: Option<i64>, now: i64) {
            let (tag, digest) = (tag.parse().unwrap(), Digest::of(content.as_bytes()));
            let signed = signed.map(Timestamp::from_unix);
            let now = Timestamp::from_unix(now);
            self.memory.note(&self.registry, &self.repository, &tag, &digest, signed, now).unwrap();
        }

        fn recall(&self, tag: &str) -> Option<Remembered> {
            let tag = tag.parse().unwrap();
            self.memory.recall(&self.registry, &self.repository, &tag).unwrap()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.store);
        }
    }

    #[test]
    fn the_newest_time_stays_though_an_older_image_is_admitted() {
        let place = place("newest");
        place.note("v1", "one", Some(10), 100);
        place.note("v1", "two", Some(5), 200);
        place.note("v1", "two", None, 300);
        let remembered = place.recall("v1").unwrap();
        assert_eq!(remembered.digest, Digest::of(b"two"));
        assert_eq!(remembered.since, Timestamp::from_unix(200));
        assert_eq!(remembered.newest, Some(Timestamp::from_unix(10)));
        assert_eq!(place.recall("v2"), None);
    }

    #[test]
    fn what_was_remembered_outlives_the_process() {
        let mut place = place("restart");
        place.note("v1", "one", Some(10), 100);
        place.memory = TagMemory::open(&place.store).unwrap();
        assert_eq!(place.recall("v1").unwrap().digest, Digest::of(b"one"));
        let tags = |content| {
            let digest = Digest::of(content);
            place.memory.tags_of(&place.registry, &place.repository, &digest).unwrap()
        };
        assert_eq!((tags(b"one"), tags(b"two")), (vec!["v1".parse().unwrap()], vec![]));
    }

    #[test]
    fn what_another_process_forgets_is_forgotten_here() {
        let place = place("forget");
        place.note("v1", "one", None, 100);
        place.note("v2", "two", None, 100);
        let other = TagMemory::open(&place.store).unwrap();
        let tag: Tag = "v1".parse().unwrap();
        let forgotten = other.forget(&place.registry, &place.repository, &tag).unwrap();
        assert_eq!(forgotten.unwrap().digest, Digest::of(b"one"));
        assert_eq!(other.forget(&place.registry, &place.repository, &tag).unwrap(), None);
        assert_eq!(place.recall("v1"), None);
        assert!(place.recall("v2").is_some());
    }

    #[test]
    fn whoever_only_looks_changes_nothing() {
        let place = place("look");
        place.note("v1", "one", None, 100);
        let looking = TagMemory::look(&place.store);
        let (tag, digest) = ("v1".parse().unwrap(), Digest::of(b"two"));
        let now = Timestamp::from_unix(200);
        looking.note(&place.registry, &place.repository, &tag, &digest, None, now).unwrap();
        assert_eq!(place.recall("v1").unwrap().digest, Digest::of(b"one"));
    }

    #[test]
    fn a_file_that_is_not_what_was_written_is_an_error_and_no_fresh_start() {
        let place = place("corrupt");
        place.note("v1", "one", None, 100);
        let file = place.memory.file(&place.registry, &place.repository);
        fs::rename(&file, place.store.join("aside")).unwrap();
        atomic::publish(&file, b"{}").unwrap();
        let tag = "v1".parse().unwrap();
        let recalled = place.memory.recall(&place.registry, &place.repository, &tag);
        assert!(matches!(recalled, Err(TagsError::Corrupt(_))));
    }
}
