//! Verifies every delegation of a repository, also those that no decision here needs: for lists, and for copies that other
//! sites read with other required signers.

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::trust::refusal::{Reason, Refusal};

use super::anchor::Anchor;
use super::role::{File, Role};
use super::root_of_trust::{SelfSigned, Terms};
use super::schema::{Delegation, RoleKeys, Targets};
use super::signed::Signed;
use super::trust_source::{Current, Files};
use super::update::{NotUpdated, Updated, update, update_captured};

/// The verified metadata of a role that signs tags, and its file.
pub(super) struct SignedTags {
    pub(super) file: Bytes,
    pub(super) metadata: Targets,
}

/// A delegation, and what it signed: `None` if nothing yet. The error is why it is not valid; the gate refuses trust data if
/// it needs this delegation.
pub(super) struct Examined {
    pub(super) delegation: Delegation,
    pub(super) signed: Result<Option<SignedTags>, Refusal>,
}

impl Anchor {
    /// The targets of `current`, and the first `most` of their delegations, in their order.
    pub(super) async fn examine(
        &self,
        terms: &Terms,
        current: &Current<'_>,
        most: usize,
        now: Timestamp,
    ) -> Result<(SignedTags, Vec<Examined>), NotUpdated> {
        let root = SelfSigned::parse(&current.updated.memory.root, terms)?;
        let targets = signed(&current.updated, &Role::Targets, &root.metadata().targets)?;
        let Some(mut targets) = targets else {
            return Err(Refusal::new(Reason::MixAndMatch, "there is no targets.json").into());
        };
        let mut examined = Vec::new();
        for delegation in std::mem::take(&mut targets.metadata.delegations).into_iter().take(most) {
            let role = Role::Delegation(delegation.name.clone());
            let terms = Terms { signers: vec![delegation.name.clone()], ..terms.clone() };
            let signed = match Box::pin(updated(&terms, current, now)).await {
                Ok(updated) => Ok(signed(&updated, &role, &delegation.keys)?),
                Err(NotUpdated::Refused(refusal))
                    if matches!(
                        refusal.reason,
                        Reason::Expired | Reason::MixAndMatch | Reason::SignatureInvalid
                    ) =>
                {
                    Err(refusal)
                }
                Err(error) => return Err(error),
            };
            examined.push(Examined { delegation, signed });
        }
        Ok((targets, examined))
    }
}

/// The trust data of `current`, with the delegations that `terms` names.
async fn updated(
    terms: &Terms,
    current: &Current<'_>,
    now: Timestamp,
) -> Result<Updated, NotUpdated> {
    let base = &current.updated;
    let notary = match &current.files {
        Files::Capture(captured) => {
            return update_captured(captured, terms, Some(&base.memory), now).await;
        }
        Files::Server(notary) => notary,
    };
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
                (None, _) => notary.fetch(&terms.gun, &file).await,
            }
        }
    };
    update(fetch, terms, Some(&base.memory), now).await
}

/// The metadata of `role`, verified with `keys`. `None` if the update does not contain it.
fn signed(updated: &Updated, role: &Role, keys: &RoleKeys) -> Result<Option<SignedTags>, Refusal> {
    let is_of = |file: &File| matches!(file, File::Content { role: of, .. } if of == role);
    let Some((_, file)) = updated.files.iter().find(|(file, _)| is_of(file)) else {
        return Ok(None);
    };
    let verified = Signed::parse(role.clone(), file)?.verify::<Targets>(keys)?;
    Ok(Some(SignedTags { file: file.clone(), metadata: verified.into_metadata() }))
}
