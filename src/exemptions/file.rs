//! The file of exemptions, `exemptions/exemptions.json` in the store. Replaced as a whole by one writer at a time.
//! Trusted only if nobody but the gate's user, the owner of the store and root could have written it.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::exemption::{Exemption, Said, Unfit};
use crate::clock::Timestamp;
use crate::oci::{Digest, ImageRef, Reference, RepositoryRef};
use crate::store::atomic;

/// The most exemptions at one time.
const MAX_EXEMPTIONS: usize = 1_000;
/// The most for one repository: a denied image is searched for below each of them.
const MAX_OF_REPOSITORY: usize = 50;
/// The largest file: room for that many of the longest names and reasons.
const MAX_FILE: u64 = 2 << 20;
const FORMAT: u32 = 1;
const FILE: &str = "exemptions.json";
const LOCK: &str = ".lock";
/// Readable by everyone, writable by the owner.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;
/// Write permission for group or others.
const OTHERS_WRITE: u32 = 0o022;

/// Why exemptions cannot be read or written.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ExemptionsError {
    #[error("{}: {kind}{}", .path.display(), hint(*.kind))]
    Io { path: PathBuf, kind: io::ErrorKind },
    #[error("{}: invalid content ({why}); nothing is exempted. If you cannot restore the file, \
             remove it, which ends every exemption", .path.display())]
    Corrupt { path: PathBuf, why: String },
    #[error("{}: {why}; nothing is exempted. Find out who wrote it, and remove it", .path.display())]
    NotOurs { path: PathBuf, why: &'static str },
    #[error("no store at {}: check that this is the gate's configuration and that the gate has run", .0.display())]
    NoStore(PathBuf),
    #[error(
        "the limit of {0} exemptions{1} is reached: end one of those that `countersign exempt --list` shows"
    )]
    Full(usize, &'static str),
    #[error(transparent)]
    Unfit(#[from] Unfit),
}

/// The location of one store's exemptions.
#[derive(Clone, Debug)]
pub struct ExemptionFile {
    store: PathBuf,
    folder: PathBuf,
}

/// Distinguishes versions of the file, by its metadata and that of its folder.
pub(super) type Stamp = [Option<Version>; 2];
type Version = (u64, i64, i64, u64);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    exemptions: Vec<StoredExemption>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredExemption {
    /// `registry/repository@digest`.
    image: String,
    reason: String,
    by: String,
    made: String,
    until: String,
}

impl ExemptionFile {
    /// The exemptions of the store in the folder `store`.
    pub fn below(store: &Path) -> Self {
        Self { store: store.to_owned(), folder: store.join("exemptions") }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Every exemption in the file, including those that have ended.
    pub fn read(&self) -> Result<Vec<Exemption>, ExemptionsError> {
        let path = self.path();
        if !self.has_folder()? {
            return Ok(Vec::new());
        }
        let opened = OpenOptions::new().read(true).custom_flags(flags()).open(&path);
        let file = match opened {
            Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
                return Err(not_ours(&path, "it is a symbolic link"));
            }
            opened => found(opened, &path)?,
        };
        let Some(file) = file else { return Ok(Vec::new()) };
        let is = file.metadata().map_err(|error| failed(&path, &error))?;
        if !is.is_file() {
            return Err(not_ours(&path, "it is not a regular file"));
        }
        self.is_ours(&path, &is)?;
        let mut json = Vec::new();
        let read = file.take(MAX_FILE + 1).read_to_end(&mut json);
        read.map_err(|error| failed(&path, &error))?;
        parse(&json).map_err(|why| ExemptionsError::Corrupt { path, why })
    }

    /// Adds an exemption, and removes those that have ended. Returns the earlier exemption of the same digest, which it
    /// replaces, if any.
    pub fn add(&self, said: Said) -> Result<Option<Exemption>, ExemptionsError> {
        let added = Exemption::new(said)?;
        let now = added.says().made;
        self.change(|all| {
            let before = take(all, &added);
            all.retain(|one| now < one.says().until);
            let Said { repository, .. } = added.says();
            let beside = all.iter().filter(|one| one.is_in(repository)).count();
            if beside >= MAX_OF_REPOSITORY {
                return Err(ExemptionsError::Full(beside, " in this repository"));
            }
            if all.len() >= MAX_EXEMPTIONS {
                return Err(ExemptionsError::Full(all.len(), ""));
            }
            all.push(added);
            Ok(before)
        })
    }

    /// Ends the exemption of that digest and returns it; `None` if there was none.
    pub fn end(
        &self,
        repository: &RepositoryRef,
        digest: &Digest,
    ) -> Result<Option<Exemption>, ExemptionsError> {
        let is_it = |one: &Exemption| one.is_of(repository, digest);
        if !self.read()?.iter().any(is_it) {
            return Ok(None);
        }
        self.change(|all| {
            let at = all.iter().position(is_it);
            Ok(at.map(|at| all.remove(at)))
        })
    }

    /// Reads, changes and replaces the file under a lock.
    fn change<T>(
        &self,
        how: impl FnOnce(&mut Vec<Exemption>) -> Result<T, ExemptionsError>,
    ) -> Result<T, ExemptionsError> {
        let owner = self.owner()?;
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error: io::Error| failed(&path, &error)
        };
        match DirBuilder::new().mode(FOLDER_MODE).create(&self.folder) {
            Ok(()) => hand_over(&self.folder, owner).map_err(at(&self.folder))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&self.folder, &error)),
        }
        self.has_folder()?;
        let lock = self.folder.join(LOCK);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags());
        let opened = options.open(&lock).and_then(|file| file.lock().map(|()| file));
        let locked = opened.map_err(at(&lock))?;
        hand_over_file(&locked, owner).map_err(at(&lock))?;
        atomic::sweep(&self.folder).map_err(at(&self.folder))?;
        let mut all = self.read()?;
        let changed = how(&mut all)?;
        let path = self.path();
        let stored = Stored {
            format: FORMAT,
            exemptions: all.iter().map(|one| StoredExemption::of(one.says())).collect(),
        };
        let json = serde_json::to_vec_pretty(&stored).map_err(|error| {
            ExemptionsError::Corrupt { path: path.clone(), why: error.to_string() }
        })?;
        let written = atomic::publish_as(&path, &json, |file| {
            file.set_permissions(Permissions::from_mode(FILE_MODE))?;
            hand_over_file(file, owner)
        });
        written.map_err(at(&path))?;
        drop(locked);
        Ok(changed)
    }

    /// Identifies the current version of the file.
    pub(super) fn stamp(&self) -> Result<Stamp, ExemptionsError> {
        let stamp = |path: &Path| -> Result<Option<Version>, ExemptionsError> {
            let is = found(fs::symlink_metadata(path), path)?;
            Ok(is.map(|is| (is.ino(), is.ctime(), is.ctime_nsec(), is.len())))
        };
        Ok([stamp(&self.folder)?, stamp(&self.path())?])
    }

    /// The user and group that own the store.
    fn owner(&self) -> Result<(u32, u32), ExemptionsError> {
        match found(fs::metadata(&self.store), &self.store)? {
            Some(is) if is.is_dir() => Ok((is.uid(), is.gid())),
            Some(_) | None => Err(ExemptionsError::NoStore(self.store.clone())),
        }
    }

    /// Whether the folder exists; an error if another user could have written it.
    fn has_folder(&self) -> Result<bool, ExemptionsError> {
        let Some(folder) = found(fs::symlink_metadata(&self.folder), &self.folder)? else {
            return Ok(false);
        };
        if !folder.is_dir() {
            return Err(not_ours(&self.folder, "it is not a folder"));
        }
        self.is_ours(&self.folder, &folder).map(|()| true)
    }

    /// Checks that only the gate's user, the store's owner or root could have written there.
    fn is_ours(&self, path: &Path, is: &Metadata) -> Result<(), ExemptionsError> {
        let (owner, _) = self.owner()?;
        let own = rustix::process::geteuid().as_raw();
        held_by(&[0, own, owner], is.uid(), is.mode()).map_err(|why| not_ours(path, why))
    }
}

