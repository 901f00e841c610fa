//! The former format: one JSON file for each repository in `trust/tags/`. The records are moved into the database once. A
//! damaged file stays in place, and the tags of its repository are undecided.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::record::{Remembered, Stored};
use super::{Key, TagsError, failed};
use crate::oci::RepositoryRef;
use crate::store::atomic;

/// The largest file, in bytes.
const MAX_FILE: u64 = 8 << 20;
/// The most files that are read.
const MAX_FILES: usize = 100_000;
const FORMAT: u32 = 1;
const END: &str = ".json";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    repository: String,
    tags: BTreeMap<String, Stored>,
}

/// A file that cannot be read. Its name is the hash of the repository's name.
#[derive(Clone, Debug)]
pub(super) struct Damaged(PathBuf);

impl Damaged {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn is_of(&self, repository: &RepositoryRef) -> bool {
        let hash = Sha256::digest(repository.to_string());
        let name = format!("{}{END}", hex::encode(hash));
        self.0.file_name().is_some_and(|own| own == name.as_str())
    }
}

/// The content of the files.
#[derive(Default)]
pub(super) struct Files {
    pub(super) records: Vec<(Key, Remembered)>,
    /// The files that were read.
    pub(super) read: Vec<PathBuf>,
    pub(super) damaged: Vec<Damaged>,
}

impl Files {
    /// Reads the files in `folder/tags`, if there are any.
    pub(super) fn read(folder: &Path) -> Result<Self, TagsError> {
        let folder = folder.join("tags");
        let mut files = Self::default();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
            Err(error) => return Err(failed(&folder, &error)),
        };
        for entry in entries.take(MAX_FILES) {
            let path = entry.map_err(|error| failed(&folder, &error))?.path();
            if !path.to_string_lossy().ends_with(END) {
                continue;
            }
            match records(&path) {
                Some(records) => {
                    files.records.extend(records);
                    files.read.push(path);
                }
                None => files.damaged.push(Damaged(path)),
            }
        }
        Ok(files)
    }

    /// Removes the files whose records are in the database.
    pub(super) fn remove(&self, folder: &Path) {
        for path in &self.read {
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!(path = %path.display(), %error, "cannot remove a file whose records are in the database");
            }
        }
        if self.damaged.is_empty() {
            let folder = folder.join("tags");
            let _ = fs::remove_file(folder.join(".lock"));
            // Fails if the folder contains other files.
            let _ = fs::remove_dir(folder);
        }
    }
}

fn records(path: &Path) -> Option<Vec<(Key, Remembered)>> {
    let json = atomic::read(path, MAX_FILE).ok()??;
    let File { format, repository, tags } = serde_json::from_slice(&json).ok()?;
    let repository: RepositoryRef = repository.parse().ok()?;
    if format != FORMAT || !Damaged(path.to_owned()).is_of(&repository) {
        return None;
    }
    let record = |(tag, stored): (String, Stored)| {
        Some(((repository.clone(), tag.parse().ok()?), stored.read()?))
    };
    tags.into_iter().map(record).collect()
}
