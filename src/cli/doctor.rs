//! `countersign doctor`: finds client settings that bypass the gate.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::client_config::GateAddress;
use crate::doctor::{Question, Report, examine, look, reach};
use crate::oci::Registry;
use crate::oci::docker_hub::DOCKER_HUB;

use super::{print, wrong};

/// Find client settings that bypass the gate.
///
/// Reads the files of docker, containerd, k3s and podman, and tries to connect to the registries for a few
/// seconds. Changes nothing. Run it as root, so that it can read all files.
/// Exit status: 0 no bypass; 3 a bypass was found; 1 a file could not be read; 2 invalid arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign doctor --gate https://gate.example.com\n  \
    countersign doctor --gate https://gate.example.com --gate https://gate.example.com:5443\n  \
    countersign doctor --gate https://gate.example.com --registry docker.io --registry quay.io --json")]
pub(super) struct Doctor {
    /// URL of the gate, as the client's files contain it; repeat it for the `[mirror]` listener.
    #[arg(long = "gate", value_name = "URL", required = true)]
    gates: Vec<GateAddress>,
    /// A registry that clients must reach only through the gate; may be repeated.
    #[arg(long = "registry", value_name = "NAME", default_value = DOCKER_HUB)]
    registries: Vec<Registry>,
    /// Read the files below this folder, the mounted root of a machine. Implies --no-connect.
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    root: PathBuf,
    /// Do not connect to the registries.
    #[arg(long)]
    no_connect: bool,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        if !self.root.is_dir() {
            return Ok(wrong("--root", format!("{} is not a folder", self.root.display())));
        }
        let question = Question::new(self.gates, &self.registries);
        let findings = examine(&question, &look(&self.root));
        let reached = if self.no_connect || self.root != Path::new("/") {
            None
        } else {
            Some(reach(&question, Report::servers(&findings)).await)
        };
        let report = Report::new(findings, reached.as_deref());
        if self.json {
            print(&(serde_json::to_string_pretty(&report)? + "\n"))?;
        } else {
            print(&report.to_text())?;
        }
        Ok(report.exit_status())
    }
}
