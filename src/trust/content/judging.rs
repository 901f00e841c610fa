//! One verdict: signatures are fetched place after place and judged as they come, until one is good.

use std::sync::Arc;

use super::Anchor;
use super::verdict::{Evidence, Verdict};
use crate::clock::Timestamp;
use crate::trust::notation::Judged;
use crate::trust::places::{Inquiry, Places};
use crate::trust::signature::{Candidate, Flaw, Unproven, Vouched};
use crate::trust::subject::Subject;

/// A good signature, and where it was.
type Good = (String, Vouched);

/// What `anchor` says of `subject`.
pub(super) async fn judge(
    anchor: &Anchor,
    subject: &Arc<Subject>,
    places: &Places,
    inquiry: &Inquiry,
    now: Timestamp,
) -> Verdict {
    let repository = anchor.signature_repository();
    let mut search = places.search(anchor.kind(), subject, repository, inquiry);
    let mut evidence = Evidence::default();
    let mut open = None;
    let mut good = None;
    while let Some(candidates) = search.next().await {
        let (anchor, subject) = (anchor.clone(), subject.clone());
        // Many bad signatures take a while, in which the others are to be served.
        let judged = tokio::task::spawn_blocking(move || all(&anchor, &subject, candidates, now));
        match judged.await {
            Ok(judged) => {
                evidence.objections.extend(judged.evidence.objections);
                open = open.or(judged.open);
                good = judged.good;
            }
            Err(error) => {
                tracing::error!(%error, "judging signatures broke off");
                open.get_or_insert_with(|| "judging the signatures broke off".to_owned());
            }
        }
        if good.is_some() {
            break;
        }
    }
    evidence.looked = search.looked().to_vec();
    evidence.unread = search.unread().to_vec();
    match good {
        Some((place, vouched)) => Verdict::endorsed(anchor, subject, vouched, place, evidence, now),
        None => Verdict::unendorsed(evidence, open, now),
    }
}

#[derive(Default)]
struct Batch {
    evidence: Evidence,
    open: Option<String>,
    good: Option<Good>,
}

/// Judges one candidate after the other, until one is good.
fn all(anchor: &Anchor, subject: &Subject, candidates: Vec<Candidate>, now: Timestamp) -> Batch {
    let mut batch = Batch::default();
    for candidate in candidates {
        match one(anchor, subject, &candidate, now) {
            Ok((vouched, tolerated)) => {
                batch.evidence.tolerate(&candidate.place, tolerated);
                batch.good = Some((candidate.place, vouched));
                return batch;
            }
            Err(unproven) => {
                let open = batch.evidence.object(&candidate.place, unproven);
                batch.open = batch.open.or(open);
            }
        }
    }
    batch
}

fn one(
    anchor: &Anchor,
    subject: &Subject,
    candidate: &Candidate,
    now: Timestamp,
) -> Result<(Vouched, Vec<Flaw>), Unproven> {
    match anchor {
        Anchor::Cosign(anchor) => {
            anchor.judge(candidate, subject, now).map(|vouched| (vouched, Vec::new()))
        }
        Anchor::Notation(anchor) => match anchor.judge(candidate, subject, now) {
            Judged::Vouched { vouched, tolerated } => Ok((vouched, tolerated)),
            Judged::Unproven(unproven) => Err(unproven),
        },
    }
}
