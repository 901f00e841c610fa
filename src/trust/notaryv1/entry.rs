//! One entry of the trust cache: a standing, who refreshes it, and how long it is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use moka::Expiry;

use crate::clock::Timestamp;
use crate::trust::lifetimes::Lifetimes;

use super::anchor::Anchor;
use super::cached_trust::{CachedTrust, NEGATIVE, Use};
use super::gun::Gun;

/// How long it is remembered that there is nothing to use: no longer than such an answer is used, since every
/// made-up name makes one of these.
const NOTHING: Duration = NEGATIVE;

pub(super) type Key = (Arc<str>, Gun);

pub(super) struct Entry {
    pub(super) anchor: Arc<Anchor>,
    pub(super) standing: CachedTrust,
    /// The turn in which the refresh that made this began.
    pub(super) began: u64,
    /// Whether anyone has asked since the last refresh: only then it is refreshed ahead.
    pub(super) used: AtomicBool,
    /// Whether a refresh ahead of time has begun; the entry that it makes replaces this one.
    pub(super) refreshing: AtomicBool,
}

/// How long an entry is kept, used or not.
pub(super) struct Life;

impl Expiry<Key, Arc<Entry>> for Life {
    fn expire_after_create(&self, _: &Key, entry: &Arc<Entry>, _: Instant) -> Option<Duration> {
        entry.standing.repository().is_none().then_some(NOTHING)
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

/// The turn to refresh an entry ahead of time; given back at its end, whatever that is.
pub(super) struct Turn(Arc<Entry>);

impl Turn {
    /// Whose the entry is.
    pub(super) fn anchor(&self) -> &Arc<Anchor> {
        &self.0.anchor
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.refreshing.store(false, Ordering::Relaxed);
    }
}

/// How often a repository is queried at most because its trust data does not name a tag.
const AGAIN: Duration = Duration::from_secs(10);

/// Whether a refresh is ahead of time, or somebody waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ahead {
    Yes,
    No,
    /// Somebody waits for it although the trust data is fresh: it does not name the tag of the request.
    Again,
}

impl Entry {
    /// The turn to refresh this, for the first who wants it.
    pub(super) fn take_refresh(this: &Arc<Self>) -> Option<Turn> {
        (!this.refreshing.swap(true, Ordering::Relaxed)).then(|| Turn(this.clone()))
    }

    /// Whether it was found for `anchor`, with its keys as they are.
    pub(super) fn is_of(&self, anchor: &Arc<Anchor>) -> bool {
        Arc::ptr_eq(&self.anchor, anchor)
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        // What is asked for every time is never asked ahead of time, nor is what nobody can use.
        if self.anchor.config.refresh.is_zero() || self.standing.repository().is_none() {
            return false;
        }
        match self.standing.at(now, lifetimes(&self.anchor)) {
            Use::Now { due, .. } => due,
            Use::AskFirst => true,
        }
    }

    /// Whether the server was queried less than [`AGAIN`] ago.
    pub(super) fn is_new(&self, now: Timestamp) -> bool {
        let queried = self.standing.queried();
        queried <= now && now.since(queried) < AGAIN
    }

    /// Whether this is as good as what one who came at `came` would get: it may be used, or it was
    /// asked for after that.
    pub(super) fn is_done(&self, came: u64, now: Timestamp, ahead: Ahead) -> bool {
        let usable = match self.standing.at(now, lifetimes(&self.anchor)) {
            Use::Now { due, .. } => match ahead {
                Ahead::Yes => !due,
                Ahead::No => true,
                Ahead::Again => self.is_new(now),
            },
            Use::AskFirst => false,
        };
        usable || self.began > came
    }
}

pub(super) fn lifetimes(anchor: &Anchor) -> Lifetimes {
    Lifetimes { refresh: anchor.config.refresh, max_stale: anchor.config.max_stale }
}
