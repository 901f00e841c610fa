//! Publishes a file atomically: writes and syncs a temporary file beside it, renames it over the old
//! file, and syncs the folder. After a power loss, the path has either the old or the new content.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// The prefix of temporary files. They may be removed at start.
pub const TEMPORARY: &str = ".tmp-";

/// The folder of `path`: `.` for a bare file name.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// Writes `content` to `path`, whose folder must exist.
///
/// # Errors
///
/// The error of the file system. The file at `path` is then unchanged.
pub fn publish(path: &Path, content: &[u8]) -> io::Result<()> {
    publish_as(path, content, |_| Ok(()))
}

/// Same as [`publish`]. Calls `own` with the temporary file before the rename, for example to set its owner.
pub fn publish_as(
    path: &Path,
    content: &[u8],
    own: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let folder = folder_of(path);
    let unique = NEXT.fetch_add(1, Ordering::Relaxed);
    let temporary = folder.join(format!("{TEMPORARY}{}-{unique}", std::process::id()));
    let written = (|| {
        // A crash may have left a file with this name: in a container, each process has the same id. Removing it also
        // ensures that a symbolic link at this path is not followed.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = File::create_new(&temporary)?;
        file.write_all(content)?;
        own(&file)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        // Return the first error. The next start removes the file if this cannot.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Creates a folder and its parents, and syncs them, so that they survive a power loss.
pub fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = folder_of(path);
    make_folder(parent)?;
    make_in(parent, path)
}

/// Creates the folder `path` in the folder `parent`, which must exist.
pub(super) fn make_in(parent: &Path, path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    File::open(parent)?.sync_all()
}

/// Reads the file at `path`, which may have at most `most` bytes; `None` if it does not exist.
pub fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut content = Vec::new();
    file.take(most + 1).read_to_end(&mut content)?;
    if content.len() as u64 > most {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("longer than {most} bytes"),
        ));
    }
    Ok(Some(content))
}

/// Removes the temporary files that a crash left in `folder`.
pub fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder =
            std::env::temp_dir().join(format!("countersign-atomic-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_published_file_replaces_the_old_one_and_leaves_no_other_file() {
        let folder = folder("replace");
        let path = folder.join("a");
        publish(&path, b"one").unwrap();
        publish(&path, b"two").unwrap();
        assert_eq!(read(&path, 3).unwrap().unwrap(), b"two");
        assert!(read(&path, 2).is_err());
        assert_eq!(read(&folder.join("b"), 3).unwrap(), None);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_link_at_the_temporary_path_is_not_followed() {
        let folder = folder("link");
        let (path, victim) = (folder.join("a"), folder.join("victim"));
        publish(&victim, b"precious").unwrap();
        for number in 0..1_000 {
            let name = folder.join(format!("{TEMPORARY}{}-{number}", std::process::id()));
            std::os::unix::fs::symlink(&victim, name).unwrap();
        }
        publish(&path, b"one").unwrap();
        assert_eq!(read(&victim, 100).unwrap().unwrap(), b"precious");
        assert_eq!(read(&path, 100).unwrap().unwrap(), b"one");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_sweep_removes_only_temporary_files() {
        let folder = folder("sweep");
        publish(&folder.join("a"), b"one").unwrap();
        File::create_new(folder.join(".tmp-1-1")).unwrap();
        sweep(&folder).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_folder_is_created_with_its_parents() {
        let folder = folder("make");
        let deep = folder.join("a/b/c");
        for _ in 0..2 {
            make_folder(&deep).unwrap();
            assert!(deep.is_dir());
        }
        publish(&folder.join("file"), b"").unwrap();
        assert!(make_folder(&folder.join("file/d")).is_err());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_bare_file_name_is_published_in_the_current_folder() {
        let name = format!("countersign-atomic-bare-{}", std::process::id());
        publish(Path::new(&name), b"one").unwrap();
        let content = read(Path::new(&name), 3).unwrap();
        fs::remove_file(&name).unwrap();
        assert_eq!(content.unwrap(), b"one");
    }

    #[test]
    fn publishing_to_a_missing_folder_fails() {
        assert!(publish(Path::new("/nowhere/at/all"), b"x").is_err());
    }
}
