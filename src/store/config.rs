//! `[store]`: the folder of trust memory and content, and the maximum size of the content.

use std::path::PathBuf;
use std::time::Duration;

use crate::toml_reader::Section;

const DEFAULT_MAX_SIZE: u64 = 20 << 30;
const DEFAULT_SCRUB_EVERY: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A shorter interval would mean reading all the time.
const LEAST_SCRUB_EVERY: Duration = Duration::from_secs(1);

/// The configuration of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The folder; created if it is missing.
    pub path: PathBuf,
    /// The maximum size of all content, in bytes.
    pub max_size: u64,
    /// How often content is scrubbed.
    pub scrub_every: Duration,
}

impl Config {
    /// Reads `[store]`.
    pub fn read(section: &Section<'_>) -> Option<Self> {
        if !section.has("path") {
            section.wrong("", "set `path`: the folder of the store and the trust memory");
        }
        let path = section.path("path");
        let max_size = section.size("max_size").unwrap_or(DEFAULT_MAX_SIZE);
        let scrub_every = section.duration("scrub_every").unwrap_or(DEFAULT_SCRUB_EVERY);
        if scrub_every < LEAST_SCRUB_EVERY {
            section.wrong("scrub_every", "must be at least \"1s\"");
        }
        section.finish();
        Some(Self { path: path?, max_size, scrub_every })
    }
}
