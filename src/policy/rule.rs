//! Rules: what an image needs so that it may be served.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::oci::Digest;
use crate::settings::Section;
use crate::trust::{Endorsement, Reason, Refusal, Unendorsed};

use super::pattern::Pattern;

/// The names of the anchors that a configuration has.
pub type AnchorNames = BTreeMap<String, Arc<str>>;

/// What an image needs so that it may be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub patterns: Vec<Pattern>,
    pub mode: Mode,
    /// The rule has ended after this instant.
    pub until: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Served if the requirement is met.
    Enforce(Requirement),
    /// Served in any case; what the requirement would have refused is recorded.
    Audit(Requirement),
    /// Served without any signature, for the reason given.
    Allow { reason: String },
    /// Never served.
    Deny { reason: Option<String> },
}

/// Which anchors must endorse the digest: all of `require`, and `threshold` of `any_of`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    pub require: Vec<Arc<str>>,
    pub any_of: Vec<Arc<str>>,
    pub threshold: usize,
}

/// Who does not vouch, and why.
#[derive(Clone, Debug)]
pub struct Unmet {
    pub anchor: Arc<str>,
    pub why: Unendorsed,
}

impl Requirement {
    fn told(&self) -> String {
        let mut parts: Vec<String> = self.require.iter().map(ToString::to_string).collect();
        if !self.any_of.is_empty() {
            parts.push(format!("{} of {}", self.threshold, self.any_of.join(", ")));
        }
        parts.join(" and ")
    }

    /// The anchors that are asked, each once.
    pub fn anchors(&self) -> impl Iterator<Item = &Arc<str>> {
        self.require
            .iter()
            .chain(self.any_of.iter().filter(|anchor| !self.require.contains(anchor)))
    }

    /// Whether `answers`, one of each anchor, meet this: then who endorses the one digest.
    ///
    /// A refusal that decides alone is told even where another anchor could not be asked; otherwise
    /// what could not be asked leaves the question open.
    pub fn judge(
        &self,
        answers: &BTreeMap<Arc<str>, Result<Endorsement, Unendorsed>>,
    ) -> Result<Vec<Endorsement>, Unmet> {
        let mut open = None;
        let mut met: Vec<Endorsement> = Vec::new();
        for anchor in &self.require {
            match answer(answers, anchor) {
                Ok(endorsement) => {
                    if let Some(first) = met.first()
                        && first.digest() != endorsement.digest()
                    {
                        return Err(disagree(anchor, first.digest(), endorsement.digest()));
                    }
                    met.push(endorsement);
                }
                Err(why @ Unendorsed::Refused(_)) => {
                    return Err(Unmet { anchor: anchor.clone(), why });
                }
                Err(why @ Unendorsed::Undecided(_)) => {
                    open.get_or_insert(Unmet { anchor: anchor.clone(), why });
                }
            }
        }
        if self.any_of.is_empty() {
            return open.map_or(Ok(met), Err);
        }
        let chosen = self.any_of(answers, met.first().map(Endorsement::digest));
        match (open, chosen) {
            (_, Err(unmet @ Unmet { why: Unendorsed::Refused(_), .. })) => Err(unmet),
            (Some(open), _) => Err(open),
            (None, Err(unmet)) => Err(unmet),
            (None, Ok(chosen)) => {
                met.extend(chosen);
                Ok(met)
            }
        }
    }

