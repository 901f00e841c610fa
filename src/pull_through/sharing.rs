//! Downloads in progress that are not stored. Clients that ask for the same bytes of the same repository at the same
//! time share one request to the upstream.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::OnceCell;

use super::failures::Failures;
use super::source::Source;
use super::unstored::{Request, Unstored};
use super::window::{Memory, Window};
use crate::oci::{Digest, Hasher, RepositoryRef};
use crate::registry_client::{ByteRange, UpstreamError};

/// How often a client tries to join a download. Later it makes its own request.
const MAX_TRIES: usize = 3;

type Key = (RepositoryRef, Digest, Option<ByteRange>);
type Entries = Arc<Mutex<HashMap<Key, Weak<Entry>>>>;

/// All clones share the downloads.
#[derive(Clone)]
pub(super) struct Sharing {
    entries: Entries,
    memory: Memory,
    failures: Failures,
}

/// A download that clients can join while its window has its beginning. The last reader drops it.
pub(super) struct Entry {
    key: Key,
    window: OnceCell<Result<Arc<Window>, UpstreamError>>,
    entries: Entries,
}

impl Sharing {
    pub(super) fn new(failures: Failures) -> Self {
        Self { entries: Arc::default(), memory: Memory::default(), failures }
    }

    /// The blob, or `range` of it: out of a download in progress, otherwise with a new request to the upstream, which
    /// others may join.
    pub(super) async fn open(
        &self,
        request: Request,
        range: Option<ByteRange>,
    ) -> Result<Unstored, UpstreamError> {
        let Request { upstream, repository, digest } = &request;
        let open = async || Source::open(upstream.clone(), repository, digest, range).await;
        for _ in 0..MAX_TRIES {
            let entry = self.entry(key(&request, range));
            let mut asked = false;
            let opened = entry.window.get_or_init(|| {
                asked = true;
                async { open().await.map(|source| self.window(source)) }
            });
            match opened.await.clone() {
                Ok(window) => {
                    let unstored = Unstored::from_beginning(&window, entry, request.clone());
                    if let Some(unstored) = unstored {
                        return Ok(unstored);
                    }
                }
                // The queue of another client says nothing about the queue of this one.
                Err(UpstreamError::Busy(_)) if !asked => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Unstored::alone(open().await?, request.clone(), self.failures.clone()))
    }

    /// The same, but only out of a download in progress.
    pub(super) fn join(&self, request: &Request, range: Option<ByteRange>) -> Option<Unstored> {
        let entry = self.entries().get(&key(request, range)).and_then(Weak::upgrade)?;
        let window = entry.window.get()?.as_ref().ok()?.clone();
        Unstored::from_beginning(&window, entry, request.clone())
    }

    /// Whether clients can join a download of the whole blob.
    pub(super) fn has(&self, request: &Request) -> bool {
        let entry = self.entries().get(&key(request, None)).and_then(Weak::upgrade);
        entry.is_some_and(|entry| entry.is_open())
    }

    /// Lets clients share `source`, the whole blob from its beginning.
    pub(super) fn share(&self, request: &Request, source: Source) -> Arc<Entry> {
        let key = key(request, None);
        let window = OnceCell::new_with(Some(Ok(self.window(source))));
        let entry = Arc::new(Entry { key: key.clone(), window, entries: self.entries.clone() });
        self.entries().insert(key, Arc::downgrade(&entry));
        entry
    }

    /// Lets clients share the rest of a download that cannot be stored any more: `pieces`, which begin at `start`, and
    /// then the rest of `source`. `hasher` has hashed everything before `start`. So many clients are expected.
    pub(super) fn rest(
        &self,
        start: u64,
        hasher: Hasher,
        pieces: Vec<bytes::Bytes>,
        source: Source,
        clients: usize,
    ) -> Arc<Window> {
        let (memory, failures) = (self.memory.clone(), self.failures.clone());
        Arc::new(Window::after(start, Some(hasher), pieces, source, clients, memory, failures))
    }

    fn window(&self, source: Source) -> Arc<Window> {
        Arc::new(Window::new(source, self.memory.clone(), self.failures.clone()))
    }

    /// The download that clients can join, or a new one.
    fn entry(&self, key: Key) -> Arc<Entry> {
        let mut entries = self.entries();
        let old = entries.get(&key).and_then(Weak::upgrade);
        match old {
            Some(entry) if entry.is_open() => entry,
            old @ (Some(_) | None) => {
                let (window, all) = (OnceCell::new(), self.entries.clone());
                let entry = Arc::new(Entry { key: key.clone(), window, entries: all });
                entries.insert(key, Arc::downgrade(&entry));
                drop(entries);
                // Locks the entries if this is its last user.
                drop(old);
                entry
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Key, Weak<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Whether clients can join now or after the upstream has answered.
    fn is_open(&self) -> bool {
        match self.window.get() {
            None => true,
            Some(Ok(window)) => window.has_beginning(),
            Some(Err(_)) => false,
        }
    }

    /// All of the download, for one more client; `None` if its beginning is gone.
    pub(super) fn join(self: &Arc<Self>, request: Request) -> Option<Unstored> {
        let window = self.window.get()?.as_ref().ok()?;
        Unstored::from_beginning(window, self.clone(), request)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        // A newer download may have taken the place of this one.
        if entries.get(&self.key).is_some_and(|entry| entry.strong_count() == 0) {
            entries.remove(&self.key);
        }
    }
}

fn key(request: &Request, range: Option<ByteRange>) -> Key {
    (request.place(), request.digest, range)
}
