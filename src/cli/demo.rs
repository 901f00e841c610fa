//! `countersign demo`: a gate with signed images of every scheme in one process.

use std::io::{self, IsTerminal as _};

use clap::Args;

use crate::demo::{self, Style};

use super::OTHER_ERROR;

/// Try the gate with a built-in registry of signed and tampered images.
///
/// Covers Docker Content Trust, cosign (key and keyless) and notation. Needs no configuration, no network
/// and no root. Prints addresses and commands to try with docker, skopeo, crane and `why`, and runs until Ctrl-C.
/// Exit status: 0; with --once, 1 if a verdict is not the expected one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign demo\n  countersign demo --once")]
pub(super) struct Demo {
    /// Pull each image through the gate, print the verdicts and stop.
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
        let program = std::env::args_os().next().unwrap_or_else(|| "countersign".into());
        demo::show(&program.to_string_lossy(), style, &mut out).await?;
        Ok(0)
    }
}
