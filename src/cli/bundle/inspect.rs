//! `countersign bundle inspect`.

use std::path::PathBuf;

use clap::Args;

use crate::bundle::Bundle;
use crate::commands::bundle::Inspected;

use super::super::print;

/// Show what a bundle contains, who signed it, and when its proofs expire.
///
/// Shows what the exporter states and verifies no signature; `countersign bundle verify` does.
/// Exit status: 0; 1 the file cannot be read or is not a bundle.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign bundle inspect images.tar")]
pub(super) struct Inspect {
    #[arg(value_name = "FILE.tar")]
    file: PathBuf,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let inspected = Inspected::of(&Bundle::open(&self.file)?);
        print(&match self.json {
            true => serde_json::to_string_pretty(&inspected)? + "\n",
            false => inspected.to_string(),
        })?;
        Ok(0)
    }
}
