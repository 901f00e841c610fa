//! What is told of a machine in the end: the findings, held against what could be reached, as text and as
//! JSON, and as an exit status. Knows no file format.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Serialize;

use super::Reach;
use super::finding::{Client, Finding, State, Trap};
use crate::text::shown;

/// The most letters of one line for people.
const MAX_SHOWN: usize = 2_000;

/// What this never sees.
const OUT_OF_SIGHT: [&str; 4] = [
    "options on the command lines of dockerd and containerd (`--registry-mirror`, `--insecure-registry`), and \
     proxies in their environment",
    "registries.conf in users' homes, and whoever names another file on a command line",
    "which versions run: what is open in one that is still in use is told as open",
    "programs that read none of these files: curl, `ctr` without --hosts-dir, tools in containers",
];

/// Everything that is told.
#[derive(Debug, Serialize)]
pub struct Report {
    findings: Vec<Finding>,
    /// What was not looked at.
    out_of_sight: Vec<String>,
}

impl Report {
    /// `reached` is empty where nothing was connected to; then nothing is held by that.
    pub fn new(mut findings: Vec<Finding>, reached: Option<&[(String, Reach)]>) -> Self {
        let mut out_of_sight: Vec<String> = OUT_OF_SIGHT.map(str::to_owned).to_vec();
        match reached {
            Some(reached) => {
                hold(&mut findings, reached);
                findings.extend(reached.iter().map(|(server, reach)| egress(server, reach)));
            }
            None => {
                let untried =
                    "whether registries can be reached from this machine: no connection was tried";
                out_of_sight.push(untried.to_owned());
            }
        }
        findings.sort_by_key(|finding| (finding.state, finding.client));
        Self { findings, out_of_sight }
    }

    /// The servers to which ways lead that are open.
    pub fn servers(findings: &[Finding]) -> BTreeSet<String> {
        findings.iter().filter_map(|finding| finding.leads_to.clone()).collect()
    }

    #[cfg(feature = "test-support")]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// 3 where some way is open, else 1 where something could not be looked at, else 0.
    pub fn exit_status(&self) -> u8 {
        let has = |state| self.findings.iter().any(|finding| finding.state == state);
        if has(State::Open) {
            3
        } else if has(State::Undecided) {
            1
        } else {
            0
        }
    }

    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        for finding in &self.findings {
            let Finding { state, client, meaning, remedy, .. } = finding;
            // The files that they quote were written by anybody.
            let (meaning, remedy) = (shown(meaning, MAX_SHOWN), shown(remedy, MAX_SHOWN));
            let _ = writeln!(text, "{state:<10} {client:<11} {meaning}");
            if let Some(file) = &finding.file {
                let line = finding.line.map(|line| format!(":{line}")).unwrap_or_default();
                let _ = writeln!(text, "{:22} in {}{line}", "", shown(file, MAX_SHOWN));
            }
            if !remedy.is_empty() && finding.state != State::Closed {
                let _ = writeln!(text, "{:22} to do: {remedy}", "");
            }
        }
        text.push_str("\nnot looked at:\n");
        for what in &self.out_of_sight {
            let _ = writeln!(text, "  {what}");
        }
        let count = |state| self.findings.iter().filter(|finding| finding.state == state).count();
        let (open, undecided) = (count(State::Open), count(State::Undecided));
        let held = count(State::Held);
        let _ = writeln!(
            text,
            "\nways around the gate: {open} open, {undecided} undecided, {held} held by closed egress alone"
        );
        text
    }
}

/// What is open in the files, and leads to where no connection can be made, is held by that alone.
fn hold(findings: &mut [Finding], reached: &[(String, Reach)]) {
    for finding in findings.iter_mut().filter(|finding| finding.state == State::Open) {
        let Some(server) = &finding.leads_to else { continue };
        let reach = reached.iter().find(|(name, _)| name == server).map(|(_, reach)| reach);
        if matches!(reach, Some(Reach::Closed(_) | Reach::Gate)) {
            finding.state = State::Held;
        }
    }
}

fn egress(server: &str, reach: &Reach) -> Finding {
    match reach {
        Reach::Open(ip) => {
            let meaning = format!(
                "{server} can be reached from this machine (at {ip}): whoever names it goes around the gate"
            );
            let remedy = "let only the gate through: `countersign client-config egress`";
            Finding::open(Client::Machine, Trap::Egress, meaning).remedy(remedy)
        }
        Reach::Gate => Finding::closed(
            Client::Machine,
            format!("{server} stands for the gate's address on this machine"),
        ),
        Reach::Closed(why) => Finding::closed(
            Client::Machine,
            format!("{server} cannot be reached from this machine: {why}"),
        ),
        Reach::Undecided(why) => {
            let meaning =
                format!("whether {server} can be reached from this machine is not known: {why}");
            Finding::undecided(Client::Machine, meaning)
        }
    }
}
