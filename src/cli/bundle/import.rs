//! `countersign bundle import`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::app;
use crate::bundle::Bundle;
use crate::clock::Clock;
use crate::commands::bundle::import::accept::accept;

use super::super::{ConfigFile, print};
use super::progress::on_terminal;

/// Import a bundle into the store and the trust memory, also while a gate is running.
///
/// Judges the bundle as `bundle verify` does, and imports the images that pass: each completely or not at all. Run this
/// command as the user that the gate runs as. An interrupted import continues if it is run again.
/// Exit status: 0 every image was imported; 3 an image was refused; 4 an image could not be decided; 2 invalid
/// configuration or arguments; 1 an operation failed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign bundle import images.tar --config countersign.toml\n  \
    countersign bundle import images.tar --accept roots --config countersign.toml")]
pub(super) struct Import {
    #[arg(value_name = "FILE.tar")]
    bundle: PathBuf,
    /// Write the rules and roots that the bundle proposes to files next to the configuration, and show what differs.
    /// Nothing uses them until you name them in the configuration. Imports nothing.
    #[arg(long, value_name = "WHAT")]
    accept: Option<Accept>,
    #[command(flatten)]
    config: ConfigFile,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Accept {
    Roots,
}

impl Import {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        let config = self.config.load()?;
        match self.accept {
            Some(Accept::Roots) => {
                print(&accept(&Bundle::open(&self.bundle)?, &config)?.to_string())?;
                Ok(0)
            }
            None => {
                let (bundle, progress) = (&self.bundle, on_terminal());
                let imported =
                    app::import::import(&config, Clock::System, bundle, &progress).await?;
                print(&imported.to_string())?;
                Ok(imported.exit_status())
            }
        }
    }
}
