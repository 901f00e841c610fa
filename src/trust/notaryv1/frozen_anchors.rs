//! The frozen anchors of the configuration in use, for metrics and the log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Timestamp;

use super::anchor::Anchor;
use super::cache::TrustCache;

/// The end of each frozen anchor. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct FrozenAnchors(Arc<Mutex<BTreeMap<Arc<str>, Timestamp>>>);

impl TrustCache {
    /// The gate uses these `anchors` from now on: remembers which are frozen, and logs them, because images that depend on
    /// them stop being served on a known day.
    pub fn use_anchors<'a>(&self, anchors: impl Iterator<Item = &'a Arc<Anchor>>) {
        let mut frozen = BTreeMap::new();
        for anchor in anchors {
            let Some(archive) = &anchor.config.frozen else { continue };
            let (name, until) = (&**anchor.name(), archive.until());
            tracing::warn!(
                anchor = name,
                since = %format!("{:#}", archive.since()),
                until = %format!("{until:#}"),
                "the anchor is frozen: it learns no newer signatures, and ends"
            );
            for (gun, why) in archive.unusable() {
                tracing::warn!(anchor = name, %gun, why, "trust data in the frozen archive was refused");
            }
            frozen.insert(anchor.name().clone(), until);
        }
        *self.frozen.0.lock().unwrap_or_else(PoisonError::into_inner) = frozen;
    }

    /// The frozen anchors and their ends.
    pub fn frozen_anchors(&self) -> BTreeMap<Arc<str>, Timestamp> {
        self.frozen.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
