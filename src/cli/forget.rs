//! `countersign forget`: the memory of one tag, taken out.

use clap::Args;

use crate::clock::Clock;
use crate::commands::forget::Forgettable;

use super::{ConfigFile, print, wrong};

/// Forget which image a tag had, and how new its signature was.
///
/// A gate that is running takes the tag as it is from then on, also where `on_rollback` refused it.
/// To be run as the user that the gate runs as.
/// Exit status: 0, also where nothing was remembered; 2 for an error in the configuration or the
/// image; 1 for any other.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    countersign forget registry.example.com/library/app:v1 --config countersign.toml")]
pub(super) struct Forget {
    #[arg(help = "registry/repository[:tag]")]
    image: String,
    #[command(flatten)]
    config: ConfigFile,
}

impl Forget {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let config = self.config.load()?;
        match Forgettable::parse(&self.image, &config) {
            Ok(tag) => print(&tag.forget(&config, &Clock::System)?.to_string())?,
            Err(error) => return Ok(wrong(&self.image, error)),
        }
        Ok(0)
    }
}
