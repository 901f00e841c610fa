//! The bundles of one folder. Looks at the folder before each answer, so that files that appear, change or disappear are
//! used without a restart.
//!
//! A file that is not a bundle (also one that is still being copied) is ignored and reported once. A file or folder that
//! cannot be read may contain what is asked for: then an absence is an error, not an answer. Such a file is read again
//! after [`RETRY`]. All bundles of a folder share one limit of memory. A bundle beyond it counts as one that cannot be read,
//! until there is room.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tracing::{info, warn};

use super::catalog::Catalog;
use super::file::{Bundle, OpenError, Problem, ReadError};
use super::shown_path;
use super::source::{MAX_VOLUMES, SourceError, bundle_of, checksums, volume};
use super::tar::read::TarError;
use crate::file_state::FileState;
use crate::registry_client::BundleFiles;
use crate::text::grouped;

/// The most bundles of one folder, and the most files in it.
const MAX_BUNDLES: usize = 1_000;
const MAX_FILES: usize = 10_000;
/// The most memory in bytes of all open bundles of one folder.
const MAX_MEMORY: u64 = 256 << 20;
/// How long a bundle that could not be read is left alone before it is read again.
const RETRY: Duration = Duration::from_secs(5);

/// The bundles of one folder.
#[derive(Debug)]
pub struct BundleSet {
    /// `None`: `current` never changes.
    files: Option<BundleFiles>,
    known: Mutex<Known>,
    current: OnceLock<ArcSwap<Current>>,
    /// [`Bundle::open`], or what replaces it in a test.
    pub(super) open: fn(&Path) -> Result<Bundle, OpenError>,
    /// [`MAX_MEMORY`], or less in a test.
    pub(super) most_memory: u64,
}

/// The bundles at one time.
#[derive(Debug, Default)]
pub(super) struct Current {
    /// The newest first. Each file once, even if it has several names.
    pub(super) bundles: Vec<Arc<Catalog>>,
    /// Why something in the folder cannot be read.
    pub(super) unreadable: Option<String>,
}

/// The result for each bundle that was looked at.
type Known = BTreeMap<PathBuf, Looked>;

#[derive(Debug)]
struct Looked {
    stamp: Stamp,
    opened: Result<Arc<Catalog>, NotOpened>,
}

#[derive(Clone, Debug)]
struct NotOpened {
    why: String,
    cause: Cause,
}

#[derive(Clone, Copy, Debug)]
enum Cause {
    /// The file is not a bundle.
    Invalid,
    /// The file could not be read when this was last tried, at this time.
    Unreadable(Instant),
    /// The other bundles leave no room for this memory in bytes.
    NoRoom(u64),
}

/// The state of the files of a bundle. Equal stamps mean the same files with the same content.
type Stamp = Vec<FileState>;

impl BundleSet {
    /// The bundles that `files` names. Reads nothing yet.
    pub fn new(files: BundleFiles) -> Self {
        Self::with(Some(files), OnceLock::new())
    }

    /// One bundle that is already open, and nothing else.
    pub fn of(bundle: Arc<Bundle>) -> Self {
        let bundles = vec![Arc::new(Catalog::new(bundle, 0))];
        let current = ArcSwap::from_pointee(Current { bundles, unreadable: None });
        Self::with(None, current.into())
    }

    fn with(files: Option<BundleFiles>, current: OnceLock<ArcSwap<Current>>) -> Self {
        let (open, most_memory) = (Bundle::open, MAX_MEMORY);
        Self { files, known: Mutex::default(), current, open, most_memory }
    }

    /// The problems of the files, for `check`. Reads the headers of all bundles. Blocks.
    pub fn flaws(&self) -> Vec<String> {
        let current = self.current();
        let Some(files) = &self.files else { return Vec::new() };
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut flaws: Vec<String> = known
            .values()
            .filter_map(|looked| looked.opened.as_ref().err())
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
        self.current_at(Instant::now())
    }

    /// The same at the time `now`.
    pub(super) fn current_at(&self, now: Instant) -> Arc<Current> {
        let current = self.current.get();
        let Some(files) = &self.files else {
            return current.map(ArcSwap::load_full).unwrap_or_default();
        };
        match (self.known.try_lock(), current) {
            (Ok(known), _) => self.look(files, known, now),
            (Err(TryLockError::Poisoned(known)), _) => self.look(files, known.into_inner(), now),
            // Another request looks at the moment, and may take long to open a large bundle.
            (Err(TryLockError::WouldBlock), Some(current)) => current.load_full(),
            (Err(TryLockError::WouldBlock), None) => {
                self.look(files, self.known.lock().unwrap_or_else(PoisonError::into_inner), now)
            }
        }
    }

