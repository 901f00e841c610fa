//! Identifies the configuration of an anchor, as far as a verdict depends on it.

use crate::oci::Digest;

use super::anchor::Config;

impl Config {
    /// The digest of everything that a verdict depends on besides the metadata, the image and the time. It may change with
    /// the version of this program.
    pub fn fingerprint(&self) -> Digest {
        let Self { template, pins, signers, wildcard_root_names, .. } = self;
        let Self { max_timestamp_life, revoked, exporters, frozen, .. } = self;
        let frozen = frozen.as_ref().map(|archive| (archive.since(), archive.until()));
        let parts = (template, pins, signers, wildcard_root_names, max_timestamp_life, revoked);
        let parts = (parts, exporters, frozen);
        let version = concat!("countersign notaryv1 ", env!("CARGO_PKG_VERSION"));
        Digest::of(format!("{version} {parts:?}").as_bytes())
    }
}
