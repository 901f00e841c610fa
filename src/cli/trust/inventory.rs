//! `countersign trust inventory`: lists what Notary v1 signs, and what has another signature.

use clap::Args;

use super::super::print;
use super::which::{Which, others};
use crate::commands::content_trust::take;

/// List what Docker Content Trust signs, and whether another anchor accepts a signature of the same digest.
///
/// Lists each tag, digest, signer, key and expiry under the anchors with scheme = "notaryv1". Queries their Notary
/// servers, and searches the registries for signatures that the cosign and notation anchors accept. The
/// repositories are those of the trust memory, of rules that name one, and those given here.
/// Exit status: 0 the list is complete; 4 something could not be read or decided, and is shown as such;
/// 2 invalid configuration or arguments; 1 any other error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign trust inventory --config countersign.toml\n  \
    countersign trust inventory --csv --from-audit audit.log --config countersign.toml > inventory.csv")]
pub(super) struct Inventory {
    #[command(flatten)]
    which: Which,
    /// Print one JSON object instead of text.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV for spreadsheets instead of text.
    #[arg(long)]
    csv: bool,
}

impl Inventory {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        let chosen = match self.which.choose().await? {
            Ok(chosen) => chosen,
            Err(status) => return Ok(status),
        };
        let gate = chosen.app.gate();
        let inventory = take(&gate, chosen.scope, &others(&gate)).await;
        print(&match (self.json, self.csv) {
            (true, _) => serde_json::to_string_pretty(&inventory)? + "\n",
            (false, true) => inventory.to_csv(),
            (false, false) => inventory.to_string(),
        })?;
        Ok(inventory.exit_status())
    }
}
