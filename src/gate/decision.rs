//! One decision, however many manifests it takes: the requests that it may still make, and how many artifacts depend on
//! the manifest that it examines.

use std::sync::{Arc, OnceLock};

use super::Shared;
use super::denial::Denial;
use super::deny;
use crate::oci::{Digest, ImageRef};
use crate::pull_through::Fetched;
use crate::trust::discovery::{RequestBudget, Why};

/// How many artifacts may be about one another: the signature of the SBOM of an image. Registries can
/// have tags stand for one another without an end.
const MAX_ABOUT: usize = 2;
/// How many manifests may point at one another outside their `manifests`.
const MAX_OUTSIDE_DEPTH: usize = 2;

/// What upstream has under the tag that a decision is about, once it was asked. All parts of the decision use that answer:
/// a tag may move meanwhile, and what was found about one image says nothing about another.
pub(super) type TagDigest = OnceLock<Digest>;

/// A decision that is being taken. The clones cost together.
#[derive(Clone, Debug, Default)]
pub(super) struct Decision {
    budget: RequestBudget,
    /// How many artifacts are admitted only if this is.
    above: usize,
    /// How many manifests that point at another outside their `manifests` are admitted only if this is.
    outer: usize,
}

impl Decision {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// What it has asked so far, and what it may.
    pub(super) fn budget(&self) -> &RequestBudget {
        &self.budget
    }

    /// The decision about what an artifact is about, as a part of the one about the artifact.
    pub(super) fn about_subject(&self) -> Option<Self> {
        let above = self.above + 1;
        (above <= MAX_ABOUT).then(|| Self { above, ..self.clone() })
    }

    /// The decision about a manifest that another one points at outside its `manifests`, as a part of the one about that.
    pub(super) fn outside(&self) -> Option<Self> {
        let outer = self.outer + 1;
        (outer <= MAX_OUTSIDE_DEPTH).then(|| Self { outer, ..self.clone() })
    }

    /// The same decision with all that it may ask before it.
    pub(super) fn anew(&self) -> Self {
        Self { budget: RequestBudget::default(), ..self.clone() }
    }
}

impl Shared {
    /// Upstream's manifest `digest`, on the account of a decision where it is not kept.
    pub(super) async fn manifest(
        &self,
        image: &ImageRef,
        digest: &Digest,
        rule: Option<&Arc<str>>,
        budget: &RequestBudget,
    ) -> Result<Fetched, Denial> {
        self.not_denied(image, digest)?;
        let (registry, repository) = (&image.registry, &image.repository);
        if let Some(kept) = self.pull_through.kept_manifest(registry, repository, digest).await {
            return Ok(kept);
        }
        ask(image, rule, budget)?;
        let fetched = self.pull_through.manifest(registry, repository, digest).await;
        let fetched = fetched.map_err(|error| deny::fetch(image, rule, error))?;
        let held = budget.hold(fetched.bytes().len());
        held.map_err(|limit| deny::exhausted(image, rule, limit.to_string()))?;
        Ok(fetched)
    }
}

/// Leave to ask upstream once more for something small.
pub(super) fn ask(
    image: &ImageRef,
    rule: Option<&Arc<str>>,
    budget: &RequestBudget,
) -> Result<(), Denial> {
    ask_for(image, rule, budget, 0)
}

/// Leave to ask upstream once more, for so many bytes.
pub(super) fn ask_for(
    image: &ImageRef,
    rule: Option<&Arc<str>>,
    budget: &RequestBudget,
    bytes: usize,
) -> Result<(), Denial> {
    budget.ask(&image.registry, bytes).map_err(|why| match why {
        Why::Fetch(error) => deny::fetch(image, rule, error),
        Why::Limit(limit) => deny::exhausted(image, rule, limit.to_string()),
    })
}
