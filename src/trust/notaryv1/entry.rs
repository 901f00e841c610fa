//! One entry of the trust cache: its trust data, its refresh, and how long the cache keeps it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use moka::Expiry;

use crate::clock::Timestamp;
use crate::trust::lifetimes::Lifetimes;

use super::anchor::Anchor;
use super::cached_trust::{CachedTrust, NEGATIVE, Use};
use super::gun::Gun;

/// How long an entry without trust data is kept: no longer than it is used, because every invented name creates one.
const NOTHING: Duration = NEGATIVE;

pub(super) type Key = (Arc<str>, Gun);

pub(super) struct Entry {
    pub(super) anchor: Arc<Anchor>,
    pub(super) trust: CachedTrust,
    /// The number of the refresh that created this.
    pub(super) began: u64,
    /// Whether it was used since the last refresh. Only used entries are refreshed before they end.
    pub(super) used: AtomicBool,
    /// Whether a background refresh has started. It replaces this entry.
    pub(super) refreshing: AtomicBool,
}

/// How long the cache keeps an entry, used or not.
pub(super) struct Life;

impl Expiry<Key, Arc<Entry>> for Life {
    fn expire_after_create(&self, _: &Key, entry: &Arc<Entry>, _: Instant) -> Option<Duration> {
        entry.trust.repository().is_none().then_some(NOTHING)
    }

    fn expire_after_update(
        &self,
        key: &Key,
        entry: &Arc<Entry>,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(key, entry, now)
    }
}

/// The exclusive right to refresh an entry in the background. Released when dropped.
pub(super) struct Turn(Arc<Entry>);

impl Turn {
    /// The anchor of the entry.
    pub(super) fn anchor(&self) -> &Arc<Anchor> {
        &self.0.anchor
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.refreshing.store(false, Ordering::Relaxed);
    }
}

/// The shortest time between two queries of a repository whose trust data does not name a tag.
const AGAIN: Duration = Duration::from_secs(10);

/// Whether a refresh runs in the background or a client waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ahead {
    Yes,
    No,
    /// A client waits although the trust data is fresh, because it does not name the requested tag.
    Again,
}

impl Entry {
    /// The right to refresh this, unless another task has it.
    pub(super) fn take_refresh(this: &Arc<Self>) -> Option<Turn> {
        (!this.refreshing.swap(true, Ordering::Relaxed)).then(|| Turn(this.clone()))
    }

    /// Whether it was verified for `anchor` with its present configuration.
    pub(super) fn is_of(&self, anchor: &Arc<Anchor>) -> bool {
        Arc::ptr_eq(&self.anchor, anchor)
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        // With `refresh = 0` every request queries the server, so that no background refresh is needed. An entry without
        // trust data is not worth one.
        if self.anchor.config.refresh.is_zero() || self.trust.repository().is_none() {
            return false;
        }
        match self.trust.at(now, lifetimes(&self.anchor)) {
            Use::Now { due, .. } => due,
            Use::RefreshFirst => true,
        }
    }

    /// Whether the server was queried less than [`AGAIN`] ago.
    pub(super) fn is_new(&self, now: Timestamp) -> bool {
        let queried = self.trust.queried();
        queried <= now && now.since(queried) < AGAIN
    }

    /// Whether this answers a request with the number `requested`: it is usable, or its refresh started after the request.
    pub(super) fn is_done(&self, requested: u64, now: Timestamp, ahead: Ahead) -> bool {
        let usable = match self.trust.at(now, lifetimes(&self.anchor)) {
            Use::Now { due, .. } => match ahead {
                Ahead::Yes => !due,
                Ahead::No => true,
                Ahead::Again => self.is_new(now),
            },
            Use::RefreshFirst => false,
        };
        usable || self.began > requested
    }
}

pub(super) fn lifetimes(anchor: &Anchor) -> Lifetimes {
    Lifetimes { refresh: anchor.config.refresh, max_stale: anchor.config.max_stale }
}
