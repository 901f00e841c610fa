//! Opening the database: at start, and again after it failed. One that cannot be read is set aside, and
//! a new one is begun.

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

/// How much of the database is kept in memory, in bytes.
const CACHE: usize = 4 << 20;
/// How soon it is tried to open it again.
const REOPEN: Duration = Duration::from_secs(5);

/// An open database.
pub(super) struct Opened {
    /// There until this is dropped.
    database: Option<Database>,
    /// The device and the number of its file, which tell whether that is still the one at its path.
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
        // One that made its reader panic may do it once more.
        if catch_unwind(AssertUnwindSafe(|| drop(database))).is_err() {
            tracing::debug!("closing the database of the store panics");
        }
    }
}

/// Why a database cannot be opened.
enum Unopened {
    /// The file is no database of ours, or a broken one.
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

/// Whether it is the file that is wrong, and not the disk.
pub(super) fn is_unreadable(error: &Error) -> bool {
    if let Error::Io(error) = error {
        // It is no database at all, or its end is missing.
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
    /// Facts whose database is still to be opened.
    pub(in crate::store) fn new(
        layout: Arc<Layout>,
        clock: Clock,
        health: Arc<Health>,
        room: Arc<Capacity>,
    ) -> Self {
        Self {
            layout,
            clock,
            health,
            room,
            opened: ArcSwapOption::empty(),
            writing: Mutex::new(Writing::default()),
            uses: Mutex::new(HashMap::new()),
            latest: AtomicU64::new(0),
            unreadable: AtomicBool::new(false),
        }
    }

    /// Whether the open database is the file at its path; not where the folder went away, or another
    /// came in its place.
    pub(in crate::store) fn in_place(&self) -> bool {
        let opened = self.opened.load();
        opened.as_ref().is_some_and(|opened| file(&self.layout).ok() == Some(opened.file))
    }

    /// Sees to it that the database is open, if that was not tried a moment ago. Whether it was opened
    /// just now.
    pub(in crate::store) fn see_to(&self) -> bool {
        if self.in_place() {
            return false;
        }
        let mut writing = self.writing();
        if self.in_place() {
            return false;
        }
        if self.opened.swap(None).is_some() {
            self.health.failed(Operation::ContentIndex, &"the store's folder is not what it was");
        }
        let now = self.clock.now();
        // A clock that was put back is no reason to wait.
        if writing.tried.is_some_and(|tried| tried <= now && now.since(tried) < REOPEN) {
            return false;
        }
        writing.tried = Some(now);
        match self.open() {
            Ok(()) => true,
            Err(error) => {
                self.health.failed(Operation::ContentIndex, &error);
                false
            }
        }
    }

    fn open(&self) -> Result<(), Error> {
        self.layout.make_folders()?;
        let path = self.layout.facts();
        let opened = if self.unreadable.load(Ordering::Relaxed) {
            Err(Unopened::Unreadable("it was found broken".to_owned()))
        } else {
            catch_unwind(AssertUnwindSafe(|| open(&self.layout)))
                .unwrap_or_else(|_| Err(Unopened::Unreadable("reading it panics".to_owned())))
        };
        let (opened, kept, latest) = match opened {
            Ok(opened) => opened,
            Err(Unopened::Failed(error)) => return Err(error),
            Err(Unopened::Unreadable(error)) => {
                let aside = self.layout.facts_aside();
                tracing::warn!(
                    error,
                    path = %path.display(),
                    aside = %aside.display(),
                    "what is known of the stored content cannot be read; it is set aside, and the store is empty"
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
        self.room.set_kept(kept);
        self.opened.store(Some(Arc::new(opened)));
        Ok(())
    }
}

fn file(layout: &Layout) -> io::Result<(u64, u64)> {
    let file = fs::metadata(layout.facts())?;
    Ok((file.dev(), file.ino()))
}

/// The database, how many bytes it says are kept, and the last use that it knows of.
fn open(layout: &Layout) -> Result<(Opened, u64, u64), Unopened> {
    let database = Builder::new().set_cache_size(CACHE).create(layout.facts())?;
    let version = tables::version(&database.begin_read()?)?;
    match version {
        Some(tables::VERSION) => {}
        Some(tables::BY_WORD) => migrate::from_by_word(&database)?,
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
