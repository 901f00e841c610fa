//! Writes entries one after the other. Equal entries give equal bytes: no times, owners or modes of files.

use std::io::{self, Write};

use super::header::{self, SIZE};
use super::{Name, padding};

/// Writes a tar to `out`. For each entry: [`Self::begin`], then its bytes with [`Self::content`], then [`Self::end`].
#[derive(Debug)]
pub(in crate::bundle) struct TarWriter<W> {
    out: W,
    /// The bytes of the current entry that are still to be written, and its size.
    left: u64,
    size: u64,
}

impl<W: Write> TarWriter<W> {
    pub(in crate::bundle) fn new(out: W) -> Self {
        Self { out, left: 0, size: 0 }
    }

    /// Begins an entry of `size` bytes.
    pub(in crate::bundle) fn begin(&mut self, name: Name, size: u64) -> io::Result<()> {
        for block in header::pax(size).into_iter().flatten() {
            self.out.write_all(&block)?;
        }
        self.out.write_all(&header::file(&name.to_string(), size))?;
        (self.left, self.size) = (size, size);
        Ok(())
    }

    /// Writes the next bytes of the current entry. More than it announced is an error.
    pub(in crate::bundle) fn content(&mut self, bytes: &[u8]) -> io::Result<()> {
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or_else(|| io::Error::other("the entry is longer than announced"))?;
        self.out.write_all(bytes)
    }

    /// Ends the current entry. Fewer bytes than it announced is an error.
    pub(in crate::bundle) fn end(&mut self) -> io::Result<()> {
        if self.left > 0 {
            return Err(io::Error::other("the entry is shorter than announced"));
        }
        let padding = usize::try_from(padding(self.size)).unwrap_or(0);
        self.out.write_all(&[0; SIZE][..padding])
    }

    /// Writes a whole entry.
    pub(in crate::bundle) fn entry(&mut self, name: Name, content: &[u8]) -> io::Result<()> {
        self.begin(name, content.len() as u64)?;
        self.content(content)?;
        self.end()
    }

    /// Writes the end of the tar, and returns the output.
    pub(in crate::bundle) fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * SIZE])?;
        Ok(self.out)
    }
}
