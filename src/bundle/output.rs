//! The files of a bundle that is being written: one, or volumes of a fixed size with a list of their checksums. They
//! have hidden temporary names until [`Output::publish`]: an interrupted writer leaves no partial file under a final
//! name. The next writer of the same bundle replaces temporary files that a crash left.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags};

use super::source::{self, MAX_VOLUMES};
use crate::oci::{Algorithm, Hasher};
use crate::store::atomic::folder_of;

/// The memory for bytes that are not written yet.
const BUFFER: usize = 1 << 20;
/// The smallest size of a volume in bytes.
pub const MIN_VOLUME: u64 = 1 << 20;

/// Writes the bytes of a bundle to its files.
#[derive(Debug)]
pub(in crate::bundle) struct Output {
    path: PathBuf,
    volume_size: Option<u64>,
    current: Option<Part>,
    /// The temporary and the final path of each complete file, and the hash of each volume.
    complete: Vec<(PathBuf, PathBuf, String)>,
    /// The first file, which stays open because its lock excludes other writers.
    locked: Option<File>,
    published: bool,
}

#[derive(Debug)]
struct Part {
    temporary: PathBuf,
    target: PathBuf,
    file: BufWriter<File>,
    hasher: Hasher,
    room: u64,
}

impl Output {
    /// Creates the temporary file of the bundle `path`. With `volume_size`, cuts the bundle into volumes of that many
    /// bytes.
    ///
    /// # Errors
    ///
    /// The error of the file system, or that files of another form with this name exist.
    pub(in crate::bundle) fn create(path: &Path, volume_size: Option<u64>) -> io::Result<Self> {
        if volume_size.is_some_and(|size| size < MIN_VOLUME) {
            let text = format!("a volume must have at least {MIN_VOLUME} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        // A single file replaces an older one. Volumes of two bundles must not mix.
        let first = source::volume(path, 1);
        let taken = if volume_size.is_some() { vec![path.to_owned(), first] } else { vec![first] };
        if let Some(taken) = taken.iter().find(|taken| fs::symlink_metadata(taken).is_ok()) {
            let text = format!("{} exists; remove it and its other volumes first", taken.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        let mut output = Self {
            path: path.to_owned(),
            volume_size,
            current: None,
            complete: Vec::new(),
            locked: None,
            published: false,
        };
        output.current = Some(output.part()?);
        Ok(output)
    }

    fn part(&self) -> io::Result<Part> {
        let number = self.complete.len() + 1;
        if number > MAX_VOLUMES {
            return Err(io::Error::other(format!(
                "the bundle has more than {MAX_VOLUMES} volumes"
            )));
        }
        let target = match self.volume_size {
            Some(_) => source::volume(&self.path, number),
            None => self.path.clone(),
        };
        let temporary = temporary(&target)?;
        let file = BufWriter::with_capacity(BUFFER, create(&temporary)?);
        let room = self.volume_size.unwrap_or(u64::MAX);
        let hasher = Hasher::new(Algorithm::Sha256);
        Ok(Part { temporary, target, file, hasher, room })
    }

    fn complete(&mut self, part: Part) -> io::Result<()> {
        let file = part.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        self.locked.get_or_insert(file);
        self.complete.push((part.temporary, part.target, part.hasher.finish().hex()));
        Ok(())
    }

    /// Gives the files their final names. Returns their paths.
    pub(in crate::bundle) fn publish(mut self) -> io::Result<Vec<PathBuf>> {
        if let Some(part) = self.current.take() {
            self.complete(part)?;
        }
        let mut files = self.complete.clone();
        if self.volume_size.is_some() {
            let list = source::checksums(&self.path);
            let name =
                |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
            let lines = files
                .iter()
                .map(|(_, target, hash)| format!("{hash}  {}\n", name(target).unwrap_or_default()));
            let temporary = temporary(&list)?;
            let mut file = create(&temporary)?;
            self.complete.push((temporary.clone(), list.clone(), String::new()));
            file.write_all(lines.collect::<String>().as_bytes())?;
            file.sync_all()?;
            // First, so that an incomplete set of volumes is recognized.
            files.insert(0, (temporary, list, String::new()));
        }
        for (temporary, target, _) in &files {
            fs::rename(temporary, target)?;
        }
        self.published = true;
        File::open(folder_of(&self.path))?.sync_all()?;
        Ok(files.into_iter().map(|(_, target, _)| target).collect())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.current.as_ref().is_none_or(|part| part.room == 0) {
            if let Some(part) = self.current.take() {
                self.complete(part)?;
            }
            self.current = Some(self.part()?);
        }
        let part = self.current.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let most = usize::try_from(part.room).unwrap_or(usize::MAX).min(bytes.len());
        let written = part.file.write(&bytes[..most])?;
        if self.volume_size.is_some() {
            part.hasher.update(&bytes[..written]);
        }
        part.room -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.current.as_mut().map_or(Ok(()), |part| part.file.flush())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        let current = self.current.as_ref().map(|part| &part.temporary);
        for temporary in self.complete.iter().map(|(temporary, ..)| temporary).chain(current) {
            // Nobody can act on an error here. The next writer replaces the file.
            let _ = fs::remove_file(temporary);
        }
    }
}

/// `.NAME.part` in the same folder.
fn temporary(target: &Path) -> io::Result<PathBuf> {
    let mut name = OsString::from(".");
    name.push(target.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    name.push(".part");
    Ok(folder_of(target).join(name))
}

/// Creates a temporary file, and locks it against another writer of the same bundle.
fn create(path: &Path) -> io::Result<File> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(false).custom_flags(flags);
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        let text = format!("{} is not a regular file", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
        let text = format!("another process writes {}: {error}", path.display());
        io::Error::new(io::ErrorKind::ResourceBusy, text)
    })?;
    file.set_len(0)?;
    Ok(file)
}
