//! Queries the server once more for a tag that fresh trust data does not name. The tag may have been signed since: an image
//! is often pulled right after it was signed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::trust::refusal::Unendorsed;

use super::anchor::Anchor;
use super::awaited::Awaited;
use super::cache::{KeyRef, TrustCache};
use super::cached_trust::Freshness;
use super::entry::{Ahead, lifetimes};
use super::gun::Gun;
use super::repository::SignedRepository;

/// How long a request waits for the query. After that, the known trust data decides.
const MAX_WAIT: Duration = Duration::from_secs(5);

impl TrustCache {
    /// When the server was queried about `gun`, and when it is queried next. `None` if it was not queried.
    pub async fn freshness(&self, anchor: &Arc<Anchor>, gun: &Gun) -> Option<Freshness> {
        let entry = self.entries.get(&KeyRef(anchor.name(), gun)).await?;
        entry.is_of(anchor).then(|| entry.trust.freshness(lifetimes(anchor)))
    }

    /// The names that `anchor` has signed in `gun`, after one more query. `None` if the known trust data decides: the last
    /// query is less than 10 seconds old, the repository is not known, or the query takes too long.
    pub async fn signed_since(
        &self,
        anchor: &Arc<Anchor>,
        gun: &Gun,
    ) -> Option<Result<Arc<SignedRepository>, Unendorsed>> {
        let entry = self.entries.get(&KeyRef(anchor.name(), gun)).await?;
        if !entry.is_of(anchor) || entry.is_new(self.clock.now()) {
            return None;
        }
        // In its own task, because other clients may wait for it when this client disconnects.
        let awaited = Awaited::default();
        let refresh = self.clone().refresh(anchor.clone(), gun.clone(), Ahead::Again, awaited);
        let refreshing = tokio::spawn(refresh);
        match timeout(MAX_WAIT, refreshing).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) => {
                tracing::error!(%error, %gun, "trust data update panicked");
                None
            }
            Err(_) => None,
        }
    }
}
