//! `countersign why`: explains the decision about one image, made here or by a running gate.

use clap::Args;
use url::Url;

use crate::app::{App, Keeping};
use crate::clock::Clock;
use crate::commands::why::{Explanation, exit_status, explain};
use crate::server::Names;

use super::admin_client::{listener, page, parsed};
use super::{ConfigFile, print, wrong};

/// Explain why an image is admitted or denied.
///
/// Makes the complete decision for one image, or with --gate asks a running gate for it.
/// Exit status: 0 admitted; 3 refused or absent; 4 undecided; 2 invalid configuration or image; 1 any other error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign why registry.example.com/library/app:v1 --config countersign.toml\n  \
    countersign why registry.example.com/library/app:v1 --gate http://127.0.0.1:5051")]
pub(super) struct Why {
    #[arg(help = "[GATE/][registry/]repository[:tag][@digest], as a client shows it")]
    image: String,
    #[command(flatten)]
    source: Source,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Who makes the decision.
#[derive(Debug, Args)]
struct Source {
    #[command(flatten)]
    config: ConfigFile,
    /// Admin listener of a running gate, which makes the decision. Without it, this command makes the decision.
    #[arg(long, value_name = "URL", value_parser = listener, conflicts_with = "file")]
    gate: Option<Url>,
}

impl Why {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        if let Err(error) = Names::default().called(&self.image) {
            return Ok(wrong(&self.image, error));
        }
        let explanation = match self.source.gate {
            Some(gate) => match ask(&gate, &self.image).await? {
                Ok(explanation) => *explanation,
                Err(error) => return Ok(wrong(&self.image, error)),
            },
            None => {
                let app = App::new(&self.source.config.load()?, Clock::System, Keeping::OnlyRead)?;
                match app.image(&self.image) {
                    Ok(image) => explain(&app.gate(), &image).await,
                    Err(error) => return Ok(wrong(&self.image, error)),
                }
            }
        };
        if self.json {
            print(&(serde_json::to_string_pretty(&explanation)? + "\n"))?;
        } else {
            print(&explanation.to_text())?;
        }
        Ok(exit_status(&explanation))
    }
}

/// The explanation of the gate whose admin listener is `gate`, or its error if `image` is not a name. The gate knows
/// the names that its clients use.
async fn ask(gate: &Url, image: &str) -> anyhow::Result<Result<Box<Explanation>, String>> {
    match page(gate, "/why", &[("image", image)]).await? {
        Ok(body) => parsed(gate, &body).map(Ok),
        Err(error) => Ok(Err(error)),
    }
}
