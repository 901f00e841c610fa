//! `countersign trust export`: writes a script that signs what Notary v1 signs, with another scheme.

use std::io::{self, Write as _};

use clap::{Args, ValueEnum};

use super::super::{print, wrong};
use super::which::Which;
use crate::commands::content_trust::{Format, export, take};
use crate::text::escaped;
use crate::toml_reader;

/// Print a script that signs, with cosign or notation, the digests that Docker Content Trust signs.
///
/// Contains exactly the digests that verify now, with trust data that was fetched and verified within --max-age,
/// and that the registry still has. The script signs digests only and passes its own arguments to each call. Review
/// it before you run it. `list` prints one repository@digest in each line instead. What is left out is printed on
/// standard error, and in the script as a comment.
/// Exit status: 0; 3 something is refused, or nothing verifies; 4 something could not be read or decided;
/// 2 invalid configuration or arguments; 1 any other error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign trust export --for cosign --config countersign.toml > sign.sh\n  \
    sh sign.sh --key cosign.key")]
pub(super) struct Export {
    #[command(flatten)]
    which: Which,
    /// The program that signs, or `list`.
    #[arg(long = "for", value_name = "FORMAT")]
    format: Signer,
    /// How old trust data may be, such as 1h or 7d.
    #[arg(long, value_name = "TIME", default_value = "24h")]
    max_age: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Signer {
    Cosign,
    Notation,
    List,
}

impl Export {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        let max_age = match toml_reader::duration(&self.max_age) {
            Ok(max_age) => max_age,
            Err(error) => return Ok(wrong("--max-age", error)),
        };
        let chosen = match self.which.choose().await? {
            Ok(chosen) => chosen,
            Err(status) => return Ok(status),
        };
        let format = match self.format {
            Signer::Cosign => Format::Cosign,
            Signer::Notation => Format::Notation,
            Signer::List => Format::List,
        };
        let inventory = take(&chosen.app.gate(), chosen.scope, &[]).await;
        let exported = export(&inventory, format, max_age, chosen.app.clock().now());
        print(&exported.text)?;
        for why in &exported.left_out {
            writeln!(io::stderr(), "countersign: left out: {}", escaped(why))?;
        }
        Ok(exported.exit_status())
    }
}
