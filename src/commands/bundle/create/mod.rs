//! `countersign bundle create`: collects images that the gate admits, with all their proofs, and writes them to one file.

mod documents;
mod report;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use thiserror::Error;

use crate::bundle::documents::InvalidTitle;
use crate::bundle::{Documents, Index, Plan, WriteError, layout};
use crate::config::Config;
use crate::gate::{Denial, Gate};
use crate::oci::{Digest, ImageRef, Reference};
use crate::signing::SigningKey;

use super::calendar;
use super::collect::{Collected, Collector, LeftOut, Origin, Part};
use super::platform::Platform;
use super::progress::Progress;
use documents::{Captures, Exported};
pub use report::Created;

/// How many images are collected at once.
const AT_ONCE: usize = 4;

/// What to write.
#[derive(Debug)]
pub struct Order {
    pub output: PathBuf,
    /// In any order; duplicates count once.
    pub images: Vec<ImageRef>,
    /// Whether images by digest that belong to other images are not listed by themselves.
    pub fold: bool,
    /// The platforms to include; empty: all.
    pub platforms: Vec<Platform>,
    /// What the receiver has.
    pub have: BTreeSet<Digest>,
    /// In bytes.
    pub volume_size: Option<u64>,
    /// Signs the statement of when trust data was fetched.
    pub key: Option<SigningKey>,
    /// How long all proofs must remain valid.
    pub valid_for: Option<Duration>,
    pub docker_compat: bool,
}

/// Why no bundle was written.
#[derive(Debug, Error)]
pub enum CreateError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("cannot fetch {digest}: {because}")]
    Fetch { digest: Digest, because: String },
    #[error("{0} is missing from the plan of the file; this is a bug")]
    Unplanned(Digest),
    #[error(transparent)]
    Title(#[from] InvalidTitle),
    #[error("cannot encode a document: {0}")]
    Json(#[from] serde_json::Error),
    #[error("cannot read the configuration for rules.toml: {0}")]
    Rules(String),
    #[error("cannot sign the bundle: {0}")]
    Sign(#[from] crate::signing::SigningFailed),
}

impl CreateError {
    fn fetch(digest: Digest, denial: &Denial) -> Self {
        Self::Fetch { digest, because: denial.to_string() }
    }
}

/// Collects the images of `order` and writes the bundle. Nothing has the final name unless everything is written.
pub async fn create(
    gate: &Gate,
    config: &Config,
    order: &Order,
    progress: &impl Fn(Progress),
) -> Result<Created, CreateError> {
    let now = gate.clock().now();
    let (collected, mut left_out) = collect_all(gate, order, progress).await;
    let (collected, captures) = documents::capture(gate, collected, &mut left_out, now).await;
    let mut created = Created::new(&collected, left_out);
    if collected.is_empty() {
        return Ok(created);
    }
    let mut parts: BTreeMap<Digest, Part> = BTreeMap::new();
    let collected = merge(collected, &mut parts, &mut created);
    let revocation = documents::responses(gate, &collected);
    let exported =
        Exported { collected: &collected, captures: &captures, revocation: &revocation, config };
    let contents = exported.contents(|digest| parts.contains_key(digest));
    created.calendar = calendar::of(&contents);
    if let Some(valid_for) = order.valid_for {
        created.too_soon = calendar::before(&contents, now.plus(valid_for), order.key.is_some());
        if !created.too_soon.is_empty() {
            return Ok(created);
        }
    }
    let documents = exported.documents(&contents, &created)?;
    let plan = plan(order, &collected, &documents, &captures, &mut parts)?;
    created.published = Some(write::write(gate, order, &plan, &parts, progress).await?);
    Ok(created)
}

async fn collect_all(
    gate: &Gate,
    order: &Order,
    progress: &impl Fn(Progress),
) -> (Vec<Collected>, Vec<LeftOut>) {
    let mut images: Vec<&ImageRef> = order.images.iter().collect();
    images.sort_by_cached_key(|image| image.to_string());
    images.dedup();
    let all = images.len();
    let collector = Collector {
        gate,
        platforms: &order.platforms,
        only: None,
        have: &order.have,
        held: AtomicUsize::new(0),
    };
    let collector = &collector;
    let collecting = images.into_iter().map(|image| collector.collect(image));
    let mut collecting = stream::iter(collecting).buffered(AT_ONCE);
    let (mut collected, mut left_out) = (Vec::new(), Vec::new());
    while let Some(result) = collecting.next().await {
        match result {
            Ok(image) => collected.push(image),
            Err(why) => left_out.push(why),
        }
        progress(Progress::Judged { images: collected.len() + left_out.len(), all });
    }
    if order.fold {
        fold(&mut collected);
    }
    (collected, left_out)
}

/// Removes images by digest that are a part of another image in the same repository.
fn fold(collected: &mut Vec<Collected>) {
    let mut inside = BTreeSet::new();
    for image in collected.iter() {
        let is_own = |digest: &&Digest| {
            **digest == image.manifest.digest
                && matches!(image.name.reference, Reference::Digest(_))
        };
        let parts = image.manifests.iter().filter(|digest| !is_own(digest));
        inside.extend(parts.map(|digest| (image.name.repository.clone(), *digest)));
    }
    collected.retain(|image| match image.name.reference {
        Reference::Digest(digest) => !inside.contains(&(image.name.repository.clone(), digest)),
        Reference::Tag(_) => true,
    });
}

/// Adds the content of all images to `parts`. An image that disagrees with another one about a size is left out.
fn merge(
    collected: Vec<Collected>,
    parts: &mut BTreeMap<Digest, Part>,
    created: &mut Created,
) -> Vec<Collected> {
    let mut merged = Vec::new();
    for image in collected {
        let differs = |(digest, part): &(&Digest, &Part)| {
            parts.get(*digest).is_some_and(|known| known.size != part.size)
        };
        if let Some((digest, _)) = image.parts.iter().find(differs) {
            created.refuse(&image.name, &format!("another image states another size of {digest}"));
            continue;
        }
        for (digest, part) in &image.parts {
            match parts.get_mut(digest) {
                Some(known) => known.is_layer &= part.is_layer,
                None => drop(parts.insert(*digest, part.clone())),
            }
        }
        merged.push(image);
    }
    merged
}

fn plan(
    order: &Order,
    collected: &[Collected],
    documents: &Documents,
    captures: &Captures,
    parts: &mut BTreeMap<Digest, Part>,
) -> Result<Plan, CreateError> {
    let artifact = documents.artifact()?;
    let mut index = Index { artifact: artifact.pointer, images: Vec::new(), attached: Vec::new() };
    for image in collected {
        let (name, manifest) = (image.name.clone(), image.manifest);
        index.images.push(layout::Image { name, manifest });
        index.attached.extend(image.attached.iter().cloned());
    }
    let mut own = artifact.blobs.clone();
    if let Some(key) = &order.key {
        let statement = documents::statement(&artifact, captures, key)?;
        index.attached.push(statement.attached);
        own.extend(statement.blobs);
    }
    for (digest, bytes) in own {
        let size = bytes.len() as u64;
        parts.insert(
            digest,
            Part { size, is_layer: false, is_own: false, origin: Origin::Held(bytes) },
        );
    }
    let mut plan = Plan::new(index);
    for (digest, part) in parts.iter() {
        match part.is_layer {
            true => plan.layer(*digest, part.size)?,
            false => plan.small(*digest, part.size)?,
        }
    }
    if order.docker_compat {
        plan.docker_manifest(documents::docker_manifest(collected)?);
    }
    Ok(plan)
}
