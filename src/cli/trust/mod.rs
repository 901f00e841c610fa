//! `countersign trust`: shows trust data as `docker trust` did, and helps to leave Docker Content Trust.

mod export;
mod inventory;
mod which;

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};

use crate::app::{App, Keeping};
use crate::clock::{Clock, Timestamp};
use crate::commands::freeze::{NotFrozen, Order};
use crate::commands::why::Inspected;
use crate::gate::Gate;
use crate::oci::{ImageRef, Tag};
use crate::policy::Mode;
use crate::server::Names;
use crate::trust::Anchor;
use crate::trust::notaryv1::NotUpdated;

use super::{ConfigFile, DENIED, UNDECIDED, print, wrong};

/// Show Docker Content Trust data as `docker trust` did, and help to leave it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    countersign trust inspect --pretty registry.example.com/library/app --config countersign.toml")]
pub(super) struct Trust {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Inspect(Inspect),
    Freeze(Freeze),
    Inventory(inventory::Inventory),
    Export(export::Export),
}

/// Write the trust data of an anchor that still verifies to a file, for a frozen anchor.
///
/// Reads every repository in the trust memory of the anchor, and those that are named, from the Notary server; if the
/// server does not answer, from the trust memory. The file is a bundle without images. Prints the keys `frozen`,
/// `frozen_sha256` and `until` for the configuration.
/// Exit status: 0 everything is frozen; 3 something could not be frozen; 2 invalid configuration; 1 any other error.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    countersign trust freeze --anchor release-team -o frozen.tar --config countersign.toml")]
struct Freeze {
    #[arg(long, help = "The name of an anchor with scheme = \"notaryv1\"")]
    anchor: String,
    #[arg(short, long, value_name = "FILE", help = "The file to write")]
    output: PathBuf,
    #[arg(
        long,
        value_name = "DAY",
        help = "Leave out what expires before the end of this day, such as 2027-06-30"
    )]
    until: Option<String>,
    #[arg(help = "registry/repository: freeze these as well")]
    repositories: Vec<String>,
    #[command(flatten)]
    config: ConfigFile,
}

/// Print the signed tags of a repository and their signers, as `docker trust inspect` did.
///
/// Queries the Notary server of the image's anchor and verifies its data with the pinned root keys.
/// Exit status: 0 signed; 3 nothing is signed, or the trust data was refused; 4 the trust data could not be
/// fetched; 2 invalid configuration or image; 1 any other error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign trust inspect registry.example.com/library/app:v1 --config countersign.toml\n  \
    countersign trust inspect --pretty registry.example.com/library/app --config countersign.toml")]
struct Inspect {
    #[arg(help = "registry/repository[:tag]; without a tag, all tags")]
    image: String,
    #[command(flatten)]
    config: ConfigFile,
    /// Print a table instead of JSON.
    #[arg(long)]
    pretty: bool,
}

impl Trust {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        match self.command {
            Command::Inspect(inspect) => inspect.run().await,
            Command::Freeze(freeze) => freeze.run().await,
            Command::Inventory(inventory) => inventory.run().await,
            Command::Export(export) => export.run().await,
        }
    }
}

impl Freeze {
    async fn run(self) -> anyhow::Result<u8> {
        let config = self.config.load()?;
        let app = App::new(&config, Clock::System, Keeping::OnlyRead)?;
        let gate = app.gate();
        let Some(Anchor::NotaryV1(anchor)) = gate.trust().anchor(&self.anchor) else {
            let why = "no anchor with scheme = \"notaryv1\" has this name";
            return Ok(wrong(&self.anchor, why));
        };
        let mut more = BTreeSet::new();
        for name in &self.repositories {
            let image = match app.image(name) {
                Ok(image) => image,
                Err(error) => return Ok(wrong(name, error)),
            };
            match anchor.gun(&image.repository) {
                Ok(gun) => drop(more.insert(gun)),
                Err(error) => return Ok(wrong(name, error)),
            }
        }
        let until = match &self.until {
            None => None,
            Some(day) => match Timestamp::end_of_day(day) {
                Some(until) => Some(until),
                None => return Ok(wrong(day, "write a day such as 2027-06-30")),
            },
        };
        let store = &config.store.path;
        let order = Order { anchor, store, more, until, output: &self.output };
        let frozen = match order.freeze(app.clock().now()).await {
            Ok(frozen) => frozen,
            Err(nothing @ NotFrozen::Nothing(_)) => {
                writeln!(io::stderr(), "countersign: {nothing}")?;
                return Ok(DENIED);
            }
            Err(error) => return Err(error.into()),
        };
        print(&frozen.to_text())?;
        Ok(if frozen.left_out.is_empty() { 0 } else { DENIED })
    }
}

