//! Content that decisions need: small, read whole, within the caller's limit. Separate functions read stored content
//! and fetch from upstream: a fetch is expensive, and stored content is available while upstream does not answer.

use bytes::Bytes;

use super::{FetchError, Fetched, PullThrough};
use crate::oci::{Digest, Mismatch, Reference, RepositoryRef, Tag};
use crate::parsing;
use crate::store::{HeldAs, Store, Unkept};

impl PullThrough {
    /// The manifest `digest`, if it is stored.
    pub async fn kept_manifest(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
    ) -> Option<Fetched> {
        let key = (repository.clone(), *digest);
        if let Some(kept) = self.manifests.get(&key).await {
            return Some(kept);
        }
        let stored = self.stored_manifest(&key).await?;
        // So that a decision reads and parses it once.
        self.remember(repository, &stored).await;
        Some(stored)
    }

    /// Upstream's manifest `digest`, if it has at most `ceiling` bytes.
    ///
    /// This fetch is separate from fetches of the same manifest without a limit, because its size error must not affect
    /// the others.
    pub async fn small_manifest(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
        ceiling: usize,
    ) -> Result<Fetched, FetchError> {
        let upstream = self.upstream(&repository.registry)?;
        let key = (repository.clone(), *digest);
        let fetched = self.ask_manifest(upstream, &key, ceiling).await?;
        self.remember(repository, &fetched).await;
        Ok(fetched)
    }

    /// The manifest that `tag` names at upstream now, if it has at most `ceiling` bytes. It takes one request: the
    /// digest is not requested first.
    pub async fn tagged(
        &self,
        repository: &RepositoryRef,
        tag: &Tag,
        ceiling: usize,
    ) -> Result<Fetched, FetchError> {
        let upstream = self.upstream(&repository.registry)?;
        let reference = Reference::Tag(tag.clone());
        let answer = upstream.manifest_within(&repository.name, &reference, ceiling).await?;
        let fetched = Fetched::new(&Digest::of(&answer.bytes), answer).await?;
        self.remember(repository, &fetched).await;
        Ok(fetched)
    }

    /// The blob `digest`, if it is stored, matches its digest, and has at most `ceiling` bytes. A large blob is hashed
    /// on another thread than those that serve clients.
    pub async fn kept_blob(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
        ceiling: usize,
    ) -> Option<Bytes> {
        let (store, digest) = (self.store.as_ref()?, *digest);
        let content = store.look_up(repository, &digest).await?;
        let length = content.bytes().len();
        if length > ceiling {
            return None;
        }
        content.make_all_ready(store).await?;
        let copied = parsing::run(length, length, move || {
            let bytes = Bytes::copy_from_slice(content.bytes());
            digest.is_of(&bytes).then_some(bytes)
        });
        let copied = copied.await;
        if copied.is_none() {
            // If the disk does not answer, the next read finds the mismatch again.
            let _ = store.write(move |store| store.set_aside(&digest)).await;
        }
        copied
    }

    /// Upstream's blob `digest`, if it has at most `ceiling` bytes. It is stored in the background.
    pub async fn small_blob(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
        ceiling: usize,
    ) -> Result<Bytes, FetchError> {
        let upstream = self.upstream(&repository.registry)?;
        let bytes = upstream.small_blob(&repository.name, digest, ceiling).await?;
        let (content, algorithm) = (bytes.clone(), digest.algorithm());
        // Hashing allocates nothing.
        let hash = move || Digest::by(algorithm, &content);
        let got = parsing::run(bytes.len(), 0, hash).await;
        if got != *digest {
            return Err(FetchError::Mismatch(Box::new(Mismatch { asked: *digest, got })));
        }
        if let Some(store) = self.store.clone() {
            let (place, bytes) = (repository.clone(), bytes.clone());
            self.tasks.spawn(async move {
                let written = store.publish(move |store| write(store, &place, &got, &bytes)).await;
                if let Some(Err(unkept)) = written {
                    tracing::debug!(digest = %got, %unkept, "a small blob is not stored");
                }
            });
        }
        Ok(bytes)
    }

    async fn remember(&self, repository: &RepositoryRef, fetched: &Fetched) {
        let key = (repository.clone(), *fetched.digest());
        self.manifests.insert(key, fetched.clone()).await;
        // Without this, eviction is delayed and manifests accumulate.
        self.manifests.run_pending_tasks().await;
    }
}

fn write(
    store: &Store,
    repository: &RepositoryRef,
    digest: &Digest,
    bytes: &[u8],
) -> Result<(), Unkept> {
    if store.keeps(digest) {
        store.hold(repository, digest, &HeldAs::Blob);
        return Ok(());
    }
    let mut ingest = store.ingest(digest, Some(bytes.len() as u64))?;
    ingest.append(bytes)?;
    // Only content that matches its digest is published.
    if let Ok(whole) = ingest.verify() {
        whole.publish(repository, HeldAs::Blob)?;
    }
    Ok(())
}
