//! What is noted, each in a transaction of its own; uses wait for the next one.

use super::tables::{HeldAs, Rank, Row};
use super::{ContentIndex, Lasting, NoFacts, Place, Use};
use crate::clock::Timestamp;
use crate::oci::Digest;

/// The most contents whose uses wait to be written down.
const MAX_USES: usize = 1 << 16;

impl ContentIndex {
    /// Notes that the content was used.
    pub(in crate::store) fn touch(&self, digest: &Digest) {
        let now = self.tick();
        self.note_use(digest, |noted| noted.at = Some(now));
    }

    /// Notes that a manifest was served.
    pub(in crate::store) fn served(&self, digest: &Digest) {
        self.note_use(digest, |noted| noted.served = true);
    }

    fn note_use(&self, digest: &Digest, note: impl FnOnce(&mut Use)) {
        let mut uses = self.uses();
        // More come together only where the disk fails for long.
        if uses.len() < MAX_USES || uses.contains_key(digest) {
            note(uses.entry(*digest).or_default());
        }
    }

    /// Keeps content: from now on it is found. It was not there before the bytes were.
    pub(in crate::store) fn keep(
        &self,
        place: Place<'_>,
        digest: &Digest,
        length: u64,
        seen: &HeldAs,
    ) -> Result<(), NoFacts> {
        let scrubbed = seconds(self.clock.now());
        let used = self.tick();
        self.write(Lasting::Now, |tables| {
            let rank = tables.row(digest)?.map_or(seen.rank(), |row| row.rank.max(seen.rank()));
            tables.put(digest, Row { length, rank, used, scrubbed })?;
            tables.hold(place, digest, seen)
        })
    }

    /// Notes that the repository holds content that is kept.
    pub(in crate::store) fn hold(&self, place: Place<'_>, digest: &Digest, seen: &HeldAs) {
        if self.health.is_good() {
            // What fails is told where it fails; upstream is then asked again.
            let _ = self.write(Lasting::Later, |tables| tables.hold(place, digest, seen));
        }
    }

    /// Notes that the repository holds content that its registry has delivered before.
    pub(in crate::store) fn confirm(&self, place: Place<'_>, digest: &Digest) {
        if self.health.is_good() {
            // A failure is logged where it happens; upstream is then asked again.
            let _ = self.write(Lasting::Later, |tables| {
                if tables.is_delivered(digest, place.0)? {
                    tables.hold(place, digest, &HeldAs::Blob)?;
                }
                Ok(())
            });
        }
    }

    /// Notes that `parent`, if it is kept, lists the children.
    pub(in crate::store) fn link(
        &self,
        place: Place<'_>,
        mut children: impl Iterator<Item = Digest>,
        parent: &Digest,
    ) {
        if !self.health.is_good() {
            return;
        }
        let now = self.tick();
        // What fails is told where it fails; the parent is then looked for again.
        let _ = self.write(Lasting::Later, |tables| {
            if tables.row(parent)?.is_none() {
                return Ok(());
            }
            children.try_for_each(|child| tables.link(place, &child, parent, now))
        });
    }

    /// Forgets content that is no longer there.
    pub(in crate::store) fn forget(&self, digest: &Digest) {
        // What fails is told where it fails; then it is not found either.
        let _ = self.write(Lasting::Later, |tables| tables.forget(digest));
    }

    /// Notes that the content was as it should be.
    pub(in crate::store) fn scrubbed(&self, digest: &Digest, now: Timestamp) {
        // What fails is told where it fails; the content is then scrubbed again.
        let _ = self.write(Lasting::Later, |tables| {
            tables.change(digest, |row| row.scrubbed = seconds(now))
        });
    }
}

impl Use {
    /// Writes this use down.
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
