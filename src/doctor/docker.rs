//! dockerd: daemon.json, and the `hosts.toml` that it reads with containerd's image store.

use serde_json::Value;

use super::Question;
use super::finding::{Client, Finding, Trap, server_of};
use super::hosts::Roots;
use super::seen::ClientFiles;
use crate::oci::docker_hub::{self, DOCKER_HUB};

const DAEMON: &str = "/etc/docker/daemon.json";
/// The folder of certificates and `hosts.toml` files.
pub(super) const CERTIFICATES: &str = "/etc/docker/certs.d";

pub(super) const FILES: [&str; 1] = [DAEMON];
pub(super) const PROGRAMS: [&str; 4] =
    ["/usr/bin/dockerd", "/usr/sbin/dockerd", "/usr/local/bin/dockerd", "/var/lib/docker"];
/// Folders that the classic store leaves behind, one for each of its drivers.
pub(super) const CLASSIC: [&str; 5] = [
    "/var/lib/docker/image/overlay2",
    "/var/lib/docker/image/fuse-overlayfs",
    "/var/lib/docker/image/btrfs",
    "/var/lib/docker/image/zfs",
    "/var/lib/docker/image/vfs",
];

pub(super) fn is_there(seen: &ClientFiles) -> bool {
    seen.has_one_of(&PROGRAMS) || seen.has_one_of(&[DAEMON, CERTIFICATES])
}

pub(super) fn judge(question: &Question, seen: &ClientFiles) -> Vec<Finding> {
    let text = seen.text(DAEMON).unwrap_or("{}");
    let daemon: Value = match serde_json::from_str(text) {
        Ok(daemon) => daemon,
        Err(error) => {
            let meaning = format!("the file is not valid JSON ({error}): dockerd does not start");
            return vec![
                Finding::undecided(Client::Docker, meaning).at(DAEMON, Some(error.line())),
            ];
        }
    };
    let file = Daemon { daemon, text };
    let mut found = file.insecure(question);
    found.extend(file.mirrors(question));
    // A connection from here does not show what a proxy can reach.
    let proxied = file.daemon.get("proxies").is_some();
    let store = file.store(seen);
    if let Store::Unknown = store {
        let meaning = "daemon.json does not set the image store of dockerd: this report assumes docker 29 or later, \
                       which reads hosts.toml. With the classic store, docker uses each registry itself";
        let remedy = "write `\"features\": { \"containerd-snapshotter\": true }` into daemon.json";
        found.push(Finding::closed(Client::Docker, meaning).at(DAEMON, None).remedy(remedy));
    }
    if let Store::Containerd | Store::Unknown = store {
        let roots = Roots { client: Client::Docker, folders: vec![CERTIFICATES.to_owned()] };
        let names = roots.registries(seen, &question.gates);
        found.extend(question.each_name(&names, |name| {
            if is_docker_hub(name) { Vec::new() } else { roots.judge(name, seen, &question.gates) }
        }));
    } else {
        found.extend(file.classic(question));
    }
    if proxied {
        let line = file.line("proxies");
        for finding in &mut found {
            finding.leads_to = None;
        }
        let meaning =
            "dockerd uses a proxy: this command cannot check which registries the proxy allows";
        let remedy = "block registries in the proxy";
        found.push(Finding::undecided(Client::Docker, meaning).at(DAEMON, line).remedy(remedy));
    }
    found
}

/// docker replaces this name by `docker.io` before it sends a request.
fn is_docker_hub(name: &str) -> bool {
    name == docker_hub::INDEX
}

/// The image store of dockerd.
enum Store {
    Classic,
    Containerd,
    /// No setting names it; files for containerd's store exist.
    Unknown,
}

struct Daemon<'a> {
    daemon: Value,
    text: &'a str,
}

