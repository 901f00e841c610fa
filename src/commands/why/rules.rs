//! The rule that decided about an image, and those that cover its name and did not, told.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::policy::{Considered, Fate, Mode, OnRollback, OnUnsigned, Rule};

/// The rule that decided.
#[derive(Debug, Serialize, Deserialize)]
pub struct RuleTold {
    pub images: String,
    /// `enforce`, `audit`, `allow` or `deny`.
    pub mode: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it means, in one line.
    #[serde(default)]
    pub means: String,
    /// When it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// What becomes of a tag that moved, where that is not the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_unsigned: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_rollback: Option<Cow<'static, str>>,
}

/// A rule whose pattern covers the image's name, and that did not decide.
#[derive(Debug, Serialize, Deserialize)]
pub struct BeatenTold {
    pub images: String,
    pub mode: Cow<'static, str>,
    pub means: String,
    /// Why it did not decide.
    pub because: String,
}

impl RuleTold {
    pub(super) fn of(pattern: &str, rule: &Rule) -> Self {
        let reason = match &rule.mode {
            Mode::Allow { reason } => Some(reason.clone()),
            Mode::Deny { reason } => reason.clone(),
            Mode::Enforce(_) | Mode::Audit(_) => None,
        };
        Self {
            images: pattern.to_owned(),
            mode: mode(rule).into(),
            reason,
            means: rule.told(),
            until: rule.until.map(|until| until.to_string()),
            on_unsigned: (rule.on_unsigned == OnUnsigned::Hold).then(|| "hold".into()),
            on_rollback: (rule.on_rollback == OnRollback::Refuse).then(|| "refuse".into()),
        }
    }
}

impl BeatenTold {
    /// Of `considered`, all but the one with the pattern that `decided`, which `denies` or does not.
    pub(super) fn of(
        considered: &[Considered<'_>],
        decided: Option<&Arc<str>>,
        denies: bool,
    ) -> Vec<Self> {
        let others = considered.iter().filter(|one| decided != Some(one.pattern));
        let beaten = others.map(|one| Self {
            images: one.pattern.to_string(),
            mode: mode(one.rule).into(),
            means: one.rule.told(),
            because: because(one.fate, decided, denies),
        });
        beaten.collect()
    }
}

fn because(fate: Fate, decided: Option<&Arc<str>>, denies: bool) -> String {
    match (fate, decided) {
        (Fate::Ended(until), _) => format!("it ended at {until}"),
        (Fate::OtherTag, _) => "it is for other tags".to_owned(),
        (Fate::OtherDigest, _) => "it denies another digest".to_owned(),
        (Fate::Chosen | Fate::LessSpecific, Some(decided)) if denies => {
            format!("{decided} denies it, and a rule that denies comes before every other rule")
        }
        (Fate::Chosen, Some(decided)) => {
            format!("{decided} is for a tag that this digest was admitted by")
        }
        (Fate::LessSpecific, Some(decided)) => format!("{decided} is more specific"),
        (Fate::Chosen | Fate::LessSpecific, None) => "it was not asked".to_owned(),
    }
}

const fn mode(rule: &Rule) -> &'static str {
    match &rule.mode {
        Mode::Allow { .. } => "allow",
        Mode::Audit(_) => "audit",
        Mode::Deny { .. } => "deny",
        Mode::Enforce(_) => "enforce",
    }
}
