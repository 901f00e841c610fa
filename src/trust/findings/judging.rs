//! Determines one verdict: fetches signatures place after place and verifies them, until one is valid.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Anchor;
use super::verdict::{AnchorVerdict, Evidence};
use crate::clock::Timestamp;
use crate::parsing;
use crate::trust::cosign;
use crate::trust::discovery::{Places, RequestBudget};
use crate::trust::endorsement::TrustFile;
use crate::trust::notation;
use crate::trust::signature::{Candidate, VerifiedSignature};
use crate::trust::subject::Subject;

/// A valid signature, and the file with it.
type Good = (TrustFile, VerifiedSignature);

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
    let (mut evidence, mut good) = (Evidence::default(), None);
    while let Some(candidates) = search.next().await {
        good = match anchor {
            Anchor::Cosign(anchor) => {
                by_cosign(anchor, subject, candidates, &mut evidence, now).await
            }
            Anchor::Notation(anchor, revocation) => {
                by_notation(anchor, revocation, subject, candidates, &mut evidence, now).await
            }
        };
        if let Some((file, _)) = &good {
            search.remember_good(&file.name);
            break;
        }
    }
    evidence.looked = search.looked().to_vec();
    evidence.unread = search.unread().to_vec();
    match good {
        Some((file, vouched)) => {
            AnchorVerdict::endorsed(anchor, subject, &vouched, file, evidence, now)
        }
        None => AnchorVerdict::unendorsed(evidence, now),
    }
}

/// Verifies the candidates in order until one is valid, on other threads than those that serve clients.
async fn by_cosign(
    anchor: &Arc<cosign::Anchor>,
    subject: &Arc<Subject>,
    candidates: Vec<Candidate>,
    evidence: &mut Evidence,
    now: Timestamp,
) -> Option<Good> {
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
            Ok((candidate, Ok(vouched))) => return Some((file(candidate), vouched)),
            Ok((candidate, Err(rejection))) => evidence.object(&candidate.place, rejection),
            Err(error) => {
                tracing::error!(%error, "signature verification panicked");
                let panicked = || "signature verification panicked".to_owned();
                evidence.undecided.get_or_insert_with(panicked);
                return None;
            }
        }
    }
    None
}

fn file(candidate: Candidate) -> TrustFile {
    TrustFile { name: candidate.place, digest: candidate.source }
}

async fn by_notation(
    anchor: &notation::Anchor,
    revocation: &notation::RevocationClient,
    subject: &Subject,
    candidates: Vec<Candidate>,
    evidence: &mut Evidence,
    now: Timestamp,
) -> Option<Good> {
    for candidate in candidates {
        match revocation.judge(anchor, &candidate, subject, now).await {
            Ok(proven) => {
                evidence.tolerate(&candidate.place, proven.tolerated);
                return Some((file(candidate), proven.vouched));
            }
            Err(rejection) => evidence.object(&candidate.place, rejection),
        }
        // Many invalid ones take long; other tasks have to run meanwhile.
        tokio::task::yield_now().await;
    }
    None
}
