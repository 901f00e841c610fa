//! Which users may pull which repositories. Pure.

use crate::oci::RepositoryRef;
use crate::policy::Pattern;
use crate::toml_reader::Section;
use crate::trust::cosign::Identity;

/// The most `[[clients.rule]]` tables, and the most entries in each list of one.
const MAX_RULES: usize = 1_000;

/// All `[[clients.rule]]` tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Grants(Vec<Grant>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Grant {
    users: Vec<Identity>,
    images: Vec<Pattern>,
}

impl Grants {
    /// Reads the tables. Without any, every authenticated user may pull everything.
    pub(super) fn read(clients: &Section<'_>) -> Self {
        let sections = clients.sections("rule");
        if sections.len() > MAX_RULES {
            clients.wrong("rule", format!("more than {MAX_RULES} rules"));
        }
        Self(sections.iter().take(MAX_RULES).map(Grant::read).collect())
    }

    /// All users that rules name.
    pub(super) fn users(&self) -> impl Iterator<Item = &Identity> {
        self.0.iter().flat_map(|grant| &grant.users)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a rule permits `user` to pull from that repository.
    pub(super) fn cover(&self, user: Option<&str>, repository: &RepositoryRef) -> bool {
        let Some(user) = user else { return self.0.is_empty() };
        self.0.is_empty()
            || self.0.iter().any(|grant| {
                grant.users.iter().any(|name| name.matches(user))
                    && grant.images.iter().any(|images| images.covers(repository))
            })
    }
}

impl Grant {
    fn read(section: &Section<'_>) -> Self {
        let (users, images) = (listed(section, "users"), listed(section, "images"));
        section.finish();
        let (users, images) = (users.unwrap_or_default(), images.unwrap_or_default());
        if users.len() > MAX_RULES {
            section.wrong("users", format!("more than {MAX_RULES} entries"));
        }
        let users = users.iter().filter_map(|text| {
            text.parse().map_err(|why| section.wrong("users", format!("{text:?}: {why}"))).ok()
        });
        let images = images.iter().filter_map(|text| match text.parse::<Pattern>() {
            Ok(pattern) if pattern.has_tag() || pattern.digest().is_some() => {
                let message = format!("{text:?}: rules grant repositories, not tags or digests");
                section.wrong("images", message);
                None
            }
            Ok(pattern) => Some(pattern),
            Err(why) => {
                section.wrong("images", format!("{text:?}: {why}"));
                None
            }
        });
        Self { users: users.collect(), images: images.collect() }
    }
}

fn listed(section: &Section<'_>, key: &'static str) -> Option<Vec<String>> {
    let listed = section.texts(key);
    if listed.as_ref().is_none_or(Vec::is_empty) && (listed.is_some() || !section.has(key)) {
        section.wrong(key, "needs at least one entry");
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(rules: &[(&[&str], &[&str])]) -> Grants {
        let named = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let grant = |(users, images): &(&[&str], &[&str])| Grant {
            users: named(users),
            images: patterns(images),
        };
        Grants(rules.iter().map(grant).collect())
    }

    fn may(grants: &Grants, user: Option<&str>, repository: &str) -> bool {
        grants.cover(user, &format!("r.example/{repository}").parse().unwrap())
    }

    #[test]
    fn without_rules_every_user_may_pull_everything() {
        let none = grants(&[]);
        assert!(may(&none, Some("alice"), "a/b") && may(&none, None, "a/b"));
    }

    #[test]
    fn with_rules_a_user_may_pull_only_what_a_rule_grants() {
        let some =
            grants(&[(&["alice", "ci-*"], &["r.example/a/**"]), (&["*"], &["r.example/all"])]);
        assert!(may(&some, Some("alice"), "a/b") && may(&some, Some("ci-7"), "a/b/c"));
        assert!(may(&some, Some("bob"), "all"));
        for (user, repository) in [
            (Some("bob"), "a/b"),
            (Some("alice"), "b/a"),
            (Some("alicex"), "a/b"),
            (Some("xci-7"), "a/b"),
            (None, "all"),
        ] {
            assert!(!may(&some, user, repository), "{user:?} {repository}");
        }
    }
}
