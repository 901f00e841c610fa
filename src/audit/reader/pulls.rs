//! Pulls, counted by image.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::line::Pull;
use crate::clock::Timestamp;
use crate::gate::Verdict;
use crate::oci::{Digest, ImageRef, Reference, RepositoryRef};

/// The most images with an entry of their own. Pulls of further images are only counted.
const MAX_IMAGES: usize = 100_000;

/// The image that was pulled: a tag with the digest that it had, or a digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Image {
    pub repository: RepositoryRef,
    /// The reference as text, by which images are sorted.
    reference: String,
    pub digest: Option<Digest>,
}

impl Image {
    /// The image ref that the client requested.
    pub fn asked(&self) -> Option<ImageRef> {
        let reference: Reference = self.reference.parse().ok()?;
        Some(ImageRef { repository: self.repository.clone(), reference })
    }

    pub fn reference(&self) -> &str {
        &self.reference
    }
}

/// How often an image was pulled, and the result of the last pull.
#[derive(Clone, Debug)]
pub struct PullSummary {
    pub pulls: u64,
    /// How many of those were served.
    pub served: u64,
    pub verdict: Verdict,
    pub reason: Option<String>,
    /// The anchors that endorsed it when it was last served.
    pub anchors: Vec<String>,
    pub scheme: Option<String>,
    /// Whether it was last served without an endorsement.
    pub unsigned: bool,
    pub last: Option<Timestamp>,
}

/// All pulls of some logs.
#[derive(Clone, Debug, Default)]
pub struct Pulls {
    images: BTreeMap<Image, PullSummary>,
    /// Pulls of images beyond the limit.
    left_out: u64,
}

impl Pulls {
    pub fn add(&mut self, pull: Pull) {
        let Pull { image, digest, verdict, reason, anchors, scheme, unsigned, at } = pull;
        let ImageRef { repository, reference } = image;
        let key = Image { repository, reference: reference.to_string(), digest };
        let full = self.images.len() >= MAX_IMAGES;
        let summary = match self.images.entry(key) {
            Entry::Occupied(summary) => summary.into_mut(),
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
        summary.pulls += 1;
        let served = verdict == Verdict::Admitted;
        summary.served += u64::from(served);
        // Rotated logs may be read in any order.
        if at < summary.last {
            return;
        }
        (summary.verdict, summary.reason, summary.last) = (verdict, reason, at);
        if served {
            (summary.anchors, summary.scheme, summary.unsigned) = (anchors, scheme, unsigned);
        }
    }

    /// Each image, sorted by name.
    pub fn images(&self) -> impl Iterator<Item = (&Image, &PullSummary)> {
        self.images.iter()
    }

    pub fn len(&self) -> usize {
        self.images.len()
    }

    #[cfg(feature = "test-support")]
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// How many pulls were of images beyond the limit.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}
