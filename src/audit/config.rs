//! `[audit]`: the audit file and its rotation.

use std::path::PathBuf;

use crate::toml_reader::Section;

const DEFAULT_MAX_SIZE: u64 = 100 << 20;
/// A smaller limit would rotate the file all the time.
const LEAST_MAX_SIZE: u64 = 64 << 10;
const DEFAULT_KEEP: u64 = 10;
const MOST_KEEP: u64 = 1_000;

/// The settings of the audit file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file; its folder must exist.
    pub path: PathBuf,
    /// The most bytes of one file. A line that would exceed it starts the next file.
    pub max_size: u64,
    /// How many rotated files are kept: `audit.jsonl.1` is the newest.
    pub keep: u64,
}

impl Config {
    /// Reads `[audit]`.
    pub fn read(section: &Section<'_>) -> Option<Self> {
        if !section.has("path") {
            section.wrong("", "`path` is required: the file to write decisions to");
        }
        let path = section.path("path");
        let max_size = section.size("max_size").unwrap_or(DEFAULT_MAX_SIZE);
        if max_size < LEAST_MAX_SIZE {
            section.wrong("max_size", "must be at least \"64KiB\"");
        }
        let keep = section.count("keep", 1, MOST_KEEP).unwrap_or(DEFAULT_KEEP);
        section.finish();
        Some(Self { path: path?, max_size, keep })
    }

    /// A summary in one line.
    pub fn summary(&self) -> String {
        let Self { path, max_size, keep } = self;
        let mib = max_size >> 20;
        format!("{}, rotated at {mib} MiB, keeps {keep} rotated files", path.display())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::toml_reader::{Document, Problems};

    use super::*;

    fn read(text: &str) -> Result<Config, Problems> {
        let document = Document::from_text(Path::new("/etc/c.toml"), text.to_owned());
        document.read(|top| Config::read(&top.section("audit")?))
    }

    #[test]
    fn only_a_path_is_required_and_it_is_relative_to_the_configuration() {
        let config = read("[audit]\npath = \"audit.jsonl\"").unwrap();
        let path = PathBuf::from("/etc/audit.jsonl");
        assert_eq!(config, Config { path, max_size: 100 << 20, keep: 10 });
    }

    #[test]
    fn every_wrong_value_is_reported() {
        let text = "[audit]\nmax_size = \"1KiB\"\nkeep = 0\nrotate = \"daily\"";
        let message = read(text).unwrap_err().to_string();
        for words in [
            ":1: `audit`: `path` is required",
            ":2: `audit.max_size`: must be at least \"64KiB\"",
            ":3: `audit.keep`: expected a whole number from 1 to 1000, found 0",
            ":4: `audit.rotate`: unknown key",
        ] {
            assert!(message.contains(words), "{words}: {message}");
        }
    }
}