    fn look(
        &self,
        files: &BundleFiles,
        mut known: MutexGuard<'_, Known>,
        now: Instant,
    ) -> Arc<Current> {
        let mut is_changed = self.current.get().is_none();
        let mut unreadable = match list(files) {
            Ok(found) => {
                let before = known.len();
                known.retain(|path, _| found.contains(path));
                is_changed |= known.len() != before;
                let mut room = None;
                for path in found {
                    is_changed |= self.look_at(path, &mut known, &mut room, now);
                }
                None
            }
            Err(error) => {
                Some(format!("cannot read the folder {}: {error}", shown_path(files.folder())))
            }
        };
        let failed = known.values().filter_map(|looked| looked.opened.as_ref().err());
        let failed = failed.filter(|not| not.may_contain_more()).map(|not| not.why.clone()).next();
        unreadable = unreadable.or(failed);
        let same = self.current.get().map(ArcSwap::load_full);
        if let Some(same) = same.filter(|same| !is_changed && same.unreadable == unreadable) {
            return same;
        }
        if let Some(why) = &unreadable {
            warn!(%why, "cannot read a bundle");
        }
        let mut bundles: Vec<Arc<Catalog>> = different(&known).cloned().collect();
        bundles.sort_by(|one, other| other.order().cmp(&one.order()));
        let current = Arc::new(Current { bundles, unreadable });
        self.current.get_or_init(|| ArcSwap::from(current.clone())).store(current.clone());
        current
    }

    /// Opens the bundle `path` if necessary. Whether the result is another one than before. `room` is [`Self::room`], if it
    /// is known.
    fn look_at(
        &self,
        path: PathBuf,
        known: &mut Known,
        room: &mut Option<u64>,
        now: Instant,
    ) -> bool {
        let stamp = stamp(&path);
        let before = known.get(&path);
        let is_settled = before.filter(|looked| looked.stamp == stamp).is_some_and(|looked| {
            let opened = looked.opened.as_ref();
            let room = || *room.get_or_insert_with(|| self.room(known));
            opened.map_or_else(|not| !not.is_due(now, room), |_| true)
        });
        if is_settled {
            return false;
        }
        let before = known.remove(&path).and_then(|looked| looked.opened.err()).map(|not| not.why);
        *room = None;
        let same_file = known.values().find(|looked| !stamp.is_empty() && looked.stamp == stamp);
        let opened = match same_file.map(|looked| &looked.opened) {
            // One file with several names takes memory once.
            Some(Ok(catalog)) => Ok(catalog.clone()),
            Some(Err(_)) | None => self.open(&path, &stamp, self.room(known), now),
        };
        match &opened {
            Ok(catalog) => {
                let images = catalog.bundle().index().images.len();
                info!(bundle = %shown_path(&path), images, "using a bundle");
            }
            // A file that is being copied changes at each look.
            Err(NotOpened { why, cause: Cause::Invalid }) if before.is_none() => {
                warn!(error = %why, "ignoring a file that is not a complete bundle");
            }
            Err(_) => {}
        }
        let is_same = opened.as_ref().err().is_some_and(|not| Some(&not.why) == before.as_ref());
        known.insert(path, Looked { stamp, opened });
        !is_same
    }

    /// The memory for further bundles, in bytes.
    fn room(&self, known: &Known) -> u64 {
        let used = different(known).map(|catalog| catalog.bundle().memory());
        self.most_memory.saturating_sub(used.fold(0, u64::saturating_add))
    }

    fn open(
        &self,
        path: &Path,
        stamp: &Stamp,
        room: u64,
        now: Instant,
    ) -> Result<Arc<Catalog>, NotOpened> {
        let bundle = (self.open)(path).map_err(|error| {
            let cause = match is_unreadable(&error) {
                true => Cause::Unreadable(now),
                false => Cause::Invalid,
            };
            NotOpened { why: error.to_string(), cause }
        })?;
        let memory = bundle.memory();
        if memory > room {
            let why = format!(
                "{}: the bundles of the folder need more than {} bytes of memory together; remove bundles that are no longer \
                 needed",
                shown_path(path),
                grouped(self.most_memory)
            );
            return Err(NotOpened { why, cause: Cause::NoRoom(memory) });
        }
        let modified = stamp.iter().map(FileState::modified).max().unwrap_or_default();
        Ok(Arc::new(Catalog::new(Arc::new(bundle), modified)))
    }
}

impl NotOpened {
    /// Whether the bundle may contain content that no other bundle has.
    fn may_contain_more(&self) -> bool {
        match self.cause {
            Cause::Invalid => false,
            Cause::Unreadable(_) | Cause::NoRoom(_) => true,
        }
    }

    /// Whether to open the same file again, with `room()` bytes of memory.
    fn is_due(&self, now: Instant, room: impl FnOnce() -> u64) -> bool {
        match self.cause {
            Cause::Invalid => false,
            Cause::Unreadable(tried) => now.saturating_duration_since(tried) >= RETRY,
            Cause::NoRoom(memory) => memory <= room(),
        }
    }
}

/// The open bundles, each once.
fn different(known: &Known) -> impl Iterator<Item = &Arc<Catalog>> {
    let mut seen = BTreeSet::new();
    let opened = known.values().filter_map(|looked| looked.opened.as_ref().ok());
    opened.filter(move |catalog| seen.insert(Arc::as_ptr(catalog)))
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

fn stamp(path: &Path) -> Stamp {
    if let Ok(found) = fs::metadata(path) {
        return vec![FileState::of(&found)];
    }
    let volumes = (1..=MAX_VOLUMES).map(|number| fs::metadata(volume(path, number)));
    let volumes = volumes.map_while(Result::ok);
    let list = fs::metadata(checksums(path)).ok();
    list.into_iter().chain(volumes).map(|found| FileState::of(&found)).collect()
}
