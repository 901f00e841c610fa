//! A file of lines that is rotated by size. A line is never split between files, and a partly written line is
//! removed. Knows nothing of what the lines mean.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use crate::audit::config::Config;

/// Writable by the owner, readable by the group.
const MODE: u32 = 0o640;

/// The file and its rotated predecessors.
#[derive(Debug)]
pub(super) struct Rotated {
    config: Config,
    /// `None` if the file was removed and could not be created again.
    file: Option<File>,
    /// Whether a failed rotation was already logged.
    stuck: bool,
}

/// Lines that were not written, and why.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) lines: u64,
    pub(super) why: io::Error,
}

impl Rotated {
    /// Opens the file to append to it, and creates it if it is missing. Does not create its folder.
    pub(super) fn open(config: Config) -> io::Result<Self> {
        let file = Some(open(&config)?);
        Ok(Self { config, file, stuck: false })
    }

    /// Opens the file by its name again, because the open one may have been moved away. On failure, the open one is
    /// kept.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.file = Some(open(&self.config)?);
        Ok(())
    }

    /// Writes `lines`, each of which ends with a line feed.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), Lost> {
        let mut rest = lines;
        while !rest.is_empty() {
            let (written, failed) = match self.fitting(rest) {
                Ok(part) => self.append(part),
                Err(error) => (0, Some(error)),
            };
            rest = rest.get(written..).unwrap_or_default();
            if let Some(why) = failed {
                let lines = rest.iter().filter(|byte| **byte == b'\n').count();
                return Err(Lost { lines: lines as u64, why });
            }
        }
        Ok(())
    }

    /// Flushes the written lines to disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_data)
    }

    /// As many of `lines` as fit into the file; rotates it first if none fit.
    fn fitting<'l>(&mut self, lines: &'l [u8]) -> io::Result<&'l [u8]> {
        let length = self.length()?;
        let part = within(lines, self.config.max_size.saturating_sub(length));
        if !part.is_empty() {
            return Ok(part);
        }
        if length > 0
            && let Err(error) = self.rotate()
        {
            if !self.stuck {
                tracing::error!(
                    path = %self.config.path.display(), %error,
                    "cannot rotate the audit file, which keeps growing; is its folder writable?"
                );
            }
            self.stuck = true;
            // A file above its limit is better than lost lines.
            return Ok(lines);
        }
        self.stuck = false;
        let length = self.length()?;
        let part = within(lines, self.config.max_size.saturating_sub(length));
        // A line that is longer than the limit gets a file of its own.
        Ok(if part.is_empty() { first(lines) } else { part })
    }

    /// The length of the file; creates it again if it was removed.
    fn length(&mut self) -> io::Result<u64> {
        if let Some(file) = &self.file {
            let is = file.metadata()?;
            if is.nlink() > 0 {
                return Ok(is.len());
            }
        }
        self.file = None;
        self.reopen()?;
        self.file.as_ref().map_or(Ok(0), |file| Ok(file.metadata()?.len()))
    }

    /// Appends `lines`. Returns how many bytes of whole lines were written, and the error, if any.
    fn append(&mut self, lines: &[u8]) -> (usize, Option<io::Error>) {
        let Some(mut file) = self.file.as_ref() else {
            return (0, Some(io::ErrorKind::NotFound.into()));
        };
        let mut written = 0;
        while let Some(rest) = lines.get(written..).filter(|rest| !rest.is_empty()) {
            let error = match file.write(rest) {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(more) => {
                    written += more;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            let kept = whole(lines.get(..written).unwrap_or_default()).len();
            if take_back(file, written - kept).is_err() {
                // The next write reopens the file, which ends the partial line.
                self.file = None;
            }
            return (kept, Some(error));
        }
        (written, None)
    }

    /// Increments the number of each rotated file, and starts a new file.
    fn rotate(&mut self) -> io::Result<()> {
        let path = &self.config.path;
        // Skipped if the name now belongs to another file.
        if is_named(path, self.file.as_ref())? {
            for number in (1..self.config.keep).rev() {
                match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    Ok(()) | Err(_) => {}
                }
            }
            fs::rename(path, self.numbered(1))?;
        }
        self.reopen()
    }

    fn numbered(&self, number: u64) -> PathBuf {
        let mut name = OsString::from(&self.config.path);
        name.push(format!(".{number}"));
        name.into()
    }
}

/// Opens the file, and ends a partial last line. Does not follow a link: rotation would rename the link, never its
/// target.
fn open(config: &Config) -> io::Result<File> {
    if fs::symlink_metadata(&config.path).is_ok_and(|is| !is.is_file()) {
        return Err(io::Error::other("it is not a regular file (links are not followed)"));
    }
    let mut options = OpenOptions::new();
    let file = options.append(true).read(true).create(true).mode(MODE).open(&config.path)?;
    let length = file.metadata()?.len();
    if let Some(last) = length.checked_sub(1) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, last)?;
        if byte != *b"\n" {
            (&file).write_all(b"\n")?;
        }
    }
    Ok(file)
}

/// Removes the last `bytes` of the file, which belong to a partly written line.
fn take_back(file: &File, bytes: usize) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    let length = file.metadata()?.len();
    file.set_len(length.saturating_sub(bytes as u64))
}

/// Whether `path` still names `file`.
fn is_named(path: &PathBuf, file: Option<&File>) -> io::Result<bool> {
    let Some(file) = file else { return Ok(false) };
    let is = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (is.dev(), is.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The whole lines at the beginning of `lines` that fit into `most` bytes.
fn within(lines: &[u8], most: u64) -> &[u8] {
    let most = usize::try_from(most).unwrap_or(usize::MAX).min(lines.len());
    whole(lines.get(..most).unwrap_or_default())
}

/// `text` up to the end of its last whole line.
fn whole(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    text.get(..end).unwrap_or_default()
}

/// The first line; all of `lines` if there is no line feed.
fn first(lines: &[u8]) -> &[u8] {
    let end = lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |at| at + 1);
    lines.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
