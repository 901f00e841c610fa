//! Lists what the trust memories of an anchor contain, for people and other sites. Never for a decision.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::store::atomic;

/// The largest memory that is read, in bytes.
const MAX_MEMORY: u64 = 4 << 20;

/// The highest versions that this side has verified in one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenVersions {
    pub gun: String,
    /// By role.
    pub versions: BTreeMap<String, u64>,
    /// The SHA-256 of the trusted root, in hex.
    pub root: String,
}

#[derive(Deserialize)]
struct Stored {
    gun: String,
    root: String,
    roles: BTreeMap<String, StoredRole>,
}

#[derive(Deserialize)]
struct StoredRole {
    version: u64,
}

impl SeenVersions {
    /// Those of all repositories of `anchor` in the store's folder, sorted by GUN.
    ///
    /// # Errors
    ///
    /// A memory cannot be read.
    pub fn all(store: &Path, anchor: &str) -> io::Result<Vec<Self>> {
        let folder = store.join("trust").join("notaryv1").join(anchor);
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry?.path().join("memory.json");
            let Some(text) = atomic::read(&path, MAX_MEMORY)? else { continue };
            let invalid = |why: String| {
                io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()))
            };
            let stored: Stored =
                serde_json::from_slice(&text).map_err(|error| invalid(error.to_string()))?;
            let root = STANDARD.decode(&stored.root).map_err(|error| invalid(error.to_string()))?;
            let versions = stored.roles.into_iter().map(|(role, it)| (role, it.version));
            let root = hex::encode(Sha256::digest(root));
            all.push(Self { gun: stored.gun, versions: versions.collect(), root });
        }
        all.sort_by(|a, b| a.gun.cmp(&b.gun));
        Ok(all)
    }
}
