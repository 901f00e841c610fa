//! The files that a configuration names, as bytes: one, or all of a kind in a folder. Never without a
//! ceiling; knows nothing of what they are.

use std::io::Read as _;
use std::path::Path;

use super::{MAX_NAMED_FILE, Section};

/// The most files that a folder may hold, those of other kinds included.
const MAX_FILES: usize = 1024;

impl Section<'_> {
    /// What stands in the file at `path`; where it cannot be read, `otherwise` is told besides: what the
    /// value of `key` can be but a file's name.
    pub fn named_file_or(&self, key: &'static str, path: &str, otherwise: &str) -> Option<String> {
        let read = super::bounded(&self.named(path), MAX_NAMED_FILE);
        read.map_err(|message| self.wrong(key, format!("{message}; {otherwise}"))).ok()
    }

    /// The bytes of the file at `path`, as a value of `key` names it.
    pub fn named_bytes(&self, key: &'static str, path: &str) -> Option<Vec<u8>> {
        let path = self.named(path);
        bounded(&path).map_err(|message| self.wrong(key, message)).ok()
    }

    /// The plain files in the folder at `path` whose names end in one of `extensions`, in the order of
    /// their names, each with its bytes. Folders in it are left out; a link is a problem.
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

fn bounded(file: &Path) -> Result<Vec<u8>, String> {
    let named = |e: std::io::Error| format!("{} cannot be read: {e}", file.display());
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(named)?;
    opened.take(MAX_NAMED_FILE + 1).read_to_end(&mut bytes).map_err(named)?;
    if bytes.len() as u64 > MAX_NAMED_FILE {
        return Err(format!("{} is longer than {MAX_NAMED_FILE} bytes", file.display()));
    }
    Ok(bytes)
}

fn folder(folder: &Path, extensions: &[&str]) -> Result<Vec<(String, Vec<u8>)>, String> {
    let named = |e: std::io::Error| format!("{} cannot be read: {e}", folder.display());
    let linked = |path: &Path| {
        format!("{} is a link; a folder that is read whole may hold none", path.display())
    };
    if std::fs::symlink_metadata(folder).map_err(named)?.is_symlink() {
        return Err(linked(folder));
    }
    let mut files = Vec::new();
    for (at, entry) in std::fs::read_dir(folder).map_err(named)?.enumerate() {
        if at == MAX_FILES {
            return Err(format!("{} holds more than {MAX_FILES} files", folder.display()));
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
        files.push((path.display().to_string(), bounded(&path)?));
    }
    files.sort();
    Ok(files)
}
