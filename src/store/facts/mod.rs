//! What is known of the content that is kept, in an embedded database: how long it is, when it was used
//! and scrubbed, which repository holds it, which manifest lists it. Content facts alone: who vouches
//! for it is nowhere here. When the database fails it is closed, everything is a miss, and it is opened
//! again a little later.

mod open;
mod tables;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use redb::{Durability, Error, ReadTransaction, ReadableDatabase as _};

use self::open::Opened;
pub use self::tables::Seen;
pub(super) use self::tables::{Rank, Row, Tables};
use super::health::Health;
use super::layout::Layout;
use super::metrics::Operation;
use super::room::Room;
use crate::clock::{Clock, Timestamp};
use crate::oci::{Digest, Registry, Repository};

/// A repository of a registry.
pub(super) type Place<'a> = (&'a Registry, &'a Repository);

/// What a repository is known to hold.
pub(super) struct Held {
    pub(super) length: u64,
    pub(super) seen: Seen,
}

/// The facts of one store.
pub(super) struct Facts {
    layout: Arc<Layout>,
    clock: Clock,
    health: Arc<Health>,
    room: Arc<Room>,
    opened: ArcSwapOption<Opened>,
    writing: Mutex<Writing>,
    /// Uses that are not in the database yet; each comes with the next transaction.
    uses: Mutex<HashMap<Digest, Use>>,
    /// The last use of all.
    latest: AtomicU64,
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

impl Facts {
    /// How many times something was used, in an order that the machine's clock does not break.
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

    /// Notes that the content was used.
    pub(super) fn touch(&self, digest: &Digest) {
        let now = self.tick();
        self.uses().entry(*digest).or_default().at = Some(now);
    }

    /// Notes that a manifest was served.
    pub(super) fn served(&self, digest: &Digest) {
        self.uses().entry(*digest).or_default().served = true;
    }

    /// What the database says, or nothing where it cannot say anything.
    fn read<T>(&self, ask: impl FnOnce(&ReadTransaction) -> Result<Option<T>, Error>) -> Option<T> {
        let opened = self.opened.load();
        let opened = opened.as_ref()?;
        let answer =
            opened.database.begin_read().map_err(Error::from).and_then(|reading| ask(&reading));
        answer.unwrap_or_else(|error| {
            self.close(&error);
            None
        })
    }

    /// What is known of `digest` in that repository.
    pub(super) fn held(&self, (registry, repository): Place<'_>, digest: &Digest) -> Option<Held> {
        let key = tables::key(digest);
        let key = key.as_slice();
        self.read(|reading| {
            let holders = reading.open_table(tables::HOLDERS)?;
            let Some(seen) = holders.get((key, registry.as_str(), repository.as_str()))? else {
                return Ok(None);
            };
            let row = reading.open_table(tables::CONTENT)?.get(key)?;
            Ok(row.map(|row| Held { length: row.value().0, seen: Seen::of(seen.value()) }))
        })
    }

    /// Whether the content is kept.
    pub(super) fn keeps(&self, digest: &Digest) -> bool {
        let key = tables::key(digest);
        self.read(|reading| Ok(reading.open_table(tables::CONTENT)?.get(key.as_slice())?.map(drop)))
            .is_some()
    }

    /// The manifests of that repository that list `child`, the newest first.
    pub(super) fn parents(&self, place: Place<'_>, child: &Digest) -> Vec<Digest> {
        let (registry, repository) = (place.0.as_str(), place.1.as_str());
        let key = tables::key(child);
        let (key, none): (&[u8], &[u8]) = (&key, &[]);
        let found = self.read(|reading| {
            let mut found = Vec::new();
            let parents = reading.open_table(tables::PARENTS)?;
            for link in parents.range((key, registry, repository, none)..)? {
                let (link, seen) = link?;
                let (of, in_registry, in_repository, parent) = link.value();
                if (of, in_registry, in_repository) != (key, registry, repository) {
                    break;
                }
                found.push((seen.value(), tables::digest(parent)?));
            }
            found.sort_unstable_by(|a, b| b.cmp(a));
            Ok(Some(found))
        });
        found.unwrap_or_default().into_iter().map(|(_, parent)| parent).collect()
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
        let written = self.transact(&opened, lasting, uses, change);
        // Whoever closes it wants nobody else to have it.
        drop(opened);
        match written {
            Ok((changed, came, went)) => {
                self.room.change_kept(came, went);
                writing.pending = lasting == Lasting::Later;
                Ok(changed)
            }
            Err(error) => {
                self.close(&error);
                Err(NoFacts::Failed(error.to_string()))
            }
        }
    }

