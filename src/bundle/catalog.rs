//! One bundle as a registry client sees it: which tags and which content each repository has. Pure.
//!
//! A repository has the images with its name, their content, and what is attached to them. Other content of the bundle
//! is not there for it: a client that may pull one repository must not read another one's blobs through it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::file::Bundle;
use super::layout::{Attached, Pointer};
use crate::oci::{Digest, MediaType, RepositoryRef, Tag};

/// The tags and the content of each repository of a bundle.
#[derive(Debug)]
pub(super) struct Catalog {
    bundle: Arc<Bundle>,
    /// When a file of the bundle last changed, in seconds since 1970.
    modified: i64,
    repositories: BTreeMap<RepositoryRef, Held>,
    /// The media types of the manifests in `index.json`.
    types: BTreeMap<Digest, MediaType>,
}

/// What a repository has in a bundle.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) tags: BTreeMap<Tag, Pointer>,
    digests: BTreeSet<Digest>,
    /// The content of its images. Repositories with the same image share it.
    images: Vec<Arc<[Digest]>>,
    /// Positions in `attached` of the index, by subject.
    referrers: BTreeMap<Digest, Vec<usize>>,
}

impl Catalog {
    pub(super) fn new(bundle: Arc<Bundle>, modified: i64) -> Self {
        let mut repositories: BTreeMap<RepositoryRef, Held> = BTreeMap::new();
        let mut types = BTreeMap::new();
        let index = bundle.index();
        let mut names: BTreeMap<String, RepositoryRef> = BTreeMap::new();
        for image in &index.images {
            let name = &image.name;
            let place = name.repository.clone();
            names.insert(name.to_string(), place.clone());
            let held = repositories.entry(place).or_default();
            held.digests.insert(image.manifest.digest);
            held.tags.extend(name.tag().map(|tag| (tag.clone(), image.manifest)));
            types.insert(image.manifest.digest, image.manifest.media_type);
        }
        for (at, attached) in index.attached.iter().enumerate() {
            types.insert(attached.manifest.digest, attached.manifest.media_type);
            let Some(place) = attached.repository.clone() else { continue };
            let held = repositories.entry(place).or_default();
            held.digests.insert(attached.manifest.digest);
            match &attached.tag {
                Some(tag) => drop(held.tags.insert(tag.clone(), attached.manifest)),
                None => held.referrers.entry(attached.subject).or_default().push(at),
            }
        }
        for image in &bundle.contents().images {
            let digests = image.blobs.iter().filter_map(|blob| blob.digest.parse().ok());
            let mut digests: Vec<Digest> = digests.collect();
            digests.sort_unstable();
            let digests: Arc<[Digest]> = digests.into();
            for place in image.names.iter().filter_map(|name| names.get(name)) {
                if let Some(held) = repositories.get_mut(place) {
                    held.images.push(digests.clone());
                }
            }
        }
        Self { bundle, modified, repositories, types }
    }

    /// A later bundle has a larger value: by the newest time that it states, then by the time of its file and its name.
    pub(super) fn order(&self) -> impl Ord + use<'_> {
        let contents = self.bundle.contents();
        let fetched = contents.notaryv1.iter().map(|repository| repository.fetched);
        (fetched.max(), self.modified, self.bundle.path())
    }

    pub(super) fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// What the bundle has of a repository.
    pub(super) fn repository(&self, place: &RepositoryRef) -> Option<&Held> {
        self.repositories.get(place)
    }

    /// The media type of a manifest that `index.json` lists.
    pub(super) fn media_type(&self, digest: &Digest) -> Option<MediaType> {
        self.types.get(digest).copied()
    }

    /// The referrers of `subject`, except those that had a tag: they are found by it.
    pub(super) fn referrers<'a>(
        &'a self,
        held: &'a Held,
        subject: &Digest,
    ) -> impl Iterator<Item = &'a Attached> {
        let listed = held.referrers.get(subject).into_iter().flatten();
        listed.filter_map(|at| self.bundle.index().attached.get(*at))
    }
}

impl Held {
    /// Whether the repository has the content `digest`.
    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.digests.contains(digest)
            || self.images.iter().any(|image| image.binary_search(digest).is_ok())
    }
}
