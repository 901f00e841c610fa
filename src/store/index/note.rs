//! The changes of the index. Each has its own transaction; recorded uses wait for the next one.

use super::tables::{HeldAs, Rank, Row};
use super::{ContentIndex, IndexError, Lasting, Use};
use crate::clock::Timestamp;
use crate::oci::{Digest, RepositoryRef};

/// The maximum number of contents whose uses wait to be written.
const MAX_USES: usize = 1 << 16;

impl ContentIndex {
    /// Records a use of the content.
    pub(in crate::store) fn touch(&self, digest: &Digest) {
        let now = self.tick();
        self.note_use(digest, |noted| noted.at = Some(now));
    }

    /// Records that a manifest was served.
    pub(in crate::store) fn served(&self, digest: &Digest) {
        self.note_use(digest, |noted| noted.served = true);
    }

    fn note_use(&self, digest: &Digest, note: impl FnOnce(&mut Use)) {
        let mut uses = self.uses();
        // This limit is reached only if the disk fails for a long time.
        if uses.len() < MAX_USES || uses.contains_key(digest) {
            note(uses.entry(*digest).or_default());
        }
    }

    /// Adds content, which can be found from now on. The file must already exist.
    pub(in crate::store) fn keep(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
        length: u64,
        seen: &HeldAs,
    ) -> Result<(), IndexError> {
        let scrubbed = seconds(self.clock.now());
        let used = self.tick();
        self.write(Lasting::Now, |tables| {
            let rank = tables.row(digest)?.map_or(seen.rank(), |row| row.rank.max(seen.rank()));
            tables.put(digest, Row { length, rank, used, scrubbed })?;
            tables.hold(repository, digest, seen)
        })
    }

    /// Records that the repository holds stored content.
    pub(in crate::store) fn hold(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
        seen: &HeldAs,
    ) {
        if self.health.is_good() {
            // A failure is logged where it happens; upstream is then asked again.
            let _ = self.write(Lasting::Later, |tables| tables.hold(repository, digest, seen));
        }
    }

    /// Records that the repository holds content that its registry has delivered before.
    pub(in crate::store) fn confirm(&self, repository: &RepositoryRef, digest: &Digest) {
        if self.health.is_good() {
            // A failure is logged where it happens; upstream is then asked again.
            let _ = self.write(Lasting::Later, |tables| {
                if tables.is_delivered(digest, &repository.registry)? {
                    tables.hold(repository, digest, &HeldAs::Blob)?;
                }
                Ok(())
            });
        }
    }

    /// Records that `parent`, if it is stored, lists the children.
    pub(in crate::store) fn link(
        &self,
        repository: &RepositoryRef,
        mut children: impl Iterator<Item = Digest>,
        parent: &Digest,
    ) {
        if !self.health.is_good() {
            return;
        }
        let now = self.tick();
        // A failure is logged where it happens; the parent is then searched again.
        let _ = self.write(Lasting::Later, |tables| {
            if tables.row(parent)?.is_none() {
                return Ok(());
            }
            children.try_for_each(|child| tables.link(repository, &child, parent, now))
        });
    }

    /// Removes content whose file no longer exists.
    pub(in crate::store) fn forget(&self, digest: &Digest) {
        // A failure is logged where it happens; the content is then not found either.
        let _ = self.write(Lasting::Later, |tables| tables.forget(digest));
    }

    /// Records a successful scrub.
    pub(in crate::store) fn scrubbed(&self, digest: &Digest, now: Timestamp) {
        // A failure is logged where it happens; the content is then scrubbed again.
        let _ = self.write(Lasting::Later, |tables| {
            tables.change(digest, |row| row.scrubbed = seconds(now))
        });
    }
}

impl Use {
    /// Applies this use to a row.
    pub(super) fn apply(self, row: &mut Row) {
        row.used = self.at.unwrap_or(row.used);
        if self.served {
            row.rank = Rank::Served;
        }
    }
}

fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.unix()).unwrap_or(0)
}
