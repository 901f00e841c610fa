//! Lists what the trust memories of an anchor contain, for people and other sites. Never for a decision.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::gun::Gun;
use super::remembered::folders;
use super::state::{State, StateError};

/// The highest versions that this side has verified in one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenVersions {
    pub gun: Gun,
    /// By role.
    pub versions: BTreeMap<String, u64>,
    /// The SHA-256 of the trusted root, in hex.
    pub root: String,
}

impl SeenVersions {
    /// Those of all repositories of `anchor` in the store's folder, sorted by GUN. Blocks.
    ///
    /// # Errors
    ///
    /// A memory cannot be read.
    pub fn all(store: &Path, anchor: &str) -> Result<Vec<Self>, StateError> {
        let state = State::look(store, anchor);
        let listed = folders(state.folder(), usize::MAX);
        let listed =
            listed.map_err(|error| StateError::Io { path: state.folder().to_owned(), error })?;
        let mut all = Vec::new();
        for folder in listed {
            let Some(gun) = state.gun_in(&folder)? else { continue };
            let Some(kept) = state.read(&gun)? else { continue };
            let versions = kept.memory.roles.iter();
            let versions = versions.map(|(role, record)| (role.to_string(), record.version));
            let root = hex::encode(Sha256::digest(&kept.memory.root));
            all.push(Self { gun, versions: versions.collect(), root });
        }
        all.sort_by(|a, b| a.gun.cmp(&b.gun));
        Ok(all)
    }
}
