//! The report about a machine: the findings, compared with the reachable servers, as text, JSON and exit status.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Serialize;

use super::Reach;
use super::finding::{Client, Finding, State, Trap};
use crate::text::shown;

/// The most characters of one line of text.
const MAX_SHOWN: usize = 2_000;

/// What `doctor` cannot check.
const OUT_OF_SIGHT: [&str; 4] = [
    "options on the command lines of dockerd and containerd (`--registry-mirror`, `--insecure-registry`), and \
     proxies in their environment",
    "registries.conf in home directories, and files that command lines name",
    "the installed versions: a bypass in any version that is still in use is reported as open",
    "programs that do not read these files: curl, `ctr` without --hosts-dir, tools in containers",
];

/// The report.
#[derive(Debug, Serialize)]
pub struct Report {
    findings: Vec<Finding>,
    /// What was not checked.
    out_of_sight: Vec<String>,
}

impl Report {
    /// `reached` is `None` if no connection was tried; then no finding becomes [`State::Held`].
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

    /// The servers that open findings name.
    pub fn servers(findings: &[Finding]) -> BTreeSet<String> {
        findings.iter().filter_map(|finding| finding.leads_to.clone()).collect()
    }

    #[cfg(feature = "test-support")]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// 3 if a bypass is open, otherwise 1 if something could not be checked, otherwise 0.
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
            // They quote files, which may contain control characters.
            let (meaning, remedy) = (shown(meaning, MAX_SHOWN), shown(remedy, MAX_SHOWN));
            let _ = writeln!(text, "{state:<10} {client:<11} {meaning}");
            if let Some(file) = &finding.file {
                let line = finding.line.map(|line| format!(":{line}")).unwrap_or_default();
                let _ = writeln!(text, "{:22} in {}{line}", "", shown(file, MAX_SHOWN));
            }
            if !remedy.is_empty() && finding.state != State::Closed {
                let _ = writeln!(text, "{:22} fix: {remedy}", "");
            }
        }
        text.push_str("\nnot checked:\n");
        for what in &self.out_of_sight {
            let _ = writeln!(text, "  {what}");
        }
        let count = |state| self.findings.iter().filter(|finding| finding.state == state).count();
        let (open, undecided) = (count(State::Open), count(State::Undecided));
        let held = count(State::Held);
        let _ = writeln!(
            text,
            "\nbypasses: {open} open, {undecided} undecided, {held} blocked only by the network"
        );
        text
    }
}

/// An open finding whose server cannot be reached is blocked only by the network.
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
                "{server} is reachable from this machine (at {ip}), so any program can bypass the gate"
            );
            let remedy = "block all registries except the gate: `countersign client-config egress`";
            Finding::open(Client::Machine, Trap::Egress, meaning).remedy(remedy)
        }
        Reach::Gate => Finding::closed(
            Client::Machine,
            format!("{server} resolves to the gate's address on this machine"),
        ),
        Reach::Closed(why) => Finding::closed(
            Client::Machine,
            format!("{server} is not reachable from this machine: {why}"),
        ),
        Reach::Undecided(why) => {
            let meaning =
                format!("cannot determine whether {server} is reachable from this machine: {why}");
            Finding::undecided(Client::Machine, meaning)
        }
    }
}
