//! Evicts content to free space: least recently used first; blobs before manifests, and served manifests
//! last. Never evicts content in use, nor a manifest that lists content in use.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::sync::PoisonError;

use super::atomic;
use super::capacity::Reservation;
use super::disk::Disk;
use super::in_use::Removing;
use super::index::{Lasting, Rank, Tables};
use super::ingest::Unkept;
use super::metrics::Operation;
use crate::oci::manifest::MAX_MANIFEST;
use crate::oci::{Digest, Manifest};

impl Disk {
    /// Reserves `more` bytes for content that is being written, and evicts content if necessary.
    pub(super) fn reserve_space(&self, reservation: &Reservation, more: u64) -> Result<(), Unkept> {
        if more == 0 || reservation.take(more) {
            return Ok(());
        }
        if reservation.bytes().saturating_add(more) > self.capacity.max() {
            return Err(Unkept::TooLarge);
        }
        // One at a time: the space that one eviction frees may be enough for the next caller.
        let _evicting = self.evicting.lock().unwrap_or_else(PoisonError::into_inner);
        while !reservation.take(more) {
            if !self.free(self.capacity.shortfall(more)) {
                return Err(Unkept::NoRoom);
            }
        }
        Ok(())
    }

    /// Evicts content until the store fits `max_size`, for example after a change of the configuration.
    pub(super) fn shrink(&self) {
        let _evicting = self.evicting.lock().unwrap_or_else(PoisonError::into_inner);
        while self.capacity.shortfall(0) > 0 && self.free(self.capacity.shortfall(0)) {}
    }

    /// Evicts enough content to free `lacks` bytes, or nothing. Returns whether a retry may find more free
    /// space.
    fn free(&self, lacks: u64) -> bool {
        if lacks == 0 || self.clear_quarantine() {
            return true;
        }
        self.recent.clear();
        self.warm.clear();
        // A failure is logged where it happens; then there is no more free space than before.
        let freed = self.index.write(Lasting::Later, |tables| {
            let mut stuck = BTreeSet::new();
            loop {
                let going = self.choose(tables, lacks, &stuck)?;
                let mut freed = false;
                for going in &going {
                    // Remove the file first: its space may be reused as soon as the index changes. If the
                    // index change fails, the next lookup finds the file missing.
                    if self.remove(going.digest()) {
                        tables.forget(going.digest())?;
                        self.metrics.evictions.inc();
                        freed = true;
                    } else {
                        stuck.insert(*going.digest());
                    }
                }
                if freed || going.is_empty() {
                    return Ok((freed, going));
                }
            }
        });
        freed.is_ok_and(|(freed, _going)| freed)
    }

    /// Chooses content to evict to free `lacks` bytes, except `stuck` content; nothing if that is impossible.
    fn choose(
        &self,
        tables: &Tables<'_>,
        lacks: u64,
        stuck: &BTreeSet<Digest>,
    ) -> Result<Vec<Removing<'_>>, redb::Error> {
        let (mut chosen, mut freed) = (Vec::new(), 0);
        for next in tables.in_order()? {
            let (digest, row) = next?;
            if stuck.contains(&digest)
                || self.in_use.holds(&digest)
                || row.rank != Rank::Blob && self.lists_what_is_in_use(&digest)
            {
                continue;
            }
            chosen.push(digest);
            freed += row.length;
            if freed >= lacks {
                // Content being removed cannot be read: mark only what is evicted.
                return Ok(chosen
                    .iter()
                    .filter_map(|digest| self.in_use.begin_removal(digest))
                    .collect());
            }
        }
        Ok(Vec::new())
    }

    fn lists_what_is_in_use(&self, manifest: &Digest) -> bool {
        let bytes = atomic::read(&self.layout.content(manifest), MAX_MANIFEST as u64);
        // A manifest that cannot be read or parsed protects no content.
        let Ok(Some(bytes)) = bytes else { return false };
        let Ok(manifest) = Manifest::parse(&bytes, None) else { return false };
        let mut listed = manifest.blobs().iter().chain(manifest.children());
        listed.any(|listed| self.in_use.holds(&listed.digest))
    }

    /// Removes the file of `digest`. Returns whether it is gone.
    fn remove(&self, digest: &Digest) -> bool {
        match fs::remove_file(self.layout.content(digest)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                self.health.failed(Operation::Remove, &error);
                false
            }
            Ok(()) | Err(_) => {
                tracing::debug!(%digest, "evicted from the store");
                true
            }
        }
    }
}
