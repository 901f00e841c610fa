//! The bundles of one folder. Looks at the folder before each answer, so that files that appear, change or disappear are
//! used without a restart.
//!
//! A file that is not a bundle (also one that is still being copied) is ignored and reported once. A file or folder that
//! cannot be read may contain what is asked for: then an absence is an error, not an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use arc_swap::ArcSwap;
use tracing::{info, warn};

use super::catalog::Catalog;
use super::file::{Bundle, OpenError, Problem, ReadError};
use super::source::{MAX_VOLUMES, SourceError, bundle_of, volume};
use super::tar::read::TarError;
use crate::registry_client::BundleFiles;

/// The most bundles of one folder, and the most files in it.
const MAX_BUNDLES: usize = 1_000;
const MAX_FILES: usize = 10_000;

/// The bundles of one folder.
#[derive(Debug)]
pub struct BundleSet {
    /// `None`: `current` never changes.
    files: Option<BundleFiles>,
    known: Mutex<Known>,
    current: OnceLock<ArcSwap<Current>>,
}

/// The bundles at one time.
#[derive(Debug, Default)]
pub(super) struct Current {
    /// The newest first.
    pub(super) bundles: Vec<Arc<Catalog>>,
    /// Why something in the folder cannot be read.
    pub(super) unreadable: Option<String>,
}

/// The result for each bundle that was looked at.
type Known = BTreeMap<PathBuf, (Stamp, Result<Arc<Catalog>, NotOpened>)>;

#[derive(Clone, Debug)]
struct NotOpened {
    why: String,
    is_unreadable: bool,
}

/// The state of the files of a bundle. Equal stamps mean equal content.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp(Vec<(u64, u64, u64, i64, i64, i64)>);

impl BundleSet {
    /// The bundles that `files` names. Reads nothing yet.
    pub fn new(files: BundleFiles) -> Self {
        Self { files: Some(files), known: Mutex::default(), current: OnceLock::new() }
    }

    /// One bundle that is already open, and nothing else.
    pub fn of(bundle: Arc<Bundle>) -> Self {
        let bundles = vec![Arc::new(Catalog::new(bundle, 0))];
        let current = ArcSwap::from_pointee(Current { bundles, unreadable: None });
        Self { files: None, known: Mutex::default(), current: current.into() }
    }

    /// The problems of the files, for `check`. Reads the headers of all bundles. Blocks.
    pub fn flaws(&self) -> Vec<String> {
        let current = self.current();
        let Some(files) = &self.files else { return Vec::new() };
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut flaws: Vec<String> = known
            .values()
            .filter_map(|(_, opened)| opened.as_ref().err())
            .map(|not| not.why.clone())
            .collect();
        if flaws.is_empty() && current.bundles.is_empty() {
            let none = || format!("no file matches {files}");
            flaws.push(current.unreadable.clone().unwrap_or_else(none));
        }
        flaws
    }

