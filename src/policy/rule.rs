//! Rules: what the gate requires of an image before it serves it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::toml_reader::Section;
use crate::trust::Scheme;
use crate::trust::lifetimes::Lifetimes;

use super::artifacts::Artifacts;
use super::pattern::Pattern;
use super::requirement::Requirement;
use super::word::word;

/// How long an allow or audit rule uses the digest of a tag before the gate asks the upstream again.
const DEFAULT_REFRESH: Duration = Duration::from_secs(60);

/// The names of the anchors that a configuration has, and their schemes.
pub type AnchorNames = BTreeMap<String, (Arc<str>, Scheme)>;

/// What the gate requires of an image before it serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub patterns: Vec<Pattern>,
    pub mode: Mode,
    pub on_unsigned: OnUnsigned,
    pub on_rollback: OnRollback,
    pub artifacts: Artifacts,
    /// How long the gate uses the digest of a tag. Only allow and audit rules have it; the anchors of an enforce rule
    /// have their own.
    pub tag_lifetimes: Option<Lifetimes>,
    /// The rule ends after this instant.
    pub until: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Served if the requirement is met.
    Enforce(Requirement),
    /// Served in any case; the gate records what the requirement would have refused.
    Audit(Requirement),
    /// Served without any signature, for the reason given.
    Allow { reason: String },
    /// Never served.
    Deny { reason: Option<String> },
}

/// What happens if a tag moves to a digest that is not signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnsigned {
    #[default]
    Refuse,
    /// The gate keeps serving the last admitted digest while it is endorsed.
    Hold,
}

/// What happens if a tag moves to a digest that was signed earlier than the newest admitted one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRollback {
    /// It is served and recorded.
    #[default]
    Warn,
    Refuse,
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
            section.wrong("threshold", "it counts the anchors of `any_of`, which is empty");
        }
        let signs_content = |anchor: &&Arc<str>| {
            anchors.get(&***anchor).is_some_and(|(_, scheme)| *scheme != Scheme::NotaryV1)
        };
        let mut content: Vec<_> =
            require.iter().chain(&any_of).filter(signs_content).cloned().collect();
        content.sort();
        content.dedup();
        let requirement = Requirement {
            require,
            any_of,
            threshold: usize::try_from(threshold.unwrap_or(1)).unwrap_or(1),
            content,
        };
        let reason = section.text("reason");
        let until = until(section);
        let moves = Moves::read(section, &requirement);
        let artifacts = Artifacts::read(section);
        let mode = mode(section, requirement, reason);
        let lifetimes = Lifetimes::read_or(section, DEFAULT_REFRESH);
        section.finish();
        if until.is_some() && matches!(mode, Some(Mode::Enforce(_) | Mode::Deny { .. })) {
            section.wrong("until", "only an allow or audit rule has an end; remove this key");
        }
        if section.has("artifacts") && matches!(mode, Some(Mode::Deny { .. })) {
            let message = "a deny rule serves nothing; remove this key";
            section.wrong("artifacts", message);
        }
        let tag_lifetimes = tag_lifetimes(section, mode.as_ref()?, lifetimes);
        let Moves { on_unsigned, on_rollback } = moves;
        let until = until.flatten();
        Some(Self {
            patterns,
            mode: mode?,
            on_unsigned,
            on_rollback,
            artifacts,
            tag_lifetimes,
            until,
        })
    }

    /// A summary in one line.
    pub fn summary(&self) -> String {
        let until = self.until.map(|until| format!(" until the end of {}", until.day()));
        let until = until.unwrap_or_default();
        let summary = match &self.mode {
            Mode::Enforce(requirement) => format!("needs {}", requirement.summary()),
            Mode::Audit(requirement) => {
                format!("served{until}; recorded if it lacks {}", requirement.summary())
            }
            Mode::Allow { reason } => format!("SERVED UNSIGNED{until}: {reason}"),
            Mode::Deny { reason: Some(reason) } => format!("denied: {reason}"),
            Mode::Deny { reason: None } => "denied".to_owned(),
        };
        match self.mode {
            Mode::Deny { .. } => summary,
            Mode::Enforce(_) | Mode::Audit(_) | Mode::Allow { .. } => {
                summary + self.artifacts.summary()
            }
        }
    }

    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now > until)
    }
}

