//! Manifests to which a manifest points outside its `manifests` array: a config or layer with a manifest type, or an
//! inline manifest. Clients follow them, so the gate serves the manifest only if it admits each of them.

use std::sync::Arc;

use super::Shared;
use super::admitted::Admitted;
use super::decision::Decision;
use super::denial::Denial;
use super::deny;
use crate::oci::{Digest, ImageRef, Reference};
use crate::pull_through::Fetched;
use crate::trust::{Reason, Refusal};

/// The proof that the manifests outside `manifests` are admitted.
#[derive(Debug, Default)]
pub(super) struct Outside {
    admitted: Vec<Digest>,
}

impl Outside {
    /// Refuses `fetched` if it points to such a manifest that is not admitted, or if it is malformed.
    pub(super) fn check(&self, fetched: &Fetched) -> Result<(), Refusal> {
        let manifest = fetched.manifest();
        if let Some(flaw) = manifest.flaw() {
            return Err(Refusal::new(Reason::Malformed, flaw));
        }
        let missing = |digest: &&Digest| !self.admitted.contains(digest);
        match manifest.outside().iter().map(|pointed| &pointed.digest).find(missing) {
            Some(digest) => Err(not_admitted(digest, "the gate did not decide about it")),
            None => Ok(()),
        }
    }
}

impl Shared {
    /// Decides about the manifests outside `manifests` of `fetched`, which `above` admits, unless the rule of `above`
    /// serves anything.
    pub(super) async fn outside_below(
        &self,
        image: &ImageRef,
        above: &Admitted,
        fetched: &Fetched,
        decision: &Decision,
    ) -> Result<Outside, Denial> {
        if !above.asks_outside() || fetched.manifest().outside().is_empty() {
            return Ok(Outside::default());
        }
        Box::pin(self.outside(image, fetched, Some(above.pattern()), decision)).await
    }

    /// Decides about each manifest to which `fetched` points outside its `manifests`.
    pub(super) async fn outside(
        &self,
        image: &ImageRef,
        fetched: &Fetched,
        rule: Option<&Arc<str>>,
        decision: &Decision,
    ) -> Result<Outside, Denial> {
        let mut outside = Outside::default();
        for pointed in fetched.manifest().outside() {
            let digest = pointed.digest;
            let Some(below) = decision.outside() else {
                let refusal = not_admitted(&digest, "too many manifests point at each other");
                return Err(deny::plain(image, refusal, rule));
            };
            let beside = ImageRef { reference: Reference::Digest(digest), ..image.clone() };
            match self.decide(&beside, &digest, &below).await {
                Ok(_) => outside.admitted.push(digest),
                Err(open @ (Denial::Undecided(_) | Denial::Throttled { .. })) => {
                    return Err(deny::of_other(open, image));
                }
                Err(
                    denial @ (Denial::Absent(_)
                    | Denial::Refused(_)
                    | Denial::Missing { .. }
                    | Denial::Unsatisfiable { .. }),
                ) => {
                    let refusal = not_admitted(&digest, &denial.to_string());
                    return Err(deny::plain(image, refusal, rule));
                }
            }
        }
        Ok(outside)
    }
}

fn not_admitted(digest: &Digest, why: &str) -> Refusal {
    let because = format!(
        "it points at the manifest {digest} outside `manifests`, which is not admitted: {why}"
    );
    Refusal::new(Reason::Malformed, because)
}
