//! Whether one rule requires less than another. Pure.

use super::requirement::Requirement;
use super::rule::{Mode, Rule};

/// Whether `rule` may serve an image that `other` refuses.
pub(super) fn is_weaker(rule: &Rule, other: &Rule) -> bool {
    match (&rule.mode, &other.mode) {
        (Mode::Deny { .. }, _) | (_, Mode::Allow { .. } | Mode::Audit(_)) => false,
        (Mode::Enforce(own), Mode::Enforce(others)) => !implies(own, others),
        (Mode::Allow { .. } | Mode::Audit(_), Mode::Enforce(_))
        | (Mode::Allow { .. } | Mode::Audit(_) | Mode::Enforce(_), Mode::Deny { .. }) => true,
    }
}

/// Whether everything that meets `own` certainly meets `others`.
fn implies(own: &Requirement, others: &Requirement) -> bool {
    let required = others.require.iter().all(|anchor| own.require.contains(anchor));
    let among = others.any_of.iter().filter(|anchor| own.require.contains(anchor)).count();
    let counted = others.any_of.is_empty()
        || among >= others.threshold
        || (!own.any_of.is_empty()
            && own.threshold >= others.threshold
            && own.any_of.iter().all(|anchor| others.any_of.contains(anchor)));
    required && counted
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::rule::{OnRollback, OnUnsigned};
    use super::*;

    fn enforce(require: &[&str], any_of: &[&str], threshold: usize) -> Mode {
        let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
        let (require, any_of) = (names(require), names(any_of));
        Mode::Enforce(Requirement { require, any_of, threshold, content: Vec::new() })
    }

    fn rule(mode: Mode) -> Rule {
        let (on_unsigned, on_rollback) = (OnUnsigned::default(), OnRollback::default());
        let artifacts = crate::policy::Artifacts::default();
        Rule {
            patterns: Vec::new(),
            mode,
            on_unsigned,
            on_rollback,
            artifacts,
            tag_lifetimes: None,
            until: None,
        }
    }

    #[test]
    fn a_rule_is_weaker_where_it_may_serve_what_the_other_refuses() {
        let allow = || Mode::Allow { reason: "x".to_owned() };
        let deny = || Mode::Deny { reason: None };
        for (own, other, expected) in [
            (allow(), enforce(&["a"], &[], 1), true),
            (allow(), deny(), true),
            (allow(), allow(), false),
            (deny(), enforce(&["a"], &[], 1), false),
            (enforce(&["a"], &[], 1), deny(), true),
            (enforce(&["a"], &[], 1), allow(), false),
            (enforce(&["a"], &[], 1), enforce(&["a"], &[], 1), false),
            (enforce(&["a", "b"], &[], 1), enforce(&["a"], &[], 1), false),
            (enforce(&["a"], &[], 1), enforce(&["a", "b"], &[], 1), true),
            (enforce(&["a"], &[], 1), enforce(&[], &["a", "b"], 1), false),
            (enforce(&["a"], &[], 1), enforce(&[], &["a", "b"], 2), true),
            (enforce(&[], &["a", "b"], 2), enforce(&[], &["a", "b", "c"], 2), false),
            (enforce(&[], &["a", "b"], 1), enforce(&[], &["a", "b"], 2), true),
            (enforce(&[], &["a", "b"], 1), enforce(&["a"], &[], 1), true),
        ] {
            let (own, other) = (rule(own), rule(other));
            assert_eq!(is_weaker(&own, &other), expected, "{own:?} {other:?}");
        }
    }
}
