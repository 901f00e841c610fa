//! Trust data on disk, for use after a restart or while the Notary server does not answer. It is verified again before
//! it is used.

use std::sync::Arc;

use crate::clock::Timestamp;

use super::anchor::Anchor;
use super::cached_trust::CachedTrust;
use super::gun::Gun;
use super::role::File;
use super::state::Remembered;
use super::update::{NotUpdated, update};

/// Verifies the trust data on disk with the present pins and time; that it was verified before does not count. `None` if
/// it does not verify, or if the server's last answer was refused.
pub(super) async fn verify_again(
    anchor: &Anchor,
    gun: &Gun,
    kept: &Arc<Remembered>,
    now: Timestamp,
) -> Option<CachedTrust> {
    let fetch = |file: File| {
        let kept = kept.clone();
        async move { Ok::<_, NotUpdated>(kept.recall(&file).await) }
    };
    let answered = kept.memory.answered()?;
    match update(fetch, &anchor.terms(gun.clone()), Some(&kept.memory), now).await {
        Ok(updated) => {
            Some(CachedTrust::Signed { repository: Arc::new(updated.repository), answered })
        }
        Err(error) => {
            tracing::info!(anchor = &**anchor.name(), %gun, ?error, "trust data on disk is no longer valid");
            None
        }
    }
}
