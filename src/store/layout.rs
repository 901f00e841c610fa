//! Where the files of a store are. The only file here that joins a path.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::atomic;
use super::in_place::InPlace;
use crate::oci::{Algorithm, Digest};

/// The paths below a store's folder.
#[derive(Debug)]
pub(super) struct Layout {
    /// Published content, `<algorithm>/<the first two hex digits>/<hex>`. A file in it is immutable.
    content: PathBuf,
    /// What is being written; of no use after a restart.
    incoming: PathBuf,
    /// Content that turned out not to be what its name says.
    rotten: PathBuf,
    facts: PathBuf,
    /// A database of facts that could not be read.
    facts_aside: PathBuf,
    next: AtomicU64,
    /// What must be there if folders are to be made.
    owned: OnceLock<InPlace>,
}

impl Layout {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            content: folder.join("content"),
            incoming: folder.join("incoming"),
            rotten: folder.join("rotten"),
            facts: folder.join("facts.redb"),
            facts_aside: folder.join("facts.redb.unreadable"),
            next: AtomicU64::new(0),
            owned: OnceLock::new(),
        }
    }

    /// Makes no folders from now on while `place` is not where it was.
    pub(super) fn only_while(&self, place: InPlace) {
        let _ = self.owned.set(place);
    }

    /// Makes the folders that are missing.
    pub(super) fn make_folders(&self) -> io::Result<()> {
        self.owned.get().map_or(Ok(()), InPlace::check)?;
        [&self.content, &self.incoming, &self.rotten].into_iter().try_for_each(|folder| {
            // The folder itself, and not only the way to it, may be something else.
            atomic::make_folder(folder)?;
            fs::read_dir(folder).map(drop)
        })
    }

    /// Removes what was being written when the process before this one ended.
    pub(super) fn sweep_incoming(&self) -> io::Result<()> {
        fs::read_dir(&self.incoming)?.try_for_each(|entry| fs::remove_file(entry?.path()))
    }

    /// A name for something to be written that no other has.
    pub(super) fn incoming(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.incoming.join(number.to_string())
    }

    /// The folder that the content of `digest` is in.
    pub(super) fn folder(&self, digest: &Digest) -> PathBuf {
        self.content.join(digest.algorithm().name()).join(&digest.hex()[..2])
    }

    /// Makes the folder that the content of `digest` is in. Makes no store again that was removed: another process may
    /// own what is at its path by then.
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

    /// The digests that there are files of, of those whose hash begins with the byte `first`. A file
    /// with another name is not ours, nor is what is no file.
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

    /// The folder of what was set aside.
    pub(super) fn rotten_folder(&self) -> &Path {
        &self.rotten
    }

    /// Where the content of `digest` goes when it turns out to be something else.
    pub(super) fn rotten(&self, digest: &Digest) -> PathBuf {
        self.rotten.join(format!("{}-{}", digest.algorithm().name(), digest.hex()))
    }

    pub(super) fn facts(&self) -> &Path {
        &self.facts
    }

    pub(super) fn facts_aside(&self) -> &Path {
        &self.facts_aside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_found_by_its_digest_alone() {
        let layout = Layout::new(Path::new("store"));
        let digest = Digest::of(b"");
        let hex = digest.hex();
        let path = format!("store/content/sha256/{}/{hex}", &hex[..2]);
        assert_eq!(layout.content(&digest), Path::new(&path));
        assert_ne!(layout.incoming(), layout.incoming());
    }

    #[test]
    fn no_folder_for_content_is_made_in_a_store_that_was_removed() {
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
    fn what_is_not_named_by_a_digest_is_not_ours() {
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
