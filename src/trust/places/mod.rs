//! Where the signatures over one manifest are found: in tags beside it, among its referrers, or in a
//! repository of their own; and the fetching of them, within bounds. The only module that does I/O for
//! the schemes that sign content. Judges no signature: what comes out of here is held against the
//! digest that names it, looks like a signature by its own word, and is not yet believed.
//!
//! # The places
//!
//! ```text
//! cosign    <repository>:sha256-<hex>.sig (.att)      one manifest, a layer for each signature
//! both      /v2/<repository>/referrers/<digest>       a list, a manifest for each
//! both      <repository>:sha256-<hex>                 such a list, where a registry has no such API, or
//!                                                     the API's list has no good signature
//! ```
//!
//! Each place is looked at in the repository that is kept for signatures, if there is one, and beside
//! the image. That something is listed, what it is called there and how large it is said to be are
//! hints: each manifest is opened by its digest, and its own type, layers and subject are read.
//!
//! # Many foreign signatures
//!
//! Whoever may push can add any number of signatures that prove nothing. No count stops a search, only what a
//! decision may cost. The likeliest entries come first, the places take turns, and what was examined
//! before comes after what was not: if a decision reaches its limits, the next one goes on from there. Foreign
//! signatures delay an image by one decision for about each 45 of them, and do not block it.
//!
//! # Three things that are never taken for one another
//!
//! What was found, what is not there, and what could not be read. A limit that was met, a page that did
//! not come, a registry that refuses: each leaves something *unread*, and where no good signature is
//! found besides, nobody knows whether there is one.

mod api;
mod asking;
mod fetch;
mod inquiry;
mod learned;
mod limit;
mod located;
mod order;
mod search;
mod shape;
mod steps;

pub use inquiry::Inquiry;
pub use limit::{Limit, MAX_BYTES, MAX_CANDIDATES, MAX_PAGES, MAX_REQUESTS, MAX_STATEMENT};
pub use located::{Found, Located, Looked, Unread, Why};
pub use order::Hint;
pub use search::Search;

use crate::clock::Clock;
use crate::oci::{Registry, Repository};
use crate::pull_through::PullThrough;
use crate::trust::Subject;
use inquiry::At;
use learned::Learned;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// cosign's signatures, in the simple signing format or in bundles.
    CosignSignature,
    /// cosign's attestations, in DSSE envelopes or in bundles.
    CosignAttestation,
    /// The Notary Project's envelopes.
    Notation,
}

/// The registries, and what was learned of where they keep signatures. Cheap to clone; the clones learn
/// together.
#[derive(Clone)]
pub struct Places {
    pull_through: PullThrough,
    learned: Learned,
}

impl Places {
    pub fn new(pull_through: PullThrough, clock: Clock) -> Self {
        Self { pull_through, learned: Learned::new(clock) }
    }

    /// Looks for the signatures of `kind` over `subject`: in `signature_repository` first, if there is
    /// one, and beside it. `inquiry` pays for it, and remembers what was asked.
    pub fn search(
        &self,
        kind: Kind,
        subject: &Subject,
        signature_repository: Option<&(Registry, Repository)>,
        inquiry: &Inquiry,
    ) -> Search {
        let at = |registry: &Registry, repository: &Repository| At {
            registry: registry.clone(),
            repository: repository.clone(),
        };
        let beside = at(&subject.registry, &subject.repository);
        let apart = signature_repository.map(|(registry, repository)| at(registry, repository));
        let apart = apart.filter(|apart| *apart != beside);
        Search::new(self.clone(), kind, subject.clone(), inquiry.clone(), apart, beside)
    }

    /// The same, to the end: every signature in every place.
    pub async fn locate(
        &self,
        kind: Kind,
        subject: &Subject,
        signature_repository: Option<&(Registry, Repository)>,
        inquiry: &Inquiry,
    ) -> Located {
        self.search(kind, subject, signature_repository, inquiry).all().await
    }
}
