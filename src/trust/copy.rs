//! Fetches and verifies the trust data of a repository, whatever the cache contains: for copies in a bundle, and to check
//! them. Serves no client.

use crate::clock::Timestamp;
use crate::oci::RepositoryRef;

use super::notaryv1::{self, CopiedTrust, Gun, NotUpdated};
use super::{Anchor, Reason, Refusal, Trust};

impl Trust {
    /// Fetches and verifies the trust data of `repository` from the server of the anchor `name` at `now`, and
    /// returns its files byte for byte. `None` if the anchor does not sign names.
    pub async fn copy(
        &self,
        name: &str,
        repository: &RepositoryRef,
        now: Timestamp,
    ) -> Result<Option<CopiedTrust>, NotUpdated> {
        match self.anchors.get(name) {
            Some(Anchor::NotaryV1(anchor)) => {
                anchor.copy(&gun_of(anchor, repository)?, now).await.map(Some)
            }
            Some(Anchor::Content(_)) | None => Ok(None),
        }
    }

    /// Fetches and verifies the same trust data without a copy, whatever the cache contains. Does nothing if the anchor
    /// does not sign names.
    pub async fn check(
        &self,
        name: &str,
        repository: &RepositoryRef,
        now: Timestamp,
    ) -> Result<(), NotUpdated> {
        match self.anchors.get(name) {
            Some(Anchor::NotaryV1(anchor)) => anchor.check(&gun_of(anchor, repository)?, now).await,
            Some(Anchor::Content(_)) | None => Ok(()),
        }
    }
}

pub(super) fn gun_of(
    anchor: &notaryv1::Anchor,
    repository: &RepositoryRef,
) -> Result<Gun, Refusal> {
    anchor.gun(repository).map_err(|_| {
        let because = format!("{repository} does not result in a valid GUN");
        Refusal::new(Reason::NoTrustData, because)
    })
}
