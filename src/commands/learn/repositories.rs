//! What was seen of each repository: which images were signed, by whom, and which were not.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::reader::{Image, Pulls};
use crate::oci::{self, Registry};

/// What a repository needs, by what was seen of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// All of these vouched for every image that was signed.
    All(Vec<String>),
    /// One of these did.
    OneOf(Vec<String>),
    /// Nobody vouched for anything.
    Nobody,
}

/// What was seen of one repository.
#[derive(Clone, Debug, Default)]
pub struct Repository {
    /// How often signed images were served, and who vouched for each.
    pub signed: u64,
    anchors: BTreeSet<BTreeSet<String>>,
    /// What was served though nobody vouched, and how often.
    pub unsigned: Vec<(Image, u64)>,
    /// What was never served, and how often it was asked for.
    pub denied: Vec<(Image, u64)>,
}

/// All that was seen.
#[derive(Clone, Debug, Default)]
pub struct Repositories {
    pub all: BTreeMap<(Registry, oci::Repository), Repository>,
    /// Who vouched for something, and its scheme as far as it is known.
    pub anchors: BTreeMap<String, Option<String>>,
}

impl Repositories {
    pub fn of(pulls: &Pulls) -> Self {
        let mut repositories = Self::default();
        for (image, seen) in pulls.images() {
            let key = (image.registry.clone(), image.repository.clone());
            let repository = repositories.all.entry(key).or_default();
            if seen.served == 0 {
                repository.denied.push((image.clone(), seen.pulls));
                continue;
            }
            if seen.unsigned || seen.anchors.is_empty() {
                repository.unsigned.push((image.clone(), seen.served));
                continue;
            }
            repository.signed += seen.served;
            let anchors: BTreeSet<String> = seen.anchors.iter().cloned().collect();
            repository.anchors.insert(anchors);
            for (at, anchor) in seen.anchors.iter().enumerate() {
                let scheme = seen.scheme.clone().filter(|_| at == 0);
                let known = repositories.anchors.entry(anchor.clone()).or_default();
                *known = known.take().or(scheme);
            }
        }
        repositories
    }
}

impl Repository {
    /// What it needs; `None` where nothing was ever served of it.
    pub fn requirement(&self) -> Option<Requirement> {
        let Some(first) = self.anchors.first() else {
            return (!self.unsigned.is_empty()).then_some(Requirement::Nobody);
        };
        let always = |anchor: &&String| self.anchors.iter().all(|these| these.contains(*anchor));
        let all: Vec<String> = first.iter().filter(always).cloned().collect();
        if !all.is_empty() {
            return Some(Requirement::All(all));
        }
        let any: BTreeSet<String> = self.anchors.iter().flatten().cloned().collect();
        Some(Requirement::OneOf(any.into_iter().collect()))
    }
}
