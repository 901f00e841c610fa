//! Publishes a file atomically: a temporary file beside it, written and synced, renamed over it, and
//! the folder synced. After a power loss the file is the old one or the new one.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// What temporary files are named with; they are no content, and may be removed at start.
pub const TEMPORARY: &str = ".tmp-";

/// Writes `content` to `path`, whose folder must be there.
///
/// # Errors
///
/// Whatever the file system says; the file at `path` is then what it was.
pub fn publish(path: &Path, content: &[u8]) -> io::Result<()> {
    publish_as(path, content, |_| Ok(()))
}

/// The same; `own` is done to the file, such as giving it to somebody, before it has its name.
pub fn publish_as(
    path: &Path,
    content: &[u8],
    own: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let unique = NEXT.fetch_add(1, Ordering::Relaxed);
    let temporary = folder.join(format!("{TEMPORARY}{}-{unique}", std::process::id()));
    let written = (|| {
        // One that a crash left may have this very name: in a container, every process is the first. A link that
        // somebody left there is not followed.
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
        // The first error is the one to tell; what cannot be removed now is removed at the next start.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Makes a folder, and those that lead to it, so that a power loss does not take them back.
pub fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    };
    make_folder(parent)?;
    make_in(parent, path)
}

/// Makes the folder `path` in the folder `parent`, which must be there.
pub(super) fn make_in(parent: &Path, path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    File::open(parent)?.sync_all()
}

/// Reads the file at `path`, of at most `most` bytes; `None` where there is none.
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
    fn what_is_published_replaces_what_was_there_and_leaves_nothing_else() {
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
    fn a_link_in_the_place_of_the_temporary_file_is_not_followed() {
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
    fn what_a_crash_left_is_swept_away_and_nothing_else() {
        let folder = folder("sweep");
        publish(&folder.join("a"), b"one").unwrap();
        File::create_new(folder.join(".tmp-1-1")).unwrap();
        sweep(&folder).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_folder_is_made_with_those_that_lead_to_it() {
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
    fn a_failed_publication_leaves_what_was_there() {
        assert!(publish(Path::new("/nowhere/at/all"), b"x").is_err());
    }
}
