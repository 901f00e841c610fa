//! Collects the repositories to list: from the trust memory on disk, the rules, recorded pulls, and arguments.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::audit::reader::{Pulls, Tally};
use crate::clock::Timestamp;
use crate::gate::Gate;
use crate::oci::{Registry, RepositoryRef};
use crate::text::grouped;
use crate::trust::Anchor;
use crate::trust::notaryv1::{self, MAX_LISTED};

/// The most repositories in one list.
const MAX_REPOSITORIES: usize = 10_000;

/// A repository, and a Notary v1 anchor to ask about it.
pub(super) type Wanted = (RepositoryRef, Arc<str>);

/// The repositories to list.
#[derive(Debug, Default)]
pub struct Scope {
    pub(super) wanted: BTreeSet<Wanted>,
    /// Why repositories may be missing.
    pub(super) missing: Vec<String>,
    /// How many repositories are beyond the limit.
    beyond: usize,
}

impl Scope {
    /// Adds the repositories that rules in force name exactly, and that use a Notary v1 anchor.
    pub fn add_rules(&mut self, gate: &Gate) {
        for repository in gate.policy().repositories(gate.clock().now()) {
            self.add(gate, &repository);
        }
    }

    /// Adds the repositories of recorded pulls whose rules use a Notary v1 anchor.
    pub fn add_pulls(&mut self, gate: &Gate, pulls: &Pulls, tally: Tally) {
        for (image, _) in pulls.images() {
            self.add(gate, &image.repository);
        }
        for (count, what) in [
            (tally.unreadable, "lines of the audit log cannot be read"),
            (pulls.left_out(), "pulls are left out: the audit log names too many images"),
        ] {
            if count > 0 {
                self.missing.push(format!("{} {what}", grouped(count)));
            }
        }
    }

    /// Adds a repository that the user named: with the Notary v1 anchors of its rules, otherwise with all of them.
    pub fn add_named(&mut self, gate: &Gate, repository: &RepositoryRef) {
        if self.add(gate, repository) == 0 {
            for anchor in notary_anchors(gate) {
                self.insert((repository.clone(), anchor.name().clone()));
            }
        }
    }

    /// Adds the repositories in the trust memory of each Notary v1 anchor. To be called last: a GUN that no repository
    /// of `registries` determines is reported, unless another source already named its repository.
    pub async fn add_memory(&mut self, gate: &Gate, registries: &[Registry]) {
        for anchor in notary_anchors(gate) {
            let name = anchor.name();
            let known = match anchor.known_repositories().await {
                Ok(known) => known,
                Err(error) => {
                    self.missing
                        .push(format!("{name}: the trust memory cannot be listed: {error}"));
                    continue;
                }
            };
            for error in &known.unreadable {
                self.missing.push(format!("{name}: a trust memory cannot be read: {error}"));
            }
            if known.more {
                self.missing.push(format!(
                    "{name}: the trust memory has more than {} repositories",
                    grouped(MAX_LISTED as u64)
                ));
            }
            for gun in &known.guns {
                let template = &anchor.config().template;
                let found = registries.iter().find_map(|registry| {
                    let repository = template.repository(gun, registry)?;
                    let made = anchor.gun(&repository).ok();
                    made.is_some_and(|made| made == *gun).then_some(repository)
                });
                match found {
                    Some(repository) => self.insert((repository, name.clone())),
                    None if self.has_gun(anchor, gun) => {}
                    None => self.missing.push(format!(
                        "{name}: the trust memory has {gun}, which is a repository of no [[upstream]]; name the \
                         repository as an argument"
                    )),
                }
            }
        }
    }

    /// Adds a repository with the Notary v1 anchors that rules for it use; returns their number.
    fn add(&mut self, gate: &Gate, repository: &RepositoryRef) -> usize {
        let anchors = anchors_of(gate, repository, gate.clock().now());
        for anchor in &anchors {
            self.insert((repository.clone(), anchor.clone()));
        }
        anchors.len()
    }

    fn insert(&mut self, wanted: Wanted) {
        if self.wanted.len() < MAX_REPOSITORIES || self.wanted.contains(&wanted) {
            self.wanted.insert(wanted);
        } else {
            self.beyond += 1;
        }
    }

    fn has_gun(&self, anchor: &notaryv1::Anchor, gun: &notaryv1::Gun) -> bool {
        let of_anchor = self.wanted.iter().filter(|(_, name)| name == anchor.name());
        let mut guns = of_anchor.filter_map(|(repository, _)| anchor.gun(repository).ok());
        guns.any(|made| made == *gun)
    }

    /// Why repositories may be missing from the list.
    pub(super) fn into_parts(mut self) -> (BTreeSet<Wanted>, Vec<String>) {
        if self.beyond > 0 {
            let (beyond, most) = (grouped(self.beyond as u64), grouped(MAX_REPOSITORIES as u64));
            self.missing.push(format!("{beyond} repositories are left out: the limit is {most}"));
        }
        (self.wanted, self.missing)
    }
}

fn notary_anchors(gate: &Gate) -> impl Iterator<Item = &Arc<notaryv1::Anchor>> {
    gate.trust().anchors().filter_map(|anchor| match anchor {
        Anchor::NotaryV1(anchor) => Some(anchor),
        Anchor::Content(_) => None,
    })
}

fn anchors_of(gate: &Gate, repository: &RepositoryRef, now: Timestamp) -> Vec<Arc<str>> {
    let mut anchors = gate.policy().anchors(repository, now);
    anchors.retain(|name| gate.trust().anchor(name).is_some_and(Anchor::signs_names));
    anchors
}
