//! The rule that decided about an image, and the other rules that match its repository.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::policy::{Considered, Fate, Mode, OnRollback, OnUnsigned, Rule};

/// The rule that decided.
#[derive(Debug, Serialize, Deserialize)]
pub struct RuleReport {
    pub images: String,
    /// `enforce`, `audit`, `allow` or `deny`.
    pub mode: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its meaning, in one line.
    #[serde(default)]
    pub means: String,
    /// When it expires, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// How the rule treats a tag that moved, if that is not the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_unsigned: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_rollback: Option<Cow<'static, str>>,
}

/// A rule whose pattern matches the image's repository, and that did not decide.
#[derive(Debug, Serialize, Deserialize)]
pub struct BeatenReport {
    pub images: String,
    pub mode: Cow<'static, str>,
    pub means: String,
    /// Why it did not decide.
    pub because: String,
}

impl RuleReport {
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
            means: rule.summary(),
            until: rule.until.map(|until| until.to_string()),
            on_unsigned: (rule.on_unsigned == OnUnsigned::Hold).then(|| "hold".into()),
            on_rollback: (rule.on_rollback == OnRollback::Refuse).then(|| "refuse".into()),
        }
    }
}

impl BeatenReport {
    /// All of `considered` except the rule with the pattern `decided`; `denies`: that one is a deny rule.
    pub(super) fn of(
        considered: &[Considered<'_>],
        decided: Option<&Arc<str>>,
        denies: bool,
    ) -> Vec<Self> {
        let others = considered.iter().filter(|one| decided != Some(one.pattern));
        let beaten = others.map(|one| Self {
            images: one.pattern.to_string(),
            mode: mode(one.rule).into(),
            means: one.rule.summary(),
            because: because(one.fate, decided, denies),
        });
        beaten.collect()
    }
}

fn because(fate: Fate, decided: Option<&Arc<str>>, denies: bool) -> String {
    match (fate, decided) {
        (Fate::Ended(until), _) => format!("it expired at {until}"),
        (Fate::OtherTag, _) => "it matches other tags".to_owned(),
        (Fate::OtherDigest, _) => "it denies another digest".to_owned(),
        (Fate::Chosen | Fate::LessSpecific, Some(decided)) if denies => {
            format!("the deny rule {decided} takes precedence")
        }
        (Fate::Chosen, Some(decided)) => {
            format!("{decided} matches a tag that has this digest")
        }
        (Fate::LessSpecific, Some(decided)) => format!("{decided} is more specific"),
        (Fate::Chosen | Fate::LessSpecific, None) => "it was not evaluated".to_owned(),
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
