//! Judges a bundle with the gate of this side, whose clients have no network and get everything from the bundle. Then
//! compares all content of the admitted images with their digests.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::task::spawn_blocking;

use crate::bundle::Bundle;
use crate::clock::Timestamp;
use crate::gate::Gate;
use crate::oci::{Digest, ImageRef, RepositoryRef};
use crate::store;
use crate::text::shown;
use crate::trust::notaryv1::NotUpdated;

use super::collect::{Collected, Collector, LeftOut, Origin};
use super::progress::Progress;

/// The longest text about trust data, in characters.
const MAX_TEXT: usize = 1_000;
/// The most digests of missing content in a report about one image.
const MAX_MISSING: usize = 20;

/// The judgment of all images in a bundle.
#[derive(Debug, Default)]
pub struct Judged {
    /// In the order of `index.json`.
    pub images: Vec<JudgedImage>,
}

/// The judgment of one image under one name.
#[derive(Debug)]
pub struct JudgedImage {
    pub name: ImageRef,
    pub result: Result<Passed, LeftOut>,
}

/// An image that this side admits, with all its content.
#[derive(Clone, Debug)]
pub struct Passed {
    pub digest: Digest,
    pub anchors: Vec<String>,
    /// When the first of its endorsements expires.
    pub ends: Option<Timestamp>,
    /// Why it is admitted although it is not signed, if so.
    pub note: Option<String>,
    /// Its configs and layers, and the blobs of what is attached to it.
    pub(super) blobs: Vec<PassedBlob>,
}

/// A blob of an image that passed.
#[derive(Clone, Debug)]
pub(super) struct PassedBlob {
    pub(super) repository: RepositoryRef,
    pub(super) digest: Digest,
    /// Whether a manifest lists it that is signed, or that a signed index lists.
    pub(super) is_signed: bool,
}

impl Judged {
    /// Whether an image was refused, or is not in the registry of this side.
    pub fn has_refused(&self) -> bool {
        self.failed().any(|left| !left.is_undecided())
    }

    /// Whether an image could not be decided.
    pub fn has_undecided(&self) -> bool {
        self.failed().any(LeftOut::is_undecided)
    }

    fn failed(&self) -> impl Iterator<Item = &LeftOut> {
        self.images.iter().filter_map(|image| image.result.as_ref().err())
    }

    /// The images that passed.
    pub fn passed(&self) -> impl Iterator<Item = (&ImageRef, &Passed)> {
        self.images.iter().filter_map(|image| Some((&image.name, image.result.as_ref().ok()?)))
    }
}

/// Judges every image of `bundle`. `gate` must get everything from the bundle. `store` is the folder of the store, which
/// may have content that the bundle assumes.
pub async fn judge(
    gate: &Gate,
    bundle: &Arc<Bundle>,
    store: &Path,
    progress: &(dyn Fn(Progress) + Sync),
) -> Judged {
    let mut judged = Judged::default();
    let mut contents = Contents {
        bundle: bundle.clone(),
        store: store.to_owned(),
        known: BTreeMap::new(),
        trusted: BTreeSet::new(),
    };
    let images = &bundle.index().images;
    for image in images {
        progress(Progress::Judged { images: judged.images.len(), all: images.len() });
        let name = image.name.clone();
        let result = match collect(gate, bundle, &name).await {
            Ok(collected) if collected.manifest.digest != image.manifest.digest => {
                let signed = collected.manifest.digest;
                let because = format!(
                    "the bundle contains {}, but {signed} is signed",
                    image.manifest.digest
                );
                Err(LeftOut::unfit(&name, &because))
            }
            Ok(collected) => complete(gate, &collected, &mut contents).await,
            Err(left) => Err(left),
        };
        judged.images.push(JudgedImage { name, result });
    }
    progress(Progress::Judged { images: images.len(), all: images.len() });
    judged
}

/// Decides about `name` and everything of it that `bundle` contains.
pub(super) async fn collect(
    gate: &Gate,
    bundle: &Arc<Bundle>,
    name: &ImageRef,
) -> Result<Collected, LeftOut> {
    let is_there = |digest: &Digest| bundle.blob(digest).is_some();
    let collector = Collector {
        gate,
        platforms: &[],
        only: Some(&is_there),
        have: &BTreeSet::new(),
        held: AtomicUsize::new(0),
    };
    collector.collect(name).await
}

