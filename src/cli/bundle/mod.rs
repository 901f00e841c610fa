//! `countersign bundle`: carries images with all their proofs in one file.

mod create;
mod import;
mod inspect;
mod progress;
mod verify;

use clap::{Args, Subcommand};

/// Carry images and their signatures in one file to a site without a network.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign bundle create -o images.tar --image registry.example.com/app:v1 --config countersign.toml\n  \
    countersign bundle verify images.tar --config countersign.toml")]
pub(super) struct Bundle {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Create(Box<create::Create>),
    Inspect(inspect::Inspect),
    Verify(verify::Verify),
    Import(import::Import),
}

impl Bundle {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        match self.command {
            Command::Create(create) => create.run().await,
            Command::Inspect(inspect) => inspect.run(),
            Command::Verify(verify) => verify.run().await,
            Command::Import(import) => Box::pin(import.run()).await,
        }
    }
}
