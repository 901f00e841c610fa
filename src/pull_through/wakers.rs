//! Wakes the readers of a download when its source has more. Separate from the state of the download, because the
//! source may wake them while it is polled.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// The wakers of the readers that wait.
#[derive(Default)]
pub(super) struct Wakers(Mutex<BTreeMap<u64, Waker>>);

impl Wakers {
    pub(super) fn add(&self, id: u64, waker: &Waker) {
        self.waiting().insert(id, waker.clone());
    }

    pub(super) fn remove(&self, id: u64) {
        self.waiting().remove(&id);
    }

    pub(super) fn wake_all(&self) {
        let waiting = mem::take(&mut *self.waiting());
        waiting.into_values().for_each(Waker::wake);
    }

    /// Wakes all readers but `id`.
    pub(super) fn wake_others(&self, id: u64) {
        let mut waiting = self.waiting();
        let own = waiting.remove_entry(&id);
        let others = mem::replace(&mut *waiting, own.into_iter().collect());
        drop(waiting);
        others.into_values().for_each(Waker::wake);
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<u64, Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
}