/// Checks that only one of `owners` can write a file with that owner and mode.
pub(super) fn held_by(owners: &[u32], owner: u32, mode: u32) -> Result<(), &'static str> {
    if !owners.contains(&owner) {
        return Err("it belongs neither to the gate's user nor to root");
    }
    if mode & OTHERS_WRITE != 0 {
        return Err("it is writable by its group or by everyone");
    }
    Ok(())
}

impl StoredExemption {
    fn of(said: &Said) -> Self {
        Self {
            image: format!("{}@{}", said.repository, said.digest),
            reason: said.reason.clone(),
            by: said.by.clone(),
            made: said.made.to_string(),
            until: said.until.to_string(),
        }
    }

    fn read(self) -> Result<Exemption, String> {
        let image: ImageRef =
            self.image.parse().map_err(|_| "an image name is invalid".to_owned())?;
        let Reference::Digest(digest) = image.reference else {
            return Err("an exemption names a tag, not a digest".to_owned());
        };
        let time =
            |text: &str| Timestamp::parse_rfc3339(text).ok_or("a time is invalid".to_owned());
        let (made, until) = (time(&self.made)?, time(&self.until)?);
        let ImageRef { repository, .. } = image;
        let Self { reason, by, .. } = self;
        let said = Said { repository, digest, reason, by, made, until };
        Exemption::new(said).map_err(|unfit| unfit.to_string())
    }
}

