//! `countersign forget`: removes the history of one tag.

use clap::Args;

use crate::clock::Clock;
use crate::commands::forget::Forgettable;

use super::{ConfigFile, print, wrong};

/// Forget the last digest of a tag and the time of its signature.
///
/// A running gate then accepts the tag as it is now, also if `on_rollback = "refuse"` denied it before.
/// Run this command as the user that the gate runs as.
/// Exit status: 0, also if nothing was remembered; 2 invalid configuration or image; 1 any other error.
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
