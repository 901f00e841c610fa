//! Determines whether a registry has no referrers API. The answer for one repository is not enough: a web page in front
//! of one repository would hide the signatures in all others. A second repository has to give the same answer.

use super::Search;
use crate::oci::{Repository, RepositoryRef};
use crate::registry_client::{Listing, Page};

/// A repository that no registry has. A registry with the referrers API answers that it is unknown, or lists nothing.
const PROBE: &str = "countersign/referrers-api-probe";

impl Search {
    /// Whether the registry of `at` has no referrers API, after `at` answered as if there were none. Asks a second
    /// repository, unless one has already given that answer.
    pub(super) async fn is_without_api(&self, at: &RepositoryRef) -> bool {
        let learned = &self.places.learned;
        if learned.api_is_missing(at) {
            return true;
        }
        let Ok(name) = PROBE.parse::<Repository>() else { return false };
        let probe = RepositoryRef { registry: at.registry.clone(), name };
        match self.asking().referrers(&probe, &self.subject.digest, None, &Page::default()).await {
            Ok(Listing::Unsupported(_)) => learned.api_is_missing(&probe),
            Ok(Listing::Page(..)) => {
                learned.api_is_there(&at.registry);
                false
            }
            // These answers do not show whether the API exists.
            Ok(Listing::Unknown | Listing::WebPage(_)) | Err(_) => false,
        }
    }
}
