//! Trust data from an archive in the trust cache: of an anchor without a server, and while a server does not answer.

use std::sync::Arc;

use crate::trust::scheme::Scheme;

use super::anchor::Anchor;
use super::cache::TrustCache;
use super::cached_trust::CachedTrust;
use super::gun::Gun;
use super::recorded::warn;
use super::state::Remembered;
use super::trust_source::ArchiveReader;
use super::update::{NotUpdated, Updated};

const BUSY: &str = "the gate is busy and has not read the archive yet";

impl TrustCache {
    /// The result of reading an archive that is the only source of trust data.
    ///
    /// The archive does not say that trust data was removed: a bundle that is gone, or one that is refused, leaves the
    /// trust data that was verified before in force until it expires.
    pub(super) async fn read_archive(
        &self,
        anchor: &Arc<Anchor>,
        gun: &Gun,
        archive: &ArchiveReader,
        (before, remembered): (Option<&CachedTrust>, Option<&Arc<Remembered>>),
    ) -> CachedTrust {
        let known = (remembered, remembered);
        let updated = self.update_from_archive(anchor, gun, archive, known).await;
        let now = self.clock.now();
        match updated {
            Ok(updated) => {
                self.metrics.refreshed(Scheme::NotaryV1, "ok");
                CachedTrust::Signed { repository: Arc::new(updated.repository), answered: now }
            }
            Err(NotUpdated::Refused(refusal)) => {
                let absent = refusal.reason.is_absence();
                let result = if absent { "absent" } else { "refused" };
                self.metrics.refreshed(Scheme::NotaryV1, result);
                let refusal = anchor.recognize_root(refusal).await;
                warn(anchor, gun, &refusal);
                CachedTrust::Refused { refusal, answered: now }
            }
            Err(NotUpdated::Unreachable(why) | NotUpdated::NotRemembered(why)) => {
                self.metrics.refreshed(Scheme::NotaryV1, "unreachable");
                tracing::warn!(anchor = &**anchor.name(), %gun, why, "trust data could not be read");
                CachedTrust::unreachable(before, why, now)
            }
            Err(NotUpdated::Busy) => CachedTrust::unreachable(before, BUSY.to_owned(), now),
        }
    }

    /// The trust data in the archive of an anchor whose server does not answer. `None` if there is no archive, if the
    /// archive does not help, or if the server's last answer was refused: then no earlier answer counts.
    pub(super) async fn fall_back(
        &self,
        anchor: &Arc<Anchor>,
        gun: &Gun,
        (before, remembered): (Option<&CachedTrust>, Option<&Arc<Remembered>>),
        why: &str,
    ) -> Option<CachedTrust> {
        let archive = anchor.source.archive()?;
        if before.is_some_and(CachedTrust::was_refused) {
            return None;
        }
        if remembered.is_some_and(|kept| kept.memory.answered().is_none()) {
            return None;
        }
        // Trust data that the server confirmed counts for `max_stale`, with an archive as without one.
        let kept = remembered.filter(|kept| kept.has_evidence());
        match self.update_from_archive(anchor, gun, archive, (remembered, kept)).await {
            Ok(updated) => {
                let now = self.clock.now();
                let repository = Arc::new(updated.repository);
                let (why, last) = (why.to_owned(), Some((repository, now)));
                Some(CachedTrust::Unreachable { why, was_refused: false, last, tried: now })
            }
            Err(error) => {
                tracing::info!(anchor = &**anchor.name(), %gun, ?error, "the archive does not replace the server");
                None
            }
        }
    }

    /// Updates from `archive`, or from `kept`, the trust data on disk.
    async fn update_from_archive(
        &self,
        anchor: &Arc<Anchor>,
        gun: &Gun,
        archive: &ArchiveReader,
        (remembered, kept): (Option<&Arc<Remembered>>, Option<&Arc<Remembered>>),
    ) -> Result<Updated, NotUpdated> {
        let (terms, memory) = (anchor.terms(gun.clone()), remembered.map(|kept| &kept.memory));
        let known = (memory, kept);
        let updated = anchor.update_from(archive, &terms, known, self.clock.now()).await?;
        match remembered {
            Some(kept) if kept.is(&updated) => Ok(updated),
            Some(_) | None => self.record(anchor, gun, updated).await,
        }
    }
}