/// Checks that all content of an admitted image is present and that its trust data in the bundle verifies by itself.
async fn complete(
    gate: &Gate,
    image: &Collected,
    contents: &mut Contents,
) -> Result<Passed, LeftOut> {
    let name = &image.name;
    let mut missing = Vec::new();
    for (digest, part) in &image.parts {
        match contents.check(digest, part.size).await {
            Ok(Content::Good) => {}
            Ok(Content::Absent) => missing.push(*digest),
            Ok(Content::Wrong) => {
                let because = format!("the content of {digest} does not match its digest or size");
                return Err(LeftOut::unfit(name, &because));
            }
            Err(error) => {
                let because = format!("{digest} cannot be read: {error}");
                return Err(LeftOut::undecided(name, &because));
            }
        }
    }
    if !missing.is_empty() {
        let shown: Vec<String> =
            missing.iter().take(MAX_MISSING).map(ToString::to_string).collect();
        let because = format!(
            "{} of its blobs are neither in the bundle nor in the store: {}{}",
            missing.len(),
            shown.join(", "),
            if missing.len() > MAX_MISSING { ", …" } else { "" }
        );
        return Err(LeftOut::unfit(name, &because));
    }
    trust_data(gate, image, contents).await?;
    let endorsements = image.admitted.endorsements();
    let blobs = image.parts.iter().filter_map(|(digest, part)| match &part.origin {
        Origin::Blob(repository) => Some(PassedBlob {
            repository: repository.clone(),
            digest: *digest,
            is_signed: part.is_own && !endorsements.is_empty(),
        }),
        Origin::Held(_) | Origin::Manifest(_) => None,
    });
    Ok(Passed {
        digest: image.manifest.digest,
        anchors: image.admitted.anchors().into_iter().map(str::to_owned).collect(),
        ends: endorsements.iter().filter_map(|endorsement| endorsement.says().expires).min(),
        note: image.note(),
        blobs: blobs.collect(),
    })
}

/// Checks that the Notary v1 trust data in the bundle is what admits the image, and not only what this side remembers.
async fn trust_data(
    gate: &Gate,
    image: &Collected,
    contents: &mut Contents,
) -> Result<(), LeftOut> {
    for endorsement in image.admitted.endorsements() {
        let anchor = &endorsement.says().anchor;
        if let Err(error) = contents.check_trust(gate, anchor, &image.name.repository).await {
            let because = shown(&error.to_string(), MAX_TEXT);
            let text = |outcome: &str| {
                format!("the trust data of {anchor} in the bundle {outcome}: {because}")
            };
            return Err(match error {
                NotUpdated::Refused(_) => LeftOut::unfit(&image.name, &text("was refused")),
                NotUpdated::Unreachable(_) | NotUpdated::Busy | NotUpdated::NotRemembered(_) => {
                    LeftOut::undecided(&image.name, &text("cannot be checked"))
                }
            });
        }
    }
    Ok(())
}

/// The state of one blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// In the bundle with this digest and size, or only in the store.
    Good,
    Wrong,
    Absent,
}

/// Checks blobs and trust data, each once.
struct Contents {
    bundle: Arc<Bundle>,
    store: PathBuf,
    known: BTreeMap<(Digest, u64), Content>,
    /// The anchors and repositories whose trust data verified.
    trusted: BTreeSet<(String, RepositoryRef)>,
}

impl Contents {
    async fn check(&mut self, digest: &Digest, size: u64) -> io::Result<Content> {
        if let Some(known) = self.known.get(&(*digest, size)) {
            return Ok(*known);
        }
        let found = match self.bundle.blob(digest) {
            None => {
                let (store, digest) = (self.store.clone(), *digest);
                match spawn_blocking(move || store::has_file(&store, &digest)).await?? {
                    true => Content::Good,
                    false => Content::Absent,
                }
            }
            Some(blob) if blob.size() != size => Content::Wrong,
            Some(blob) => match spawn_blocking(move || blob.check()).await?? {
                true => Content::Good,
                false => Content::Wrong,
            },
        };
        self.known.insert((*digest, size), found);
        Ok(found)
    }

    /// The result of [`Trust::check`](crate::trust::Trust::check).
    async fn check_trust(
        &mut self,
        gate: &Gate,
        anchor: &str,
        repository: &RepositoryRef,
    ) -> Result<(), NotUpdated> {
        let key = (anchor.to_owned(), repository.clone());
        if !self.trusted.contains(&key) {
            gate.trust().check(anchor, repository, gate.clock().now()).await?;
            self.trusted.insert(key);
        }
        Ok(())
    }
}
