//! Manifests: checked against their digests, cached in memory and stored. Also records which manifest lists which.

use std::sync::Arc;

use bytes::Bytes;
use moka::Equivalent;

use super::error::FetchError;
use super::{Fetched, PullThrough};
use crate::oci::manifest::MAX_MANIFEST;
use crate::oci::{Digest, Reference, RepositoryRef};
use crate::registry_client::{Answer, Upstream, UpstreamError};
use crate::store::{HeldAs, Store, Unkept};

pub(super) type Key = (RepositoryRef, Digest);

/// A borrowed [`Key`] for lookups.
#[derive(Hash)]
struct Sought<'a>(&'a RepositoryRef, &'a Digest);

impl Equivalent<Key> for Sought<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.1 == key.1 && *self.0 == key.0
    }
}

impl PullThrough {
    /// The manifest `digest`: the stored one, or upstream's. Concurrent requests ask upstream once.
    pub async fn manifest(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
    ) -> Result<Fetched, FetchError> {
        if let Some(kept) = self.manifests.get(&Sought(repository, digest)).await {
            return Ok(kept);
        }
        // Boxed, so that a request for a stored manifest does not need memory for this future.
        Box::pin(self.fetch_manifest(repository, digest)).await
    }

    async fn fetch_manifest(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
    ) -> Result<Fetched, FetchError> {
        let upstream = self.upstream(&repository.registry)?;
        let key = (repository.clone(), *digest);
        let fetch = async || -> Result<Fetched, FetchError> {
            if let Some(stored) = self.stored_manifest(&key).await {
                return Ok(stored);
            }
            self.ask_manifest(upstream, &key, MAX_MANIFEST).await
        };
        let entry = self.manifests.entry(key.clone()).or_try_insert_with(fetch()).await;
        let entry = entry.map_err(Arc::unwrap_or_clone)?;
        if entry.is_fresh() {
            // Without this, eviction is delayed and manifests accumulate.
            self.manifests.run_pending_tasks().await;
        }
        Ok(entry.into_value())
    }

    /// Upstream's manifest `digest`, if it has at most `ceiling` bytes. Another pull-through cache may know a manifest
    /// by its tag before it knows it by its digest. In this case, this requests the tag that recently had this digest,
    /// and compares the digest of the answer.
    pub(super) async fn ask_manifest(
        &self,
        upstream: &Upstream,
        key: &Key,
        ceiling: usize,
    ) -> Result<Fetched, FetchError> {
        let (RepositoryRef { name, .. }, digest) = key;
        let by_digest = Reference::Digest(*digest);
        let absent = match upstream.manifest_within(name, &by_digest, ceiling).await {
            Ok(answer) => return Fetched::new(digest, answer).await,
            Err(error @ UpstreamError::Absent { .. }) => error,
            Err(error) => return Err(error.into()),
        };
        let Some(tag) = self.tags.get(key) else { return Err(absent.into()) };
        match upstream.manifest_within(name, &Reference::Tag(tag), ceiling).await {
            Ok(answer) if digest.is_of(&answer.bytes) => Fetched::new(digest, answer).await,
            Ok(_) | Err(UpstreamError::Absent { .. }) => Err(absent.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// The manifest from the store, hashed again.
    pub(super) async fn stored_manifest(&self, (repository, digest): &Key) -> Option<Fetched> {
        let store = self.store.as_ref()?;
        let place = (repository.clone(), *digest);
        let read = move |store: &Store| {
            let content = store.content(&place.0, &place.1)?;
            // Stored blobs have digests, too, and may have any size.
            if content.bytes().len() > MAX_MANIFEST {
                return None;
            }
            let content_type = content.content_type().map(str::to_owned);
            Some((Bytes::copy_from_slice(content.bytes()), content_type))
        };
        let (bytes, content_type) = store.read(read).await??;
        match Fetched::new(digest, Answer { bytes, content_type }).await {
            Ok(fetched) => Some(fetched),
            Err(FetchError::Mismatch(_)) => {
                let digest = *digest;
                // If the disk does not answer, the next read finds the mismatch again.
                let _ = store.write(move |store| store.set_aside(&digest)).await;
                None
            }
            // It was stored as a blob, so upstream's media type is not known yet.
            Err(FetchError::Invalid(_) | FetchError::Upstream(_) | FetchError::NoUpstream(_)) => {
                None
            }
        }
    }

    /// Stores a manifest that may be served, and records what it lists. Runs in the background; a manifest that cannot
    /// be stored is fetched again.
    pub fn keep(&self, repository: &RepositoryRef, fetched: &Fetched) {
        let Some(store) = self.store.clone() else { return };
        let (repository, fetched) = (repository.clone(), fetched.clone());
        let keep = move |store: &Store| store_manifest(store, &repository, &fetched);
        self.tasks.spawn(async move { store.publish(keep).await });
    }

    /// The same, but waits until the manifest is stored. Returns whether it is.
    pub async fn keep_now(&self, repository: &RepositoryRef, fetched: &Fetched) -> bool {
        let Some(store) = &self.store else { return false };
        let (repository, fetched) = (repository.clone(), fetched.clone());
        let keep = move |store: &Store| store_manifest(store, &repository, &fetched);
        store.publish(keep).await.unwrap_or(false)
    }

    /// Whether `digest` is known to be a manifest of that repository.
    #[cfg(feature = "test-support")]
    pub fn is_manifest(&self, repository: &RepositoryRef, digest: &Digest) -> bool {
        let is_stored = |store: &Store| store.is_manifest(repository, digest);
        self.manifests.contains_key(&Sought(repository, digest))
            || self.store.as_ref().is_some_and(is_stored)
    }

    /// The manifests of that repository that are known to list `child`.
    pub async fn parents(&self, repository: &RepositoryRef, child: &Digest) -> Vec<Digest> {
        let Some(store) = &self.store else { return Vec::new() };
        let (repository, child) = (repository.clone(), *child);
        let read = move |store: &Store| store.parents(&repository, &child);
        store.read(read).await.unwrap_or_default()
    }
}

/// Stores a manifest and records what it lists. Returns whether it is stored.
fn store_manifest(store: &Store, repository: &RepositoryRef, fetched: &Fetched) -> bool {
    let digest = fetched.digest();
    let content_type = fetched.content_type().map(str::to_owned);
    let seen = HeldAs::Manifest { content_type };
    if store.mark_used(repository, digest) || store.keeps(digest) {
        store.hold(repository, digest, &seen);
    } else if let Err(unkept) = write(store, repository, fetched, seen) {
        tracing::debug!(%digest, %unkept, "a manifest is not stored");
        return false;
    }
    let children = fetched.manifest().children().iter().map(|child| child.digest);
    store.link_all(repository, children, digest);
    store.keep_longest(digest);
    true
}

fn write(
    store: &Store,
    repository: &RepositoryRef,
    fetched: &Fetched,
    seen: HeldAs,
) -> Result<(), Unkept> {
    let bytes = fetched.bytes();
    let mut ingest = store.ingest(fetched.digest(), Some(bytes.len() as u64))?;
    ingest.append(bytes)?;
    // `Fetched` content always matches its digest.
    if let Ok(whole) = ingest.verify() {
        whole.publish(repository, seen)?;
    }
    Ok(())
}
