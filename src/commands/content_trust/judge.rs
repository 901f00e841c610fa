//! Takes the inventory: verifies the trust data of each repository as the gate does, and asks the other anchors about
//! each signed digest.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;

use super::inventory::{
    Inventory, ListedRepository, ListedTag, OtherSignature, OtherStatus, RepositoryStatus, Signer,
    TagStatus,
};
use super::scope::{Scope, Wanted};
use crate::gate::{AnchorAnswer, Denial, Gate};
use crate::oci::{Digest, Tag};
use crate::trust::notaryv1::{self, Role, Survey};
use crate::trust::{Anchor, SignedNames, SignerName, Unendorsed};

/// How many repositories are judged at once, and how many tags of each.
const REPOSITORIES_AT_ONCE: usize = 4;
const TAGS_AT_ONCE: usize = 8;

const RATE_LIMIT: &str = "a server answered 429 (too many requests)";

/// Judges every repository of `scope`. `others` are the anchors, whose schemes sign content, that are asked about each
/// digest.
pub async fn take(gate: &Gate, scope: Scope, others: &[Arc<str>]) -> Inventory {
    let (wanted, unreadable) = scope.into_parts();
    let judging = wanted.into_iter().map(|wanted| repository(gate, wanted, others));
    let judged = stream::iter(judging).buffered(REPOSITORIES_AT_ONCE).collect().await;
    Inventory::of(judged, unreadable)
}

async fn repository(
    gate: &Gate,
    (repository, name): Wanted,
    others: &[Arc<str>],
) -> ListedRepository {
    let trust = gate.trust();
    let signed = trust.signed(&name, &repository).await;
    let freshness = trust.freshness(&name, &repository).await;
    let anchor = match trust.anchor(&name) {
        Some(Anchor::NotaryV1(anchor)) => Some(anchor),
        Some(Anchor::Content(_)) | None => None,
    };
    let mut listed = ListedRepository {
        anchor: name.to_string(),
        server: anchor.map(|anchor| anchor.config().place()).unwrap_or_default(),
        status: RepositoryStatus::Signed,
        reason: None,
        because: None,
        note: None,
        fetched: freshness.and_then(|of| of.fetched),
        expires: None,
        tags: Vec::new(),
        registry: repository.registry.clone(),
        repository: repository.name.clone(),
    };
    let names = match signed {
        Ok(names) => names,
        Err(why) => {
            let (status, because) = match why {
                Unendorsed::Refused(refusal) => {
                    listed.reason = Some(refusal.reason.as_str());
                    let absent = refusal.reason.is_absence();
                    let status =
                        if absent { RepositoryStatus::Absent } else { RepositoryStatus::Refused };
                    (status, refusal.because)
                }
                Unendorsed::Undecided(why) => (RepositoryStatus::Undecided, why),
                Unendorsed::Throttled(_) => (RepositoryStatus::Undecided, RATE_LIMIT.to_owned()),
            };
            return ListedRepository { status, because: Some(because), ..listed };
        }
    };
    listed.expires = Some(names.repository().expires());
    if let Some(captured) = names.repository().captured() {
        listed.fetched = Some(captured.at());
    } else if anchor.is_none_or(|anchor| anchor.config().url.is_none()) {
        // The gate read files, and nothing proves when they were fetched.
        listed.fetched = None;
    }
    let survey = match anchor {
        Some(anchor) => survey(gate, anchor, &names).await,
        None => Err("the anchor is not configured".to_owned()),
    };
    let unanswered = freshness.and_then(|of| of.unanswered);
    listed.note = match (unanswered, &survey) {
        (Some(at), _) => Some(format!("the Notary server did not answer at {at}")),
        (None, Err(why)) => Some(format!("other signers are unknown: {why}")),
        (None, Ok(_)) => None,
    };
    let judging = names.repository().tags().into_iter();
    let judging = judging.map(|tag| self::tag(gate, &names, tag, survey.as_ref().ok(), others));
    listed.tags = stream::iter(judging).buffered(TAGS_AT_ONCE).collect().await;
    listed
}

