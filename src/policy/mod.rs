//! The rules, and which of them decides about an image. Pure. Deny rules take precedence over every other rule; an
//! image that no rule matches is denied.

mod artifacts;
mod canonical;
mod caveat;
mod pattern;
mod permit;
mod requirement;
mod rule;
mod weaker;
mod word;

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::oci::{Digest, RepositoryRef, Tag};
use crate::toml_reader::Section;

pub use artifacts::Artifacts;
pub use caveat::{Caveat, SOON};
pub use pattern::Pattern;
pub use permit::{Allow, Audit, Permit, Required, Terms};
pub use requirement::{Answer, Answers, Requirement, Unmet};
pub use rule::{AnchorNames, Mode, OnRollback, OnUnsigned, Rule};

/// The most anchor names in one message.
const MAX_LISTED: usize = 8;

/// The error for an unknown anchor `name`, with the names of the configured anchors.
fn no_anchor(name: &str, anchors: &AnchorNames) -> String {
    let known: Vec<_> = anchors.keys().take(MAX_LISTED).map(|known| format!("{known:?}")).collect();
    let next = if known.is_empty() {
        "; add one".to_owned()
    } else {
        format!("; the configured names are {}", known.join(", "))
    };
    format!("there is no [[anchor]] with the name {name:?}{next}")
}

/// All rules: deny rules first, then the other rules, the most specific pattern first.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    entries: Vec<Entry>,
    /// Whether any rule is an audit rule.
    audits: bool,
    /// Whether any rule denies a digest.
    denies_digests: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    pattern: Pattern,
    text: Arc<str>,
    rule: Arc<Rule>,
}

/// The rule that decides about an image, and its pattern. Only [`Policy`] chooses one:
///
/// ```compile_fail,E0451
/// use std::sync::Arc;
/// use countersign::policy::{Chosen, Rule};
/// fn choose<'a>(pattern: &'a Arc<str>, rule: &'a Rule) -> Chosen<'a> {
///     Chosen { pattern, rule }
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'a> {
    pattern: &'a Arc<str>,
    rule: &'a Rule,
}

impl<'a> Chosen<'a> {
    pub fn pattern(&self) -> &'a Arc<str> {
        self.pattern
    }

    pub fn rule(&self) -> &'a Rule {
        self.rule
    }
}

/// A pattern that covers the name of an image, and whether its rule decides.
#[derive(Clone, Copy, Debug)]
pub struct Considered<'a> {
    pub pattern: &'a Arc<str>,
    pub rule: &'a Rule,
    pub fate: Fate,
}

