//! The holder of a turn, and whether its client is fast enough.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::locked;
use crate::requester::Requester;

/// The value for "not waiting for the client".
pub(super) const NEVER: u64 = u64::MAX;

/// The holder of one turn.
pub(super) struct Holder {
    pub(super) id: u64,
    pub(super) requester: Requester,
    pub(super) revoked: AtomicBool,
    /// No client waits for the result of the task.
    pub(super) abandoned: AtomicBool,
    /// When the client becomes too slow unless it takes the data that it was sent, in milliseconds since the turns were
    /// created.
    pub(super) late_at: AtomicU64,
    /// Called when the turn is revoked.
    pub(super) on_revoke: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Holder {
    pub(super) fn new(id: u64, requester: Requester) -> Self {
        Self {
            id,
            requester,
            revoked: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            late_at: AtomicU64::new(NEVER),
            on_revoke: Mutex::default(),
        }
    }

    /// How late its client is, if the turn may be revoked; an abandoned turn counts as the latest.
    pub(super) fn lateness(&self, now: u64) -> Option<Duration> {
        if self.abandoned.load(Ordering::Relaxed) {
            return Some(Duration::MAX);
        }
        // `NEVER` is later than any time.
        now.checked_sub(self.late_at.load(Ordering::Relaxed)).map(Duration::from_millis)
    }

    pub(super) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
        let on_revoke = locked(&self.on_revoke).take();
        if let Some(on_revoke) = on_revoke {
            on_revoke();
        }
    }
}
