//! Recent denials, by the digests in their manifests: a client that received a denial's manifest for a tag requests it
//! again by digest, and some request its config. A digest that is no longer remembered is treated like any
//! other.

use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::MirrorDenial;
use super::manifest::DenialManifest;
use super::message::Message;
use crate::oci::Digest;

/// The most memory for all entries, in bytes.
const MAX_BYTES: u64 = 4 << 20;
/// The approximate overhead of one entry, in bytes.
const OVERHEAD: usize = 256;
/// How long a denial is remembered; clients request it again at once.
const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// What a digest refers to.
#[derive(Clone, Debug)]
pub(in crate::server) enum Remembered {
    Manifest(DenialManifest),
    /// The config of a denial's manifest, with the message.
    Config(Message),
}

#[derive(Clone, Debug)]
pub(in crate::server) struct Memory(Cache<Digest, Remembered>);

impl Memory {
    pub(in crate::server) fn new() -> Self {
        let weigh = |_: &Digest, remembered: &Remembered| {
            let length = match remembered {
                Remembered::Manifest(manifest) => manifest.len(),
                Remembered::Config(message) => message.as_str().len(),
            };
            u32::try_from(length + OVERHEAD).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder()
            .max_capacity(MAX_BYTES)
            .weigher(weigh)
            .time_to_live(LIFETIME)
            // Clients request the newest ones.
            .eviction_policy(EvictionPolicy::lru());
        Self(cache.build())
    }

    /// Remembers that `denial` was answered with `manifest`.
    pub(in crate::server) fn remember(&self, denial: &MirrorDenial, manifest: &DenialManifest) {
        self.0.insert(manifest.config(), Remembered::Config(denial.0.clone()));
        self.0.insert(manifest.digest(), Remembered::Manifest(manifest.clone()));
    }

    pub(in crate::server) fn find(&self, digest: &Digest) -> Option<Remembered> {
        self.0.get(digest)
    }
}
