//! `countersign doctor`: the ways around the gate that a client machine leaves open.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::client_config::GateAddress;
use crate::doctor::{Question, Report, examine, look, reach};
use crate::oci::Registry;
use crate::oci::docker_hub::DOCKER_HUB;

use super::{print, wrong};

/// Look at a client machine, and tell each way around the gate that it leaves open.
///
/// Reads the files of docker, containerd, k3s and podman, and tries to connect to the registries, a few
/// seconds at most. Changes nothing. To be run as root, which may read all of them.
/// Exit status: 0 none is open; 3 one is open; 1 something could not be looked at; 2 for arguments
/// that mean nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign doctor --gate https://gate.example.com\n  \
    countersign doctor --gate https://gate.example.com --gate https://gate.example.com:5443\n  \
    countersign doctor --gate https://gate.example.com --registry docker.io --registry quay.io --json")]
pub(super) struct Doctor {
    /// Where the gate is, as the client's files name it; repeated for its `[mirror]` listener.
    #[arg(long = "gate", value_name = "URL", required = true)]
    gates: Vec<GateAddress>,
    /// A registry to which the gate is to be the only way; may be repeated.
    #[arg(long = "registry", value_name = "NAME", default_value = DOCKER_HUB)]
    registries: Vec<Registry>,
    /// Read the files below this folder, a machine's root that is mounted there. Connects to nothing:
    /// from here is not from there.
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    root: PathBuf,
    /// Connect to nothing.
    #[arg(long)]
    no_connect: bool,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        if !self.root.is_dir() {
            return Ok(wrong("--root", format!("{} is no folder", self.root.display())));
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
