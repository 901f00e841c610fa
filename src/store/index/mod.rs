//! The index of the stored content, in an embedded database: its length, its last use and scrub, the
//! repositories that hold it, and the manifests that list it. It contains content facts only, no trust
//! data. When the database fails, it is closed, each lookup is a miss, and it is opened again later.

mod ask;
mod migrate;
mod note;
mod open;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use redb::{Durability, Error, ReadTransaction, ReadableDatabase as _};

use self::open::{Opened, is_unreadable};
pub use self::tables::HeldAs;
pub(super) use self::tables::{Rank, Tables};
use super::capacity::Capacity;
use super::health::Health;
use super::layout::Layout;
use super::metrics::Operation;
use crate::clock::{Clock, Timestamp};
use crate::oci::Digest;

/// The index of one store.
pub(super) struct ContentIndex {
    layout: Arc<Layout>,
    clock: Clock,
    health: Arc<Health>,
    capacity: Arc<Capacity>,
    opened: ArcSwapOption<Opened>,
    writing: Mutex<Writing>,
    /// Uses that are not in the database yet. The next transaction writes them.
    uses: Mutex<HashMap<Digest, Use>>,
    /// The time of the latest use.
    latest: AtomicU64,
    /// The database is corrupt: the next attempt to open it creates a new one.
    unreadable: AtomicBool,
}

/// The state of the writer.
#[derive(Default)]
struct Writing {
    /// The time of the last attempt to open the database.
    tried: Option<Timestamp>,
    /// Whether a power loss would lose a change.
    pending: bool,
}

#[derive(Clone, Copy, Default)]
struct Use {
    at: Option<u64>,
    served: bool,
}

/// Whether a power loss may lose a transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasting {
    /// The transaction is synced to the disk.
    Now,
    /// The next synced transaction also syncs this one.
    Later,
}

impl ContentIndex {
    /// A time that is later than all previous ones, even if the machine's clock does not move or goes back.
    fn tick(&self) -> u64 {
        let now = self.clock.now();
        let nanos = u64::try_from(now.unix()).unwrap_or(0).saturating_mul(1_000_000_000);
        let now = nanos.saturating_add(u64::from(now.subsec_nanos()));
        let next = |latest: u64| Some(now.max(latest + 1));
        // `next` always returns `Some`.
        let (Ok(before) | Err(before)) =
            self.latest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        now.max(before + 1)
    }

    fn uses(&self) -> MutexGuard<'_, HashMap<Digest, Use>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a query; `None` if the database is closed or fails.
    fn read<T>(&self, ask: impl FnOnce(&ReadTransaction) -> Result<Option<T>, Error>) -> Option<T> {
        let opened = self.opened.load_full()?;
        let reading = || ask(&opened.database()?.begin_read()?);
        catching(reading).unwrap_or_else(|error| {
            self.close(&opened, &error);
            None
        })
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies `change`, and writes the uses that were recorded since the last transaction.
    pub(super) fn write<T>(
        &self,
        lasting: Lasting,
        change: impl FnOnce(&mut Tables<'_>) -> Result<T, Error>,
    ) -> Result<T, IndexError> {
        let mut writing = self.writing();
        let Some(opened) = self.opened.load_full() else { return Err(IndexError::Closed) };
        let uses = std::mem::take(&mut *self.uses());
        match catching(|| transact(&opened, lasting, uses, change)) {
            Ok((changed, added, removed)) => {
                self.capacity.change_kept(added, removed);
                writing.pending = lasting == Lasting::Later;
                Ok(changed)
            }
            Err(error) => {
                self.close(&opened, &error);
                Err(IndexError::Failed(error.to_string()))
            }
        }
    }

    /// Whether there are changes that are not on the disk yet.
    pub(super) fn is_pending(&self) -> bool {
        self.is_open() && (self.writing().pending || !self.uses().is_empty())
    }

    /// Writes and syncs the pending changes.
    pub(super) fn flush(&self) {
        if self.is_pending() {
            // A failure is logged where it happens.
            let _ = self.write(Lasting::Now, |_| Ok(()));
        }
    }

    /// Whether the database is open.
    pub(super) fn is_open(&self) -> bool {
        self.opened.load().is_some()
    }

    /// Closes a database that failed.
    fn close(&self, failed: &Arc<Opened>, error: &Error) {
        if is_unreadable(error) {
            self.unreadable.store(true, Ordering::Relaxed);
        }
        // Another thread may already have closed it and opened a new one.
        self.opened.compare_and_swap(failed, None);
        self.health.failed(Operation::Index, error);
    }
}

fn transact<T>(
    opened: &Opened,
    lasting: Lasting,
    uses: HashMap<Digest, Use>,
    change: impl FnOnce(&mut Tables<'_>) -> Result<T, Error>,
) -> Result<(T, u64, u64), Error> {
    let mut transaction = opened.database()?.begin_write()?;
    transaction.set_durability(match lasting {
        Lasting::Now => Durability::Immediate,
        Lasting::Later => Durability::None,
    })?;
    let mut tables = Tables::open(&transaction)?;
    for (digest, latest) in uses {
        tables.change(&digest, |row| latest.apply(row))?;
    }
    let changed = change(&mut tables)?;
    let (added, removed) = (tables.added, tables.removed);
    drop(tables);
    transaction.commit()?;
    Ok((changed, added, removed))
}

/// Turns a panic into an error: a database that another process changed may make its reader panic.
fn catching<T>(act: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let panicked = |_| Err(Error::Corrupted("reading it panicked".to_owned()));
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(panicked)
}

/// Why the index cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum IndexError {
    #[error("the store database is closed after a failure")]
    Closed,
    #[error("the store database failed: {0}")]
    Failed(String),
}
