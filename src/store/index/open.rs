//! Opens the database at start, and again after a failure. Renames an unreadable database and creates a
//! new one.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redb::{Builder, Database, Error, ReadableDatabase as _, ReadableTable as _};

use super::tables::{self, Tables};
use super::{ContentIndex, Writing, migrate};
use crate::clock::Clock;
use crate::store::capacity::Capacity;
use crate::store::health::Health;
use crate::store::layout::Layout;
use crate::store::metrics::Operation;

/// The size of the database cache, in bytes.
const CACHE: usize = 4 << 20;
/// The minimum time between two attempts to open the database.
const REOPEN: Duration = Duration::from_secs(5);

/// An open database.
pub(super) struct Opened {
    /// `None` only while this value is dropped.
    database: Option<Database>,
    /// The device and inode of its file, to check that it is still the file at its path.
    pub(super) file: (u64, u64),
}

impl Opened {
    pub(super) fn new(database: Database, file: (u64, u64)) -> Self {
        Self { database: Some(database), file }
    }

    pub(super) fn database(&self) -> Result<&Database, Error> {
        self.database.as_ref().ok_or(Error::DatabaseClosed)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let database = self.database.take();
        // A database that made a reader panic may panic again when it is closed.
        if catch_unwind(AssertUnwindSafe(|| drop(database))).is_err() {
            tracing::debug!("closing the store database panicked");
        }
    }
}

/// Why a database cannot be opened.
enum Unopened {
    /// The file is not a database of the store, or it is corrupt.
    Unreadable(String),
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Unopened {
    fn from(error: E) -> Self {
        let error = error.into();
        if is_unreadable(&error) {
            Self::Unreadable(error.to_string())
        } else {
            Self::Failed(error)
        }
    }
}

/// Whether the error means that the file is corrupt, and not that the disk failed.
pub(super) fn is_unreadable(error: &Error) -> bool {
    if let Error::Io(error) = error {
        // The file is not a database, or it is truncated.
        return [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof].contains(&error.kind());
    }
    matches!(
        error,
        Error::Corrupted(_)
            | Error::UpgradeRequired(_)
            | Error::TableTypeMismatch { .. }
            | Error::TableIsMultimap(_)
            | Error::TableIsNotMultimap(_)
            | Error::TypeDefinitionChanged { .. }
            | Error::TableDoesNotExist(_)
    )
}

impl ContentIndex {
    /// Creates an index whose database is not open yet.
    pub(in crate::store) fn new(
        layout: Arc<Layout>,
        clock: Clock,
        health: Arc<Health>,
        capacity: Arc<Capacity>,
    ) -> Self {
        Self {
            layout,
            clock,
            health,
            capacity,
            opened: ArcSwapOption::empty(),
            writing: Mutex::new(Writing::default()),
            uses: Mutex::new(HashMap::new()),
            latest: AtomicU64::new(0),
            unreadable: AtomicBool::new(false),
        }
    }

    /// Whether the open database is still the file at its path. False if the folder was removed or replaced.
    pub(in crate::store) fn in_place(&self) -> bool {
        let opened = self.opened.load();
        opened.as_ref().is_some_and(|opened| file(&self.layout).ok() == Some(opened.file))
    }

    /// Opens the database if it is not open and the last attempt was not just now. Returns whether this call
    /// opened it.
    pub(in crate::store) fn ensure_open(&self) -> bool {
        if self.in_place() {
            return false;
        }
        let mut writing = self.writing();
        if self.in_place() {
            return false;
        }
        if self.opened.swap(None).is_some() {
            self.health.failed(Operation::Index, &"the store's folder was removed or replaced");
        }
        let now = self.clock.now();
        // Do not wait if the clock was set back.
        if writing.tried.is_some_and(|tried| tried <= now && now.since(tried) < REOPEN) {
            return false;
        }
        writing.tried = Some(now);
        match self.open() {
            Ok(()) => true,
            Err(error) => {
                self.health.failed(Operation::Index, &error);
                false
            }
        }
    }

    fn open(&self) -> Result<(), Error> {
        self.layout.make_folders()?;
        let path = self.layout.index();
        let opened = if self.unreadable.load(Ordering::Relaxed) {
            Err(Unopened::Unreadable("it is corrupt".to_owned()))
        } else {
            catch_unwind(AssertUnwindSafe(|| open(&self.layout)))
                .unwrap_or_else(|_| Err(Unopened::Unreadable("reading it panicked".to_owned())))
        };
        let (opened, kept, latest) = match opened {
            Ok(opened) => opened,
            Err(Unopened::Failed(error)) => return Err(error),
            Err(Unopened::Unreadable(error)) => {
                let aside = self.layout.unreadable_index();
                tracing::warn!(
                    error,
                    path = %path.display(),
                    aside = %aside.display(),
                    "the store database cannot be read; it was renamed, and the store starts empty"
                );
                fs::rename(path, aside)?;
                match open(&self.layout) {
                    Ok(opened) => opened,
                    Err(Unopened::Failed(error)) => return Err(error),
                    Err(Unopened::Unreadable(error)) => return Err(Error::Corrupted(error)),
                }
            }
        };
        self.unreadable.store(false, Ordering::Relaxed);
        self.latest.fetch_max(latest, Ordering::Relaxed);
        self.capacity.set_kept(kept);
        self.opened.store(Some(Arc::new(opened)));
        Ok(())
    }
}

fn file(layout: &Layout) -> io::Result<(u64, u64)> {
    let file = fs::metadata(layout.index())?;
    Ok((file.dev(), file.ino()))
}

/// Opens the database. Returns it with the total length of the stored content and the time of the last use.
fn open(layout: &Layout) -> Result<(Opened, u64, u64), Unopened> {
    let database = Builder::new().set_cache_size(CACHE).create(layout.index())?;
    let version = tables::version(&database.begin_read()?)?;
    match version {
        Some(tables::VERSION) => {}
        Some(tables::CLAIMED_HOLDERS) => migrate::from_claimed_holders(&database)?,
        Some(other) => {
            return Err(Unopened::Unreadable(format!("its version is {other}")));
        }
        None => {
            let transaction = database.begin_write()?;
            drop(Tables::open(&transaction)?);
            transaction.open_table(tables::ABOUT)?.insert("version", tables::VERSION)?;
            transaction.commit()?;
        }
    }
    let reading = database.begin_read()?;
    let (mut kept, mut latest) = (0, 0);
    for row in reading.open_table(tables::CONTENT)?.iter()? {
        let (length, _, used, _) = row?.1.value();
        kept += length;
        latest = latest.max(used);
    }
    let file = file(layout).map_err(Error::Io)?;
    Ok((Opened::new(database, file), kept, latest))
}