    fn any_of(
        &self,
        answers: &BTreeMap<Arc<str>, Result<Endorsement, Unendorsed>>,
        digest: Option<Digest>,
    ) -> Result<Vec<Endorsement>, Unmet> {
        let mut votes: BTreeMap<Digest, Vec<Endorsement>> = BTreeMap::new();
        let mut refused = None;
        let mut open: Vec<Unmet> = Vec::new();
        for anchor in &self.any_of {
            match answer(answers, anchor) {
                Ok(endorsement) if digest.is_some_and(|digest| digest != endorsement.digest()) => {
                    let first = digest.unwrap_or(endorsement.digest());
                    refused.get_or_insert(disagree(anchor, first, endorsement.digest()));
                }
                Ok(endorsement) => votes.entry(endorsement.digest()).or_default().push(endorsement),
                Err(why @ Unendorsed::Refused(_)) => {
                    refused.get_or_insert(Unmet { anchor: anchor.clone(), why });
                }
                Err(why @ Unendorsed::Undecided(_)) => {
                    open.push(Unmet { anchor: anchor.clone(), why })
                }
            }
        }
        let most = votes.values().map(Vec::len).max().unwrap_or(0);
        let mut enough = votes.into_values().filter(|votes| votes.len() >= self.threshold);
        match (enough.next(), enough.next()) {
            (Some(one), Some(other)) => {
                let (one, other) = (&one[0], &other[0]);
                return Err(disagree(&other.says().anchor, one.digest(), other.digest()));
            }
            (Some(votes), None) => return Ok(votes),
            (None, _) => {}
        }
        if most + open.len() >= self.threshold
            && let Some(open) = open.into_iter().next()
        {
            return Err(open);
        }
        Err(refused.unwrap_or_else(|| Unmet {
            anchor: self.any_of.first().cloned().unwrap_or_else(|| Arc::from("")),
            why: Unendorsed::Refused(Refusal::new(
                Reason::SignersDisagree,
                format!("no digest has the {} endorsements that are needed", self.threshold),
            )),
        }))
    }
}

fn answer(
    answers: &BTreeMap<Arc<str>, Result<Endorsement, Unendorsed>>,
    anchor: &Arc<str>,
) -> Result<Endorsement, Unendorsed> {
    answers
        .get(anchor)
        .cloned()
        .unwrap_or_else(|| Err(Unendorsed::Undecided(format!("{anchor} was not asked"))))
}

fn disagree(anchor: &Arc<str>, first: Digest, other: Digest) -> Unmet {
    let because = format!("{anchor} vouches for {other}, another anchor for {first}");
    let refusal = Refusal::new(Reason::SignersDisagree, because);
    Unmet { anchor: anchor.clone(), why: Unendorsed::Refused(refusal) }
}

impl Rule {
    /// Reads one `[[rule]]`, whose `patterns` have been read.
    pub(super) fn read(
        section: &Section<'_>,
        patterns: Vec<Pattern>,
        anchors: &AnchorNames,
    ) -> Option<Self> {
        let require = names(section, "require", anchors);
        let any_of = names(section, "any_of", anchors);
        let threshold = section.count("threshold", 1, any_of.len().max(1) as u64);
        if threshold.is_some() && any_of.is_empty() {
            section.wrong("threshold", "it counts the anchors of `any_of`, and there are none");
        }
        let requirement = Requirement {
            require,
            any_of,
            threshold: usize::try_from(threshold.unwrap_or(1)).unwrap_or(1),
        };
        let reason = section.text("reason");
        let until = until(section);
        unneeded(section);
        let mode = mode(section, requirement, reason);
        section.finish();
        if until.is_some() && matches!(mode, Some(Mode::Enforce(_) | Mode::Deny { .. })) {
            section.wrong("until", "only an allow or an audit rule ends by itself");
        }
        Some(Self { patterns, mode: mode?, until: until.flatten() })
    }

    /// What it means, in one line.
    pub fn told(&self) -> String {
        let until = self.until.map(|until| format!(" until the end of {}", day(until)));
        let until = until.unwrap_or_default();
        match &self.mode {
            Mode::Enforce(requirement) => format!("needs {}", requirement.told()),
            Mode::Audit(requirement) => {
                format!("served{until}; recorded where it lacks {}", requirement.told())
            }
            Mode::Allow { reason } => format!("SERVED UNSIGNED{until}: {reason}"),
            Mode::Deny { reason: Some(reason) } => format!("denied: {reason}"),
            Mode::Deny { reason: None } => "denied".to_owned(),
        }
    }

    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now > until)
    }
}