/// Why a rule decides about an image, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is the most specific rule that applies.
    Chosen,
    /// It ended at that time.
    Ended(Timestamp),
    /// Its pattern has a tag part that does not match.
    OtherTag,
    /// It denies another digest.
    OtherDigest,
    /// A deny rule or a more specific rule decides.
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
        entries.sort_by_key(|entry| (!entry.denies(), entry.pattern.specificity()));
        let audits = entries.iter().any(|entry| matches!(entry.rule.mode, Mode::Audit(_)));
        let denies_digests = entries.iter().any(|entry| entry.pattern.digest().is_some());
        Self { entries, audits, denies_digests }
    }

    /// Whether there is an audit rule.
    pub fn audits(&self) -> bool {
        self.audits
    }

    /// Reads every `[[rule]]`; a duplicate pattern is an error.
    pub fn read(sections: &[Section<'_>], anchors: &AnchorNames) -> Self {
        let mut rules = Vec::new();
        let mut seen: HashMap<Pattern, usize> = HashMap::new();
        for section in sections {
            let patterns = rule::patterns(section);
            for pattern in &patterns {
                if let Some(line) = seen.insert(pattern.clone(), section.line()) {
                    section.wrong(
                        "images",
                        format!("\"{pattern}\" is also in the [[rule]] of line {line}: remove one"),
                    );
                }
                if pattern.digest().is_some() && section.text("mode").as_deref() != Some("deny") {
                    section.wrong(
                        "images",
                        format!(
                            "\"{pattern}\": only a rule with `mode = \"deny\"` may name a digest; to serve one \
                             digest for a while without a signature, use `countersign exempt`"
                        ),
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
        repository: &RepositoryRef,
        tag: Option<&Tag>,
        now: Timestamp,
    ) -> Option<Chosen<'_>> {
        self.entries
            .iter()
            .filter(|entry| entry.pattern.covers(repository))
            .filter(|entry| entry.pattern.covers_tag(tag))
            .find(|entry| !entry.rule.has_ended(now))
            .map(|entry| Chosen { pattern: &entry.text, rule: &entry.rule })
    }

    /// Whether a rule denies any manifest by its digest.
    pub fn denies_digests(&self) -> bool {
        self.denies_digests
    }

    /// The rule that denies `digest` in `registry/repository` by its digest. `content` is the content of `digest`, if
    /// it is known: a rule may deny it by a digest of another algorithm.
    pub fn denied_digest(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
        content: Option<&[u8]>,
    ) -> Option<Chosen<'_>> {
        if !self.denies_digests {
            return None;
        }
        let is_denied = |denied: &Digest| {
            denied == digest
                || (denied.algorithm() != digest.algorithm()
                    && content.is_some_and(|content| denied.is_of(content)))
        };
        self.entries
            .iter()
            .filter(|entry| entry.denies() && entry.pattern.covers(repository))
            .find(|entry| entry.pattern.digest().is_some_and(is_denied))
            .map(|entry| Chosen { pattern: &entry.text, rule: &entry.rule })
    }

    /// Every pattern that covers `registry/repository`, deny rules first and then the most specific first, and whether
    /// its rule decides.
    pub fn considered(
        &self,
        repository: &RepositoryRef,
        (tag, digest): (Option<&Tag>, Option<&Digest>),
        now: Timestamp,
    ) -> Vec<Considered<'_>> {
        let covering = self.entries.iter().filter(|entry| entry.pattern.covers(repository));
        let mut chosen = false;
        let considered = covering.map(|entry| {
            let fate = match entry.rule.until.filter(|_| entry.rule.has_ended(now)) {
                Some(until) => Fate::Ended(until),
                None if entry.pattern.digest().is_some_and(|denied| Some(denied) != digest) => {
                    Fate::OtherDigest
                }
                None if entry.pattern.digest().is_none() && !entry.pattern.covers_tag(tag) => {
                    Fate::OtherTag
                }
                None if chosen => Fate::LessSpecific,
                None => Fate::Chosen,
            };
            chosen |= fate == Fate::Chosen;
            Considered { pattern: &entry.text, rule: &entry.rule, fate }
        });
        considered.collect()
    }

    /// Whether some image of that repository could be served.
    pub fn serves(&self, repository: &RepositoryRef, now: Timestamp) -> bool {
        self.covering(repository, now).next().is_some()
    }

    /// Every anchor that a rule for that repository uses, each once, those of the most specific rule first.
    pub fn anchors(&self, repository: &RepositoryRef, now: Timestamp) -> Vec<Arc<str>> {
        let mut anchors: Vec<Arc<str>> = Vec::new();
        for entry in self.covering(repository, now) {
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

    /// For each pattern of the rules that require `anchor`, the repository it names, or an example of those it matches. The
    /// most specific pattern comes first.
    pub fn examples(&self, anchor: &str, now: Timestamp) -> impl Iterator<Item = RepositoryRef> {
        let requires = move |entry: &&Entry| match &entry.rule.mode {
            Mode::Enforce(requirement) | Mode::Audit(requirement) => {
                !entry.rule.has_ended(now)
                    && requirement.anchors().any(|name| name.as_ref() == anchor)
            }
            Mode::Allow { .. } | Mode::Deny { .. } => false,
        };
        self.entries.iter().filter(requires).filter_map(|entry| entry.pattern.example())
    }

    /// The repositories that patterns of rules in force name exactly.
    pub fn repositories(&self, now: Timestamp) -> impl Iterator<Item = RepositoryRef> {
        let in_force = self.entries.iter().filter(move |entry| !entry.rule.has_ended(now));
        in_force.filter_map(|entry| entry.pattern.repository())
    }

    /// Whether a rule for that repository uses an anchor whose scheme signs content.
    pub fn asks_content(&self, repository: &RepositoryRef, now: Timestamp) -> bool {
        self.covering(repository, now).any(|entry| match &entry.rule.mode {
            Mode::Enforce(requirement) | Mode::Audit(requirement) => {
                !requirement.content.is_empty()
            }
            Mode::Allow { .. } | Mode::Deny { .. } => false,
        })
    }

    /// Warnings about rules that may surprise their author: rules without effect because a deny rule matches, rules
    /// that deny a tag but not its digest, and rules for tags that are stricter than the rule for the same images by
    /// digest.
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        let in_force = self.entries.iter().filter(|entry| !entry.rule.has_ended(now));
        in_force.filter_map(|entry| self.warning(entry, now)).collect()
    }

    fn warning(&self, entry: &Entry, now: Timestamp) -> Option<String> {
        let repository = entry.pattern.example()?;
        let by_digest = self.rule_for(&repository, None, now)?;
        let (one, other) = (&entry.text, by_digest.pattern);
        if matches!(by_digest.rule.mode, Mode::Deny { .. }) {
            return (!entry.denies()).then(|| {
                format!(
                    "{one} has no effect: the rule for {other} denies its images, and a deny rule takes precedence \
                     over every other rule"
                )
            });
        }
        if entry.denies() && entry.pattern.has_tag() {
            return Some(format!(
                "{one} denies tags only: by digest, and by other tags, the rule for {other} still decides about \
                 the same image; to stop it, deny {repository}@sha256:… as well"
            ));
        }
        let weaker = entry.pattern.has_tag() && weaker::is_weaker(by_digest.rule, &entry.rule);
        weaker.then(|| {
            format!(
                "{one} matches tags only: by digest, the rule for {other} decides about the same images, and it \
                 requires less"
            )
        })
    }

    /// Every pattern and the summary of its rule at `now`, deny rules first and then the most specific first.
    pub fn summary(&self, now: Timestamp) -> impl Iterator<Item = (&str, String)> {
        self.entries.iter().map(move |entry| {
            let ended = if entry.rule.has_ended(now) { "EXPIRED (ignored): " } else { "" };
            (&*entry.text, format!("{ended}{}", entry.rule.summary()))
        })
    }

    /// The requirement of each enforce or audit rule, with its pattern.
    pub fn requirements(&self) -> impl Iterator<Item = (&str, &Requirement)> {
        self.entries.iter().filter_map(|entry| match &entry.rule.mode {
            Mode::Enforce(requirement) | Mode::Audit(requirement) => {
                Some((&*entry.text, requirement))
            }
            Mode::Allow { .. } | Mode::Deny { .. } => None,
        })
    }

    #[cfg(feature = "test-support")]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries that cover that repository and do not deny; none if a rule denies the whole repository.
    fn covering<'a>(
        &'a self,
        repository: &'a RepositoryRef,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a Entry> {
        let covers =
            move |entry: &&Entry| entry.pattern.covers(repository) && !entry.rule.has_ended(now);
        let denied = self
            .entries
            .iter()
            .take_while(|entry| entry.denies())
            .any(|entry| entry.pattern.covers_tag(None) && covers(&entry));
        self.entries.iter().filter(move |entry| !denied && !entry.denies() && covers(entry))
    }
}

impl Entry {
    fn denies(&self) -> bool {
        matches!(self.rule.mode, Mode::Deny { .. })
    }
}
