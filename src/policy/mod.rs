//! Which anchors a repository requires. Pure; denies what no rule names.

mod artifacts;
mod pattern;
mod rule;
mod word;

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::oci::{Registry, Repository, Tag};
use crate::settings::Section;

pub use artifacts::Artifacts;
pub use pattern::Pattern;
pub use rule::{AnchorNames, Mode, OnRollback, OnUnsigned, Requirement, Rule, Unmet};

/// The most names that one message proposes.
const MAX_TOLD: usize = 8;

/// That no anchor is called `name`, and how those that there are are called.
fn no_anchor(name: &str, anchors: &AnchorNames) -> String {
    let known: Vec<_> = anchors.keys().take(MAX_TOLD).map(|known| format!("{known:?}")).collect();
    let next = if known.is_empty() {
        "; write one".to_owned()
    } else {
        format!("; there is {}", known.join(", "))
    };
    format!("there is no [[anchor]] with the name {name:?}{next}")
}

/// All rules, the most specific pattern first.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    entries: Vec<Entry>,
    /// Whether any rule only audits.
    audits: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    pattern: Pattern,
    text: Arc<str>,
    rule: Arc<Rule>,
}

/// The rule that decides about an image, and the pattern by which it does.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'a> {
    pub pattern: &'a Arc<str>,
    pub rule: &'a Rule,
}

/// A pattern that covers the name of an image, and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Considered<'a> {
    pub pattern: &'a Arc<str>,
    pub rule: &'a Rule,
    pub fate: Fate,
}

/// Why a rule decides about an image, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is the most specific that is left.
    Chosen,
    /// It has ended, at that time.
    Ended(Timestamp),
    /// It is for tags, and not for this one.
    OtherTag,
    /// One that is more specific decides.
    LessSpecific,
}

impl Policy {
    /// Orders `rules`.
    pub fn new(rules: Vec<Rule>) -> Self {
        let mut entries: Vec<Entry> = rules
            .into_iter()
            .map(Arc::new)
            .flat_map(|rule| {
                let patterns = rule.patterns.clone();
                patterns.into_iter().map(move |pattern| Entry {
                    text: pattern.to_string().into(),
                    pattern,
                    rule: rule.clone(),
                })
            })
            .collect();
        entries.sort_by_key(|entry| entry.pattern.specificity());
        let audits = entries.iter().any(|entry| matches!(entry.rule.mode, Mode::Audit(_)));
        Self { entries, audits }
    }

    /// Whether there is a rule that serves in any case and records what it would refuse.
    pub fn audits(&self) -> bool {
        self.audits
    }

    /// Reads every `[[rule]]`; the same pattern twice is a problem.
    pub fn read(sections: &[Section<'_>], anchors: &AnchorNames) -> Self {
        let mut rules = Vec::new();
        let mut seen: HashMap<Pattern, usize> = HashMap::new();
        for section in sections {
            let patterns = rule::patterns(section);
            for pattern in &patterns {
                if let Some(line) = seen.insert(pattern.clone(), section.line()) {
                    section.wrong(
                        "images",
                        format!("\"{pattern}\" stands in the rule of line {line}, too"),
                    );
                }
            }
            rules.extend(Rule::read(section, patterns, anchors));
        }
        Self::new(rules)
    }

    /// The rule for `registry/repository` with that tag, or without one.
    pub fn rule_for(
        &self,
        registry: &Registry,
        repository: &Repository,
        tag: Option<&Tag>,
        now: Timestamp,
    ) -> Option<Chosen<'_>> {
        self.entries
            .iter()
            .filter(|entry| entry.pattern.covers(registry, repository))
            .filter(|entry| entry.pattern.covers_tag(tag))
            .find(|entry| !entry.rule.has_ended(now))
            .map(|entry| Chosen { pattern: &entry.text, rule: &entry.rule })
    }

    /// Every pattern that covers `registry/repository`, the most specific first, and what became of it.
    pub fn considered(
        &self,
        registry: &Registry,
        repository: &Repository,
        tag: Option<&Tag>,
        now: Timestamp,
    ) -> Vec<Considered<'_>> {
        let covering =
            self.entries.iter().filter(|entry| entry.pattern.covers(registry, repository));
        let mut chosen = false;
        let considered = covering.map(|entry| {
            let fate = match entry.rule.until.filter(|_| entry.rule.has_ended(now)) {
                Some(until) => Fate::Ended(until),
                None if !entry.pattern.covers_tag(tag) => Fate::OtherTag,
                None if chosen => Fate::LessSpecific,
                None => Fate::Chosen,
            };
            chosen |= fate == Fate::Chosen;
            Considered { pattern: &entry.text, rule: &entry.rule, fate }
        });
        considered.collect()
    }

    /// Whether some image of that repository could be served.
    pub fn serves(&self, registry: &Registry, repository: &Repository, now: Timestamp) -> bool {
        self.covering(registry, repository, now)
            .any(|entry| !matches!(entry.rule.mode, Mode::Deny { .. }))
    }

    /// Every anchor that some rule for that repository asks, each once, the most specific first.
    pub fn anchors(
        &self,
        registry: &Registry,
        repository: &Repository,
        now: Timestamp,
    ) -> Vec<Arc<str>> {
        let mut anchors: Vec<Arc<str>> = Vec::new();
        for entry in self.covering(registry, repository, now) {
            let (Mode::Enforce(requirement) | Mode::Audit(requirement)) = &entry.rule.mode else {
                continue;
            };
            for anchor in requirement.anchors() {
                if !anchors.contains(anchor) {
                    anchors.push(anchor.clone());
                }
            }
        }
        anchors
    }

    /// Whether some rule for that repository asks an anchor whose scheme signs content.
    pub fn asks_content(
        &self,
        registry: &Registry,
        repository: &Repository,
        now: Timestamp,
    ) -> bool {
        self.covering(registry, repository, now).any(|entry| match &entry.rule.mode {
            Mode::Enforce(requirement) | Mode::Audit(requirement) => {
                !requirement.content.is_empty()
            }
            Mode::Allow { .. } | Mode::Deny { .. } => false,
        })
    }

    /// Every pattern with what it means at `now`, the most specific first.
    pub fn told(&self, now: Timestamp) -> impl Iterator<Item = (&str, String)> {
        self.entries.iter().map(move |entry| {
            let ended =
                if entry.rule.has_ended(now) { "HAS ENDED, and counts no more: " } else { "" };
            (&*entry.text, format!("{ended}{}", entry.rule.told()))
        })
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn covering<'a>(
        &'a self,
        registry: &'a Registry,
        repository: &'a Repository,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| {
            entry.pattern.covers(registry, repository) && !entry.rule.has_ended(now)
        })
    }
}
