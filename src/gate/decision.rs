//! The state of one decision, which may need many manifests: the requests that it may still make, and how many
//! artifacts depend on the manifest that it examines.

use std::sync::{Arc, OnceLock};

use super::Shared;
use super::denial::Denial;
use super::deny;
use crate::oci::{Digest, ImageRef};
use crate::pull_through::Fetched;
use crate::trust::discovery::{RequestBudget, Why};

/// The longest chain of artifacts, such as the signature of an SBOM of an image. Without a limit, a registry could let
/// artifact tags refer to each other forever.
const MAX_ABOUT: usize = 2;
/// The longest chain of manifests that point at another outside their `manifests`.
const MAX_OUTSIDE_DEPTH: usize = 2;

/// The digest that the upstream returned for the tag of a decision. All parts of the decision use it: if the tag moves
/// meanwhile, findings about one image must not be applied to another.
pub(super) type TagDigest = OnceLock<Digest>;

/// A decision in progress. Clones share one budget.
#[derive(Clone, Debug, Default)]
pub(super) struct Decision {
    budget: RequestBudget,
    /// The number of artifacts that depend on this decision.
    above: usize,
    /// The number of manifests that depend on this decision because they point at another outside their `manifests`.
    outer: usize,
}

impl Decision {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// The requests and bytes that it used, and their limits.
    pub(super) fn budget(&self) -> &RequestBudget {
        &self.budget
    }

    /// The decision about the subject of an artifact, as a part of this one; `None` if the chain is too long.
    pub(super) fn about_subject(&self) -> Option<Self> {
        let above = self.above + 1;
        (above <= MAX_ABOUT).then(|| Self { above, ..self.clone() })
    }

    /// The decision about a manifest that another one points at outside its `manifests`, as a part of this one; `None`
    /// if the chain is too long.
    pub(super) fn outside(&self) -> Option<Self> {
        let outer = self.outer + 1;
        (outer <= MAX_OUTSIDE_DEPTH).then(|| Self { outer, ..self.clone() })
    }

    /// The same decision with a new budget.
    pub(super) fn anew(&self) -> Self {
        Self { budget: RequestBudget::default(), ..self.clone() }
    }
}

impl Shared {
    /// The manifest `digest`, from the store or the upstream. A request to the upstream counts against `budget`.
    pub(super) async fn manifest(
        &self,
        image: &ImageRef,
        digest: &Digest,
        rule: Option<&Arc<str>>,
        budget: &RequestBudget,
    ) -> Result<Fetched, Denial> {
        self.not_denied(image, digest)?;
        let repository = &image.repository;
        if let Some(kept) = self.pull_through.kept_manifest(repository, digest).await {
            return Ok(kept);
        }
        ask(image, rule, budget)?;
        let fetched = self.pull_through.manifest(repository, digest).await;
        let fetched = fetched.map_err(|error| deny::fetch(image, rule, error))?;
        let held = budget.hold(fetched.bytes().len());
        held.map_err(|limit| deny::exhausted(image, rule, limit.to_string()))?;
        Ok(fetched)
    }
}

/// Takes one small upstream request from the budget.
pub(super) fn ask(
    image: &ImageRef,
    rule: Option<&Arc<str>>,
    budget: &RequestBudget,
) -> Result<(), Denial> {
    ask_for(image, rule, budget, 0)
}

/// Takes one upstream request for so many bytes from the budget.
pub(super) fn ask_for(
    image: &ImageRef,
    rule: Option<&Arc<str>>,
    budget: &RequestBudget,
    bytes: usize,
) -> Result<(), Denial> {
    budget.ask(&image.repository.registry, bytes).map_err(|why| match why {
        Why::Fetch(error) => deny::fetch(image, rule, error),
        Why::Limit(limit) => deny::exhausted(image, rule, limit.to_string()),
    })
}
