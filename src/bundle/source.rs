//! The bytes of a bundle: one file, or volumes that are read as one file without joining them.
//!
//! # Why not mapped
//!
//! A file of the store may be mapped because only this process writes it. A bundle belongs to somebody else: it lies on
//! a carried disk or in a folder that other programs write. If it were mapped, a reader who truncates it would end this
//! process (SIGBUS), bytes could change between their hash and their use, and every page that was read would count as
//! memory of this process. Positional reads copy the bytes once, and have none of these problems.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::OFlags;
use thiserror::Error;

use super::shown_path;

/// The most volumes of one bundle: their numbers have three digits.
pub const MAX_VOLUMES: usize = 999;
/// The longest list of checksums of volumes, in bytes.
const MAX_CHECKSUMS: u64 = 1 << 20;
/// The longest name of a volume in it, in bytes.
const MAX_NAME: usize = 255;
/// How many bytes of a volume are hashed at once.
const HASHED: usize = 1 << 20;

/// Why the files of a bundle cannot be opened.
#[derive(Debug, Error)]
pub enum SourceError {
    #[error("cannot open {}: {error}", shown_path(.path))]
    Open { path: PathBuf, error: io::Error },
    #[error("{} is not a regular file", shown_path(.0))]
    NotAFile(PathBuf),
    #[error("the volume {} is missing", shown_path(.0))]
    MissingVolume(PathBuf),
    #[error("{} does not list exactly the volumes of this bundle", shown_path(.0))]
    Checksums(PathBuf),
    #[error("the volume {} has the wrong checksum: it is damaged or belongs to another bundle", shown_path(.0))]
    WrongVolume(PathBuf),
    #[error("{} exists beside volumes of the same name; remove one of them", shown_path(.0))]
    Both(PathBuf),
}

/// An opened bundle's bytes.
#[derive(Debug)]
pub(in crate::bundle) struct Source {
    /// Each file with the offset of its first byte.
    parts: Vec<(u64, Part)>,
    paths: Vec<PathBuf>,
    len: u64,
    /// The expected SHA-256 of each volume in hex, if there is a list of checksums.
    expected: Option<Vec<String>>,
}

/// One file of a bundle.
#[derive(Debug)]
enum Part {
    File(File),
    Memory(Bytes),
}

impl Part {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(buffer, offset),
            Self::Memory(content) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let end = start.saturating_add(buffer.len());
                let piece = content.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
                buffer.copy_from_slice(piece);
                Ok(())
            }
        }
    }
}

impl Source {
    /// The bytes themselves.
    pub(in crate::bundle) fn memory(content: Bytes) -> Self {
        let len = content.len() as u64;
        Self { parts: vec![(0, Part::Memory(content))], paths: Vec::new(), len, expected: None }
    }

    /// Opens the file at `path`, or, if it does not exist, its volumes `path.001`, `path.002`, …
    pub(in crate::bundle) fn open(path: &Path) -> Result<Self, SourceError> {
        let first = volume(path, 1);
        let paths = match (is_there(path)?, is_there(&first)?) {
            (true, true) => return Err(SourceError::Both(path.to_owned())),
            (true, false) | (false, false) => vec![path.to_owned()],
            (false, true) => {
                let mut volumes = vec![first.clone()];
                while volumes.len() < MAX_VOLUMES {
                    let next = volume(path, volumes.len() + 1);
                    if !is_there(&next)? {
                        break;
                    }
                    volumes.push(next);
                }
                volumes
            }
        };
        let mut parts = Vec::new();
        let mut len: u64 = 0;
        for path in &paths {
            let file = open(path)?;
            let failed = |error| SourceError::Open { path: path.clone(), error };
            let size = file.metadata().map_err(failed)?.len();
            parts.push((len, Part::File(file)));
            let too_long = || failed(io::Error::from(io::ErrorKind::FileTooLarge));
            len = len.checked_add(size).ok_or_else(too_long)?;
        }
        let list = checksums(path);
        let expected = match paths.first() == Some(&first) && is_there(&list)? {
            true => Some(expected(&list, &paths)?),
            false => None,
        };
        Ok(Self { parts, paths, len, expected })
    }

    /// The length of the bundle in bytes: of all volumes together.
    pub(in crate::bundle) fn len(&self) -> u64 {
        self.len
    }

    /// Reads exactly `buffer.len()` bytes at `offset`. Blocks.
    pub(in crate::bundle) fn read_exact_at(
        &self,
        buffer: &mut [u8],
        offset: u64,
    ) -> io::Result<()> {
        let mut offset = offset;
        let mut left = buffer;
        while !left.is_empty() {
            let after = self.parts.partition_point(|(start, _)| *start <= offset);
            let end = self.parts.get(after).map_or(self.len, |(start, _)| *start);
            let (start, part) = after
                .checked_sub(1)
                .and_then(|at| self.parts.get(at))
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            let here = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
            let here = here.min(left.len());
            if here == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let (now, rest) = left.split_at_mut(here);
            part.read_exact_at(now, offset - start)?;
            offset += here as u64;
            left = rest;
        }
        Ok(())
    }

