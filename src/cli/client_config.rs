//! `countersign client-config`: the files that make a client use the gate.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use crate::client_config::{
    self, ClientCertificate, ClientKind, ClientPath, GateAddress, Wanted, print as printed,
};
use crate::http_client::{Credentials, InvalidCredentials};
use crate::oci::Registry;
use crate::oci::docker_hub::DOCKER_HUB;

use super::{CONFIG_ERROR, OTHER_ERROR, failed, print, wrong};

/// Print the files that make a client use only the gate.
///
/// Each file follows a line `# file: PATH`; the lines before the first file are notes. Check the
/// machine with `countersign doctor` afterwards.
/// Exit status: 0; 2 invalid arguments; 1 a file was not written.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign client-config containerd --gate https://gate.example.com --ca /etc/ssl/gate-ca.crt\n  \
    countersign client-config podman --gate https://gate.example.com --registry docker.io --registry quay.io\n  \
    countersign client-config docker --gate https://gate.example.com --mirror https://gate.example.com:5443")]
pub(super) struct ClientConfig {
    client: Client,
    /// URL of the gate, as clients reach it.
    #[arg(long, value_name = "URL")]
    gate: GateAddress,
    /// URL of the gate's mirror listener (`[mirror] listen`); only for docker.
    #[arg(long, value_name = "URL")]
    mirror: Option<GateAddress>,
    /// A registry, as image names contain it; may be repeated.
    #[arg(long = "registry", value_name = "NAME", default_value = DOCKER_HUB)]
    registries: Vec<Registry>,
    /// CA certificate of the gate: a file on the client.
    #[arg(long, value_name = "FILE")]
    ca: Option<ClientPath>,
    /// Client certificate, if the gate requires one: a file on the client.
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<ClientPath>,
    /// Private key of the client certificate: a file on the client.
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<ClientPath>,
    /// User for containerd and nerdctl, if the gate requires passwords.
    #[arg(long, value_name = "USER", requires = "password_file")]
    username: Option<String>,
    /// File with the password of the user: a file on this machine.
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// IP address of the gate, for egress; may be repeated.
    #[arg(long = "gate-ip", value_name = "ADDRESS")]
    addresses: Vec<IpAddr>,
    /// Write the files below this folder (`/` for this machine). Existing files with other content are kept, and
    /// their new content is printed.
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Client {
    /// dockerd with its own image store: images named by the gate; with --mirror, the gate as registry mirror
    Docker,
    /// dockerd 28 or later with the containerd image store
    DockerContainerd,
    /// containerd, Kubernetes nodes, nerdctl
    #[value(alias = "nerdctl")]
    Containerd,
    /// k3s
    K3s,
    /// podman, buildah, skopeo, CRI-O: registry names redirected to the gate
    Podman,
    /// podman, buildah, skopeo, CRI-O: the gate as mirror, and the registry blocked
    PodmanMirror,
    /// Firewall rules (nftables) that block registries other than the gate
    Egress,
}

impl Client {
    const fn kind(self) -> ClientKind {
        match self {
            Self::Docker => ClientKind::Docker,
            Self::DockerContainerd => ClientKind::DockerContainerd,
            Self::Containerd => ClientKind::Containerd,
            Self::K3s => ClientKind::K3s,
            Self::Podman => ClientKind::Podman,
            Self::PodmanMirror => ClientKind::PodmanMirror,
            Self::Egress => ClientKind::Egress,
        }
    }
}

impl ClientConfig {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let certificate = self.client_cert.zip(self.client_key);
        let file = self.password_file.as_deref();
        let credentials = match Credentials::read(self.username.as_deref(), file) {
            Ok(credentials) => credentials,
            Err(error @ InvalidCredentials::Username) => return Ok(wrong("--username", error)),
            Err(error) => return Ok(wrong("--password-file", error)),
        };
        let mode = if credentials.is_some() { 0o600 } else { 0o644 };
        let wanted = Wanted {
            gate: self.gate,
            mirror: self.mirror,
            addresses: self.addresses,
            registries: self.registries,
            ca: self.ca,
            certificate: certificate
                .map(|(certificate, key)| ClientCertificate { certificate, key }),
            credentials,
        };
        let mut made = match printed(self.client.kind(), &wanted) {
            Ok(made) => made,
            Err(impossible) => {
                // If standard error is closed, only the exit status reports the failure.
                let _ = failed(CONFIG_ERROR, &impossible.to_string());
                return Ok(CONFIG_ERROR);
            }
        };
        let Some(folder) = &self.write else {
            print(&made.to_text())?;
            return Ok(0);
        };
        made.files = write(folder, std::mem::take(&mut made.files), mode)?;
        print(&made.to_text())?;
        if made.files.is_empty() {
            return Ok(0);
        }
        let message = "files that follow `# file:` already exist with other content and were not changed: merge the printed content into them";
        // If standard error is closed, only the exit status reports the failure.
        let _ = failed(OTHER_ERROR, message);
        Ok(OTHER_ERROR)
    }
}

/// Whether the file at `path` has exactly that `text`.
fn has_text(path: &Path, text: &str) -> io::Result<bool> {
    let mut bytes = Vec::new();
    File::open(path)?.take(text.len() as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes == text.as_bytes())
}

/// Writes the files below `folder`; returns those that exist with other content.
fn write(
    folder: &Path,
    files: Vec<client_config::File>,
    mode: u32,
) -> anyhow::Result<Vec<client_config::File>> {
    let mut left = Vec::new();
    for file in files {
        let path = folder.join(file.path.trim_start_matches('/'));
        let wrong = || format!("cannot write {}", path.display());
        let parent = path.parent().unwrap_or(folder);
        if leads_out(parent, folder).with_context(wrong)? {
            bail!(
                "{} is a link to a folder outside {}: name that folder in --write",
                parent.display(),
                folder.display()
            );
        }
        DirBuilder::new().recursive(true).mode(0o755).create(parent).with_context(wrong)?;
        match File::options().write(true).create_new(true).mode(mode).open(&path) {
            Ok(mut opened) => {
                let written =
                    opened.write_all(file.text.as_bytes()).and_then(|()| opened.sync_all());
                if written.is_err() {
                    // A client may ignore a partial file and bypass the gate. The first error is reported.
                    let _ = fs::remove_file(&path);
                }
                written.with_context(wrong)?;
                print(&format!("# wrote {}\n", path.display()))?;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if has_text(&path, &file.text).with_context(wrong)? {
                    print(&format!("# unchanged {}\n", path.display()))?;
                } else {
                    left.push(file);
                }
            }
            Err(error) => return Err(error).with_context(wrong),
        }
    }
    Ok(left)
}

/// Whether the existing part of `path` leaves `folder` by a link: absolute links of a mounted machine refer to its own
/// root.
pub(super) fn leads_out(path: &Path, folder: &Path) -> io::Result<bool> {
    for part in path.ancestors().take_while(|part| part.starts_with(folder)) {
        if part.symlink_metadata().is_ok() {
            return Ok(!fs::canonicalize(part)?.starts_with(fs::canonicalize(folder)?));
        }
    }
    Ok(false)
}
