//! Digests that a rule denies. Deny rules take precedence over everything that could admit a manifest, so every decision
//! checks them before it fetches a manifest and before it serves one.

use super::admitted::Admitted;
use super::denial::Denial;
use super::resource::Resource;
use super::{Shared, deny};
use crate::oci::{Digest, ImageRef, RepositoryRef};
use crate::policy::Terms;
use crate::pull_through::Fetched;

impl Shared {
    /// Refuses `digest` in the repository of `image` if a rule denies it.
    pub(super) fn not_denied(&self, image: &ImageRef, digest: &Digest) -> Result<(), Denial> {
        self.check_denied(image, digest, None)
    }

    /// Refuses content if a rule denies it, by this digest or by a digest of another algorithm.
    pub(super) fn content_not_denied(
        &self,
        image: &ImageRef,
        fetched: &Fetched,
    ) -> Result<(), Denial> {
        self.check_denied(image, fetched.digest(), Some(fetched.bytes()))
    }

    /// Refuses a manifest that is about to be served if a rule denies it or its inline content.
    pub(super) fn serves_none_denied(
        &self,
        image: &ImageRef,
        admitted: &Admitted,
    ) -> Result<(), Denial> {
        self.check_denied(image, &admitted.digest(), Some(admitted.bytes()))?;
        let inlined = admitted.fetched().manifest().inlined();
        inlined.iter().try_for_each(|digest| self.not_denied(image, digest))
    }

    /// The denial for a repository from which the gate serves nothing.
    pub(super) fn unserved(&self, resource: &Resource) -> Denial {
        let now = self.clock.now();
        let chosen = self.policy.rule_for(&resource.repository, None, now);
        match chosen {
            Some(chosen) => match chosen.terms() {
                Terms::Deny { reason } => deny::by_rule(resource, chosen.pattern(), reason),
                Terms::Enforce(_) | Terms::Audit(_) | Terms::Allow(_) => deny::no_rule(resource),
            },
            None => deny::no_rule(resource),
        }
    }

    /// Whether a rule denies `digest` in that repository.
    pub(super) fn is_denied(&self, repository: &RepositoryRef, digest: &Digest) -> bool {
        self.policy.denied_digest(repository, digest, None).is_some()
    }

    fn check_denied(
        &self,
        image: &ImageRef,
        digest: &Digest,
        content: Option<&[u8]>,
    ) -> Result<(), Denial> {
        let ImageRef { repository, .. } = image;
        match self.policy.denied_digest(repository, digest, content) {
            Some(chosen) => {
                let reason = match chosen.terms() {
                    Terms::Deny { reason } => reason,
                    Terms::Enforce(_) | Terms::Audit(_) | Terms::Allow(_) => None,
                };
                Err(deny::by_rule(image, chosen.pattern(), reason))
            }
            None => Ok(()),
        }
    }
}
