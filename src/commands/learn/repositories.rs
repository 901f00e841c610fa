//! What the log shows about each repository: signed images, their signers, and unsigned images.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::reader::{Image, Pulls};
use crate::oci::RepositoryRef;

/// The requirement that fits the recorded pulls of a repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// All of these anchors endorsed every signed image.
    All(Vec<String>),
    /// One of these anchors endorsed each signed image.
    OneOf(Vec<String>),
    /// No image was signed.
    Nobody,
}

/// The recorded pulls of one repository.
#[derive(Clone, Debug, Default)]
pub struct Repository {
    /// The number of pulls of signed images, and the anchors of each.
    pub signed: u64,
    anchors: BTreeSet<BTreeSet<String>>,
    /// Images that were served without a signature, and their number of pulls.
    pub unsigned: Vec<(Image, u64)>,
    /// Images that were never served, and their number of requests.
    pub denied: Vec<(Image, u64)>,
}

/// All recorded pulls.
#[derive(Clone, Debug, Default)]
pub struct Repositories {
    pub all: BTreeMap<RepositoryRef, Repository>,
    /// The anchors that endorsed images, and their schemes if known.
    pub anchors: BTreeMap<String, Option<String>>,
}

impl Repositories {
    pub fn of(pulls: &Pulls) -> Self {
        let mut repositories = Self::default();
        for (image, seen) in pulls.images() {
            let key = image.repository.clone();
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
    /// Its requirement; `None` if none of its images was ever served.
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