    /// The current bundles. Looks at the folder, and opens what is new. Blocks.
    pub(super) fn current(&self) -> Arc<Current> {
        let current = self.current.get();
        let Some(files) = &self.files else {
            return current.map(ArcSwap::load_full).unwrap_or_default();
        };
        match (self.known.try_lock(), current) {
            (Ok(known), _) => self.look(files, known),
            (Err(TryLockError::Poisoned(known)), _) => self.look(files, known.into_inner()),
            // Another request looks at the moment, and may take long to open a large bundle.
            (Err(TryLockError::WouldBlock), Some(current)) => current.load_full(),
            (Err(TryLockError::WouldBlock), None) => {
                self.look(files, self.known.lock().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }

    fn look(&self, files: &BundleFiles, mut known: MutexGuard<'_, Known>) -> Arc<Current> {
        let (found, mut unreadable) = match list(files) {
            Ok(found) => (found, None),
            Err(error) => {
                let folder = files.folder().display();
                (BTreeSet::new(), Some(format!("cannot read the folder {folder}: {error}")))
            }
        };
        let mut is_changed = self.current.get().is_none();
        if unreadable.is_none() {
            let before = known.len();
            known.retain(|path, _| found.contains(path));
            is_changed |= known.len() != before;
        }
        for path in found {
            let stamp = stamp(&path);
            if known.get(&path).is_some_and(|(before, _)| *before == stamp) {
                continue;
            }
            is_changed = true;
            let opened = open(&path, &stamp);
            known.insert(path, (stamp, opened));
        }
        let failed = known.values().filter_map(|(_, opened)| opened.as_ref().err());
        let failed = failed.filter(|not| not.is_unreadable).map(|not| not.why.clone()).next();
        unreadable = unreadable.or(failed);
        let same = self.current.get().map(ArcSwap::load_full);
        if let Some(same) = same.filter(|same| !is_changed && same.unreadable == unreadable) {
            return same;
        }
        if let Some(why) = &unreadable {
            warn!(%why, "cannot read a bundle");
        }
        let mut bundles: Vec<Arc<Catalog>> =
            known.values().filter_map(|(_, opened)| opened.as_ref().ok()).cloned().collect();
        bundles.sort_by(|one, other| other.order().cmp(&one.order()));
        let current = Arc::new(Current { bundles, unreadable });
        self.current.get_or_init(|| ArcSwap::from(current.clone())).store(current.clone());
        current
    }
}

/// The paths of the bundles: of volumes, the path without their number.
fn list(files: &BundleFiles) -> io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for (at, entry) in fs::read_dir(files.folder())?.enumerate() {
        if at == MAX_FILES {
            return Err(io::Error::other(format!("it contains more than {MAX_FILES} files")));
        }
        let path = bundle_of(&entry?.path());
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| files.matches(name)) {
            found.insert(path);
        }
    }
    if found.len() > MAX_BUNDLES {
        return Err(io::Error::other(format!("it contains more than {MAX_BUNDLES} bundles")));
    }
    Ok(found)
}

fn open(path: &Path, stamp: &Stamp) -> Result<Arc<Catalog>, NotOpened> {
    match Bundle::open(path) {
        Ok(bundle) => {
            info!(bundle = %path.display(), images = bundle.index().images.len(), "using a bundle");
            Ok(Arc::new(Catalog::new(Arc::new(bundle), stamp.modified())))
        }
        Err(error) => {
            let is_unreadable = is_unreadable(&error);
            if !is_unreadable {
                warn!(%error, "ignoring a file that is not a complete bundle");
            }
            Err(NotOpened { why: error.to_string(), is_unreadable })
        }
    }
}

/// Whether a bundle could not be read, in contrast to a file that is not a bundle.
fn is_unreadable(error: &OpenError) -> bool {
    match &error.problem {
        Problem::Source(SourceError::Open { .. })
        | Problem::Tar(TarError::Io(_))
        | Problem::Read(ReadError::Io(_)) => true,
        Problem::Source(_)
        | Problem::Tar(_)
        | Problem::Read(_)
        | Problem::Missing(_)
        | Problem::Layout
        | Problem::Index(_)
        | Problem::Artifact(_)
        | Problem::Contents(_)
        | Problem::Disagree(_)
        | Problem::Unlisted(_) => false,
    }
}

impl Stamp {
    /// When a file of the bundle last changed, in seconds since 1970.
    fn modified(&self) -> i64 {
        self.0.iter().map(|state| state.3).max().unwrap_or_default()
    }
}

fn stamp(path: &Path) -> Stamp {
    let state = |found: Metadata| {
        let identity = (found.dev(), found.ino(), found.len());
        (identity.0, identity.1, identity.2, found.mtime(), found.mtime_nsec(), found.ctime_nsec())
    };
    if let Ok(found) = fs::metadata(path) {
        return Stamp(vec![state(found)]);
    }
    let volumes = (1..=MAX_VOLUMES).map(|number| fs::metadata(volume(path, number)));
    let volumes = volumes.map_while(Result::ok);
    let list = fs::metadata(super::source::checksums(path)).ok();
    Stamp(list.into_iter().chain(volumes).map(state).collect())
}
