//! `countersign replay`: judges recorded pulls under another configuration, image by image, and reports which served
//! pulls would be denied. Makes the same decisions as a gate with that configuration and serves nothing.

mod report;

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;

use crate::audit::reader::{Image, PullSummary, Pulls, Tally};
use crate::gate::{Denial, Gate, Preview, Verdict};
use crate::oci::{Digest, Reference};

pub use report::Replayed;

/// How many images are judged at once.
const AT_ONCE: usize = 8;

/// How the outcome of an image's pulls would change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    /// It was served and would be denied.
    Refused,
    /// It was served; the new outcome cannot be decided.
    Undecided,
    /// It was served; the registry no longer has it.
    Gone,
    /// The tag would be served as another digest, the signed one.
    Other,
    /// It would be served by an audit rule, which records that it is not signed.
    Recorded,
    /// It was denied and would be served.
    Served,
    Same,
}

/// One image, then and now.
struct Outcome {
    image: Image,
    seen: PullSummary,
    change: Change,
    now: Result<Preview, Denial>,
    /// The digest that the tag has now, if it moved.
    moved_to: Option<Digest>,
}

/// Judges every image of `pulls` with `gate`; calls `progress` with the number of judged images.
pub async fn replay(
    gate: &Gate,
    pulls: Pulls,
    tally: Tally,
    mut progress: impl FnMut(usize),
) -> Replayed {
    let left_out = pulls.left_out();
    let images: Vec<(Image, PullSummary)> =
        pulls.images().map(|(image, seen)| (image.clone(), seen.clone())).collect();
    let judging = images.into_iter().map(|(image, seen)| judge(gate.clone(), image, seen));
    let mut judging = stream::iter(judging).buffered(AT_ONCE);
    let mut outcomes = Vec::new();
    while let Some(outcome) = judging.next().await {
        outcomes.extend(outcome);
        progress(outcomes.len());
    }
    Replayed::of(outcomes, tally, left_out)
}

async fn judge(gate: Gate, image: Image, seen: PullSummary) -> Option<Outcome> {
    let asked = image.asked()?;
    let now = gate.preview(&asked, image.digest.as_ref()).await;
    let moved_to = match (&asked.reference, image.digest) {
        // If the tag cannot be resolved now, the verdict reports it where it matters.
        (Reference::Tag(tag), Some(then)) => {
            gate.resolve(&asked, tag).await.ok().filter(|now| *now != then)
        }
        (Reference::Tag(_), None) | (Reference::Digest(_), _) => None,
    };
    let change = change(&image, &seen, &now);
    Some(Outcome { image, seen, change, now, moved_to })
}

fn change(image: &Image, seen: &PullSummary, now: &Result<Preview, Denial>) -> Change {
    let was_served = seen.verdict == Verdict::Admitted;
    match now {
        Ok(judged) if was_served && image.digest.is_some_and(|then| then != judged.digest) => {
            Change::Other
        }
        Ok(_) if !was_served => Change::Served,
        Ok(Preview { dry_run_denial: Some(_), .. }) => Change::Recorded,
        Ok(_) => Change::Same,
        Err(_) if !was_served => Change::Same,
        Err(Denial::Absent(_) | Denial::Refused(_)) => Change::Refused,
        Err(Denial::Undecided(_) | Denial::Throttled { .. }) => Change::Undecided,
        Err(Denial::Missing { .. } | Denial::Unsatisfiable { .. }) => Change::Gone,
    }
}

/// The text of the denial, also of the one that an audit rule would give.
fn because(now: &Result<Preview, Denial>) -> Option<String> {
    match now {
        Ok(Preview { dry_run_denial, .. }) => dry_run_denial.as_deref().map(ToString::to_string),
        Err(denial) => Some(denial.to_string()),
    }
}

/// The reason code of [`because`].
fn reason(now: &Result<Preview, Denial>) -> Option<&'static str> {
    match now {
        Ok(Preview { dry_run_denial, .. }) => {
            dry_run_denial.as_ref().map(Arc::as_ref).and_then(Denial::reason)
        }
        Err(denial) => denial.reason(),
    }
}