/// The patterns of one `[[rule]]`: known even where the rest of it is wrong.
pub(super) fn patterns(section: &Section<'_>) -> Vec<Pattern> {
    let images = section.texts("images");
    if images.as_ref().is_some_and(Vec::is_empty) || !section.has("images") {
        section
            .wrong("images", "a rule names the images that it is for: [\"registry/repository\"]");
    }
    let pattern = |text: &String| {
        text.parse().map_err(|e| section.wrong("images", format!("{text:?}: {e}"))).ok()
    };
    images.iter().flatten().filter_map(pattern).collect()
}

fn mode(section: &Section<'_>, requirement: Requirement, reason: Option<String>) -> Option<Mode> {
    let anchors = ["require", "any_of"].into_iter().filter(|key| section.lists(key)).count();
    let word = section.text("mode").unwrap_or_else(|| "enforce".to_owned());
    match word.as_str() {
        "enforce" | "audit" if anchors == 0 => {
            section.wrong(
                "",
                "`require` or `any_of` must name an anchor, or `mode` say \"allow\" or \"deny\"",
            );
            None
        }
        "enforce" => Some(Mode::Enforce(requirement)),
        "audit" => Some(Mode::Audit(requirement)),
        "allow" | "deny" if anchors > 0 => {
            section.wrong(
                "mode",
                format!("a rule that says {word:?} asks no anchor; remove `require` and `any_of`"),
            );
            None
        }
        "allow" => match reason.filter(|reason| !reason.trim().is_empty()) {
            Some(reason) => Some(Mode::Allow { reason }),
            None => {
                section.wrong("mode", "to serve what is not signed, say why: `reason = \"…\"`");
                None
            }
        },
        "deny" => Some(Mode::Deny { reason }),
        other => {
            section.wrong(
                "mode",
                format!("{other:?} is none of \"enforce\", \"audit\", \"allow\", \"deny\""),
            );
            None
        }
    }
}

fn names(section: &Section<'_>, key: &'static str, anchors: &AnchorNames) -> Vec<Arc<str>> {
    let mut known: Vec<Arc<str>> = Vec::new();
    for name in section.texts(key).unwrap_or_default() {
        match anchors.get(&name) {
            Some(anchor) if known.contains(anchor) => {
                section.wrong(key, format!("{name:?} stands twice"))
            }
            Some(anchor) => known.push(anchor.clone()),
            None => section.wrong(key, format!("there is no [[anchor]] with the name {name:?}")),
        }
    }
    known
}

/// The day of an instant, `2027-01-31`.
fn day(at: Timestamp) -> String {
    at.to_string().chars().take_while(|c| *c != 'T').collect()
}

/// The end of the day that `until` names, in UTC; `Some(None)` where it names no day.
fn until(section: &Section<'_>) -> Option<Option<Timestamp>> {
    let (year, month, day) = section.date("until")?;
    let end =
        Timestamp::parse_rfc3339(&format!("{year:04}-{month:02}-{day:02}T23:59:59.999999999Z"));
    if end.is_none() {
        section.wrong("until", "there is no such day");
    }
    Some(end)
}

/// Keys for schemes that sign content and not names. Notary v1 signs names and keeps versions: it
/// never serves what is unsigned or rolled back, so there is nothing to choose.
fn unneeded(section: &Section<'_>) {
    for (key, default) in [("on_unsigned", "refuse"), ("on_rollback", "warn")] {
        match section.text(key) {
            Some(word) if word != default => section.wrong(
                key,
                format!("only {default:?}, the default: notaryv1 signs names, so a tag that moved still gives its signed digest, and a rollback is always refused"),
            ),
            Some(_) | None => {}
        }
    }
}
