//! A published file in memory. Contains the only `unsafe` code of this program.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use memmap2::{Mmap, MmapOptions};

/// Files up to this length are read: that costs less than mapping and unmapping them.
const MAX_READ: u64 = 64 << 10;

/// All bytes of a file that nobody changes.
#[derive(Debug)]
pub(super) enum Mapped {
    Read(Vec<u8>),
    Map(Mmap),
}

impl Mapped {
    /// Reads or maps the first `length` bytes of `file`. The file must have at least that many, be content
    /// that has its final name or will get it, and no longer be written.
    pub(super) fn of(file: &File, length: u64) -> io::Result<Self> {
        let too_long = |_| io::Error::from(io::ErrorKind::FileTooLarge);
        let size = usize::try_from(length).map_err(too_long)?;
        if length <= MAX_READ {
            let mut content = vec![0; size];
            file.read_exact_at(&mut content, 0)?;
            return Ok(Self::Read(content));
        }
        #[expect(unsafe_code, reason = "a mapping lets the kernel decide which pages a hit reads")]
        // SAFETY: the bytes must not change while the slice is alive. Only the process that holds the
        // store's lock writes a file of the store, once, under a temporary name. The file gets its name in
        // `content/` when it is complete. From then on it is only renamed and unlinked, which does not
        // change the mapping. It is never truncated or written again, and its mode is 0444. A user who can
        // change it anyway (the same user, or root) can also change this process. Then a client gets other
        // bytes, and finds that their digest is wrong. If the file was truncated, a read beyond its new end
        // makes the kernel's `write` fail, or ends this process with SIGBUS, as an unreadable disk does.
        // Neither serves a denied image, and the next start finds the wrong length and quarantines the file.
        let map = unsafe { MmapOptions::new().len(size).map(file)? };
        Ok(Self::Map(map))
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Read(content) => content,
            Self::Map(map) => map,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    fn file(name: &str, content: &[u8]) -> (std::path::PathBuf, File) {
        let path =
            std::env::temp_dir().join(format!("countersign-mapped-{name}-{}", std::process::id()));
        File::create(&path).unwrap().write_all(content).unwrap();
        let file = File::open(&path).unwrap();
        (path, file)
    }

    #[test]
    fn a_file_has_the_same_bytes_whether_it_is_read_or_mapped() {
        for length in [0, 1, MAX_READ, MAX_READ + 1] {
            let content: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let (path, file) = file(&length.to_string(), &content);
            let mapped = Mapped::of(&file, length).unwrap();
            assert_eq!(matches!(mapped, Mapped::Read(_)), length <= MAX_READ);
            assert_eq!(mapped.as_ref(), content);
            fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn a_mapping_outlives_its_file() {
        let content = vec![7; 1 << 20];
        let (path, file) = file("outlives", &content);
        let mapped = Mapped::of(&file, 1 << 20).unwrap();
        drop(file);
        fs::remove_file(&path).unwrap();
        File::create(&path).unwrap().write_all(b"another").unwrap();
        assert_eq!(mapped.as_ref(), content);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_that_is_too_short_is_an_error() {
        let (path, file) = file("short", b"abc");
        assert!(Mapped::of(&file, 4).is_err());
        fs::remove_file(path).unwrap();
    }
}
