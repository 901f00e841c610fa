//! Keeps recently read content mapped for a while: mapping and unmapping a large file costs a fifth of
//! sending it. An eviction clears this cache first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::in_use::Opened;
use crate::clock::Timestamp;

/// The maximum number of contents that stay mapped.
const MOST: usize = 32;
/// How long content stays mapped without being read.
const STAY: Duration = Duration::from_secs(30);

/// Content and the time of its last use, oldest first.
#[derive(Default)]
pub(super) struct Recent {
    opened: Mutex<VecDeque<(Timestamp, Arc<Opened>)>>,
}

impl Recent {
    /// Keeps `opened`, which was used at `now`, mapped.
    pub(super) fn keep(&self, opened: &Arc<Opened>, now: Timestamp) {
        if !opened.is_mapped() {
            return;
        }
        let mut all = self.locked();
        let known = all.iter().position(|(_, other)| Arc::ptr_eq(other, opened));
        let going = match known {
            Some(known) => all.remove(known),
            None if all.len() == MOST => all.pop_front(),
            None => None,
        };
        all.push_back((now, opened.clone()));
        // Unmapping is slow: do it outside the lock.
        drop(all);
        drop(going);
    }

    /// Unmaps content that has not been read for a while.
    pub(super) fn forget_unused(&self, now: Timestamp) {
        let mut all = self.locked();
        let unused = all.iter().take_while(|(read, _)| read.plus(STAY) < now).count();
        let going: Vec<_> = all.drain(..unused).collect();
        drop(all);
        drop(going);
    }

    /// Unmaps everything.
    pub(super) fn clear(&self) {
        let going = std::mem::take(&mut *self.locked());
        drop(going);
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<(Timestamp, Arc<Opened>)>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use super::*;
    use crate::oci::Digest;
    use crate::store::in_use::InUse;
    use crate::store::mapped::Mapped;

    /// Content that is large enough to be mapped.
    fn opened(in_use: &Arc<InUse>, name: &str) -> (Digest, Arc<Opened>) {
        let path =
            std::env::temp_dir().join(format!("countersign-recent-{name}-{}", std::process::id()));
        let content = vec![0; 1 << 20];
        File::create(&path).unwrap().write_all(&content).unwrap();
        let digest = Digest::of(name.as_bytes());
        let open = || Mapped::of(&File::open(&path).unwrap(), 1 << 20);
        let opened = in_use.pin(&digest).unwrap().opened(open).unwrap();
        std::fs::remove_file(path).unwrap();
        (digest, opened)
    }

    #[test]
    fn content_stays_mapped_for_a_limited_time() {
        let (in_use, recent) = (Arc::new(InUse::default()), Recent::default());
        let at = |seconds| Timestamp::from_unix(seconds);
        let (digest, read) = opened(&in_use, "a-while");
        recent.keep(&read, at(0));
        recent.keep(&read, at(10));
        drop(read);
        recent.forget_unused(at(40));
        assert!(in_use.holds(&digest));
        recent.forget_unused(at(41));
        assert!(!in_use.holds(&digest));
    }

    #[test]
    fn only_a_few_stay_mapped_and_clear_unmaps_all() {
        let (in_use, recent) = (Arc::new(InUse::default()), Recent::default());
        let digests: Vec<Digest> = (0..=MOST)
            .map(|number| {
                let (digest, read) = opened(&in_use, &format!("few-{number}"));
                recent.keep(&read, Timestamp::from_unix(0));
                digest
            })
            .collect();
        assert!(!in_use.holds(&digests[0]));
        assert!(digests[1..].iter().all(|digest| in_use.holds(digest)));
        recent.clear();
        assert!(!digests.iter().any(|digest| in_use.holds(digest)));
    }
}