/// Who signs what in the repository: `names` contain only the roles that the gate needs.
async fn survey(
    gate: &Gate,
    anchor: &notaryv1::Anchor,
    names: &SignedNames<'_>,
) -> Result<Survey, String> {
    let gun = anchor.gun(names.place()).map_err(|error| error.to_string())?;
    anchor.survey(&gun, gate.clock().now()).await.map_err(|error| error.to_string())
}

async fn tag(
    gate: &Gate,
    names: &SignedNames<'_>,
    tag: &Tag,
    survey: Option<&Survey>,
    others: &[Arc<str>],
) -> ListedTag {
    let unknown =
        |because| OtherSignature { status: OtherStatus::Undecided, anchors: Vec::new(), because };
    let endorsement = match names.tag(tag) {
        Ok(endorsement) => endorsement,
        Err(refusal) => {
            return ListedTag {
                tag: tag.clone(),
                digest: None,
                status: TagStatus::Refused,
                because: Some(refusal.to_string()),
                signers: Vec::new(),
                other: unknown(None),
            };
        }
    };
    let digest = endorsement.digest();
    let roles = endorsement.says().signers.iter().filter_map(|signer| match signer {
        SignerName::Role(role) => Some(role.clone()),
        SignerName::Identity(_) => None,
    });
    let signers = signers(roles.collect(), names, tag, &digest, survey);
    let (status, because, other) = match gate.recheck(&endorsement, others).await {
        Ok(answers) => (TagStatus::Verified, None, other(answers)),
        Err(denial) => {
            let status = match denial {
                Denial::Missing { .. } | Denial::Unsatisfiable { .. } => TagStatus::Gone,
                Denial::Absent(_) | Denial::Refused(_) => TagStatus::Refused,
                Denial::Undecided(_) | Denial::Throttled { .. } => TagStatus::Undecided,
            };
            (status, Some(denial.to_string()), unknown(None))
        }
    };
    ListedTag { tag: tag.clone(), digest: Some(digest), status, because, signers, other }
}

/// The roles that signed `digest` as `tag`, each with the ids of its keys.
fn signers(
    mut roles: BTreeSet<Role>,
    names: &SignedNames<'_>,
    tag: &Tag,
    digest: &Digest,
    survey: Option<&Survey>,
) -> Vec<Signer> {
    let signed = survey.into_iter().flat_map(|survey| &survey.signed);
    let of_tag = signed.filter(|(_, tags)| tags.get(tag) == Some(digest));
    roles.extend(of_tag.map(|(role, _)| role.clone()));
    let keys = |role: &Role| -> Vec<String> {
        let surveyed = survey.and_then(|survey| match role {
            Role::Targets => Some(&survey.repository),
            Role::Delegation(name) => {
                let found = survey.delegations.iter().find(|(known, _)| known == name);
                found.map(|(_, keys)| keys)
            }
            Role::Root | Role::Timestamp | Role::Snapshot => None,
        });
        match surveyed {
            Some(keys) => keys.iter().map(ToString::to_string).collect(),
            None => {
                let known = names.repository().roles().iter().find(|known| known.role == *role);
                known.map(|known| known.keys.clone()).unwrap_or_default()
            }
        }
    };
    roles.iter().map(|role| Signer { role: role.to_string(), keys: keys(role) }).collect()
}

/// Whether one of the other anchors endorses the digest.
fn other(answers: Vec<AnchorAnswer>) -> OtherSignature {
    let (mut anchors, mut undecided, mut refused) = (Vec::new(), None, None);
    for (anchor, answer) in answers {
        match answer {
            Ok(_) => anchors.push(anchor.to_string()),
            Err(Unendorsed::Refused(refusal)) => {
                if !refusal.reason.is_absence() {
                    refused.get_or_insert(format!("{anchor}: {refusal}"));
                }
            }
            Err(Unendorsed::Undecided(why)) => {
                undecided.get_or_insert(format!("{anchor}: {why}"));
            }
            Err(Unendorsed::Throttled(_)) => {
                undecided.get_or_insert(format!("{anchor}: {RATE_LIMIT}"));
            }
        }
    }
    let (status, because) = match (anchors.is_empty(), undecided) {
        (false, _) => (OtherStatus::Signed, None),
        (true, Some(why)) => (OtherStatus::Undecided, Some(why)),
        (true, None) => (OtherStatus::None, refused),
    };
    OtherSignature { status, anchors, because }
}
