//! The files of a client machine, as values.

use std::collections::{BTreeMap, BTreeSet};

/// An existing file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileContent {
    Text(String),
    /// Why it could not be read.
    Unreadable(String),
}

/// The existing files and folders, by their paths from the machine's root.
#[derive(Clone, Debug, Default)]
pub struct ClientFiles {
    files: BTreeMap<String, FileContent>,
    /// The names in each folder, or why they could not be read.
    folders: BTreeMap<String, Result<Vec<String>, String>>,
    /// Existing files and folders that were not read.
    present: BTreeSet<String>,
}

impl ClientFiles {
    pub(super) fn put(&mut self, path: &str, content: FileContent) {
        self.files.insert(path.to_owned(), content);
    }

    pub(super) fn put_folder(&mut self, path: &str, names: Result<Vec<String>, String>) {
        self.folders.insert(path.to_owned(), names);
    }

    pub(super) fn put_present(&mut self, path: &str) {
        self.present.insert(path.to_owned());
    }

    /// The text of a file; `None` also if it could not be read.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.entry(path).map(|(_, text)| text)
    }

    /// The same, with the path.
    pub(super) fn entry(&self, path: &str) -> Option<(&str, &str)> {
        match self.files.get_key_value(path)? {
            (path, FileContent::Text(text)) => Some((path, text)),
            (_, FileContent::Unreadable(_)) => None,
        }
    }

    /// The sorted names in a folder; none if there is no such folder.
    pub(super) fn names(&self, folder: &str) -> &[String] {
        self.folders.get(folder).and_then(|names| names.as_deref().ok()).unwrap_or_default()
    }

    pub(super) fn has_folder(&self, path: &str) -> bool {
        self.folders.contains_key(path)
    }

    /// Whether a file or a folder exists there.
    pub(super) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path) || self.has_folder(path) || self.present.contains(path)
    }

    /// Whether one of these exists.
    pub(super) fn has_one_of(&self, paths: &[&str]) -> bool {
        paths.iter().any(|path| self.has(path))
    }

    /// The files and folders that could not be read, and why.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = (&str, &str)> {
        let files = self.files.iter().filter_map(|(path, content)| match content {
            FileContent::Unreadable(why) => Some((path.as_str(), why.as_str())),
            FileContent::Text(_) => None,
        });
        let folders = self.folders.iter();
        let folders = folders
            .filter_map(|(path, names)| Some((path.as_str(), names.as_ref().err()?.as_str())));
        files.chain(folders)
    }
}

#[cfg(test)]
impl ClientFiles {
    /// A machine with these files and their parent folders.
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let mut seen = Self::default();
        for (path, text) in files {
            seen.put(path, FileContent::Text((*text).to_owned()));
            let mut rest = *path;
            while let Some((folder, name)) = rest.rsplit_once('/') {
                let entry = seen.folders.entry(folder.to_owned()).or_insert(Ok(Vec::new()));
                if let Ok(names) = entry
                    && !names.iter().any(|known| known == name)
                {
                    names.push(name.to_owned());
                    names.sort();
                }
                rest = folder;
            }
        }
        seen
    }

    /// The same, with an empty folder.
    pub(super) fn with_folder(mut self, folder: &str) -> Self {
        self.folders.entry(folder.to_owned()).or_insert(Ok(Vec::new()));
        let (parent, name) = folder.rsplit_once('/').unwrap();
        if let Some(Ok(names)) = self.folders.get_mut(parent) {
            names.push(name.to_owned());
        }
        self
    }
}
