//! Tracks content that is being read or written and therefore must not be evicted. Knows digests and
//! bytes in memory, but no files.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use super::mapped::Mapped;
use super::touched::{Touched, WINDOW};
use crate::oci::Digest;

enum Use {
    Pinned(Weak<Pin>),
    /// The content is being removed.
    Removing,
}

/// The digests that are in use.
#[derive(Default)]
pub(super) struct InUse {
    places: Mutex<HashMap<Digest, Use>>,
    gone: Condvar,
    /// The bytes of mapped content, which cannot be evicted.
    mapped: AtomicU64,
}

/// Content with a pin is not removed.
pub(super) struct Pin {
    in_use: Arc<InUse>,
    digest: Digest,
    opened: Mutex<Weak<Opened>>,
}

/// Content in memory, shared by all its readers.
pub(super) struct Opened {
    mapped: Mapped,
    touched: Touched,
    pin: Arc<Pin>,
}

/// The right to remove content. While it exists, nobody can start to read or write the content.
pub(super) struct Removing<'a> {
    in_use: &'a InUse,
    digest: Digest,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl InUse {
    /// Pins the content of `digest`; `None` while it is being removed.
    pub(super) fn pin(self: &Arc<Self>, digest: &Digest) -> Option<Arc<Pin>> {
        self.pin_in(&mut locked(&self.places), digest)
    }

    /// Same as [`Self::pin`], but waits for a removal to end.
    pub(super) fn wait_and_pin(self: &Arc<Self>, digest: &Digest) -> Arc<Pin> {
        let mut places = locked(&self.places);
        loop {
            if let Some(pin) = self.pin_in(&mut places, digest) {
                return pin;
            }
            places = self.gone.wait(places).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn pin_in(
        self: &Arc<Self>,
        places: &mut HashMap<Digest, Use>,
        digest: &Digest,
    ) -> Option<Arc<Pin>> {
        match places.get(digest) {
            Some(Use::Removing) => return None,
            Some(Use::Pinned(pin)) => {
                if let Some(pin) = pin.upgrade() {
                    return Some(pin);
                }
            }
            None => {}
        }
        let opened = Mutex::default();
        let pin = Arc::new(Pin { in_use: self.clone(), digest: *digest, opened });
        places.insert(*digest, Use::Pinned(Arc::downgrade(&pin)));
        Some(pin)
    }

    /// The number of bytes that are mapped now.
    pub(super) fn mapped(&self) -> u64 {
        self.mapped.load(Ordering::Relaxed)
    }

    /// Whether the content is being read or written.
    pub(super) fn holds(&self, digest: &Digest) -> bool {
        match locked(&self.places).get(digest) {
            Some(Use::Pinned(pin)) => pin.strong_count() > 0,
            Some(Use::Removing) | None => false,
        }
    }

    /// Returns the right to remove the content of `digest`; `None` while it is being read, written, or removed.
    pub(super) fn begin_removal(&self, digest: &Digest) -> Option<Removing<'_>> {
        match locked(&self.places).entry(*digest) {
            Entry::Occupied(mut place) => match place.get() {
                Use::Pinned(pin) if pin.strong_count() == 0 => {
                    place.insert(Use::Removing);
                }
                Use::Pinned(_) | Use::Removing => return None,
            },
            Entry::Vacant(place) => {
                place.insert(Use::Removing);
            }
        }
        Some(Removing { in_use: self, digest: *digest })
    }
}

impl Pin {
    /// The content in memory: shared with other readers, or opened with `open`.
    pub(super) fn opened<E>(
        self: &Arc<Self>,
        open: impl FnOnce() -> Result<Mapped, E>,
    ) -> Result<Arc<Opened>, E> {
        let mut shared = locked(&self.opened);
        if let Some(opened) = shared.upgrade() {
            return Ok(opened);
        }
        let mapped = open()?;
        let touched = Touched::new(mapped.as_ref().len());
        let opened = Arc::new(Opened { mapped, touched, pin: self.clone() });
        self.in_use.mapped.fetch_add(opened.weight(), Ordering::Relaxed);
        *shared = Arc::downgrade(&opened);
        Ok(opened)
    }

    /// Makes later readers open the file again.
    pub(super) fn forget_opened(&self) {
        *locked(&self.opened) = Weak::new();
    }

    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl Removing<'_> {
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut places = locked(&self.in_use.places);
        if let Entry::Occupied(place) = places.entry(self.digest)
            && let Use::Pinned(pin) = place.get()
            // A new pin may have been created after the last owner of this one dropped it.
            && pin.strong_count() == 0
        {
            place.remove();
        }
    }
}

