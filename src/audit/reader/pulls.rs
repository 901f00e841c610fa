//! Pulls, counted by image.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::line::{Pull, Verdict};
use crate::clock::Timestamp;
use crate::oci::{Digest, ImageRef, Reference, Registry, Repository};

/// The most images that are told apart; of others it is only counted how often they were pulled.
const MAX_IMAGES: usize = 100_000;

/// What was pulled: a tag with the digest that it had, or a digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Image {
    pub registry: Registry,
    pub repository: Repository,
    /// The reference as a text, which puts images into an order.
    reference: String,
    pub digest: Option<Digest>,
}

impl Image {
    /// What was asked for.
    pub fn asked(&self) -> Option<ImageRef> {
        let reference: Reference = self.reference.parse().ok()?;
        let (registry, repository) = (self.registry.clone(), self.repository.clone());
        Some(ImageRef { registry, repository, reference })
    }

    pub fn reference(&self) -> &str {
        &self.reference
    }
}

/// How often an image was pulled, and what came of it the last time.
#[derive(Clone, Debug)]
pub struct PullSummary {
    pub pulls: u64,
    /// Of those, the ones that were answered with it.
    pub served: u64,
    pub verdict: Verdict,
    pub reason: Option<String>,
    /// Who vouched the last time that it was served.
    pub anchors: Vec<String>,
    pub scheme: Option<String>,
    /// It was served the last time though nobody vouched.
    pub unsigned: bool,
    pub last: Option<Timestamp>,
}

/// All pulls of some logs.
#[derive(Clone, Debug, Default)]
pub struct Pulls {
    images: BTreeMap<Image, PullSummary>,
    /// Pulls of images that there was no room for.
    left_out: u64,
}

impl Pulls {
    pub fn add(&mut self, pull: Pull) {
        let Pull { image, digest, verdict, reason, anchors, scheme, unsigned, at } = pull;
        let ImageRef { registry, repository, reference } = image;
        let key = Image { registry, repository, reference: reference.to_string(), digest };
        let full = self.images.len() >= MAX_IMAGES;
        let seen = match self.images.entry(key) {
            Entry::Occupied(seen) => seen.into_mut(),
            Entry::Vacant(_) if full => {
                self.left_out += 1;
                return;
            }
            Entry::Vacant(new) => new.insert(PullSummary {
                pulls: 0,
                served: 0,
                verdict,
                reason: None,
                anchors: Vec::new(),
                scheme: None,
                unsigned: false,
                last: None,
            }),
        };
        seen.pulls += 1;
        let served = verdict == Verdict::Admitted;
        seen.served += u64::from(served);
        // Logs that were rotated may be named in any order.
        if at < seen.last {
            return;
        }
        (seen.verdict, seen.reason, seen.last) = (verdict, reason, at);
        if served {
            (seen.anchors, seen.scheme, seen.unsigned) = (anchors, scheme, unsigned);
        }
    }

    /// Each image, in the order of their names.
    pub fn images(&self) -> impl Iterator<Item = (&Image, &PullSummary)> {
        self.images.iter()
    }

    pub fn len(&self) -> usize {
        self.images.len()
    }

    #[cfg(any(test, feature = "test-support"))]
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// How many pulls of how many images more there were than there is room for.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}
