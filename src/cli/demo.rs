//! `countersign demo`: everything in this process, to be tried.

use std::io::{self, IsTerminal as _};

use clap::Args;

use crate::demo::{self, Style};

use super::OTHER_ERROR;

/// A registry and a Notary server in this process, with signed and unsigned images, and the gate
/// before them: no configuration, no network, no root.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign demo --once")]
pub(super) struct Demo {
    /// Pull each image through the gate, print the verdicts and stop. Exit status: 0 if every
    /// verdict is the expected one, 1 otherwise.
    #[arg(long)]
    pub(super) once: bool,
}

impl Demo {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        let mut out = io::stdout();
        let plain = !out.is_terminal() || std::env::var_os("NO_COLOR").is_some();
        let style = if plain { Style::Plain } else { Style::Coloured };
        if self.once {
            let expected = demo::once(style, &mut out).await?;
            return Ok(if expected { 0 } else { OTHER_ERROR });
        }
        demo::show(style, &mut out).await?;
        Ok(0)
    }
}
