//! Lists the repositories that an anchor has a trust memory of. For display only, never for a decision.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::store::atomic;

use super::anchor::Anchor;
use super::gun::Gun;
use super::state::{State, StateError};
use super::stored::{MAX_MEMORY, MEMORY};

/// The most trust memories that are listed.
pub const MAX_LISTED: usize = 10_000;

/// The trust memories of one anchor.
#[derive(Debug, Default)]
pub struct KnownRepositories {
    /// The GUN of each readable memory, sorted.
    pub guns: Vec<Gun>,
    /// Why each other memory cannot be read.
    pub unreadable: Vec<StateError>,
    /// Whether there are more than [`MAX_LISTED`] memories, of which only so many are listed.
    pub more: bool,
}

impl Anchor {
    /// The repositories that the trust memory on disk contains. An error means that the folder cannot be listed.
    pub async fn known_repositories(&self) -> Result<KnownRepositories, StateError> {
        let mut known = KnownRepositories::default();
        let mut folders = self.state.list().await?;
        known.more = folders.len() > MAX_LISTED;
        folders.truncate(MAX_LISTED);
        for folder in folders {
            match self.state.gun_of(folder).await {
                Ok(gun) => known.guns.extend(gun),
                Err(error) => known.unreadable.push(error),
            }
        }
        known.guns.sort();
        Ok(known)
    }
}

impl State {
    /// The folders of at most one memory more than [`MAX_LISTED`], sorted. Has a deadline.
    async fn list(&self) -> Result<Vec<PathBuf>, StateError> {
        let folder = self.folder().to_owned();
        let listed = self.disk.reads().run(move || folders(&folder, MAX_LISTED + 1)).await?;
        listed.map_err(|error| StateError::Io { path: self.folder().to_owned(), error })
    }

    /// The GUN of the memory in `folder`. Has a deadline.
    async fn gun_of(&self, folder: PathBuf) -> Result<Option<Gun>, StateError> {
        let state = self.clone();
        self.disk.reads().run(move || state.gun_in(&folder)).await?
    }

    pub(super) fn gun_in(&self, folder: &Path) -> Result<Option<Gun>, StateError> {
        let path = folder.join(MEMORY);
        let text = match atomic::read(&path, MAX_MEMORY) {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(None),
            Err(error) => return Err(StateError::Io { path, error }),
        };
        let named: Named = match serde_json::from_slice(&text) {
            Ok(named) => named,
            Err(error) => return Err(StateError::Corrupt { path, why: error.to_string() }),
        };
        let gun: Option<Gun> = named.gun.parse().ok();
        match gun.filter(|gun| self.folder_of(gun) == folder) {
            Some(gun) => Ok(Some(gun)),
            None => Err(StateError::Corrupt { path, why: format!("it is for {}", named.gun) }),
        }
    }
}

/// The part of a memory that names its repository. Verification reads the whole memory again.
#[derive(Deserialize)]
struct Named {
    gun: String,
}

/// The folders of at most `most` memories, sorted.
pub(super) fn folders(within: &Path, most: usize) -> Result<Vec<PathBuf>, std::io::Error> {
    let entries = match fs::read_dir(within) {
        Ok(entries) => entries,
        // The gate has not verified any trust data yet.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut folders = Vec::new();
    for entry in entries.take(most) {
        folders.push(entry?.path());
    }
    folders.sort();
    Ok(folders)
}
