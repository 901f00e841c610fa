//! The database of records. One process writes it; others may read it at the same time. A damaged record does not affect
//! others.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Builder, ConcurrencyMode, DatabaseError, Error, ReadableDatabase, ReadableTable as _};
use redb::{TableDefinition, TableError};

use super::json_files::Files;
use super::known::Records;
use super::record::Remembered;
use super::{Key, TagsError};
use crate::oci::RepositoryRef;

/// The records as JSON, by registry, repository and tag.
const RECORDS: TableDefinition<'_, (&str, &str, &str), &[u8]> = TableDefinition::new("tags");
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
const VERSION: u64 = 1;
/// The size of redb's page cache, in bytes.
const CACHE: usize = 4 << 20;

/// The path of the database in the folder of the trust memory.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join("tags.redb")
}

/// The database, open in the one process that writes.
pub(super) struct Database {
    folder: PathBuf,
    database: redb::Database,
}

/// A change of a record.
pub(super) enum Change {
    Put(Key, Remembered),
    Remove(Key),
}

impl Database {
    /// Opens or creates the database, and moves files of the former format into it.
    pub(super) fn open(folder: &Path) -> Result<(Self, Records), TagsError> {
        let path = path(folder);
        let opened = catching(&path, || {
            let database = builder().create(&path)?;
            let version = version(&database)?;
            if version.is_none() {
                let transaction = database.begin_write()?;
                transaction.open_table(RECORDS)?;
                transaction.open_table(ABOUT)?.insert("version", VERSION)?;
                transaction.commit()?;
            }
            let known = records(&database)?;
            Ok((version, database, known))
        })?;
        let (version, database, mut known) = opened;
        check(&path, version)?;
        let database = Self { folder: folder.to_owned(), database };
        let moved = database.move_files(|key| known.has(key))?;
        for damaged in &moved.damaged {
            let error = TagsError::Corrupt(damaged.path().to_owned());
            tracing::error!(%error, "the history of some tags cannot be read");
        }
        known.take(moved);
        Ok((database, known))
    }

    /// Reads the records in a process that does not write.
    pub(super) fn look(folder: &Path) -> Records {
        Self::read(folder).unwrap_or_else(Records::unreadable)
    }

    fn read(folder: &Path) -> Result<Records, TagsError> {
        let path = path(folder);
        let mut known = Records::default();
        if path.exists() {
            let (version, found) = catching(&path, || match builder().open_read_only(&path) {
                Ok(database) => Ok((version(&database)?, records(&database)?)),
                // Left by a crashed gate. Opening it for writing repairs it.
                Err(DatabaseError::RepairAborted) => {
                    let database = builder().open(&path)?;
                    Ok((version(&database)?, records(&database)?))
                }
                Err(error) => Err(error.into()),
            })?;
            check(&path, version)?;
            known = found;
        }
        let mut files = Files::read(folder)?;
        files.records.retain(|(key, _)| !known.has(key));
        known.take(files);
        Ok(known)
    }

    /// Moves files of the former format into the database. Records in the database are newer and stay.
    pub(super) fn move_files(&self, has: impl Fn(&Key) -> bool) -> Result<Files, TagsError> {
        let mut files = Files::read(&self.folder)?;
        files.records.retain(|(key, _)| !has(key));
        let put = |(key, record): &(Key, Remembered)| Change::Put(key.clone(), *record);
        let changes: Vec<Change> = files.records.iter().map(put).collect();
        if !changes.is_empty() {
            self.write(&changes)?;
            tracing::info!(records = changes.len(), "moved the history of tags into tags.redb");
        }
        files.remove(&self.folder);
        Ok(files)
    }

    /// Applies all changes in one transaction. They are on disk when it returns.
    pub(super) fn write(&self, changes: &[Change]) -> Result<(), TagsError> {
        let path = path(&self.folder);
        let written = catching(&path, || {
            // Durability::Immediate is redb's default: a commit ends with fsync.
            let transaction = self.database.begin_write()?;
            let mut table = transaction.open_table(RECORDS)?;
            for change in changes {
                match change {
                    Change::Put(key, record) => {
                        table.insert(named(key), record.to_bytes().as_slice())?;
                    }
                    Change::Remove(key) => {
                        table.remove(named(key))?;
                    }
                }
            }
            drop(table);
            transaction.commit()?;
            Ok(())
        });
        written.map_err(|error| {
            if let TagsError::Unreadable { path, why } = error {
                TagsError::Unwritable { path, why }
            } else {
                error
            }
        })
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE).set_concurrency_mode(ConcurrencyMode::SingleWriter);
    builder
}

fn named((repository, tag): &Key) -> (&str, &str, &str) {
    (repository.registry.as_str(), repository.name.as_str(), tag.as_str())
}

/// `None` if the database is new.
fn version(database: &impl ReadableDatabase) -> Result<Option<u64>, Error> {
    match database.begin_read()?.open_table(ABOUT) {
        Ok(about) => Ok(about.get("version")?.map(|version| version.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn check(path: &Path, version: Option<u64>) -> Result<(), TagsError> {
    match version {
        Some(VERSION) | None => Ok(()),
        Some(other) => Err(unreadable(path, format!("it has format {other}, not {VERSION}"))),
    }
}

fn records(database: &impl ReadableDatabase) -> Result<Records, Error> {
    let mut known = Records::default();
    let table = match database.begin_read()?.open_table(RECORDS) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(known),
        Err(error) => return Err(error.into()),
    };
    for row in table.iter()? {
        let (key, record) = row?;
        let (registry, name, tag) = key.value();
        let parsed = || {
            let (registry, name) = (registry.parse().ok()?, name.parse().ok()?);
            Some((RepositoryRef { registry, name }, tag.parse().ok()?))
        };
        // A client cannot request a tag with such a name.
        let Some(key) = parsed() else { continue };
        match Remembered::from_bytes(record.value()) {
            Some(record) => known.put(&key, record, true),
            None => {
                let (RepositoryRef { registry, name }, tag) = &key;
                tracing::error!(%registry, repository = %name, %tag, "the history of this tag is damaged");
                known.put_corrupt(&key);
            }
        }
    }
    Ok(known)
}

/// Calls `act`. Turns a panic into an error, because redb may panic on a damaged database.
fn catching<T>(path: &Path, act: impl FnOnce() -> Result<T, Error>) -> Result<T, TagsError> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(Error::DatabaseAlreadyOpen)) => Err(TagsError::InUse(path.to_owned())),
        Ok(Err(error)) => Err(unreadable(path, error)),
        Err(_) => Err(unreadable(path, "its content is damaged")),
    }
}

fn unreadable(path: &Path, why: impl Display) -> TagsError {
    TagsError::Unreadable { path: path.to_owned(), why: why.to_string() }
}
