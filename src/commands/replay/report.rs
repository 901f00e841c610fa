//! The result of a replay, as text and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::{Change, Outcome, because, reason};
use crate::audit::reader::Tally;
use crate::gate::Verdict;
use crate::text::grouped;

/// The most images that depend on Notary v1 alone and are named for each anchor.
const MAX_NAMED: usize = 20;

/// The result of a replay.
#[derive(Debug, Serialize)]
pub struct Replayed {
    /// Pulls that were served.
    served: u64,
    /// Of those, the pulls that would be denied, cannot be decided, and whose image the registry no longer has.
    would_refuse: u64,
    undecided: u64,
    gone: u64,
    /// Of those, the pulls that would be served as another digest, and unsigned by an audit rule.
    other_digest: u64,
    would_record: u64,
    /// Pulls that were denied and would be served.
    would_serve: u64,
    /// Pulls of images that only Notary v1 anchors would admit.
    by_notaryv1_alone: u64,
    /// Lines without a decision, unreadable lines, and pulls beyond the limit on images.
    other_lines: u64,
    unreadable_lines: u64,
    left_out: u64,
    images: Vec<ImageReport>,
}

#[derive(Debug, Serialize)]
struct ImageReport {
    image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    pulls: u64,
    served: u64,
    change: &'static str,
    then: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    then_reason: Option<String>,
    now: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
    /// The digest that the tag has at upstream now, if it moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved_to: Option<String>,
    /// The anchors that would admit it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    anchors: Vec<String>,
    /// Whether those are only Notary v1 anchors.
    by_notaryv1_alone: bool,
}

impl Change {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "would_refuse",
            Self::Undecided => "undecided",
            Self::Gone => "gone",
            Self::Other => "other_digest",
            Self::Recorded => "would_record",
            Self::Served => "would_serve",
            Self::Same => "same",
        }
    }

    /// The text before an image.
    const fn summary(self) -> &'static str {
        match self {
            Self::Refused => "WOULD DENY",
            Self::Undecided => "undecided",
            Self::Gone => "gone from the registry",
            Self::Other => "would serve another digest",
            Self::Recorded => "would serve and record",
            Self::Served => "would serve",
            Self::Same => "same",
        }
    }
}

impl Replayed {
    pub(super) fn of(mut outcomes: Vec<Outcome>, tally: Tally, left_out: u64) -> Self {
        outcomes.sort_by(|a, b| (a.change, &a.image).cmp(&(b.change, &b.image)));
        let pulls = |change: Change, of: fn(&Outcome) -> u64| -> u64 {
            outcomes.iter().filter(|outcome| outcome.change == change).map(of).sum()
        };
        let served = |outcome: &Outcome| outcome.seen.served;
        Self {
            served: outcomes.iter().map(served).sum(),
            would_refuse: pulls(Change::Refused, served),
            undecided: pulls(Change::Undecided, served),
            gone: pulls(Change::Gone, served),
            other_digest: pulls(Change::Other, served),
            would_record: pulls(Change::Recorded, served),
            would_serve: pulls(Change::Served, |outcome| outcome.seen.pulls),
            by_notaryv1_alone: outcomes
                .iter()
                .filter(|outcome| outcome.now.as_ref().is_ok_and(|now| now.by_notaryv1_alone))
                .map(|outcome| outcome.seen.pulls)
                .sum(),
            other_lines: tally.other,
            unreadable_lines: tally.unreadable,
            left_out,
            images: outcomes.iter().map(ImageReport::of).collect(),
        }
    }

    /// 0 if no served pull would be denied; 3 if one would; 4 if a pull cannot be decided or is left out, or the logs
    /// contain no decision.
    pub fn exit_status(&self) -> u8 {
        let unread = self.images.is_empty();
        match (self.would_refuse, self.undecided + self.left_out) {
            (0, 0) if !unread => 0,
            (0, _) => 4,
            (_, _) => 3,
        }
    }