impl Drop for Removing<'_> {
    fn drop(&mut self) {
        locked(&self.in_use.places).remove(&self.digest);
        self.in_use.gone.notify_all();
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.pin.in_use.mapped.fetch_sub(self.weight(), Ordering::Relaxed);
    }
}

impl Opened {
    fn weight(&self) -> u64 {
        if self.is_mapped() { self.as_ref().len() as u64 } else { 0 }
    }

    pub(super) fn is_mapped(&self) -> bool {
        matches!(self.mapped, Mapped::Map(_))
    }

    /// The end of the bytes from `position` on that are probably in memory: at most the end of the window.
    pub(super) fn ready_until(&self, position: usize) -> usize {
        match &self.mapped {
            Mapped::Read(content) => content.len(),
            Mapped::Map(content) => self.touched.until(position).min(content.len()),
        }
    }

    /// Reads the bytes from `position` up to the returned position. Waits for the disk.
    pub(super) fn make_ready(&self, position: usize) -> usize {
        let bytes = self.mapped.as_ref();
        self.touched.read(bytes, position);
        ((position / WINDOW + 1) * WINDOW).min(bytes.len())
    }
}

impl AsRef<[u8]> for Opened {
    fn as_ref(&self) -> &[u8] {
        self.mapped.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_in_use_cannot_be_removed_and_content_being_removed_cannot_be_pinned() {
        let in_use = Arc::new(InUse::default());
        let digest = Digest::of(b"");
        let first = in_use.pin(&digest).unwrap();
        let second = in_use.pin(&digest).unwrap();
        drop(first);
        assert!(in_use.holds(&digest) && in_use.begin_removal(&digest).is_none());
        drop(second);
        assert!(!in_use.holds(&digest));
        let going = in_use.begin_removal(&digest).unwrap();
        assert!(in_use.pin(&digest).is_none() && in_use.begin_removal(&digest).is_none());
        drop(going);
        assert!(in_use.pin(&digest).is_some());
        assert!(locked(&in_use.places).is_empty());
    }

    #[test]
    fn concurrent_readers_share_one_open_file_and_keep_it_in_use() {
        let in_use = Arc::new(InUse::default());
        let digest = Digest::of(b"");
        let open = || Ok::<_, ()>(Mapped::Read(b"abc".to_vec()));
        let pin = in_use.pin(&digest).unwrap();
        let one = pin.opened(open).unwrap();
        let other = in_use.pin(&digest).unwrap().opened(|| Err(())).unwrap();
        drop(pin);
        assert!(Arc::ptr_eq(&one, &other));
        drop(one);
        assert!(in_use.holds(&digest));
        drop(other);
        assert!(!in_use.holds(&digest));
        assert!(in_use.pin(&digest).unwrap().opened(|| Err(())).is_err());
    }

    #[test]
    fn a_forgotten_open_file_is_no_longer_shared() {
        let in_use = Arc::new(InUse::default());
        let pin = in_use.pin(&Digest::of(b"")).unwrap();
        let open = |content: &'static [u8]| move || Ok::<_, ()>(Mapped::Read(content.to_vec()));
        let old = pin.opened(open(b"old")).unwrap();
        pin.forget_opened();
        assert_eq!(pin.opened(open(b"new")).unwrap().as_ref().as_ref(), b"new");
        assert_eq!(old.as_ref().as_ref(), b"old");
    }
}
