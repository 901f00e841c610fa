//! The files that `bundles` of an `[[upstream]]` names: a folder and a pattern for names in it.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::glob::Glob;

/// Bundles in one folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleFiles {
    folder: PathBuf,
    name: Glob,
}

impl BundleFiles {
    /// The files that the absolute path or pattern `path` names. Only its last segment may contain `*`.
    ///
    /// # Errors
    ///
    /// What is wrong with the pattern.
    pub fn new(path: &Path) -> Result<Self, String> {
        let (folder, name) = (path.parent(), path.file_name().and_then(|name| name.to_str()));
        let (Some(folder), Some(name)) = (folder, name) else {
            return Err("must name files, for example `incoming/*.tar`".to_owned());
        };
        if folder.to_string_lossy().contains('*') {
            return Err("may contain `*` only in the name of the files".to_owned());
        }
        let name = name.parse().map_err(|error| format!("is not a pattern: {error}"))?;
        Ok(Self { folder: folder.to_owned(), name })
    }

    /// The folder that contains the files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether a file of the folder with this name is meant.
    pub fn matches(&self, name: &str) -> bool {
        // A hidden file is a temporary file of a program that writes a bundle.
        !name.starts_with('.') && self.name.matches(name)
    }
}

impl fmt::Display for BundleFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.folder.join(self.name.as_str()).display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_the_files_may_be_a_pattern() {
        let files = BundleFiles::new(Path::new("/in/*.tar")).unwrap();
        assert!(files.matches("a.tar") && !files.matches("a.tar.001") && !files.matches(".a.tar"));
        assert_eq!(files.to_string(), "/in/*.tar");
        assert!(BundleFiles::new(Path::new("/in/one.tar")).unwrap().matches("one.tar"));
        for path in ["/", "/in/..", "/i*/a.tar", "/in/***.tar"] {
            assert!(BundleFiles::new(Path::new(path)).is_err(), "{path}");
        }
    }
}
