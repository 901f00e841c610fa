//! The denials given lately, by the digests that they named: a client that was given a denial's manifest
//! for a tag asks for it again by its digest, and some for its config. What is forgotten here is denied
//! as any other digest is.

use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::MirrorDenial;
use super::manifest::DenialManifest;
use super::message::Message;
use crate::oci::Digest;

/// How much memory they may take, in bytes.
const MAX_BYTES: u64 = 4 << 20;
/// What one takes beside its own bytes, about.
const OVERHEAD: usize = 256;
/// How long they are remembered: clients ask again at once.
const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// What a digest stands for.
#[derive(Clone, Debug)]
pub(in crate::server) enum Remembered {
    Manifest(DenialManifest),
    /// The config of a denial's manifest, and what that told.
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
            // The newest are the ones that are asked for.
            .eviction_policy(EvictionPolicy::lru());
        Self(cache.build())
    }

    /// That `denial` was told with `manifest`.
    pub(in crate::server) fn remember(&self, denial: &MirrorDenial, manifest: &DenialManifest) {
        self.0.insert(manifest.config(), Remembered::Config(denial.0.clone()));
        self.0.insert(manifest.digest(), Remembered::Manifest(manifest.clone()));
    }

    pub(in crate::server) fn find(&self, digest: &Digest) -> Option<Remembered> {
        self.0.get(digest)
    }
}
