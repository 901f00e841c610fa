//! Whether a file or folder that is open is still the one at its path. If somebody removed or replaced it,
//! another process may own what is there now.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file or folder that is open. The clones are one.
#[derive(Clone, Debug)]
pub struct InPlace {
    path: PathBuf,
    // While it is open, no other file gets its number.
    file: Arc<File>,
}

impl InPlace {
    /// Opens what is at `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: Arc::new(File::open(path)?) })
    }

    /// Fails if it is not at its path any more, or if that cannot be found out.
    pub fn check(&self) -> io::Result<()> {
        self.check_is(&self.file)
    }

    /// Fails if `file` is not what is at the path.
    pub(super) fn check_is(&self, file: &File) -> io::Result<()> {
        let is = match fs::metadata(&self.path) {
            Ok(there) => {
                let open = file.metadata()?;
                (there.dev(), there.ino()) == (open.dev(), open.ino())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if is {
            return Ok(());
        }
        let path = self.path.display();
        Err(io::Error::other(format!(
            "{path} was removed or replaced while the gate runs; put it back, or start the gate again"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_was_made_anew_is_another_and_one_that_came_back_is_the_same() {
        let top = std::env::temp_dir().join(format!("countersign-in-place-{}", std::process::id()));
        let (folder, away) = (top.join("folder"), top.join("away"));
        fs::create_dir_all(&folder).unwrap();
        let place = InPlace::open(&folder).unwrap();
        place.check().unwrap();
        fs::rename(&folder, &away).unwrap();
        let error = place.check().unwrap_err().to_string();
        assert!(error.contains("was removed or replaced") && error.contains("in-place"), "{error}");
        fs::create_dir(&folder).unwrap();
        assert!(place.check().is_err());
        fs::remove_dir(&folder).unwrap();
        fs::rename(&away, &folder).unwrap();
        place.check().unwrap();
        fs::remove_dir_all(top).unwrap();
    }
}