/// The patterns of one `[[rule]]`, also if the rest of it is invalid.
pub(super) fn patterns(section: &Section<'_>) -> Vec<Pattern> {
    let images = section.texts("images");
    if images.as_ref().is_some_and(Vec::is_empty) || !section.has("images") {
        section.wrong("images", "list the images that the rule matches: [\"registry/repository\"]");
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
                "name an anchor in `require` or `any_of`, or set `mode` to \"allow\" or \"deny\"",
            );
            None
        }
        "enforce" => Some(Mode::Enforce(requirement)),
        "audit" => Some(Mode::Audit(requirement)),
        "allow" | "deny" if anchors > 0 => {
            section.wrong(
                "mode",
                format!(
                    "a rule with `mode = {word:?}` uses no anchor; remove `require` and `any_of`"
                ),
            );
            None
        }
        "allow" => match reason.filter(|reason| !reason.trim().is_empty()) {
            Some(reason) => Some(Mode::Allow { reason }),
            None => {
                section.wrong("mode", "to serve unsigned images, give a reason: `reason = \"…\"`");
                None
            }
        },
        "deny" => Some(Mode::Deny { reason }),
        other => {
            section.wrong(
                "mode",
                format!("{other:?} is not one of \"enforce\", \"audit\", \"allow\", \"deny\""),
            );
            None
        }
    }
}

/// `lifetimes` if the rule uses it. Otherwise setting one of its keys is an error.
fn tag_lifetimes(section: &Section<'_>, mode: &Mode, lifetimes: Lifetimes) -> Option<Lifetimes> {
    let message = match mode {
        Mode::Allow { .. } | Mode::Audit(_) => return Some(lifetimes),
        Mode::Enforce(_) => {
            "only an allow or audit rule has this key; an enforce rule uses `refresh` and `max_stale` of its anchors"
        }
        Mode::Deny { .. } => "a deny rule resolves no tag; remove this key",
    };
    for key in ["refresh", "max_stale"] {
        if section.has(key) {
            section.wrong(key, message);
        }
    }
    None
}

fn names(section: &Section<'_>, key: &'static str, anchors: &AnchorNames) -> Vec<Arc<str>> {
    let mut known: Vec<Arc<str>> = Vec::new();
    for name in section.texts(key).unwrap_or_default() {
        match anchors.get(&name) {
            Some((anchor, _)) if known.contains(anchor) => {
                section.wrong(key, format!("{name:?} is listed twice"))
            }
            Some((anchor, _)) => known.push(anchor.clone()),
            None => section.wrong(key, super::no_anchor(&name, anchors)),
        }
    }
    known
}

/// The end of the day that `until` names, in UTC; `Some(None)` if the day is invalid.
fn until(section: &Section<'_>) -> Option<Option<Timestamp>> {
    let (year, month, day) = section.date("until")?;
    let end = Timestamp::end_of_day(&format!("{year:04}-{month:02}-{day:02}"));
    if end.is_none() {
        section.wrong("until", "this day does not exist");
    }
    Some(end)
}

/// What happens if a tag moves.
#[derive(Default)]
struct Moves {
    on_unsigned: OnUnsigned,
    on_rollback: OnRollback,
}

impl Moves {
    fn read(section: &Section<'_>, requirement: &Requirement) -> Self {
        let on_unsigned = word(
            section,
            "on_unsigned",
            [("refuse", OnUnsigned::Refuse), ("hold", OnUnsigned::Hold)],
        );
        let on_rollback = word(
            section,
            "on_rollback",
            [("warn", OnRollback::Warn), ("refuse", OnRollback::Refuse)],
        );
        let moved = Self {
            on_unsigned: on_unsigned.unwrap_or_default(),
            on_rollback: on_rollback.unwrap_or_default(),
        };
        if requirement.content.is_empty() {
            let why = "this rule uses no anchor of cosign or notation, and notaryv1 signs names: a tag that \
                       moved still gives its signed digest, and a rollback is always refused";
            if moved.on_unsigned != OnUnsigned::default() {
                section.wrong("on_unsigned", why);
            }
            if moved.on_rollback != OnRollback::default() {
                section.wrong("on_rollback", why);
            }
        }
        moved
    }
}
