//! `countersign exempt`: break-glass for one digest.

use std::time::Duration;

use clap::Args;

use crate::clock::{Clock, Timestamp};
use crate::commands::exempt::{Exemptible, Listed};
use crate::exemptions::{ExemptionFile, ExemptionsError};
use crate::toml_reader;

use super::{CONFIG_ERROR, ConfigFile, failed, print, wrong};

/// Break glass: serve one unsigned digest for a limited time.
///
/// Writes the exemption, its author and its reason to `exemptions/exemptions.json` in the store. A running gate
/// applies it within two seconds, logs it, counts each use, and ends it automatically. Deny rules still
/// apply. Run this command as the user that the gate runs as.
/// Exit status: 0; 2 invalid configuration or arguments; 1 any other error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign exempt registry.example.com/app@sha256:<64 hex digits> --reason \"OPS-12: signer is down\" \
    --for 2h --config countersign.toml\n  \
    countersign exempt registry.example.com/app@sha256:<64 hex digits> --end --config countersign.toml\n  \
    countersign exempt --list --config countersign.toml")]
pub(super) struct Exempt {
    #[arg(help = "registry/repository@digest", required_unless_present = "list")]
    image: Option<String>,
    /// Why the image is exempted; required, and shown in the log.
    #[arg(long, value_name = "TEXT", required_unless_present_any = ["list", "end"])]
    reason: Option<String>,
    /// How long the exemption lasts, such as 30m or 2h; at most 7d.
    #[arg(long = "for", value_name = "TIME", required_unless_present_any = ["list", "end"])]
    lasts: Option<String>,
    /// End the exemption of this digest now.
    #[arg(long, conflicts_with_all = ["reason", "lasts", "list"])]
    end: bool,
    /// List the exemptions in force.
    #[arg(long, conflicts_with_all = ["image", "reason", "lasts"])]
    list: bool,
    /// With --list, print one JSON object instead of text.
    #[arg(long, requires = "list")]
    json: bool,
    #[command(flatten)]
    config: ConfigFile,
}

impl Exempt {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let config = self.config.load()?;
        let now = Clock::System.now();
        let file = ExemptionFile::below(&config.store.path);
        let Some(image) = &self.image else {
            let listed = Listed::of(&file, now)?;
            let json = || serde_json::to_string_pretty(&listed).map(|json| json + "\n");
            print(&if self.json { json()? } else { listed.to_string() })?;
            return Ok(0);
        };
        let exemptible = match Exemptible::parse(image, &config, now) {
            Ok(exemptible) => exemptible,
            Err(error) => return Ok(wrong(image, error)),
        };
        if self.end {
            print(&match exemptible.end(&file)? {
                Some(ended) => format!(
                    "ended the exemption of {image}, which was valid until {:#}\n",
                    ended.says().until
                ),
                None => format!("{image} was not exempted\n"),
            })?;
            return Ok(0);
        }
        self.exempt(&file, exemptible, now)
    }

    fn exempt(
        &self,
        file: &ExemptionFile,
        exemptible: Exemptible,
        now: Timestamp,
    ) -> anyhow::Result<u8> {
        let text = self.lasts.as_deref().unwrap_or_default();
        let lasts: Duration = match toml_reader::duration(text) {
            Ok(lasts) => lasts,
            Err(error) => return Ok(wrong("--for", error)),
        };
        let reason = self.reason.as_deref().unwrap_or_default();
        match exemptible.exempt(file, (reason, &who()), now, lasts) {
            Ok(made) => {
                let (image, config) = (self.image.as_deref(), self.config.path());
                let config = config.display();
                let image = image.unwrap_or_default();
                let end = format!("countersign exempt {image} --end --config {config}");
                print(&format!("{made}to end it earlier: {end}\n"))?;
            }
            Err(ExemptionsError::Unfit(unfit)) => {
                // If standard error is closed, only the exit status reports the failure.
                let _ = failed(CONFIG_ERROR, &unfit.to_string());
                return Ok(CONFIG_ERROR);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(0)
    }
}

/// The user who runs this command, as far as the system knows.
fn who() -> String {
    let uid = rustix::process::getuid().as_raw();
    let variable = |name| std::env::var(name).ok().filter(|name| !name.is_empty());
    match (variable("SUDO_USER"), variable("USER")) {
        (Some(user), _) => format!("{user}, by sudo (uid {uid})"),
        (None, Some(user)) => format!("{user} (uid {uid})"),
        (None, None) => format!("uid {uid}"),
    }
}
