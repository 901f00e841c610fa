//! What is known of the content that is kept, in an embedded database: how long it is, when it was used
//! and scrubbed, which repository holds it, which manifest lists it. Content facts alone: who vouches
//! for it is nowhere here. When the database fails it is closed, everything is a miss, and it is opened
//! again a little later.

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
use crate::oci::{Digest, Registry, Repository};

/// A repository of a registry.
pub(super) type Place<'a> = (&'a Registry, &'a Repository);

/// The facts of one store.
pub(super) struct ContentIndex {
    layout: Arc<Layout>,
    clock: Clock,
    health: Arc<Health>,
    room: Arc<Capacity>,
    opened: ArcSwapOption<Opened>,
    writing: Mutex<Writing>,
    /// Uses that are not in the database yet; each comes with the next transaction.
    uses: Mutex<HashMap<Digest, Use>>,
    /// The last use of all.
    latest: AtomicU64,
    /// The database turned out to be broken: the next is a new one.
    unreadable: AtomicBool,
}

/// What whoever writes must know.
#[derive(Default)]
struct Writing {
    /// When it was last tried to open the database.
    tried: Option<Timestamp>,
    /// Whether something would be lost in a power loss.
    pending: bool,
}

#[derive(Clone, Copy, Default)]
struct Use {
    at: Option<u64>,
    served: bool,
}

/// Whether what a transaction did may be lost in a power loss.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasting {
    /// It is on the disk.
    Now,
    /// It is on the disk with the next that is.
    Later,
}

impl ContentIndex {
    /// A time later than any before it, also where the machine's clock stands or goes back.
    fn tick(&self) -> u64 {
        let now = self.clock.now();
        let nanos = u64::try_from(now.unix()).unwrap_or(0).saturating_mul(1_000_000_000);
        let now = nanos.saturating_add(u64::from(now.subsec_nanos()));
        let next = |latest: u64| Some(now.max(latest + 1));
        // `next` gives something for everything.
        let (Ok(before) | Err(before)) =
            self.latest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        now.max(before + 1)
    }

    fn uses(&self) -> MutexGuard<'_, HashMap<Digest, Use>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the database says, or nothing where it cannot say anything.
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

    /// Does `change`, and writes down the uses that came since the last time.
    pub(super) fn write<T>(
        &self,
        lasting: Lasting,
        change: impl FnOnce(&mut Tables<'_>) -> Result<T, Error>,
    ) -> Result<T, NoFacts> {
        let mut writing = self.writing();
        let Some(opened) = self.opened.load_full() else { return Err(NoFacts::Closed) };
        let uses = std::mem::take(&mut *self.uses());
        match catching(|| transact(&opened, lasting, uses, change)) {
            Ok((changed, came, went)) => {
                self.room.change_kept(came, went);
                writing.pending = lasting == Lasting::Later;
                Ok(changed)
            }
            Err(error) => {
                self.close(&opened, &error);
                Err(NoFacts::Failed(error.to_string()))
            }
        }
    }

    /// Whether there is something that is not on the disk yet.
    pub(super) fn is_pending(&self) -> bool {
        self.is_open() && (self.writing().pending || !self.uses().is_empty())
    }

    /// Writes down what is not on the disk yet.
    pub(super) fn flush(&self) {
        if self.is_pending() {
            // What fails is told where it fails.
            let _ = self.write(Lasting::Now, |_| Ok(()));
        }
    }

    /// Whether the database is open.
    pub(super) fn is_open(&self) -> bool {
        self.opened.load().is_some()
    }

    /// Lets a database be that failed.
    fn close(&self, failed: &Arc<Opened>, error: &Error) {
        if is_unreadable(error) {
            self.unreadable.store(true, Ordering::Relaxed);
        }
        // Another may have closed it, and yet another have opened a new one.
        self.opened.compare_and_swap(failed, None);
        self.health.failed(Operation::ContentIndex, error);
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
    let (came, went) = (tables.came, tables.went);
    drop(tables);
    transaction.commit()?;
    Ok((changed, came, went))
}

/// A database that was changed behind its back may make its reader panic.
fn catching<T>(act: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let panicked = |_| Err(Error::Corrupted("reading it panics".to_owned()));
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(panicked)
}

/// Why nothing could be written down.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoFacts {
    #[error("the database of the store is closed, after it failed")]
    Closed,
    #[error("the database of the store failed: {0}")]
    Failed(String),
}
