//! Lists everything that a repository's trust data signs, by role. For display only, never for a decision. Shows only
//! verified metadata.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::oci::{Digest, Tag};
use crate::trust::refusal::{Reason, Refusal};

use super::anchor::Anchor;
use super::gun::Gun;
use super::memory::Memory;
use super::role::{Delegated, File, Role};
use super::root_of_trust::{SelfSigned, Terms};
use super::schema::{Delegation, RoleKeys, Targets};
use super::signed::Signed;
use super::trust_source::TrustSource;
use super::tuf_key::KeyId;
use super::update::{NotUpdated, Updated, update};

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
        let remembered = self.state.recall(gun).await.map_err(|error| {
            NotUpdated::Unreachable(format!("the trust memory cannot be read: {error}"))
        })?;
        let remembered = remembered.map(Arc::new);
        let memory = remembered.as_ref().map(|kept| &kept.memory);
        let mut terms = Terms { signers: Vec::new(), ..self.terms(gun.clone()) };
        let updated = match &self.source {
            TrustSource::Server(notary) | TrustSource::ServerOrArchive(notary, _) => {
                let fetch = |file: File| async move { notary.fetch(gun, &file).await };
                update(fetch, &terms, memory, now).await
            }
            TrustSource::Archive(archive) => {
                let known = (memory, remembered.as_ref());
                self.update_from(archive, &terms, known, now).await
            }
        };
        let base = match updated {
            Err(NotUpdated::Refused(refusal)) => {
                return Err(self.recognize_root(refusal).await.into());
            }
            outcome @ (Ok(_)
            | Err(
                NotUpdated::Unreachable(_) | NotUpdated::Busy | NotUpdated::NotRemembered(_),
            )) => outcome?,
        };

        let root = SelfSigned::parse(&base.memory.root, &terms)?;
        let root = root.metadata();
        let targets = signed(&base, &Role::Targets, &root.targets)?;
        let mut survey = Survey {
            root: root.root.keys.iter().map(|(id, _)| *id).collect(),
            root_canonical: canonical(root.root.clone()),
            repository: root.targets.keys.iter().map(|(id, _)| *id).collect(),
            delegations: Vec::new(),
            signed: Vec::new(),
            left_out: Vec::new(),
        };
        let Some(Targets { tags, delegations, .. }) = targets else {
            return Err(Refusal::new(Reason::MixAndMatch, "there is no targets.json").into());
        };
        let digests = tags.into_iter().map(|(tag, entry)| (tag, entry.digest)).collect();
        survey.signed.push((Role::Targets, digests));
        for delegation in delegations {
            let role = Role::Delegation(delegation.name.clone());
            terms.signers = vec![delegation.name.clone()];
            match self.delegation(gun, &terms, &base, now).await {
                Ok(updated) => {
                    let Targets { tags, .. } = match signed(&updated, &role, &delegation.keys)? {
                        Some(targets) => targets,
                        // The delegation has signed nothing yet.
                        None => {
                            survey.delegations.push(listed(delegation));
                            continue;
                        }
                    };
                    let covered = tags.into_iter().filter(|(tag, _)| delegation.covers(tag));
                    let digests = covered.map(|(tag, entry)| (tag, entry.digest)).collect();
                    survey.signed.push((role, digests));
                }
                Err(NotUpdated::Refused(refusal))
                    if matches!(refusal.reason, Reason::Expired | Reason::SignatureInvalid) =>
                {
                    survey.left_out.push((delegation.name.clone(), refusal));
                }
                Err(error) => return Err(error),
            }
            survey.delegations.push(listed(delegation));
        }
        Ok(survey)
    }

    /// The trust data of `base`, with the one delegation that `terms` names.
    async fn delegation(
        &self,
        gun: &Gun,
        terms: &Terms,
        base: &Updated,
        now: Timestamp,
    ) -> Result<Updated, NotUpdated> {
        if let TrustSource::Archive(archive) = &self.source {
            return self.update_from(archive, terms, (Some(&base.memory), None), now).await;
        }
        let known = |file: &File| {
            let found = base.files.iter().find(|(known, _)| known == file);
            found.map(|(_, content)| content.clone())
        };
        let fetch = |file: File| {
            let known = known(&file);
            async move {
                match (known, &file) {
                    (Some(content), _) => Ok::<Option<Bytes>, NotUpdated>(Some(content)),
                    // The first update found that the root is the newest.
                    (None, File::Root(_)) => Ok(None),
                    (None, _) => self.file(gun, &file).await,
                }
            }
        };
        let memory: &Memory = &base.memory;
        update(fetch, terms, Some(memory), now).await
    }
}

/// The metadata of `role`, verified with `keys`. `None` if the update does not contain it.
fn signed(updated: &Updated, role: &Role, keys: &RoleKeys) -> Result<Option<Targets>, Refusal> {
    let is_of = |file: &File| matches!(file, File::Content { role: of, .. } if of == role);
    let Some((_, content)) = updated.files.iter().find(|(file, _)| is_of(file)) else {
        return Ok(None);
    };
    let verified = Signed::parse(role.clone(), content)?.verify::<Targets>(keys)?;
    Ok(Some(verified.into_metadata()))
}

fn listed(delegation: Delegation) -> (Delegated, Vec<KeyId>) {
    (delegation.name, canonical(delegation.keys))
}

fn canonical(RoleKeys { keys, .. }: RoleKeys) -> Vec<KeyId> {
    keys.iter().map(|(id, key)| key.canonical_id(*id)).collect()
}
