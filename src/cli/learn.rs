//! `countersign learn`: proposes rules from recorded pulls.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use crate::app::{App, Keeping};
use crate::clock::Clock;
use crate::commands::learn::{Current, Repositories, look, propose};

use super::{print, replay, wrong};

/// Propose rules from recorded pulls.
///
/// Prints a configuration with comments; read it before you use it. Unsigned images appear only in comments, with
/// their number of pulls. With --config, the proposal is the current configuration with new rules, and this
/// command searches the registry and the Notary servers for signatures of the unsigned images.
/// Exit status: 0; 2 invalid configuration or unreadable log; 1 any other error.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    countersign learn audit.log --config countersign.toml > proposed.toml")]
pub(super) struct Learn {
    /// Audit logs (JSON lines); `-` is standard input.
    #[arg(value_name = "AUDIT.LOG", required = true)]
    logs: Vec<PathBuf>,
    /// Current configuration.
    #[arg(long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Learn {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        let current = self.config.as_deref().map(Current::load).transpose()?;
        let (pulls, tally) = match replay::read(&self.logs) {
            Ok(read) => read,
            Err((log, error)) => return Ok(wrong(&log, error)),
        };
        let seen = Repositories::of(&pulls);
        let found = match &current {
            Some(current) => {
                let app = App::new(&current.config, Clock::System, Keeping::OnlyRead)?;
                look(&seen, current, &app.gate()).await
            }
            None => BTreeMap::new(),
        };
        if tally.unreadable > 0 || pulls.left_out() > 0 {
            tracing::warn!(
                unreadable_lines = tally.unreadable,
                left_out = pulls.left_out(),
                "parts of the log could not be read"
            );
        }
        print(&propose(&seen, current.as_ref(), &found))?;
        Ok(0)
    }
}
