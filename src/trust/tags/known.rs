//! All records, in memory. The lock is held only for a lookup or a change, never while waiting.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::json_files::{Damaged, Files};
use super::record::Remembered;
use super::{Key, MAX_RECORDS, MAX_TAGS, Need, Needs, TagsError};
use crate::oci::{Digest, RepositoryRef, Tag};

/// How many records are evicted at once, because the search evaluates the rules for each record.
const EVICTED_AT_ONCE: usize = 100;

/// The records of one repository.
type Tags = BTreeMap<Tag, Entry>;

/// A record in memory.
#[derive(Clone, Copy)]
enum Entry {
    Record {
        of: Remembered,
        is_written: bool,
    },
    /// The database entry of this tag is not a valid record.
    Corrupt,
}

/// The result of a lookup.
pub(super) enum Lookup {
    /// The record, and whether it is on disk.
    Record(Remembered, bool),
    Nothing,
    Corrupt,
}

/// The records of all tags.
#[derive(Default)]
pub(super) struct Records {
    repositories: HashMap<RepositoryRef, Tags>,
    count: usize,
    /// Files of the former format that cannot be read.
    damaged: Vec<Damaged>,
    /// Why the database cannot be read, if so.
    unreadable: Option<TagsError>,
}

impl Records {
    /// The records of a database that cannot be read.
    pub(super) fn unreadable(why: TagsError) -> Self {
        Self { unreadable: Some(why), ..Self::default() }
    }

    pub(super) fn find(&self, repository: &RepositoryRef, tag: &Tag) -> Result<Lookup, TagsError> {
        self.check(repository)?;
        Ok(match self.tags(repository).and_then(|tags| tags.get(tag)) {
            Some(Entry::Record { of, is_written }) => Lookup::Record(*of, *is_written),
            Some(Entry::Corrupt) => Lookup::Corrupt,
            None => Lookup::Nothing,
        })
    }

    /// At most `most` tags of `digest`, and whether a damaged record may be another one.
    pub(super) fn tags_of(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
        most: usize,
    ) -> Result<(Vec<Tag>, bool), TagsError> {
        self.check(repository)?;
        let (mut found, mut damaged) = (Vec::new(), false);
        for (tag, entry) in self.tags(repository).into_iter().flatten() {
            match entry {
                Entry::Record { of, .. } if of.digest == *digest => found.push(tag.clone()),
                Entry::Record { .. } => {}
                Entry::Corrupt => damaged = true,
            }
            if found.len() == most {
                break;
            }
        }
        Ok((found, damaged))
    }

    pub(super) fn put(&mut self, key: &Key, of: Remembered, is_written: bool) {
        self.insert(key, Entry::Record { of, is_written });
    }

    pub(super) fn put_corrupt(&mut self, key: &Key) {
        self.insert(key, Entry::Corrupt);
    }

    fn insert(&mut self, (repository, tag): &Key, entry: Entry) {
        let tags = self.repositories.entry(repository.clone()).or_default();
        self.count += usize::from(tags.insert(tag.clone(), entry).is_none());
    }

    pub(super) fn remove(&mut self, (repository, tag): &Key) -> Option<Remembered> {
        let tags = self.repositories.get_mut(repository)?;
        let removed = tags.remove(tag)?;
        self.count -= 1;
        if tags.is_empty() {
            self.repositories.remove(repository);
        }
        match removed {
            Entry::Record { of, .. } => Some(of),
            Entry::Corrupt => None,
        }
    }

    /// Whether this key has an entry, valid or damaged.
    pub(super) fn has(&self, (repository, tag): &Key) -> bool {
        self.tags(repository).is_some_and(|tags| tags.contains_key(tag))
    }

    /// Adds the records of files of the former format.
    pub(super) fn take(&mut self, files: Files) {
        for (key, record) in &files.records {
            self.put(key, *record, true);
        }
        self.damaged = files.damaged;
    }

    pub(super) fn has_damaged(&self) -> bool {
        !self.damaged.is_empty()
    }

    /// The records to evict to make room for another one of that repository: the oldest ones that no rule depends on. Empty
    /// if there is room.
    pub(super) fn make_room(&self, key: &Key, needs: &Needs) -> Result<Vec<Key>, TagsError> {
        let here = self.tags(&key.0);
        let (limit, of) = if here.is_some_and(|tags| tags.len() >= MAX_TAGS) {
            (MAX_TAGS, key.0.to_string())
        } else if self.count >= MAX_RECORDS {
            (MAX_RECORDS, "all repositories".to_owned())
        } else {
            return Ok(Vec::new());
        };
        let mut oldest = BTreeSet::new();
        for (repository, tags) in &self.repositories {
            if limit == MAX_TAGS && *repository != key.0 {
                continue;
            }
            for (tag, entry) in tags {
                let Entry::Record { of, .. } = entry else { continue };
                if needs(repository, tag) == Need::Optional {
                    oldest.insert((of.since, repository, tag));
                    if oldest.len() > EVICTED_AT_ONCE {
                        oldest.pop_last();
                    }
                }
            }
        }
        if oldest.is_empty() {
            return Err(TagsError::Full { limit, of });
        }
        let key =
            |(_, repository, tag): (_, &RepositoryRef, &Tag)| (repository.clone(), tag.clone());
        Ok(oldest.into_iter().map(key).collect())
    }

    fn tags(&self, repository: &RepositoryRef) -> Option<&Tags> {
        self.repositories.get(repository)
    }

    /// Fails if the records of the repository cannot be read.
    fn check(&self, repository: &RepositoryRef) -> Result<(), TagsError> {
        if let Some(why) = &self.unreadable {
            return Err(why.clone());
        }
        match self.damaged.iter().find(|file| file.is_of(repository)) {
            Some(file) => Err(TagsError::Corrupt(file.path().to_owned())),
            None => Ok(()),
        }
    }
}
