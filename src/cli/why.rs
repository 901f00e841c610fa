//! `countersign why`: the decision about one image.

use clap::Args;

use crate::app::{App, Keeping};
use crate::clock::Clock;
use crate::explain::{exit_status, explain};
use crate::oci::ImageRef;

use super::{ConfigFile, print, wrong};

/// Take the whole decision about one image, and explain it.
///
/// Exit status: 0 admitted; 3 refused or absent; 4 undecided; 2 for an error in the configuration.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    countersign why registry.example.com/library/app:v1 --config countersign.toml")]
pub(super) struct Why {
    #[arg(help = "registry/repository[:tag][@digest]")]
    image: String,
    #[command(flatten)]
    config: ConfigFile,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

impl Why {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        let config = self.config.load()?;
        let image: ImageRef = match self.image.parse() {
            Ok(image) => image,
            Err(error) => return Ok(wrong(&self.image, error)),
        };
        let app = App::new(&config, Clock::System, Keeping::OnlyRead)?;
        let explanation = explain(&app.gate(), &image).await;
        if self.json {
            print(&(serde_json::to_string_pretty(&explanation)? + "\n"))?;
        } else {
            print(&explanation.to_text())?;
        }
        Ok(exit_status(&explanation))
    }
}