impl Inspect {
    async fn run(self) -> anyhow::Result<u8> {
        let config = self.config.load()?;
        if let Err(error) = Names::default().called(&self.image) {
            return Ok(wrong(&self.image, error));
        }
        let app = App::new(&config, Clock::System, Keeping::OnlyRead)?;
        let image = match app.image(&self.image) {
            Ok(image) => image,
            Err(error) => return Ok(wrong(&self.image, error)),
        };
        let gate = app.gate();
        let Some(Anchor::NotaryV1(anchor)) = notary(&gate, &image) else {
            bail!(
                "no rule for {image} requires an anchor with scheme = \"notaryv1\", the only scheme that \
                 `trust inspect` shows; use `countersign why {image} --config {}` for the other schemes",
                self.config.path().display()
            );
        };
        let Ok(gun) = anchor.gun(&image.repository) else {
            bail!("{} does not result in a valid GUN", image.repository);
        };
        let survey = match anchor.survey(&gun, app.clock().now()).await {
            Ok(survey) => survey,
            Err(error) => return self.nothing(&error),
        };
        for (role, refusal) in &survey.left_out {
            tracing::warn!(role = role.as_str(), %refusal, "targets of this role are ignored");
        }
        let inspected = Inspected::new(&self.image, &survey, asked_tag(&self.image, &image));
        print(&if self.pretty { inspected.to_text() } else { inspected.to_json()? })?;
        // Standard output is exactly what docker printed, with the ids of certificates.
        for key in &survey.root_canonical {
            writeln!(
                io::stderr(),
                "countersign: root_keys = [\"{key}\"] pins this root key for every repository that it signs"
            )?;
        }
        Ok(0)
    }

    /// Prints docker's message and then the reason.
    fn nothing(&self, error: &NotUpdated) -> anyhow::Result<u8> {
        if !self.pretty {
            print("[]\n")?;
        }
        let status = match error {
            NotUpdated::Refused(_) => DENIED,
            NotUpdated::Unreachable(_) | NotUpdated::NotRemembered(_) | NotUpdated::Busy => {
                UNDECIDED
            }
        };
        let image = &self.image;
        writeln!(
            io::stderr(),
            "No signatures or cannot access {image}\n\
             countersign: {error}; `countersign why {image} --config {}` explains what to do",
            self.config.path().display()
        )?;
        Ok(status)
    }
}

/// The first anchor that signs names, of those that rules for the image require; its own rule comes first.
fn notary<'a>(gate: &'a Gate, image: &ImageRef) -> Option<&'a Anchor> {
    let (policy, now) = (gate.policy(), gate.clock().now());
    let chosen = policy.rule_for(&image.repository, image.tag(), now);
    let own = chosen.and_then(|chosen| match &chosen.rule().mode {
        Mode::Enforce(requirement) | Mode::Audit(requirement) => {
            requirement.names().next().cloned()
        }
        Mode::Allow { .. } | Mode::Deny { .. } => None,
    });
    let of_others = policy.anchors(&image.repository, now);
    let anchors = own.into_iter().chain(of_others);
    let anchors = anchors.filter_map(|name| gate.trust().anchor(&name));
    anchors.into_iter().find(|anchor| anchor.signs_names())
}

/// The tag in `text`; without one, all tags are shown, and not only `latest`. As docker does, ignores a digest.
fn asked_tag<'a>(text: &str, image: &'a ImageRef) -> Option<&'a Tag> {
    let name = text.rsplit('/').next().unwrap_or(text);
    image.tag().filter(|_| name.contains(':'))
}
