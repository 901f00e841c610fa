//! Makes room: what was not used for the longest time goes first, blobs before manifests, those that
//! were served last of all. Nothing goes that is in use, nor a manifest that lists what is in use.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::sync::PoisonError;

use super::atomic;
use super::capacity::Reservation;
use super::disk::Disk;
use super::in_use::Going;
use super::index::{Lasting, Rank, Tables};
use super::ingest::Unkept;
use super::metrics::Operation;
use crate::oci::manifest::MAX_MANIFEST;
use crate::oci::{Digest, Manifest};

impl Disk {
    /// Takes `more` bytes for what is being written, and removes for it what must go.
    pub(super) fn make_room(&self, room: &Reservation, more: u64) -> Result<(), Unkept> {
        if more == 0 || room.take(more) {
            return Ok(());
        }
        if room.bytes().saturating_add(more) > self.room.most() {
            return Err(Unkept::TooLarge);
        }
        // One after the other: what one of them frees may be enough for the next.
        let _evicting = self.evicting.lock().unwrap_or_else(PoisonError::into_inner);
        while !room.take(more) {
            if !self.free(self.room.lacks(more)) {
                return Err(Unkept::NoRoom);
            }
        }
        Ok(())
    }

    /// Removes what is more than `max_size`, as after a change of the configuration.
    pub(super) fn shrink(&self) {
        let _evicting = self.evicting.lock().unwrap_or_else(PoisonError::into_inner);
        while self.room.lacks(0) > 0 && self.free(self.room.lacks(0)) {}
    }

    /// Removes so much that `lacks` bytes become free, or nothing. Whether there is hope for more room
    /// than before.
    fn free(&self, lacks: u64) -> bool {
        if lacks == 0 || self.clear_rotten() {
            return true;
        }
        self.recent.clear();
        self.warm.clear();
        // What fails is told where it fails; there is no more room then than before.
        let freed = self.facts.write(Lasting::Later, |tables| {
            let mut stuck = BTreeSet::new();
            loop {
                let going = self.choose(tables, lacks, &stuck)?;
                let mut freed = false;
                for going in &going {
                    // The bytes first: they may be taken again as soon as the facts are changed.
                    // Where that fails the facts are of nothing, and are found to be.
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

    /// What must go to free `lacks` bytes, other than what is `stuck`; nothing if that cannot be.
    fn choose(
        &self,
        tables: &Tables<'_>,
        lacks: u64,
        stuck: &BTreeSet<Digest>,
    ) -> Result<Vec<Going<'_>>, redb::Error> {
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
                // What is going cannot be read: nothing is that may stay.
                return Ok(chosen.iter().filter_map(|digest| self.in_use.let_go(digest)).collect());
            }
        }
        Ok(Vec::new())
    }

    fn lists_what_is_in_use(&self, manifest: &Digest) -> bool {
        let bytes = atomic::read(&self.layout.content(manifest), MAX_MANIFEST as u64);
        // What cannot be read, or is nothing that lists anything, does not lead to anything.
        let Ok(Some(bytes)) = bytes else { return false };
        let Ok(manifest) = Manifest::parse(&bytes, None) else { return false };
        let mut listed = manifest.blobs().iter().chain(manifest.children());
        listed.any(|listed| self.in_use.holds(&listed.digest))
    }

    /// Removes the bytes of `digest`. Whether they are gone.
    fn remove(&self, digest: &Digest) -> bool {
        match fs::remove_file(self.layout.content(digest)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                self.health.failed(Operation::Remove, &error);
                false
            }
            Ok(()) | Err(_) => {
                tracing::debug!(%digest, "removed from the store to make room");
                true
            }
        }
    }
}
