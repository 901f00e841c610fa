//! `countersign replay`: judges recorded pulls under another configuration.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::Args;

use crate::app::{App, Keeping};
use crate::audit::reader::{self, Pulls, Tally};
use crate::clock::Clock;
use crate::commands::replay::replay;

use super::{ConfigFile, print, wrong};

/// The number of images between two updates of the progress line.
const PROGRESS: usize = 10;

/// Judge recorded pulls under another configuration and print what would change.
///
/// The logs are audit files or JSON logs of a gate; rotated files may be given together, in any order.
/// Each image is judged once, by its recorded digest and the current trust data, without exemptions and
/// `on_unsigned`. This command queries the registry and the Notary servers.
/// Exit status: 0 no served pull would be denied; 3 a served pull would be denied; 4 a pull could not be decided,
/// or the logs contain no decisions; 2 invalid configuration or unreadable log.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign replay --config new.toml audit.log.1 audit.log\n  \
    zcat audit.log.*.gz | countersign replay --config new.toml - --json")]
pub(super) struct Replay {
    /// Audit logs (JSON lines); `-` is standard input.
    #[arg(value_name = "AUDIT.LOG", required = true)]
    logs: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigFile,
    /// Print one JSON object with every image instead of text.
    #[arg(long)]
    json: bool,
}

impl Replay {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        let config = self.config.load()?;
        let (pulls, tally) = match read(&self.logs) {
            Ok(read) => read,
            Err((log, error)) => return Ok(wrong(&log, error)),
        };
        let app = App::new(&config, Clock::System, Keeping::OnlyRead)?;
        let all = pulls.len();
        let shows = io::stderr().is_terminal();
        let progress = |done: usize| {
            if shows && (done.is_multiple_of(PROGRESS) || done == all) {
                let end = if done == all { "\n" } else { "" };
                // Progress is optional: a failure to write it is no error.
                let _ = write!(io::stderr(), "\rjudged {done} of {all} images{end}");
            }
        };
        let replayed = replay(&app.gate(), pulls, tally, progress).await;
        if self.json {
            print(&(serde_json::to_string_pretty(&replayed)? + "\n"))?;
        } else {
            print(&replayed.to_string())?;
        }
        Ok(replayed.exit_status())
    }
}

/// Reads every log. The error names the log that cannot be read, or all logs if no line is a decision.
pub(super) fn read(logs: &[PathBuf]) -> Result<(Pulls, Tally), (String, io::Error)> {
    let (mut pulls, mut tally) = (Pulls::default(), Tally::default());
    for log in logs {
        let read = if log.as_os_str() == "-" {
            reader::read(io::stdin().lock(), &mut pulls, &mut tally)
        } else {
            let opened = File::open(log).map(BufReader::new);
            opened.and_then(|log| reader::read(log, &mut pulls, &mut tally))
        };
        read.map_err(|error| (log.display().to_string(), error))?;
    }
    if tally.verdicts == 0 && tally.unreadable > 0 {
        let logs: Vec<_> = logs.iter().map(|log| log.display().to_string()).collect();
        let expected = "no line is a decision: give the file of `[audit] path`, or the JSON log that `serve` writes to \
                    standard error if that is not a terminal";
        return Err((logs.join(" "), io::Error::new(io::ErrorKind::InvalidData, expected)));
    }
    Ok((pulls, tally))
}
