//! The paths of a store's files. Only this file joins paths.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::atomic;
use super::in_place::InPlace;
use crate::oci::{Algorithm, Digest};

/// The paths in a store's folder.
#[derive(Debug)]
pub(super) struct Layout {
    /// Published content, `<algorithm>/<the first two hex digits>/<hex>`. A file in it is immutable.
    content: PathBuf,
    /// Files that are being written. They are useless after a restart.
    incoming: PathBuf,
    /// Content whose bytes do not match its digest.
    quarantine: PathBuf,
    index: PathBuf,
    /// An index that could not be read.
    unreadable_index: PathBuf,
    next: AtomicU64,
    /// This file must be at its path when folders are created.
    owned: OnceLock<InPlace>,
}

impl Layout {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            // The names of the first release: existing stores have them.
            content: folder.join("content"),
            incoming: folder.join("incoming"),
            quarantine: folder.join("rotten"),
            index: folder.join("facts.redb"),
            unreadable_index: folder.join("facts.redb.unreadable"),
            next: AtomicU64::new(0),
            owned: OnceLock::new(),
        }
    }

    /// Creates no more folders while `place` is not at its path.
    pub(super) fn only_while(&self, place: InPlace) {
        let _ = self.owned.set(place);
    }

    /// Creates the missing folders.
    pub(super) fn make_folders(&self) -> io::Result<()> {
        self.owned.get().map_or(Ok(()), InPlace::check)?;
        [&self.content, &self.incoming, &self.quarantine].into_iter().try_for_each(|folder| {
            // `make_folder` accepts an existing folder; this checks that we can read it.
            atomic::make_folder(folder)?;
            fs::read_dir(folder).map(drop)
        })
    }

    /// Removes the unfinished files of the previous process.
    pub(super) fn sweep_incoming(&self) -> io::Result<()> {
        fs::read_dir(&self.incoming)?.try_for_each(|entry| fs::remove_file(entry?.path()))
    }

    /// A new, unique path for a file to be written.
    pub(super) fn incoming(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.incoming.join(number.to_string())
    }

    /// The folder that contains the content of `digest`.
    pub(super) fn folder(&self, digest: &Digest) -> PathBuf {
        self.content.join(digest.algorithm().name()).join(&digest.hex()[..2])
    }

    /// Creates the folder for the content of `digest`. Does not recreate a store that was removed: another process may
    /// own the folder at its path.
    pub(super) fn make_folder_of(&self, digest: &Digest) -> io::Result<()> {
        let folder = self.folder(digest);
        if folder.is_dir() {
            return Ok(());
        }
        let of_algorithm = self.content.join(digest.algorithm().name());
        if !of_algorithm.is_dir() {
            if !self.content.is_dir() {
                self.make_folders()?;
            }
            atomic::make_in(&self.content, &of_algorithm)?;
        }
        atomic::make_in(&of_algorithm, &folder)
    }

    pub(super) fn content(&self, digest: &Digest) -> PathBuf {
        self.folder(digest).join(digest.hex())
    }

    /// The digests that have a file and whose hash begins with the byte `first`. Ignores files that are
    /// not named after a digest, and entries that are not files.
    pub(super) fn digests(&self, algorithm: Algorithm, first: u8) -> io::Result<BTreeSet<Digest>> {
        let folder = self.content.join(algorithm.name()).join(hex::encode([first]));
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(error) => return Err(error),
        };
        let mut digests = BTreeSet::new();
        for entry in entries {
            let entry = entry?;
            if !entry.file_type()?.is_file() {
                continue;
            }
            let name = entry.file_name();
            let text = format!("{}:{}", algorithm.name(), name.to_string_lossy());
            digests.extend(text.parse::<Digest>().ok().filter(|digest| digest.raw()[0] == first));
        }
        Ok(digests)
    }

    /// The folder of quarantined content.
    pub(super) fn quarantine_folder(&self) -> &Path {
        &self.quarantine
    }

    /// The quarantine path of the content of `digest`.
    pub(super) fn quarantine(&self, digest: &Digest) -> PathBuf {
        self.quarantine.join(format!("{}-{}", digest.algorithm().name(), digest.hex()))
    }

    pub(super) fn index(&self) -> &Path {
        &self.index
    }

    pub(super) fn unreadable_index(&self) -> &Path {
        &self.unreadable_index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_content_depends_only_on_its_digest() {
        let layout = Layout::new(Path::new("store"));
        let digest = Digest::of(b"");
        let hex = digest.hex();
        let path = format!("store/content/sha256/{}/{hex}", &hex[..2]);
        assert_eq!(layout.content(&digest), Path::new(&path));
        assert_ne!(layout.incoming(), layout.incoming());
    }

    #[test]
    fn a_removed_store_is_not_recreated() {
        let name = format!("countersign-layout-removed-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let (store, away) = (folder.join("store"), folder.join("away"));
        let layout = Layout::new(&store);
        layout.make_folders().unwrap();
        layout.only_while(InPlace::open(&store).unwrap());
        layout.make_folder_of(&Digest::of(b"1")).unwrap();
        fs::rename(&store, &away).unwrap();
        layout.make_folder_of(&Digest::of(b"2")).unwrap_err();
        assert!(!store.exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn files_not_named_after_a_digest_are_ignored() {
        let name = format!("countersign-layout-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let layout = Layout::new(&folder);
        let digest = Digest::of(b"");
        atomic::make_folder(&layout.folder(&digest)).unwrap();
        for name in [digest.hex().as_str(), &Digest::of(b"1").hex(), "notes.txt"] {
            fs::File::create_new(layout.folder(&digest).join(name)).unwrap();
        }
        let found = layout.digests(Algorithm::Sha256, digest.raw()[0]).unwrap();
        assert_eq!(found, BTreeSet::from([digest]));
        assert!(layout.digests(Algorithm::Sha512, 0).unwrap().is_empty());
        fs::remove_dir_all(folder).unwrap();
    }
}
