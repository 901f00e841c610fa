//! `[store]`: where trust memory and content are, and how much of it there may be.

use std::path::PathBuf;
use std::time::Duration;

use crate::toml_reader::Section;

const DEFAULT_MAX_SIZE: u64 = 20 << 30;
const DEFAULT_SCRUB_EVERY: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// More often, it would be read all the time.
const LEAST_SCRUB_EVERY: Duration = Duration::from_secs(1);

/// What an operator says of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The folder; made if it is missing.
    pub path: PathBuf,
    /// The most bytes of content.
    pub max_size: u64,
    /// How old the last look at content may become before it is read again.
    pub scrub_every: Duration,
}

impl Config {
    /// Reads `[store]`.
    pub fn read(section: &Section<'_>) -> Option<Self> {
        if !section.has("path") {
            section.wrong("", "`path` must be given: the folder of the trust memory");
        }
        let path = section.path("path");
        let max_size = section.size("max_size").unwrap_or(DEFAULT_MAX_SIZE);
        let scrub_every = section.duration("scrub_every").unwrap_or(DEFAULT_SCRUB_EVERY);
        if scrub_every < LEAST_SCRUB_EVERY {
            section.wrong("scrub_every", "content is read again after \"1s\" at the earliest");
        }
        section.finish();
        Some(Self { path: path?, max_size, scrub_every })
    }
}
