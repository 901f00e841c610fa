//! Client configuration that uses only the gate and fails closed: the files of each client, with comments on the
//! pitfalls that each line avoids. Pure: returns text and reads nothing.

mod address;
mod docker;
mod egress;
mod hosts;
mod k3s;
mod node;
mod podman;

use std::fmt::Write as _;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

pub use address::{GateAddress, InvalidAddress};
pub use node::{MANAGED, NODE_CA, NodeGate, node};

use crate::http_client::Credentials;
use crate::oci::Registry;
use crate::oci::docker_hub::{self, DOCKER_HUB};

/// Which client the files are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// dockerd with its own image store.
    Docker,
    /// dockerd with containerd's image store.
    DockerContainerd,
    /// containerd, also below Kubernetes and nerdctl.
    Containerd,
    K3s,
    /// podman, buildah, skopeo and CRI-O: the registry renamed to the gate.
    Podman,
    /// podman, buildah, skopeo and CRI-O: the gate as a mirror of a blocked registry.
    PodmanMirror,
    /// The firewall of the machine.
    Egress,
}

/// A file on the client, as its configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientPath(String);

/// Why a text is not the path of a client's file.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "write the absolute path of the file on the client, with letters, digits and `/._+@-` only: `/etc/ssl/gate-ca.crt`"
)]
pub struct InvalidPath;

impl FromStr for ClientPath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        // So that no kind of file needs to quote it.
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._+@-".contains(c);
        let whole = text.starts_with('/') && !text.ends_with('/') && text.chars().all(plain);
        if whole { Ok(Self(text.to_owned())) } else { Err(InvalidPath) }
    }
}

impl ClientPath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The certificate of a client, for a gate that requires one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    pub certificate: ClientPath,
    pub key: ClientPath,
}

/// The input of the files.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub gate: GateAddress,
    /// The gate's mirror listener.
    pub mirror: Option<GateAddress>,
    /// The gate's IP addresses, for the firewall.
    pub addresses: Vec<IpAddr>,
    /// The registries of images.
    pub registries: Vec<Registry>,
    /// The CA of the gate's certificate; by default, the client's system roots.
    pub ca: Option<ClientPath>,
    pub certificate: Option<ClientCertificate>,
    /// The user and password of the client, for a gate with passwords.
    pub credentials: Option<Credentials>,
}

/// Why the files cannot be made.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Impossible {
    #[error(
        "a firewall needs IP addresses: give `--gate-ip` for each address of {0}, as \
         `getent ahosts` shows them"
    )]
    NoAddress(String),
    #[error(
        "podman's image names cannot contain a second port: the gate can serve {0} to podman only as its default \
         upstream: give it as the only `--registry`"
    )]
    Port(Registry),
    #[error("--mirror is only for docker: remove it, or give its URL as --gate")]
    NoMirror,
    #[error(
        "--username is only for containerd and nerdctl: docker and podman keep passwords themselves (`docker login`, \
         `podman login`), and k3s in `configs` of registries.yaml"
    )]
    NoCredentials,
}

/// One file of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// From the root of the client's file system.
    pub path: String,
    pub text: String,
}

/// The files for one client, and notes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    pub notes: Vec<String>,
    pub files: Vec<File>,
}

impl Printed {
    fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    fn file(&mut self, path: impl Into<String>, text: String) {
        self.files.push(File { path: path.into(), text });
    }

    /// All in one text: the notes as comments, then each file after a line `# file: PATH`.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for note in &self.notes {
            // Writing to a String does not fail.
            let _ = writeln!(text, "# {note}");
        }
        for File { path, text: content } in &self.files {
            let _ = write!(text, "\n# file: {path}\n{content}");
        }
        text
    }
}

/// The files that make a client of this kind use the gate.
pub fn print(kind: ClientKind, wanted: &Wanted) -> Result<Printed, Impossible> {
    if wanted.mirror.is_some() && kind != ClientKind::Docker {
        return Err(Impossible::NoMirror);
    }
    if wanted.credentials.is_some() && kind != ClientKind::Containerd {
        return Err(Impossible::NoCredentials);
    }
    match kind {
        ClientKind::Docker => Ok(docker::classic(wanted)),
        ClientKind::DockerContainerd => Ok(docker::containerd_store(wanted)),
        ClientKind::Containerd => Ok(hosts::containerd(wanted)),
        ClientKind::K3s => Ok(k3s::k3s(wanted)),
        ClientKind::Podman => podman::renamed(wanted),
        ClientKind::PodmanMirror => podman::mirrored(wanted),
        ClientKind::Egress => egress::nftables(wanted),
    }
}

impl Wanted {
    /// The registries, and the other names of Docker Hub if it is one of them: clients treat those as separate
    /// registries.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.registries.iter().map(Registry::as_str).collect();
        if names.contains(&DOCKER_HUB) {
            names.extend(docker_hub::HOSTS);
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The commands that install the certificates in `folder`, the client's `certs.d`.
    fn certificates(&self, folder: &str) -> Vec<String> {
        let mut commands = Vec::new();
        let gates = [Some(&self.gate), self.mirror.as_ref()].into_iter().flatten();
        let mut servers: Vec<String> = gates.map(GateAddress::authority).collect();
        if self.mirror.as_ref().is_some_and(GateAddress::is_secure) {
            servers.push(DOCKER_HUB.to_owned());
        }
        for server in servers {
            let folder = format!("{folder}/{server}");
            let mut put = |mode, file: &ClientPath, name| {
                let command = format!("install -D -m {mode} {} {folder}/{name}", file.as_str());
                if !commands.contains(&command) {
                    commands.push(command);
                }
            };
            if let Some(ca) = &self.ca {
                put("644", ca, "ca.crt");
            }
            if let Some(own) = &self.certificate {
                put("644", &own.certificate, "client.cert");
                put("600", &own.key, "client.key");
            }
        }
        commands
    }
}

#[cfg(test)]
mod tests;
