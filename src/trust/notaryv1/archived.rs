//! Trust data from an archive in the trust cache: of an anchor without a server, and while a server does not answer.

use std::sync::Arc;

use super::anchor::Anchor;
use super::cache::TrustCache;
use super::cached_trust::CachedTrust;
use super::gun::Gun;
use super::state::Remembered;
use super::trust_source::ArchiveReader;
use super::update::{NotUpdated, Updated};

impl TrustCache {
    /// Reads the archive that is the only source of trust data, and records what it proves.
    pub(super) async fn read_archive(
        &self,
        anchor: &Arc<Anchor>,
        gun: &Gun,
        archive: &ArchiveReader,
        remembered: Option<&Arc<Remembered>>,
    ) -> Result<Updated, NotUpdated> {
        let terms = anchor.terms(gun.clone());
        let known = (remembered.map(|kept| &kept.memory), remembered);
        let (updated, _) = anchor.update_from(archive, &terms, known, self.clock.now()).await?;
        self.record_archived(anchor, gun, updated, remembered).await
    }

    /// The trust data in the archive of an anchor whose server does not answer. `None` if no archive may replace it.
    pub(super) async fn fall_back(
        &self,
        anchor: &Arc<Anchor>,
        gun: &Gun,
        (before, remembered): (Option<&CachedTrust>, Option<&Arc<Remembered>>),
        why: &str,
    ) -> Option<CachedTrust> {
        if before.is_some_and(CachedTrust::was_refused) {
            return None;
        }
        let (terms, now) = (anchor.terms(gun.clone()), self.clock.now());
        let (updated, _) = anchor.instead_of_server(&terms, remembered, now).await?;
        match self.record_archived(anchor, gun, updated, remembered).await {
            Ok(updated) => {
                let now = self.clock.now();
                let repository = Arc::new(updated.repository);
                let (why, last) = (why.to_owned(), Some((repository, now)));
                Some(CachedTrust::Unreachable { why, was_refused: false, last, tried: now })
            }
            Err(error) => {
                tracing::info!(anchor = &**anchor.name(), %gun, %error, "the archive does not replace the server");
                None
            }
        }
    }

    async fn record_archived(
        &self,
        anchor: &Arc<Anchor>,
        gun: &Gun,
        updated: Updated,
        remembered: Option<&Arc<Remembered>>,
    ) -> Result<Updated, NotUpdated> {
        match remembered {
            Some(kept) if kept.is(&updated) => Ok(updated),
            Some(_) | None => self.record(anchor, gun, updated, remembered).await,
        }
    }
}
