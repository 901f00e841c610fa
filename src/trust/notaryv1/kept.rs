//! Trust data that was kept on disk, for a gate that was restarted or whose Notary server does not answer: read
//! again, and verified again before it is used.

use std::sync::Arc;

use bytes::Bytes;

use crate::clock::Timestamp;

use super::anchor::Anchor;
use super::cached_trust::CachedTrust;
use super::gun::Gun;
use super::role::File;
use super::state::Remembered;
use super::update::{NotUpdated, update};

/// Verifies what was kept once more, with the pins and the time of today; nothing of it is believed
/// because it was verified before. What was refused since is of no use.
pub(super) async fn verify_again(
    anchor: &Anchor,
    gun: &Gun,
    kept: &Arc<Remembered>,
    now: Timestamp,
) -> Option<CachedTrust> {
    let fetch = |file: File| {
        let kept = kept.clone();
        async move { Ok::<_, NotUpdated>(kept_file(&kept, &file).await) }
    };
    let answered = kept.memory.answered()?;
    match update(fetch, &anchor.terms(gun.clone()), Some(&kept.memory), now).await {
        Ok(updated) => {
            Some(CachedTrust::Signed { repository: Arc::new(updated.repository), answered })
        }
        Err(error) => {
            tracing::info!(anchor = &**anchor.name(), %gun, ?error, "kept trust data is of no use any more");
            None
        }
    }
}

/// Reads a kept file, which may be large, where that holds nobody up.
pub(super) async fn kept_file(kept: &Arc<Remembered>, file: &File) -> Option<Bytes> {
    let (kept, file) = (kept.clone(), file.clone());
    match tokio::task::spawn_blocking(move || kept.file(&file)).await {
        Ok(content) => content,
        Err(error) => {
            tracing::error!(%error, "reading a kept file panicked");
            None
        }
    }
}
