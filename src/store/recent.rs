//! What was read lately stays mapped for a while: to map a large file and to unmap it again costs a
//! fifth of what it costs to send it. It gives way as soon as room is to be made.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::in_use::Opened;
use crate::clock::Timestamp;

/// The most contents that stay.
const MOST: usize = 32;
/// How long they stay without being read.
const STAY: Duration = Duration::from_secs(30);

/// Content and when it was last asked for, that longest ago first.
#[derive(Default)]
pub(super) struct Recent {
    opened: Mutex<VecDeque<(Timestamp, Arc<Opened>)>>,
}

impl Recent {
    /// Has `opened`, which was asked for at `now`, stay.
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
        // To unmap takes a while.
        drop(all);
        drop(going);
    }

    /// Lets go of what was not read for some time.
    pub(super) fn forget_unused(&self, now: Timestamp) {
        let mut all = self.locked();
        let unused = all.iter().take_while(|(read, _)| read.plus(STAY) < now).count();
        let going: Vec<_> = all.drain(..unused).collect();
        drop(all);
        drop(going);
    }

    /// Lets go of all.
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
    fn what_was_read_stays_for_a_while_and_no_longer() {
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
    fn no_more_stay_than_a_few_and_none_where_room_is_made() {
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
