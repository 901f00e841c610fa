//! Detects a Notary server that does not answer, and finds the trust data that may be used meanwhile. Time in the
//! gate's own queue does not count as silence of the server.

use std::sync::Arc;

use crate::trust::lifetimes::SILENCE;

use super::anchor::Anchor;
use super::cache::{KeyRef, TrustCache};
use super::cached_trust::CachedTrust;
use super::entry::lifetimes;
use super::gun::Gun;
use super::kept::verify_again;
use super::repository::SignedRepository;

const SILENT: &str = "the Notary server does not answer";

impl TrustCache {
    /// Whether the requests of the current query about `gun` have taken [`SILENCE`] together, or no request about known
    /// repositories has had an answer for that long.
    pub(super) fn is_silent(&self, anchor: &Anchor, gun: &Gun) -> bool {
        self.queries.has_lasted(&(anchor.name().clone(), gun.clone()), SILENCE)
            || anchor.source.server().is_some_and(|notary| notary.is_silent(SILENCE))
    }

    /// The earlier trust data of `gun`, if it may be used while its Notary server does not answer.
    pub(super) async fn earlier_answer(
        &self,
        anchor: &Arc<Anchor>,
        gun: &Gun,
    ) -> Option<Arc<SignedRepository>> {
        let known = self.entries.get(&KeyRef(anchor.name(), gun)).await;
        let known = known.filter(|entry| entry.is_of(anchor));
        let (now, lifetimes) = (self.clock.now(), lifetimes(anchor));
        let silent = |before: &CachedTrust| {
            let silent = CachedTrust::unreachable(Some(before), String::new(), now);
            silent.answer(now, lifetimes).ok()
        };
        if let Some(answer) = known.as_ref().and_then(|entry| silent(&entry.trust)) {
            return Some(answer);
        }
        if known.is_some() && anchor.source.archive().is_none() {
            return None;
        }
        let kept = self.remembered(anchor, gun).await.ok()?;
        let before = (known.as_ref().map(|entry| &entry.trust), kept.as_ref());
        if let Some(fallen) = self.fall_back(anchor, gun, before, SILENT).await {
            return fallen.answer(now, lifetimes).ok();
        }
        match known {
            Some(_) => None,
            None => silent(&verify_again(anchor, gun, &kept?, now).await?),
        }
    }
}