    /// Hashes all volumes, and compares them with the list of checksums. Does nothing for a single file and for volumes
    /// without a list. Reads everything: slow.
    pub(in crate::bundle) fn check_volumes(&self) -> Result<(), SourceError> {
        let ends = self.parts.iter().skip(1).map(|(start, _)| *start).chain([self.len]);
        let volumes = self.parts.iter().zip(ends).zip(&self.paths);
        for (((part, end), path), expected) in volumes.zip(self.expected.iter().flatten()) {
            let (start, part) = part;
            let failed = |error| SourceError::Open { path: path.clone(), error };
            if hash(part, end - start).map_err(failed)? != *expected {
                return Err(SourceError::WrongVolume(path.clone()));
            }
        }
        Ok(())
    }
}

/// The expected hash of each volume according to the list of checksums, which must name exactly the volumes `paths`.
fn expected(list: &Path, paths: &[PathBuf]) -> Result<Vec<String>, SourceError> {
    let listed = listed(list)?;
    if let Some((_, missing)) = listed.get(paths.len()) {
        return Err(SourceError::MissingVolume(list.with_file_name(missing)));
    }
    let same = listed.len() == paths.len()
        && listed.iter().zip(paths).all(|((_, name), path)| {
            path.file_name().is_some_and(|found| found.as_bytes() == name.as_bytes())
        });
    match same {
        true => Ok(listed.into_iter().map(|(hash, _)| hash).collect()),
        false => Err(SourceError::Checksums(list.to_owned())),
    }
}

/// The hash and the name in each line of the list: the form of `sha256sum`.
fn listed(list: &Path) -> Result<Vec<(String, String)>, SourceError> {
    let failed = |error| SourceError::Open { path: list.to_owned(), error };
    let invalid = || SourceError::Checksums(list.to_owned());
    let mut text = Vec::new();
    open(list)?.take(MAX_CHECKSUMS + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_CHECKSUMS {
        return Err(invalid());
    }
    let text = String::from_utf8(text).map_err(|_| invalid())?;
    let line = |line: &str| {
        let (hash, name) = line.split_once("  ")?;
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_name = !name.is_empty() && !name.contains('/') && name.len() <= MAX_NAME;
        (is_hash && is_name).then(|| (hash.to_ascii_lowercase(), name.to_owned()))
    };
    text.lines().map(line).collect::<Option<Vec<_>>>().ok_or_else(invalid)
}

/// The path of volume `number`, which starts at 1.
pub(in crate::bundle) fn volume(path: &Path, number: usize) -> PathBuf {
    with_ending(path, &format!(".{number:03}"))
}

/// The path of the list of checksums of the volumes.
pub(in crate::bundle) fn checksums(path: &Path) -> PathBuf {
    with_ending(path, ".sha256")
}

/// The name of the bundle to which the file `path` belongs: the same path, or the path without the number of a volume or
/// the ending of the checksums.
pub fn bundle_of(path: &Path) -> PathBuf {
    let is_part = path.extension().is_some_and(|ending| {
        let ending = ending.as_bytes();
        ending == b"sha256" || (ending.len() == 3 && ending.iter().all(u8::is_ascii_digit))
    });
    if is_part { path.with_extension("") } else { path.to_owned() }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// Whether a file exists. Only "not found" means that it does not.
fn is_there(path: &Path) -> Result<bool, SourceError> {
    path.try_exists().map_err(|error| SourceError::Open { path: path.to_owned(), error })
}

fn open(path: &Path) -> Result<File, SourceError> {
    let failed = |error| SourceError::Open { path: path.to_owned(), error };
    // NONBLOCK: opening a FIFO must not wait for a writer.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    match file.metadata().map_err(failed)?.is_file() {
        true => Ok(file),
        false => Err(SourceError::NotAFile(path.to_owned())),
    }
}

/// The SHA-256 in hex of the first `len` bytes of an open file.
fn hash(part: &Part, len: u64) -> io::Result<String> {
    let mut hasher = crate::oci::Hasher::new(crate::oci::Algorithm::Sha256);
    let mut buffer = vec![0; HASHED];
    let mut at = 0;
    while at < len {
        let left = usize::try_from(len - at).unwrap_or(usize::MAX).min(HASHED);
        part.read_exact_at(&mut buffer[..left], at)?;
        hasher.update(&buffer[..left]);
        at += left as u64;
    }
    Ok(hasher.finish().hex())
}
