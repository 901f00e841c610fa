//! Determines one verdict: fetches signatures place after place and verifies them, until one is valid.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Anchor;
use super::verdict::{AnchorVerdict, Evidence};
use crate::clock::Timestamp;
use crate::parsing;
use crate::trust::cosign;
use crate::trust::discovery::{Places, RequestBudget};
use crate::trust::notation;
use crate::trust::signature::{Candidate, Rejection, VerifiedSignature};
use crate::trust::subject::Subject;

/// A valid signature, and its place.
type Good = (String, VerifiedSignature);

/// The verdict of `anchor` on `subject`.
pub(super) async fn judge(
    anchor: &Anchor,
    subject: &Arc<Subject>,
    places: &Places,
    budget: &RequestBudget,
    now: Timestamp,
) -> AnchorVerdict {
    let repository = anchor.signature_repository();
    let mut search = places.search(anchor.kind(), subject, repository, budget);
    if let Anchor::Cosign(anchor) = anchor {
        let anchor = anchor.clone();
        let hint = move |annotations: &BTreeMap<String, String>| anchor.is_hinted_by(annotations);
        search = search.preferring(Arc::new(hint));
    }
    let mut evidence = Evidence::default();
    let mut open = None;
    let mut good = None;
    while let Some(candidates) = search.next().await {
        let batch = match anchor {
            Anchor::Cosign(anchor) => by_cosign(anchor, subject, candidates, now).await,
            Anchor::Notation(anchor, revocation) => {
                by_notation(anchor, revocation, subject, candidates, now).await
            }
        };
        evidence.objections.extend(batch.evidence.objections);
        open = open.or(batch.open);
        if let Some((place, _)) = &batch.good {
            search.remember_good(place);
            good = batch.good;
            break;
        }
    }
    evidence.looked = search.looked().to_vec();
    evidence.unread = search.unread().to_vec();
    match good {
        Some((place, vouched)) => {
            AnchorVerdict::endorsed(anchor, subject, &vouched, place, evidence, now)
        }
        None => AnchorVerdict::unendorsed(evidence, open, now),
    }
}

/// The result of verifying some candidates.
#[derive(Default)]
struct Batch {
    evidence: Evidence,
    open: Option<String>,
    good: Option<Good>,
}

impl Batch {
    fn rejected(&mut self, candidate: &Candidate, rejection: Rejection) {
        let open = self.evidence.object(&candidate.place, rejection);
        if self.open.is_none() {
            self.open = open;
        }
    }
}

/// Verifies the candidates in order until one is valid, on other threads than those that serve clients.
async fn by_cosign(
    anchor: &Arc<cosign::Anchor>,
    subject: &Arc<Subject>,
    candidates: Vec<Candidate>,
    now: Timestamp,
) -> Batch {
    let mut batch = Batch::default();
    for candidate in candidates {
        let (anchor, subject) = (anchor.clone(), subject.clone());
        let length = candidate.content.length();
        let turn = match length > parsing::MAX_IN_PLACE {
            true => Some(parsing::Turn::wait(cosign::Anchor::most_memory(length)).await),
            false => None,
        };
        // Not on the threads that serve clients, however small the signature is: verification takes time.
        let judged = tokio::task::spawn_blocking(move || {
            let judged = anchor.judge(&candidate, &subject, now);
            drop(turn);
            (candidate, judged)
        });
        match judged.await {
            Ok((candidate, Ok(vouched))) => {
                batch.good = Some((candidate.place, vouched));
                break;
            }
            Ok((candidate, Err(rejection))) => batch.rejected(&candidate, rejection),
            Err(error) => {
                tracing::error!(%error, "signature verification panicked");
                batch.open = Some("signature verification panicked".to_owned());
                break;
            }
        }
    }
    batch
}

async fn by_notation(
    anchor: &notation::Anchor,
    revocation: &notation::RevocationClient,
    subject: &Subject,
    candidates: Vec<Candidate>,
    now: Timestamp,
) -> Batch {
    let mut batch = Batch::default();
    for candidate in candidates {
        match revocation.judge(anchor, &candidate, subject, now).await {
            Ok(proven) => {
                batch.evidence.tolerate(&candidate.place, proven.tolerated);
                batch.good = Some((candidate.place, proven.vouched));
                break;
            }
            Err(rejection) => batch.rejected(&candidate, rejection),
        }
        // Many invalid ones take long; other tasks have to run meanwhile.
        tokio::task::yield_now().await;
    }
    batch
}
