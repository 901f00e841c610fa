//! The rules in a canonical form, to compare and to hash: equal rules give equal JSON, in whatever order and with whatever
//! reasons a configuration states them.

use serde_json::{Value, json};

use crate::clock::Timestamp;

use super::{Artifacts, Mode, OnRollback, OnUnsigned, Policy, Requirement, Rule};

impl Policy {
    /// The rules that are in force at `now`, one entry for each pattern.
    pub fn canonical(&self, now: Timestamp) -> Value {
        let mut rules: Vec<(&str, &Rule)> =
            self.entries.iter().map(|entry| (&*entry.text, &*entry.rule)).collect();
        rules.retain(|(_, rule)| !rule.has_ended(now));
        rules.sort_by_key(|(pattern, _)| *pattern);
        rules.into_iter().map(|(pattern, rule)| canonical(pattern, rule)).collect()
    }

    /// The anchors that rules in force at `now` use, each once, sorted.
    pub fn anchors_in_force(&self, now: Timestamp) -> Vec<&str> {
        let rules = self.entries.iter().map(|entry| &*entry.rule);
        let rules = rules.filter(|rule| !rule.has_ended(now));
        let mut anchors: Vec<&str> =
            rules.filter_map(requirement).flat_map(Requirement::anchors).map(|it| &**it).collect();
        anchors.sort_unstable();
        anchors.dedup();
        anchors
    }
}

fn requirement(rule: &Rule) -> Option<&Requirement> {
    match &rule.mode {
        Mode::Enforce(requirement) | Mode::Audit(requirement) => Some(requirement),
        Mode::Allow { .. } | Mode::Deny { .. } => None,
    }
}

fn canonical(pattern: &str, rule: &Rule) -> Value {
    let mode = match &rule.mode {
        Mode::Enforce(_) => "enforce",
        Mode::Audit(_) => "audit",
        Mode::Allow { .. } => "allow",
        Mode::Deny { .. } => "deny",
    };
    let mut value = json!({
        "images": pattern,
        "mode": mode,
        "on_unsigned": match rule.on_unsigned {
            OnUnsigned::Refuse => "refuse",
            OnUnsigned::Hold => "hold",
        },
        "on_rollback": match rule.on_rollback {
            OnRollback::Warn => "warn",
            OnRollback::Refuse => "refuse",
        },
        "artifacts": match rule.artifacts {
            Artifacts::Listed => "listed",
            Artifacts::All => "all",
        },
        "until": rule.until.map(|until| until.to_string()),
    });
    if let (Some(requirement), Some(members)) = (requirement(rule), value.as_object_mut()) {
        let sorted = |names: &[std::sync::Arc<str>]| {
            let mut names: Vec<&str> = names.iter().map(|name| &**name).collect();
            names.sort_unstable();
            json!(names)
        };
        members.insert("require".to_owned(), sorted(&requirement.require));
        members.insert("any_of".to_owned(), sorted(&requirement.any_of));
        members.insert("threshold".to_owned(), json!(requirement.threshold));
    }
    value
}