impl Daemon<'_> {
    /// The image store of dockerd, according to its files. Docker 29 uses containerd's store if no setting names one
    /// and no image of the classic store is left.
    fn store(&self, seen: &ClientFiles) -> Store {
        let set = self.daemon.pointer("/features/containerd-snapshotter").and_then(Value::as_bool);
        let has_hosts = || {
            let names = seen.names(CERTIFICATES).iter();
            names.into_iter().any(|name| seen.has(&format!("{CERTIFICATES}/{name}/hosts.toml")))
        };
        match set {
            Some(true) => Store::Containerd,
            Some(false) => Store::Classic,
            None if !seen.has_one_of(&CLASSIC) && has_hosts() => Store::Unknown,
            None => Store::Classic,
        }
    }

    fn texts(&self, key: &str) -> Vec<&str> {
        let items = self.daemon.get(key).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// The line of the first occurrence of a word in quotes.
    fn line(&self, word: &str) -> Option<usize> {
        let quoted = format!("\"{word}\"");
        self.text.lines().position(|line| line.contains(&quoted)).map(|before| before + 1)
    }

    fn insecure(&self, question: &Question) -> Vec<Finding> {
        let insecure = self.texts("insecure-registries").into_iter();
        let meant = insecure.filter(|name| {
            let everybody = ["0.0.0.0/0", "::/0"].contains(name);
            everybody || question.gates.has_insecure(name)
        });
        meant
            .map(|name| {
                let meaning = format!(
                    "`insecure-registries` contains {name}: docker does not verify the gate's certificate and falls back \
                     to http, so an attacker on the network can impersonate the gate"
                );
                let open = Finding::open(Client::Docker, Trap::Insecure, meaning);
                let remedy = format!("remove it, and install the CA as {CERTIFICATES}/<gate>/ca.crt");
                open.at(DAEMON, self.line(name)).remedy(remedy)
            })
            .collect()
    }

    fn mirrors(&self, question: &Question) -> Vec<Finding> {
        let mut found = Vec::new();
        for mirror in self.texts("registry-mirrors") {
            let line = self.line(mirror);
            if !question.gates.leads(mirror) {
                let meaning = format!("the mirror {mirror} is not the gate");
                let open =
                    Finding::open(Client::Docker, Trap::OtherPlace, meaning).at(DAEMON, line);
                let remedy = "keep only the gate in `registry-mirrors`; if this is its [mirror] listener, \
                              name it: give one `--gate` for each address of the gate";
                found.push(open.leading_to(mirror).remedy(remedy));
            } else if question.gates.is_plain(mirror) {
                let meaning = format!(
                    "the mirror {mirror} uses http: an attacker on the network can impersonate it"
                );
                let open = Finding::open(Client::Docker, Trap::Insecure, meaning).at(DAEMON, line);
                found.push(open.remedy("give the gate a certificate, and write https://"));
            }
        }
        found
    }

    /// dockerd's own store uses each registry itself, and Docker Hub after its mirrors.
    fn classic(&self, question: &Question) -> Vec<Finding> {
        let mirrored = !self.texts("registry-mirrors").is_empty();
        question.each_name(&[], |name| {
            if is_docker_hub(name) {
                return Vec::new();
            }
            let (trap, meaning) = if name == DOCKER_HUB && mirrored {
                let meaning = "after an error of a mirror, docker falls back to registry-1.docker.io; the gate's [mirror] \
                               listener stops the tested versions, but docker does not guarantee that";
                (Trap::Fallback, meaning.to_owned())
            } else if name != DOCKER_HUB && mirrored {
                (Trap::OtherName, format!("docker pulls images named {name}/… from {name} itself, without a mirror"))
            } else {
                (Trap::NotLed, format!("docker uses {} itself for images of {name}", server_of(name)))
            };
            let remedy = "docker's own image store has no setting for this: block registries on the network \
                          (`countersign client-config egress`), and name images by the gate";
            let open = Finding::open(Client::Docker, trap, meaning).leading_to(server_of(name));
            vec![open.at(DAEMON, self.line("registry-mirrors")).remedy(remedy)]
        })
    }
}
