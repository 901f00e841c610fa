//! Passes trust metadata to clients that verify it themselves: from the Notary server of an anchor that a rule for that
//! repository uses, and from no other.

use std::sync::Arc;

use crate::oci::{Registry, RepositoryRef};
use crate::policy::Unmet;
use crate::trust::notaryv1::{File, Gun};
use crate::trust::{Anchor, Relayed, Unendorsed};

use super::denial::Denial;
use super::resource::Resource;
use super::{Gate, deny};

impl Gate {
    /// The metadata file of `gun` from its Notary server; `None` if the server does not have it, or if no anchor uses
    /// this GUN.
    pub async fn trust_metadata(&self, gun: &Gun, file: &File) -> Result<Option<Relayed>, Denial> {
        let Some((metadata, anchor)) = self.of_gun(gun) else { return Ok(None) };
        let _pass = self.pass_for_list(&metadata).await?;
        match self.shared.trust.relay(&anchor, gun, file).await {
            Ok(found) => Ok(found),
            Err(error) => {
                let why = Unendorsed::Undecided(error.to_string());
                let unmet = Unmet { anchor: Some(anchor), why };
                Err(deny::unmet(
                    &metadata,
                    None,
                    unmet,
                    &self.shared.trust,
                    self.shared.clock.now(),
                ))
            }
        }
    }

    /// The repository of `gun`, if the gate passes on its trust metadata.
    pub fn repository_of(&self, gun: &Gun) -> Option<RepositoryRef> {
        self.of_gun(gun).map(|(metadata, _)| metadata.repository)
    }

    /// The repository of `gun`, and the anchor that uses this GUN.
    fn of_gun(&self, gun: &Gun) -> Option<(Resource, Arc<str>)> {
        for registry in &self.shared.registries {
            for anchor in self.shared.trust.anchors() {
                let Anchor::NotaryV1(notary) = anchor else { continue };
                let template = &notary.config().template;
                let requires = |repository: &RepositoryRef| {
                    let now = self.shared.clock.now();
                    self.shared.policy.anchors(repository, now).contains(anchor.name())
                };
                let repository = match template.repository(gun, registry) {
                    None if template.is_shared(gun, registry) => {
                        self.of_shared_gun(gun, registry, anchor.name(), requires)
                    }
                    repository => repository.filter(requires),
                };
                if let Some(repository) = repository {
                    let metadata = Resource::trust_metadata(&repository);
                    return Some((metadata, anchor.name().clone()));
                }
            }
        }
        None
    }

    /// A repository that the anchor is required for, if all its repositories have this `gun`: the one with the path of the
    /// GUN, or else the one of the most specific pattern. It decides which clients may see the metadata.
    fn of_shared_gun(
        &self,
        gun: &Gun,
        registry: &Registry,
        anchor: &str,
        requires: impl Fn(&RepositoryRef) -> bool,
    ) -> Option<RepositoryRef> {
        let path = gun.as_str().split_once('/').and_then(|(_, path)| path.parse().ok());
        let of_path = path.map(|name| RepositoryRef { registry: registry.clone(), name });
        if let Some(repository) = of_path.filter(&requires) {
            return Some(repository);
        }
        let mut examples = self.shared.policy.examples(anchor, self.shared.clock.now());
        examples.find(|repository| repository.registry == *registry && requires(repository))
    }
}
