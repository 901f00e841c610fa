//! `countersign demo`: a gate with signed images of every scheme in one process, to be tried.

use std::io::{self, IsTerminal as _};

use clap::Args;

use crate::demo::{self, Style};

use super::OTHER_ERROR;

/// Try it: signed and attacked images, a registry and the gate, with nothing to set up.
///
/// It shows Docker Content Trust, cosign (key and keyless) and notation, and needs no configuration, no network
/// and no root. It prints addresses and commands to try with docker, skopeo, crane and `why`, until Ctrl-C.
/// Exit status: 0; with --once 0 if every verdict is the expected one, else 1.
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
