//! Finds and fetches the signatures of one manifest, within limits: in tags beside the manifest, among its referrers, or
//! in a separate repository. This is the only module that does I/O for the schemes that sign content. It verifies no
//! signature: a candidate that it returns matches its own digest and has the shape of a signature, nothing more.
//!
//! # Places
//!
//! ```text
//! cosign    <repository>:sha256-<hex>.sig (.att)      one manifest with a layer for each signature
//! both      /v2/<repository>/referrers/<digest>       a list with a manifest for each signature
//! both      <repository>:sha256-<hex>                 the same list, if the registry has no referrers API, or
//!                                                     if the list of the API has no valid signature
//! ```
//!
//! The search covers each place in the signature repository, if one is configured, and in the image's own repository.
//! The entries of a list (type, name, size) are hints: the search fetches each manifest by its digest and reads the
//! manifest's own type, layers and subject.
//!
//! # Many foreign signatures
//!
//! Anyone who can push can add any number of worthless signatures. No count ends a search, only the cost limits of a
//! decision do. The search examines the most likely entries first, alternates between places, and examines entries that
//! it has seen before last: if a decision reaches its limits, the next decision continues there. About 45 foreign
//! signatures delay an image by one decision. They do not block it.
//!
//! # Three results
//!
//! An entry was found, is absent, or could not be read. A limit, a missing page, a refusal by the registry: each makes
//! something *unread*. If a search finds no valid signature and something is unread, the image is undecided.

mod api;
mod artifact;
mod asking;
mod fetch;
mod request_budget;
mod learned;
mod limit;
mod located;
mod order;
mod search;
mod shape;
mod steps;

pub use limit::{Limit, MAX_BYTES, MAX_CANDIDATES, MAX_PAGES, MAX_REQUESTS, MAX_STATEMENT};
#[cfg(feature = "test-support")]
pub use located::Located;
pub use located::{Found, Looked, Unread, Why};
pub use order::Hint;
pub use request_budget::RequestBudget;
pub use search::Search;

use crate::clock::Clock;
use crate::oci::RepositoryRef;
use crate::pull_through::PullThrough;
use crate::trust::Subject;
use learned::Learned;

/// The kind of signature to search for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureKind {
    /// cosign's signatures, in the simple signing format or in bundles.
    CosignSignature,
    /// cosign's attestations, in DSSE envelopes or in bundles.
    CosignAttestation,
    /// The Notary Project's envelopes.
    Notation,
}

/// The registries, and what earlier searches learned about them. Cheap to clone; all clones share what is learned.
#[derive(Clone)]
pub struct Places {
    pull_through: PullThrough,
    learned: Learned,
}

impl Places {
    pub fn new(pull_through: PullThrough, clock: Clock) -> Self {
        Self { pull_through, learned: Learned::new(clock) }
    }

    /// Searches for signatures of `kind` over `subject`: first in `signature_repository`, if there is one, then beside the
    /// image. The search counts towards the limits of `budget`, which remembers the answers.
    pub fn search(
        &self,
        kind: SignatureKind,
        subject: &Subject,
        signature_repository: Option<&RepositoryRef>,
        budget: &RequestBudget,
    ) -> Search {
        let beside = subject.repository.clone();
        let apart = signature_repository.filter(|apart| **apart != beside).cloned();
        Search::new(self.clone(), kind, subject.clone(), budget.clone(), apart, beside)
    }

    /// Runs the same search to its end: every signature in every place.
    #[cfg(feature = "test-support")]
    pub async fn locate(
        &self,
        kind: SignatureKind,
        subject: &Subject,
        signature_repository: Option<&RepositoryRef>,
        budget: &RequestBudget,
    ) -> Located {
        self.search(kind, subject, signature_repository, budget).all().await
    }
}
