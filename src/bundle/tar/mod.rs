//! The tar format of a bundle: ustar entries for regular files with known names, and PAX only for a size that ustar
//! cannot hold.
//!
//! # Why our own code
//!
//! The `tar` crate reads what any tool may have written: links, devices, sparse files, GNU long names, PAX records that
//! replace names and sizes. A bundle needs none of them, and each is a way to make two readers see different files. A
//! reader that accepts only what [`mod@write`] produces is shorter than a check of everything that the crate accepts, and
//! it reads the headers through an offset table instead of a stream. `write` is the same page of code in reverse.

mod header;
pub(super) mod read;
pub(super) mod write;

use std::fmt;
use std::str::FromStr;

use crate::oci::{Algorithm, Digest};

/// The unit of a tar file in bytes: a header, and the padding of content.
const BLOCK: u64 = 512;
/// The most entries of one bundle.
pub const MAX_ENTRIES: usize = 200_000;
/// The largest size that the header of an entry holds: 11 octal digits. A larger one has a PAX record.
const MAX_USTAR: u64 = (1 << 33) - 1;

/// The name of an entry. A bundle contains no other files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// `oci-layout`: marks an OCI image layout.
    OciLayout,
    /// `index.json`: lists the manifests.
    Index,
    /// `manifest.json`: for `docker load`. Countersign does not read it.
    DockerManifest,
    /// `blobs/sha256/<hex>`: content.
    Blob(Digest),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OciLayout => f.write_str("oci-layout"),
            Self::Index => f.write_str("index.json"),
            Self::DockerManifest => f.write_str("manifest.json"),
            Self::Blob(digest) => {
                write!(f, "blobs/{}/{}", digest.algorithm().name(), digest.hex())
            }
        }
    }
}

/// The text is not the name of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownName;

impl FromStr for Name {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        match text {
            "oci-layout" => Ok(Self::OciLayout),
            "index.json" => Ok(Self::Index),
            "manifest.json" => Ok(Self::DockerManifest),
            other => {
                let hex = other.strip_prefix("blobs/sha256/").ok_or(UnknownName)?;
                let digest: Digest = format!("sha256:{hex}").parse().map_err(|_| UnknownName)?;
                debug_assert_eq!(digest.algorithm(), Algorithm::Sha256);
                Ok(Self::Blob(digest))
            }
        }
    }
}

/// The bytes of padding after content of `size` bytes.
const fn padding(size: u64) -> u64 {
    (BLOCK - size % BLOCK) % BLOCK
}

#[cfg(test)]
mod tests;
