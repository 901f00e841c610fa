//! The files that a configuration names, as bytes: a single file, or all files with some extensions in a folder. Every
//! read has a limit. Knows nothing of their content.

use std::io::Read as _;
use std::path::Path;

use super::{MAX_NAMED_FILE, Section, foreign};

/// The most files in a folder, including those with other extensions.
const MAX_FILES: usize = 1024;

impl Section<'_> {
    /// `path`, if it can be the name of a file.
    pub(super) fn file_name<'p>(&self, key: &'static str, path: &'p str) -> Option<&'p str> {
        match foreign::not_a_name(path) {
            None => Some(path),
            Some(why) => {
                self.wrong(key, why);
                None
            }
        }
    }

    /// The content of the file at `path`, a value of `key`.
    pub fn named_file(&self, key: &'static str, path: &str) -> Option<String> {
        let path = self.named(self.file_name(key, path)?);
        text(&path, MAX_NAMED_FILE).map_err(|message| self.wrong(key, message)).ok()
    }

    /// The content of the file at `path`. If it cannot be read, the error also mentions `otherwise`: what the value of
    /// `key` can be besides a file name.
    pub fn named_file_or(&self, key: &'static str, path: &str, otherwise: &str) -> Option<String> {
        let read = text(&self.named(self.file_name(key, path)?), MAX_NAMED_FILE);
        read.map_err(|message| self.wrong(key, format!("{message}; {otherwise}"))).ok()
    }

    /// The bytes of the file at `path`, a value of `key`.
    pub fn named_bytes(&self, key: &'static str, path: &str) -> Option<Vec<u8>> {
        let path = self.named(self.file_name(key, path)?);
        bounded(&path, MAX_NAMED_FILE).map_err(|message| self.wrong(key, message)).ok()
    }

    /// The bytes of the file at `path`, a value of `key`: at most `most`.
    pub fn named_bytes_within(&self, key: &'static str, path: &str, most: u64) -> Option<Vec<u8>> {
        let path = self.named(self.file_name(key, path)?);
        bounded(&path, most).map_err(|message| self.wrong(key, message)).ok()
    }

    /// The regular files in the folder at `path` whose names end in one of `extensions`, sorted by name, with their
    /// bytes. Ignores subfolders; a link is an error.
    pub fn named_folder(
        &self,
        key: &'static str,
        path: &str,
        extensions: &[&str],
    ) -> Option<Vec<(String, Vec<u8>)>> {
        let path = self.named(path);
        folder(&path, extensions).map_err(|message| self.wrong(key, message)).ok()
    }
}

/// The text of a file of at most `most` bytes, without a byte order mark.
pub(super) fn text(file: &Path, most: u64) -> Result<String, String> {
    let bytes = bounded(file, most)?;
    let text = String::from_utf8(bytes)
        .map_err(|error| format!("{} {}", file.display(), foreign::not_text(error.as_bytes())))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn bounded(file: &Path, most: u64) -> Result<Vec<u8>, String> {
    let named = |e: std::io::Error| format!("{} cannot be read: {e}", file.display());
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(named)?;
    opened.take(most + 1).read_to_end(&mut bytes).map_err(named)?;
    if bytes.len() as u64 > most {
        return Err(format!("{} is longer than {most} bytes", file.display()));
    }
    Ok(bytes)
}

fn folder(folder: &Path, extensions: &[&str]) -> Result<Vec<(String, Vec<u8>)>, String> {
    let named = |e: std::io::Error| format!("{} cannot be read: {e}", folder.display());
    let linked = |path: &Path| {
        format!("{} is a symbolic link, which is not allowed in this folder", path.display())
    };
    if std::fs::symlink_metadata(folder).map_err(named)?.is_symlink() {
        return Err(linked(folder));
    }
    let mut files = Vec::new();
    for (at, entry) in std::fs::read_dir(folder).map_err(named)?.enumerate() {
        if at == MAX_FILES {
            return Err(format!("{} contains more than {MAX_FILES} files", folder.display()));
        }
        let entry = entry.map_err(named)?;
        let path = entry.path();
        let kind = entry.file_type().map_err(named)?;
        let meant = path.extension().is_some_and(|e| extensions.iter().any(|known| e == *known));
        if kind.is_dir() || !meant {
            continue;
        }
        if kind.is_symlink() {
            return Err(linked(&path));
        }
        files.push((path.display().to_string(), bounded(&path, MAX_NAMED_FILE)?));
    }
    files.sort();
    Ok(files)
}
