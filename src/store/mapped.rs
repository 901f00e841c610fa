//! A published file in memory: the one place of this program that the compiler does not check.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use memmap2::{Mmap, MmapOptions};

/// Up to this length a file is read: that costs less than to map it, and to unmap it again.
const MAX_READ: u64 = 64 << 10;

/// The whole of a file that nobody changes.
#[derive(Debug)]
pub(super) enum Mapped {
    Read(Vec<u8>),
    Map(Mmap),
}

impl Mapped {
    /// The first `length` bytes of `file`, which has as many, is content under its final name, or
    /// will be, and is written by nobody any more.
    pub(super) fn of(file: &File, length: u64) -> io::Result<Self> {
        let too_long = |_| io::Error::from(io::ErrorKind::FileTooLarge);
        let size = usize::try_from(length).map_err(too_long)?;
        if length <= MAX_READ {
            let mut content = vec![0; size];
            file.read_exact_at(&mut content, 0)?;
            return Ok(Self::Read(content));
        }
        #[expect(
            unsafe_code,
            reason = "a mapping: what a hit costs is then up to the kernel alone"
        )]
        // SAFETY: the bytes must not change while the slice is alive. A file of the store is written
        // once, under another name, by the one process that holds the store's lock; its name in
        // `content/` is given to it when it is complete, and from then on it is only ever renamed and
        // unlinked, which leaves what is mapped as it is. It is never truncated nor written again, and
        // its mode is 0444. Whoever changes it all the same, as the same user or as root, can change
        // this process, too: a client then gets other bytes, whose digest it finds wrong; where the
        // file was cut short, a read beyond its new end is an error of the kernel's `write`, or ends
        // this process with SIGBUS, as a disk does that cannot be read. Neither lets in what was
        // refused, and the next start finds the length wrong and sets the file aside.
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
    fn what_is_in_memory_is_what_is_in_the_file_whether_it_is_read_or_mapped() {
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
    fn what_is_mapped_outlives_its_file() {
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
    fn what_is_shorter_than_it_should_be_is_not_read() {
        let (path, file) = file("short", b"abc");
        assert!(Mapped::of(&file, 4).is_err());
        fs::remove_file(path).unwrap();
    }
}
