//! What the log shows about each repository: signed images, their signers, and unsigned images.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::reader::{Image, Pulls};
use crate::oci::RepositoryRef;
use crate::trust::Scheme;

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
    /// The number of pulls of signed images, in total and by their anchors.
    pub signed: u64,
    anchors: BTreeMap<BTreeSet<String>, u64>,
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
            *repository.anchors.entry(anchors).or_default() += seen.served;
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
        let Some(first) = self.anchors.keys().next() else {
            return (!self.unsigned.is_empty()).then_some(Requirement::Nobody);
        };
        let always = |anchor: &&String| self.anchors.keys().all(|these| these.contains(*anchor));
        let all: Vec<String> = first.iter().filter(always).cloned().collect();
        if !all.is_empty() {
            return Some(Requirement::All(all));
        }
        let any: BTreeSet<String> = self.anchors.keys().flatten().cloned().collect();
        Some(Requirement::OneOf(any.into_iter().collect()))
    }

    /// The pulls of each group of anchors that are all of Notary v1, or may be: `true` if each scheme is known.
    /// `scheme` returns the scheme of an anchor, if it is known.
    pub fn by_notaryv1_alone<'a>(
        &'a self,
        scheme: impl Fn(&str) -> Option<&'a str>,
    ) -> impl Iterator<Item = (&'a BTreeSet<String>, u64, bool)> {
        self.anchors.iter().filter_map(move |(anchors, pulls)| {
            let schemes: Vec<Option<&str>> = anchors.iter().map(|name| scheme(name)).collect();
            let may_be =
                schemes.iter().all(|it| it.is_none_or(|it| it == Scheme::NotaryV1.as_str()));
            may_be.then(|| (anchors, *pulls, schemes.iter().all(Option::is_some)))
        })
    }
}
