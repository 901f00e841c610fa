//! Access to the trust memory outside the threads that serve clients, with a deadline. If the disk does not answer, the
//! result is an error: a memory that cannot be read is never a repository without a memory.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::store::Lane;

use super::gun::Gun;
use super::role::File;
use super::state::{Remembered, State, StateError};
use super::update::Updated;

/// How long a read may take. Shorter than the wait for a Notary server.
const READ: Duration = Duration::from_secs(2);
/// How long the write of a memory and its files may take.
const WRITE: Duration = Duration::from_secs(5);
/// The number of locks. Each memory uses one of them.
const LOCKS: usize = 256;

/// These locks serve all anchors of the process, because an import and a reloaded configuration open the same folder again. A write
/// whose deadline has passed may still be running, and must not replace a newer one.
static WRITING: [Mutex<()>; LOCKS] = [const { Mutex::new(()) }; LOCKS];

/// The queues for the disk of one anchor's memories. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    reads: Lane,
    writes: Lane,
}

impl Default for Disk {
    fn default() -> Self {
        Self { reads: Lane::new(READ), writes: Lane::new(WRITE) }
    }
}

impl Disk {
    /// The queue of reads.
    pub(super) fn reads(&self) -> &Lane {
        &self.reads
    }
}

/// Waits until no other write of the memory in `folder` is in progress, and excludes others.
pub(super) fn writing(folder: &Path) -> MutexGuard<'static, ()> {
    let mut hasher = DefaultHasher::new();
    folder.hash(&mut hasher);
    let at = usize::try_from(hasher.finish() % LOCKS as u64).unwrap_or_default();
    WRITING[at].lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// [`Self::read`] with a deadline.
    pub(super) async fn recall(&self, gun: &Gun) -> Result<Option<Remembered>, StateError> {
        let (state, gun) = (self.clone(), gun.clone());
        self.disk.reads.run(move || state.read(&gun)).await?
    }

    /// [`Self::write`] with a deadline. Returns what was written.
    pub(super) async fn record(
        &self,
        gun: &Gun,
        updated: Updated,
        before: Option<Arc<Remembered>>,
    ) -> Result<Updated, StateError> {
        let (state, gun) = (self.clone(), gun.clone());
        let write = move || {
            let before = before.as_ref().map(|before| &before.memory);
            state.write(&gun, &updated, before).map(|()| updated)
        };
        self.writing(write).await
    }

    /// [`Self::refused`] with a deadline.
    pub(super) async fn record_refusal(&self, gun: &Gun) -> Result<(), StateError> {
        let (state, gun) = (self.clone(), gun.clone());
        self.writing(move || state.refused(&gun)).await
    }

    /// Runs `write`, which reports its result itself. Reports that the disk does not answer.
    async fn writing<T: Send + 'static>(
        &self,
        write: impl FnOnce() -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        match self.disk.writes.run(write).await {
            Ok(written) => written,
            Err(undone) => {
                let failed = Err(undone.into());
                self.report(&failed);
                failed
            }
        }
    }

    /// Calls `find` with the roots of at most `most` repositories, as [`Self::roots`] returns them, with a deadline.
    pub(super) async fn in_roots<T: Send + 'static>(
        &self,
        most: usize,
        find: impl Fn(Vec<u8>) -> Option<T> + Send + 'static,
    ) -> Result<Option<T>, StateError> {
        let state = self.clone();
        Ok(self.disk.reads.run(move || state.roots(most).find_map(find)).await?)
    }
}

impl Remembered {
    /// [`Self::file`] with a deadline.
    pub(super) async fn recall(self: &Arc<Self>, file: &File) -> Option<Bytes> {
        let (kept, file) = (self.clone(), file.clone());
        match self.disk.reads.run(move || kept.file(&file)).await {
            Ok(content) => content,
            Err(error) => {
                tracing::warn!(%error, "a trust file cannot be read");
                None
            }
        }
    }
}
