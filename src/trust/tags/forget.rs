//! Forgets a tag on behalf of another process. If no gate has the database open, that process removes the record itself.
//! Otherwise it writes a request to `trust/forget/`; the gate removes the file once it has forgotten the tag.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::database::{Change, Database};
use super::known::Lookup;
use super::{Key, Remembered, TagsError, failed};
use crate::oci::{ImageRef, Reference};
use crate::store::atomic;

/// How long to wait for the gate, in seconds.
const PATIENCE: u64 = 30;
/// How often to check whether the gate is done.
const POLL: Duration = Duration::from_millis(20);
/// The largest request, in bytes.
const MAX_REQUEST: u64 = 1 << 10;
/// The most requests that are read at once.
const MAX_REQUESTS: usize = 1_000;

/// Forgets a tag, whether or not a gate is running.
pub(super) fn in_any_process(folder: &Path, key: &Key) -> Result<Option<Remembered>, TagsError> {
    let known = Database::look(folder);
    let before = match known.find(&key.0, &key.1)? {
        Lookup::Record(record, _) => Some(record),
        Lookup::Nothing => return Ok(None),
        Lookup::Corrupt => None,
    };
    match Database::open(folder) {
        Ok((database, _)) => database.write(&[Change::Remove(key.clone())])?,
        Err(TagsError::InUse(_)) => request(folder, key)?,
        Err(error) => return Err(error),
    }
    Ok(before)
}

/// Requests it from the running gate, and waits until that is done.
fn request(folder: &Path, (repository, tag): &Key) -> Result<(), TagsError> {
    let folder = requests(folder);
    atomic::make_folder(&folder).map_err(|error| failed(&folder, &error))?;
    let image = format!("{repository}:{tag}");
    let file = folder.join(hex::encode(Sha256::digest(&image)));
    atomic::publish(&file, image.as_bytes()).map_err(|error| failed(&file, &error))?;
    let end = Instant::now() + Duration::from_secs(PATIENCE);
    while file.exists() {
        if Instant::now() >= end {
            let _ = fs::remove_file(&file);
            return Err(TagsError::NotForgotten { seconds: PATIENCE });
        }
        sleep(POLL);
    }
    Ok(())
}

/// The tags that other processes want forgotten, with their request files.
pub(super) fn pending(folder: &Path) -> Vec<(PathBuf, Key)> {
    // Usually the folder does not exist.
    let Ok(entries) = fs::read_dir(requests(folder)) else { return Vec::new() };
    let mut pending = Vec::new();
    for entry in entries.flatten().take(MAX_REQUESTS) {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with(atomic::TEMPORARY) {
            continue;
        }
        match read(&path) {
            Some(key) => pending.push((path, key)),
            None => {
                tracing::warn!(path = %path.display(), "not a request to forget a tag; removing the file");
                let _ = fs::remove_file(path);
            }
        }
    }
    pending
}

fn read(path: &Path) -> Option<Key> {
    let text = atomic::read(path, MAX_REQUEST).ok()??;
    let image: ImageRef = std::str::from_utf8(&text).ok()?.parse().ok()?;
    let Reference::Tag(tag) = image.reference else { return None };
    Some((image.repository, tag))
}

fn requests(folder: &Path) -> PathBuf {
    folder.join("forget")
}
