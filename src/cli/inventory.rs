//! `countersign inventory`: lists what this side has.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::commands;

use super::{ConfigFile, print};

/// List the content and the trust data that this side has.
///
/// Carry the file back to the side that writes bundles: `countersign bundle create --have FILE` then leaves out the
/// layers that are already here. A running gate is not affected.
/// Exit status: 0; 2 invalid configuration; 1 any other error.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    countersign inventory -o inventory.json --config countersign.toml")]
pub(super) struct Inventory {
    /// The file to write (JSON).
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    config: ConfigFile,
}

impl Inventory {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let config = self.config.load()?;
        let inventory = commands::inventory::Inventory::of(&config)
            .with_context(|| format!("cannot read the store {}", config.store.path.display()))?;
        let path = self.output.display();
        inventory.write(&self.output).with_context(|| format!("cannot write {path}"))?;
        let (content, repositories) = inventory.counts();
        print(&format!(
            "wrote {path}: {content} digests, trust memory of {repositories} repositories\n"
        ))?;
        Ok(0)
    }
}