    /// What depends on Notary v1 alone, by anchor.
    fn write_notaryv1_alone(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut by_anchor: BTreeMap<String, Vec<&ImageReport>> = BTreeMap::new();
        for image in self.images.iter().filter(|image| image.by_notaryv1_alone) {
            by_anchor.entry(image.anchors.join(", ")).or_default().push(image);
        }
        for (anchor, images) in by_anchor {
            let pulls = images.iter().map(|image| image.pulls).sum();
            let (pulls, count) = (grouped(pulls), grouped(images.len() as u64));
            writeln!(f, "{pulls} pulls of {count} images depend on Notary v1 alone ({anchor}):")?;
            for image in images.iter().take(MAX_NAMED) {
                writeln!(f, "  {}", image.image)?;
            }
            if images.len() > MAX_NAMED {
                let more = grouped((images.len() - MAX_NAMED) as u64);
                writeln!(f, "  and {more} more; --json lists all")?;
            }
        }
        Ok(())
    }

    fn of_change(&self, change: Change) -> impl Iterator<Item = &ImageReport> {
        self.images.iter().filter(move |image| image.change == change.as_str())
    }
}

impl ImageReport {
    fn of(outcome: &Outcome) -> Self {
        let Outcome { image, seen, change, now, moved_to } = outcome;
        let asked = image.asked().map(|asked| asked.to_string()).unwrap_or_default();
        // The name may already contain the digest.
        let digest = image.digest.map(|digest| digest.to_string());
        let digest = digest.filter(|digest| !asked.ends_with(digest));
        Self {
            image: asked,
            digest,
            pulls: seen.pulls,
            served: seen.served,
            change: change.as_str(),
            then: seen.verdict.as_str(),
            then_reason: seen.reason.clone(),
            now: now
                .as_ref()
                .map_or_else(|denial| denial.dry_run_verdict(), |_| Verdict::Admitted)
                .as_str(),
            reason: reason(now),
            because: because(now),
            moved_to: moved_to.map(|digest| digest.to_string()),
            anchors: now.iter().flat_map(|now| &now.anchors).map(ToString::to_string).collect(),
            by_notaryv1_alone: now.as_ref().is_ok_and(|now| now.by_notaryv1_alone),
        }
    }
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = [
            Change::Refused,
            Change::Undecided,
            Change::Gone,
            Change::Other,
            Change::Recorded,
            Change::Served,
        ];
        for change in report {
            for image in self.of_change(change) {
                image.write(f, change)?;
            }
        }
        let (refused, all) = (self.of_change(Change::Refused).count(), self.images.len());
        writeln!(
            f,
            "would deny {} of {} served pulls: {} of {} images",
            grouped(self.would_refuse),
            grouped(self.served),
            grouped(refused as u64),
            grouped(all as u64),
        )?;
        let more = [
            (self.undecided, "cannot be decided now: run again when all servers respond"),
            (self.gone, "are of images that the registry no longer has"),
            (self.other_digest, "would get another digest, the signed one"),
            (self.would_record, "would be served and recorded by an audit rule"),
            (self.would_serve, "were denied and would be served"),
            (self.left_out, "are left out: the logs name too many images"),
        ];
        for (pulls, what) in more.iter().filter(|(pulls, _)| *pulls > 0) {
            writeln!(f, "{} pulls {what}", grouped(*pulls))?;
        }
        self.write_notaryv1_alone(f)?;
        if self.images.is_empty() {
            writeln!(f, "the logs contain no decisions")?;
        }
        if self.unreadable_lines > 0 {
            writeln!(f, "{} lines could not be read", grouped(self.unreadable_lines))?;
        }
        Ok(())
    }
}

impl ImageReport {
    fn write(&self, f: &mut fmt::Formatter<'_>, change: Change) -> fmt::Result {
        let reason = |reason: Option<&str>| reason.map(|it| format!(" ({it})")).unwrap_or_default();
        writeln!(f, "{}\n  {}, {} pulls", self.image, change.summary(), grouped(self.pulls))?;
        if let Some(digest) = &self.digest {
            writeln!(f, "  digest    {digest}")?;
        }
        writeln!(f, "  then      {}{}", self.then, reason(self.then_reason.as_deref()))?;
        writeln!(f, "  now       {}{}", self.now, reason(self.reason))?;
        if let Some(because) = &self.because {
            writeln!(f, "  because   {because}")?;
        }
        if let Some(moved_to) = &self.moved_to {
            writeln!(f, "  moved     the tag now has {moved_to}")?;
        }
        Ok(())
    }
}
