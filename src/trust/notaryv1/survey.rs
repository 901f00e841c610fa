//! Lists everything that a repository's trust data signs, by role. For display only, never for a decision. Shows only
//! verified metadata.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::oci::{Digest, Tag};
use crate::trust::refusal::Refusal;

use super::anchor::Anchor;
use super::delegations::{Examined, SignedTags};
use super::gun::Gun;
use super::role::{Delegated, Role};
use super::root_of_trust::{SelfSigned, Terms};
use super::schema::{Delegation, RoleKeys};
use super::tuf_key::KeyId;
use super::update::NotUpdated;

/// The longest time for one survey.
const MAX_SURVEY: Duration = Duration::from_secs(60);

/// Everything that is signed in one repository.
#[derive(Debug)]
pub struct Survey {
    /// The ids of the root keys, as the root lists them.
    pub root: Vec<KeyId>,
    /// The canonical ids of the same keys. In `root_keys`, they pin a key for every repository.
    pub root_canonical: Vec<KeyId>,
    /// The ids of the repository's own keys, which sign `targets`.
    pub repository: Vec<KeyId>,
    /// Every delegation, in the order of `targets`, with the canonical ids of its keys.
    pub delegations: Vec<(Delegated, Vec<KeyId>)>,
    /// The tags and digests that each role signs: `targets` first, then the delegations in their order.
    pub signed: Vec<(Role, BTreeMap<Tag, Digest>)>,
    /// The delegations that are not valid, and why. The gate refuses trust data if it needs one of them.
    pub left_out: Vec<(Delegated, Refusal)>,
}

impl Anchor {
    /// Fetches and verifies everything that is signed in `gun`.
    pub async fn survey(&self, gun: &Gun, now: Timestamp) -> Result<Survey, NotUpdated> {
        let surveyed = tokio::time::timeout(MAX_SURVEY, self.survey_all(gun, now)).await;
        surveyed.unwrap_or_else(|_| {
            let seconds = MAX_SURVEY.as_secs();
            Err(NotUpdated::Unreachable(format!(
                "reading all trust data took longer than {seconds} seconds"
            )))
        })
    }

    async fn survey_all(&self, gun: &Gun, now: Timestamp) -> Result<Survey, NotUpdated> {
        let terms = Terms { signers: Vec::new(), ..self.terms(gun.clone()) };
        let current = match self.current(&terms, now).await {
            Err(NotUpdated::Refused(refusal)) => {
                return Err(self.recognize_root(refusal).await.into());
            }
            outcome @ (Ok(_)
            | Err(
                NotUpdated::Unreachable(_) | NotUpdated::Busy | NotUpdated::NotRemembered(_),
            )) => outcome?,
        };
        let (targets, examined) = self.examine(&terms, &current, usize::MAX, now).await?;
        let root = SelfSigned::parse(&current.updated.memory.root, &terms)?;
        let root = root.metadata();
        let digests = targets.metadata.tags.into_iter().map(|(tag, entry)| (tag, entry.digest));
        let mut survey = Survey {
            root: root.root.keys.iter().map(|(id, _)| *id).collect(),
            root_canonical: canonical(root.root.clone()),
            repository: root.targets.keys.iter().map(|(id, _)| *id).collect(),
            delegations: Vec::new(),
            signed: vec![(Role::Targets, digests.collect())],
            left_out: Vec::new(),
        };
        for Examined { delegation, signed } in examined {
            match signed {
                Ok(Some(SignedTags { metadata, .. })) => {
                    let role = Role::Delegation(delegation.name.clone());
                    let covered = metadata.tags.into_iter();
                    let covered = covered.filter(|(tag, _)| delegation.covers(tag));
                    let digests = covered.map(|(tag, entry)| (tag, entry.digest)).collect();
                    survey.signed.push((role, digests));
                }
                // It has signed nothing yet.
                Ok(None) => {}
                Err(refusal) => survey.left_out.push((delegation.name.clone(), refusal)),
            }
            survey.delegations.push(listed(delegation));
        }
        Ok(survey)
    }
}

fn listed(delegation: Delegation) -> (Delegated, Vec<KeyId>) {
    (delegation.name, canonical(delegation.keys))
}

fn canonical(RoleKeys { keys, .. }: RoleKeys) -> Vec<KeyId> {
    keys.iter().map(|(id, key)| key.canonical_id(*id)).collect()
}
