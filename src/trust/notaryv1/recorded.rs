//! What a refresh leaves behind: the trust memory on disk, and a log event for refused trust data.

use std::sync::Arc;

use crate::trust::refusal::{Reason, Refusal};

use super::anchor::Anchor;
use super::cache::TrustCache;
use super::gun::Gun;
use super::state::Remembered;
use super::update::{NotUpdated, Updated};

impl TrustCache {
    /// Records a refusal on disk. If that fails, the refusal still holds until the process ends.
    pub(super) async fn record_refusal(&self, anchor: &Arc<Anchor>, gun: &Gun) {
        if let Err(error) = anchor.state.record_refusal(gun).await {
            tracing::error!(anchor = &**anchor.name(), %gun, %error, "a refusal cannot be recorded");
        }
    }

    /// Writes the trust memory to disk. Without the write, the update does not count. `before` is the memory that it was
    /// judged with.
    pub(super) async fn record(
        &self,
        anchor: &Anchor,
        gun: &Gun,
        updated: Updated,
        before: Option<&Arc<Remembered>>,
    ) -> Result<Updated, NotUpdated> {
        anchor.state.record(gun, updated, before.cloned()).await.map_err(|error| {
            tracing::error!(anchor = &**anchor.name(), %error, "the trust memory cannot be written");
            NotUpdated::NotRemembered(format!("the trust memory cannot be written: {error}"))
        })
    }
}

/// Logs that trust data was refused.
pub(super) fn warn(anchor: &Anchor, gun: &Gun, refusal: &Refusal) {
    let (anchor, reason, because) = (&**anchor.name(), refusal.reason.as_str(), &refusal.because);
    match refusal.reason {
        Reason::NoTrustData => tracing::debug!(anchor, %gun, reason, because, "no trust data"),
        Reason::ContentMismatch
        | Reason::DeniedByRule
        | Reason::DigestNotSigned
        | Reason::Expired
        | Reason::Malformed
        | Reason::MixAndMatch
        | Reason::NoRule
        | Reason::Rollback
        | Reason::RootNotPinned
        | Reason::SignatureInvalid
        | Reason::SignerMissing
        | Reason::SignersDisagree
        | Reason::TagNotSigned
        | Reason::TrustRemoved
        | Reason::WrongRepository => {
            tracing::warn!(anchor, %gun, reason, because, "trust data was refused");
        }
    }
}