    fn transact<T>(
        &self,
        opened: &Opened,
        lasting: Lasting,
        uses: HashMap<Digest, Use>,
        change: impl FnOnce(&mut Tables<'_>) -> Result<T, Error>,
    ) -> Result<(T, u64, u64), Error> {
        let mut transaction = opened.database.begin_write()?;
        transaction.set_durability(match lasting {
            Lasting::Now => Durability::Immediate,
            Lasting::Later => Durability::None,
        })?;
        let mut tables = Tables::open(&transaction)?;
        for (digest, latest) in uses {
            tables.change(&digest, |row| {
                row.used = latest.at.unwrap_or(row.used);
                if latest.served {
                    row.rank = Rank::Served;
                }
            })?;
        }
        let changed = change(&mut tables)?;
        let (came, went) = (tables.came, tables.went);
        drop(tables);
        transaction.commit()?;
        Ok((changed, came, went))
    }

    /// Writes down what is not on the disk yet.
    pub(super) fn flush(&self) {
        let pending = self.writing().pending || !self.uses().is_empty();
        if pending && self.opened.load().is_some() {
            // What fails is told where it fails.
            let _ = self.write(Lasting::Now, |_| Ok(()));
        }
    }

    /// Keeps content: from now on it is found. It was not there before the bytes were.
    pub(super) fn keep(
        &self,
        place: Place<'_>,
        digest: &Digest,
        length: u64,
        seen: &Seen,
    ) -> Result<(), NoFacts> {
        let scrubbed = u64::try_from(self.clock.now().unix()).unwrap_or(0);
        let used = self.tick();
        self.write(Lasting::Now, |tables| {
            let rank = tables.row(digest)?.map_or(seen.rank(), |row| row.rank.max(seen.rank()));
            tables.put(digest, Row { length, rank, used, scrubbed })?;
            tables.hold(place, digest, seen)
        })
    }

    /// Notes that the repository holds content that is kept.
    pub(super) fn hold(&self, place: Place<'_>, digest: &Digest, seen: &Seen) {
        // What fails is told where it fails; upstream is then asked again.
        let _ = self.write(Lasting::Later, |tables| tables.hold(place, digest, seen));
    }

    /// Notes that `parent`, if it is kept, lists the children.
    pub(super) fn link(
        &self,
        place: Place<'_>,
        children: impl Iterator<Item = Digest>,
        parent: &Digest,
    ) {
        let now = self.tick();
        // What fails is told where it fails; the parent is then looked for again.
        let _ = self.write(Lasting::Later, |tables| {
            if tables.row(parent)?.is_none() {
                return Ok(());
            }
            let mut children = children;
            children.try_for_each(|child| tables.link(place, &child, parent, now))
        });
    }

    /// Forgets content that is no longer there.
    pub(super) fn forget(&self, digest: &Digest) -> Result<(), NoFacts> {
        self.write(Lasting::Later, |tables| tables.forget(digest))
    }

    /// Lets the database be, after it failed.
    fn close(&self, error: &Error) {
        self.opened.store(None);
        self.health.failed(Operation::Facts, error);
    }
}

/// Why nothing could be written down.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoFacts {
    #[error("the database of the store is closed, after it failed")]
    Closed,
    #[error("the database of the store failed: {0}")]
    Failed(String),
}
