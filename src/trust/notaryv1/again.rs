//! One more query for a tag that fresh trust data does not name: it may have been signed since, and whoever signs an image
//! pulls it next.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::trust::refusal::Unendorsed;

use super::anchor::Anchor;
use super::awaited::Awaited;
use super::cache::{Sought, TrustCache};
use super::entry::Ahead;
use super::gun::Gun;
use super::repository::SignedRepository;

/// How long a request waits for the query. After that, the trust data that is known decides.
const MAX_WAIT: Duration = Duration::from_secs(5);

impl TrustCache {
    /// What `anchor` has signed of `gun` after one more query. `None` if the known trust data decides: there was a query
    /// less than 10 seconds ago, the repository is not known, or the query takes too long.
    pub async fn signed_since(
        &self,
        anchor: &Arc<Anchor>,
        gun: &Gun,
    ) -> Option<Result<Arc<SignedRepository>, Unendorsed>> {
        let entry = self.standings.get(&Sought(anchor.name(), gun)).await?;
        if !entry.is_of(anchor) || entry.is_new(self.clock.now()) {
            return None;
        }
        // In a task of its own: if the client goes away, others still wait for it.
        let awaited = Awaited::default();
        let refresh = self.clone().refresh(anchor.clone(), gun.clone(), Ahead::Again, awaited);
        let refreshing = tokio::spawn(refresh);
        match timeout(MAX_WAIT, refreshing).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) => {
                tracing::error!(%error, %gun, "an update of trust data panicked");
                None
            }
            Err(_) => None,
        }
    }
}
