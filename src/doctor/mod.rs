//! Finds client settings that bypass the gate, and registries that are reachable directly. `look` reads files and
//! connects; everything else is pure.

mod containerd;
mod content_trust;
mod docker;
mod dropped;
mod finding;
mod hosts;
mod k3s;
mod look;
mod podman;
mod report;
mod seen;
mod toml_file;
mod yaml_file;

pub use finding::{Client, Finding, State, Trap};
pub use look::{Reach, look, reach};
pub use report::Report;
pub use seen::{ClientFiles, FileContent};

use std::collections::BTreeSet;

use crate::client_config::GateAddress;
use crate::oci::Registry;
use crate::oci::docker_hub::{self, DOCKER_HUB};

/// The most registries of one client that are checked.
const MAX_NAMES: usize = 2_000;

/// The question about a machine: does it use these registries only through the gate?
#[derive(Clone, Debug)]
pub struct Question {
    gates: Gates,
    registries: Vec<String>,
}

/// The addresses of the gate.
#[derive(Clone, Debug)]
pub(crate) struct Gates(Vec<GateAddress>);

impl Question {
    pub fn new(gates: Vec<GateAddress>, registries: &[Registry]) -> Self {
        let registries = registries.iter().map(ToString::to_string).collect();
        Self { gates: Gates(gates), registries }
    }

    /// The registries to check, by all their names, and the registries that files name.
    fn names(&self, besides: &[String]) -> Vec<String> {
        let mut names = self.registries.clone();
        if names.iter().any(|name| name == DOCKER_HUB) {
            names.extend(docker_hub::HOSTS.map(str::to_owned));
        }
        let mut known: BTreeSet<String> = names.iter().cloned().collect();
        for name in besides {
            if known.insert(name.clone()) {
                names.push(name.clone());
            }
        }
        names
    }

    /// Judges each name. Findings for different registries stay separate.
    fn each_name(
        &self,
        besides: &[String],
        mut judge: impl FnMut(&str) -> Vec<Finding>,
    ) -> Vec<Finding> {
        let names = self.names(besides);
        let mut found: Vec<Finding> =
            names.iter().take(MAX_NAMES).flat_map(|name| judge(name)).collect();
        if names.len() > MAX_NAMES {
            let meaning = format!(
                "the files name {} registries, and only {MAX_NAMES} were checked",
                names.len()
            );
            found.push(
                Finding::undecided(Client::Machine, meaning).remedy("check the others yourself"),
            );
        }
        found
    }

    fn is_other_name(&self, name: &str) -> bool {
        docker_hub::HOSTS.contains(&name)
    }

    /// The finding with the first of the registries as its server.
    fn leading(&self, finding: Finding) -> Finding {
        match self.registries.first() {
            Some(name) => finding.leading_to(finding::server_of(name)),
            None => finding,
        }
    }
}

impl Gates {
    /// Whether an endpoint in a file is the gate.
    fn leads(&self, endpoint: &str) -> bool {
        let found = GateAddress::of_endpoint(endpoint);
        found.is_some_and(|found| {
            self.0.iter().any(|gate| {
                let unsaid = !endpoint.contains("://") && found.authority() == found.host();
                gate.is_same_server(&found) || (unsaid && gate.authority() == found.host())
            })
        })
    }

    /// Whether a registry's name is the gate's own.
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|gate| gate.authority() == name)
    }

    /// Whether `insecure-registries` names the gate by this name, other than by a loopback address.
    fn has_insecure(&self, name: &str) -> bool {
        let meant = |gate: &GateAddress| gate.authority() == name || gate.host() == name;
        self.0.iter().any(|gate| meant(gate) && !gate.is_loopback())
    }

    /// Whether an endpoint uses http, other than on this machine.
    fn is_plain(&self, endpoint: &str) -> bool {
        let found = GateAddress::of_endpoint(endpoint);
        found.is_some_and(|found| !found.is_secure() && !found.is_loopback())
    }

    /// Whether an endpoint is on this machine.
    fn are_loopback(&self, endpoint: &str) -> bool {
        GateAddress::of_endpoint(endpoint).is_some_and(|found| found.is_loopback())
    }
}

/// The files of a folder whose names end in `end`, in the order of their precedence.
fn in_folder<'a>(
    seen: &'a ClientFiles,
    folder: &'a str,
    end: &'a str,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let names = seen.names(folder).iter().filter(move |name| name.ends_with(end));
    names.filter_map(move |name| seen.entry(&format!("{folder}/{name}")))
}

/// Judges the files of one client.
type Judge = fn(&Question, &ClientFiles) -> Vec<Finding>;

/// All settings of a machine that bypass the gate, and all files that could not be read. An installed client without a
/// bypass has one finding that says so.
pub fn examine(question: &Question, seen: &ClientFiles) -> Vec<Finding> {
    let clients: [(Client, Judge, bool); 4] = [
        (Client::Docker, docker::judge, docker::is_there(seen)),
        (Client::Containerd, containerd::judge, containerd::is_there(seen)),
        (Client::K3s, k3s::judge, k3s::is_there(seen)),
        (Client::Podman, podman::judge, podman::is_there(seen)),
    ];
    let unread = seen.unreadable().map(|(path, why)| {
        let meaning = format!("cannot read the file: {why}");
        let undecided = Finding::undecided(Client::Machine, meaning).at(path, None);
        undecided.remedy("run this command as root, or check the file yourself")
    });
    let mut found: Vec<Finding> = unread.collect();
    let all_read = found.is_empty();
    for (client, judge, _) in clients.into_iter().filter(|(.., is_there)| *is_there) {
        let of_it = judge(question, seen);
        if of_it.iter().all(|finding| finding.state == State::Closed) && all_read {
            let names = question.names(&[]).join(", ");
            found
                .push(Finding::closed(client, format!("uses only the gate for images of {names}")));
        }
        found.extend(of_it);
    }
    found.extend(content_trust::judge(seen));
    // A file that does not exist cannot contain a setting.
    for finding in &mut found {
        finding.file = finding.file.take().filter(|file| seen.has(file));
    }
    found
}

#[cfg(test)]
mod tests;
