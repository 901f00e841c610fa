//! `countersign inventory`: lists what this side has, so that the next bundle contains only what is missing. Makes no
//! decision and reads no content.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bundle::{Bundle, OpenError};
use crate::config::Config;
use crate::json::{Document, InvalidJson};
use crate::oci::Digest;
use crate::store::{self, atomic};
use crate::trust;
use crate::trust::notaryv1::SeenVersions;

const FORMAT: u32 = 1;
/// The longest inventory in bytes: about 800,000 digests.
const MAX_INVENTORY: u64 = 64 << 20;

/// What one side has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    format: u32,
    /// The digests of the content in the store, sorted.
    content: BTreeSet<String>,
    /// The newest trust data that was verified here, by anchor and GUN.
    #[serde(default)]
    notaryv1: Vec<TrustMemory>,
}

/// The trust memory of one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct TrustMemory {
    anchor: String,
    gun: String,
    /// The highest version of each role.
    versions: BTreeMap<String, u64>,
    /// The SHA-256 of the trusted root, in hex.
    root: String,
}

/// Why a file does not list what the receiver has.
#[derive(Debug, Error)]
pub enum InvalidInventory {
    #[error("cannot read it: {0}")]
    Io(#[from] io::Error),
    #[error("it does not exist")]
    Missing,
    #[error("it is not an inventory: {0}")]
    Json(#[from] InvalidJson),
    #[error("it is not an inventory: {0}")]
    Form(#[from] serde_json::Error),
    #[error("it has format {0}; this program reads format {FORMAT}")]
    Format(u32),
    #[error("{0:?} is not a digest")]
    Digest(String),
    #[error(transparent)]
    Bundle(#[from] OpenError),
}

impl Inventory {
    /// The inventory of the store that `config` names. A gate may be using it.
    pub fn of(config: &Config) -> io::Result<Self> {
        let folder = &config.store.path;
        let content = store::digests(folder)?.iter().map(ToString::to_string).collect();
        let mut notaryv1 = Vec::new();
        for anchor in &config.anchors {
            let trust::Config::NotaryV1(anchor) = anchor else { continue };
            let seen = SeenVersions::all(folder, &anchor.name).map_err(io::Error::other)?;
            for SeenVersions { gun, versions, root } in seen {
                let (anchor, gun) = (anchor.name.to_string(), gun.to_string());
                notaryv1.push(TrustMemory { anchor, gun, versions, root });
            }
        }
        Ok(Self { format: FORMAT, content, notaryv1 })
    }

    /// Writes it to `path`, which it replaces.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        atomic::publish(path, text.as_bytes())
    }

    /// The number of digests and of repositories with trust memory.
    pub fn counts(&self) -> (usize, usize) {
        (self.content.len(), self.notaryv1.len())
    }
}

/// What the receiver has, from an inventory or from a bundle that it received before.
pub fn digests_in(path: &Path) -> Result<BTreeSet<Digest>, InvalidInventory> {
    let begins = |path: &Path| -> io::Result<Option<u8>> {
        use std::io::Read as _;
        let mut first = [0];
        match std::fs::File::open(path) {
            Ok(mut file) => Ok((file.read(&mut first)? == 1).then_some(first[0])),
            // Volumes, perhaps.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    };
    if begins(path)? != Some(b'{') {
        let bundle = Bundle::open(path)?;
        let assumed = bundle.contents().images.iter().flat_map(|image| &image.assumed);
        let assumed = assumed.filter_map(|digest| digest.parse().ok());
        return Ok(bundle.blobs().map(|(digest, _)| digest).chain(assumed).collect());
    }
    let text = atomic::read(path, MAX_INVENTORY)?.ok_or(InvalidInventory::Missing)?;
    Document::parse(&text)?;
    let inventory: Inventory = serde_json::from_slice(&text)?;
    if inventory.format != FORMAT {
        return Err(InvalidInventory::Format(inventory.format));
    }
    let digest = |text: &String| text.parse().map_err(|_| InvalidInventory::Digest(text.clone()));
    inventory.content.iter().map(digest).collect()
}
