//! The file of a trust memory, and the names of the files beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::clock::Timestamp;
use crate::store::atomic;

use super::archive::Evidence;
use super::gun::Gun;
use super::memory::{Confirmed, Memory, RoleRecord};
use super::role::{Delegated, Role};
use super::state::StateError;
use super::tuf_key::KeyId;

pub(super) const MEMORY: &str = "memory.json";
/// The largest memory in bytes: a root of 1 MiB in base64, and the roles.
pub(super) const MAX_MEMORY: u64 = 4 << 20;
const FORMAT: u32 = 1;

/// The hashes of an exporter's statement about the files, which name its parts on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredEvidence {
    pub(super) artifact: String,
    pub(super) signatures: Vec<String>,
}

/// A trust memory as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    format: u32,
    gun: String,
    answered: Option<i64>,
    /// Whether `answered` is missing because nothing proves an answer. Otherwise, an answer was refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unconfirmed: bool,
    root: String,
    roles: BTreeMap<String, StoredRole>,
    listed: BTreeSet<String>,
    /// For each file except the root: its name on the server, and the hash that names it on disk.
    pub(super) files: BTreeMap<String, String>,
    /// Written only for trust data from a bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) evidence: Option<StoredEvidence>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredRole {
    version: u64,
    sha256: String,
    keys: BTreeSet<String>,
    threshold: u64,
}

impl StoredEvidence {
    pub(super) fn of(evidence: &Evidence) -> Self {
        let signatures = evidence.signatures.iter().map(|content| hash(content)).collect();
        Self { artifact: hash(&evidence.artifact), signatures }
    }
}

impl Stored {
    pub(super) fn new(
        gun: &Gun,
        memory: &Memory,
        files: BTreeMap<String, String>,
        evidence: Option<StoredEvidence>,
    ) -> Self {
        let role = |(role, record): (&Role, &RoleRecord)| {
            let stored = StoredRole {
                version: record.version,
                sha256: hex::encode(record.sha256),
                keys: record.keys.iter().map(ToString::to_string).collect(),
                threshold: record.threshold,
            };
            (role.to_string(), stored)
        };
        Self {
            format: FORMAT,
            gun: gun.to_string(),
            answered: memory.answered().map(Timestamp::unix),
            unconfirmed: memory.is_unconfirmed(),
            root: STANDARD.encode(&memory.root),
            roles: memory.roles.iter().map(role).collect(),
            listed: memory.listed.iter().map(|name| name.as_str().to_owned()).collect(),
            files,
            evidence,
        }
    }

    /// The same after an answer of the server was refused.
    pub(super) fn refused(self) -> Self {
        Self { answered: None, unconfirmed: false, ..self }
    }

    pub(super) fn read(path: &Path, gun: &Gun) -> Result<Option<Self>, StateError> {
        let text = atomic::read(path, MAX_MEMORY)
            .map_err(|error| StateError::Io { path: path.to_owned(), error })?;
        let Some(text) = text else { return Ok(None) };
        let corrupt = |why: String| StateError::Corrupt { path: path.to_owned(), why };
        let stored: Self = serde_json::from_slice(&text).map_err(|e| corrupt(e.to_string()))?;
        if stored.format != FORMAT || stored.gun != gun.as_str() {
            return Err(corrupt(format!("it is for {} in format {}", stored.gun, stored.format)));
        }
        Ok(Some(stored))
    }

    /// The root in the file `text`. `None` if it is not a memory.
    pub(super) fn root_in(text: &[u8]) -> Option<Vec<u8>> {
        let stored: Self = serde_json::from_slice(text).ok()?;
        STANDARD.decode(&stored.root).ok().filter(|_| stored.format == FORMAT)
    }

    /// The file, and the memory in it.
    pub(super) fn read_all(path: &Path, gun: &Gun) -> Result<Option<(Self, Memory)>, StateError> {
        let Some(stored) = Self::read(path, gun)? else { return Ok(None) };
        let memory = stored.memory().ok_or_else(|| StateError::Corrupt {
            path: path.to_owned(),
            why: "it contains an invalid value".to_owned(),
        })?;
        Ok(Some((stored, memory)))
    }

    pub(super) fn publish(&self, path: &Path) -> Result<(), StateError> {
        let failed = |error| StateError::Io { path: path.to_owned(), error };
        let text = serde_json::to_vec(self).map_err(|e| failed(e.into()))?;
        atomic::publish(path, &text).map_err(failed)
    }

    fn memory(&self) -> Option<Memory> {
        let mut roles = BTreeMap::new();
        for (role, stored) in &self.roles {
            let mut sha256 = [0; 32];
            hex::decode_to_slice(&stored.sha256, &mut sha256).ok()?;
            let keys = stored.keys.iter().map(|id| KeyId::parse(id)).collect::<Option<_>>()?;
            let record =
                RoleRecord { version: stored.version, sha256, keys, threshold: stored.threshold };
            roles.insert(Role::parse(role)?, record);
        }
        Some(Memory {
            root: STANDARD.decode(&self.root).ok()?,
            roles,
            listed: self.listed.iter().map(|name| Delegated::parse(name)).collect::<Option<_>>()?,
            confirmed: match (self.answered, self.unconfirmed) {
                (Some(at), _) => Confirmed::At(Timestamp::from_unix(at)),
                (None, true) => Confirmed::Never,
                (None, false) => Confirmed::Refused,
            },
        })
    }

    /// Removes the files that the memory no longer names.
    pub(super) fn sweep(&self, folder: &Path) -> io::Result<()> {
        let evidence = self.evidence.iter();
        let evidence = evidence.flat_map(|it| it.signatures.iter().chain([&it.artifact]));
        let named: BTreeSet<String> =
            self.files.values().chain(evidence).map(|hash| content_name(hash)).collect();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != MEMORY && !named.contains(&name) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

pub(super) fn hash(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

pub(super) fn content_name(hash: &str) -> String {
    format!("{hash}.json")
}
