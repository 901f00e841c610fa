//! `countersign bundle verify`.

use std::path::PathBuf;

use clap::Args;

use crate::app;
use crate::clock::Clock;
use crate::toml_reader;

use super::super::{ConfigFile, print, wrong};
use super::progress::on_terminal;

/// Judge a bundle with this configuration, without any connection.
///
/// Uses the roots, rules, trust memory and clock of this side, and compares all content with its digests.
/// Exit status: 0 every image passes; 3 an image is refused, content is missing, or an endorsement expires within
/// --warn; 4 an image could not be decided; 2 invalid configuration or arguments; 1 the file is not a valid bundle.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    countersign bundle verify images.tar --warn 14d --config countersign.toml")]
pub(super) struct Verify {
    #[arg(value_name = "FILE.tar")]
    bundle: PathBuf,
    /// Report endorsements that expire within this time, such as 14d.
    #[arg(long, value_name = "TIME")]
    warn: Option<String>,
    #[command(flatten)]
    config: ConfigFile,
}

impl Verify {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        let config = self.config.load()?;
        let warn = match self.warn.as_deref().map(toml_reader::duration).transpose() {
            Ok(time) => time,
            Err(error) => return Ok(wrong("--warn", error)),
        };
        let (bundle, progress) = (&self.bundle, on_terminal());
        let verified = app::import::verify(&config, Clock::System, bundle, warn, &progress).await?;
        print(&verified.to_string())?;
        Ok(verified.exit_status())
    }
}