fn parse(json: &[u8]) -> Result<Vec<Exemption>, String> {
    if json.len() as u64 > MAX_FILE {
        return Err(format!("it is longer than {MAX_FILE} bytes"));
    }
    let stored: Stored = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    if stored.format != FORMAT {
        return Err(format!("its format is {}, not {FORMAT}", stored.format));
    }
    if stored.exemptions.len() > MAX_EXEMPTIONS {
        return Err(format!("it contains more than {MAX_EXEMPTIONS} exemptions"));
    }
    stored.exemptions.into_iter().map(StoredExemption::read).collect()
}

/// Removes and returns the exemption of the same digest as `of`.
fn take(all: &mut Vec<Exemption>, of: &Exemption) -> Option<Exemption> {
    let Said { repository, digest, .. } = of.says();
    let at = all.iter().position(|one| one.is_of(repository, digest))?;
    Some(all.remove(at))
}

/// Do not follow links, and do not block on pipes.
fn flags() -> i32 {
    i32::from_ne_bytes((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().to_ne_bytes())
}

/// Gives what root has created to the owner of the store, so that the gate's user can write it later.
fn hand_over(path: &Path, owner: (u32, u32)) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    std::os::unix::fs::lchown(path, Some(owner.0), Some(owner.1))
}

fn hand_over_file(file: &File, owner: (u32, u32)) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(owner.0), Some(owner.1))
}

/// The fix, if it is known.
fn hint(kind: io::ErrorKind) -> &'static str {
    if kind == io::ErrorKind::PermissionDenied {
        return "; run this as the gate's user or as root";
    }
    ""
}

/// The result; `None` for a file that does not exist.
fn found<T>(result: io::Result<T>, path: &Path) -> Result<Option<T>, ExemptionsError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, &error)),
    }
}

fn failed(path: &Path, error: &io::Error) -> ExemptionsError {
    ExemptionsError::Io { path: path.to_owned(), kind: error.kind() }
}

fn not_ours(path: &Path, why: &'static str) -> ExemptionsError {
    ExemptionsError::NotOurs { path: path.to_owned(), why }
}
