//! `countersign client-config`: the files that lead a client to the gate.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use crate::client_config::{
    self, ClientCertificate, ClientKind, ClientPath, GateAddress, Wanted, print as printed,
};
use crate::oci::Registry;
use crate::oci::docker_hub::DOCKER_HUB;

use super::{CONFIG_ERROR, OTHER_ERROR, failed, print};

/// Print the configuration that leads a client to the gate, and that fails closed.
///
/// Each file follows a line `# file: PATH`; what comes before the first is for people. Check a
/// machine with `countersign doctor` afterwards.
/// Exit status: 0; 2 for arguments that mean nothing; 1 where a file was not written.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign client-config containerd --gate https://gate.example.com --ca /etc/ssl/gate-ca.crt\n  \
    countersign client-config podman --gate https://gate.example.com --registry docker.io --registry quay.io\n  \
    countersign client-config docker --gate https://gate.example.com --mirror https://gate.example.com:5443")]
pub(super) struct ClientConfig {
    client: Client,
    /// Where the gate is, as the client reaches it.
    #[arg(long, value_name = "URL")]
    gate: GateAddress,
    /// Where the gate listens for clients that take it for a mirror (`[mirror] listen`); for docker.
    #[arg(long, value_name = "URL")]
    mirror: Option<GateAddress>,
    /// A registry, as images name it; may be repeated.
    #[arg(long = "registry", value_name = "NAME", default_value = DOCKER_HUB)]
    registries: Vec<Registry>,
    /// The certificate of the authority behind the gate's, a file on the client.
    #[arg(long, value_name = "FILE")]
    ca: Option<ClientPath>,
    /// What the client shows to a gate that asks for certificates, a file on the client.
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<ClientPath>,
    /// The key of it, a file on the client.
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<ClientPath>,
    /// An address of the gate, for egress; may be repeated.
    #[arg(long = "gate-ip", value_name = "ADDRESS")]
    addresses: Vec<IpAddr>,
    /// Write the files below this folder (`/` for this machine); where another file stands already, it is left,
    /// and what belongs into it is printed.
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Client {
    /// dockerd with its own image store: by the gate's name, and with --mirror as a mirror
    Docker,
    /// dockerd 28 or newer with containerd's image store
    DockerContainerd,
    /// containerd, Kubernetes nodes, nerdctl
    Containerd,
    /// k3s
    K3s,
    /// podman, buildah, skopeo, CRI-O: the registry renamed to the gate
    Podman,
    /// The same: the gate as a mirror, and the registry blocked
    PodmanMirror,
    /// Firewall rules that leave the gate as the only way out (nftables)
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
        let wanted = Wanted {
            gate: self.gate,
            mirror: self.mirror,
            addresses: self.addresses,
            registries: self.registries,
            ca: self.ca,
            certificate: certificate
                .map(|(certificate, key)| ClientCertificate { certificate, key }),
        };
        let mut made = match printed(self.client.kind(), &wanted) {
            Ok(made) => made,
            Err(impossible) => {
                // Where standard error is closed, the exit status is all that can be said.
                let _ = failed(CONFIG_ERROR, &impossible.to_string());
                return Ok(CONFIG_ERROR);
            }
        };
        let Some(folder) = &self.write else {
            print(&made.to_text())?;
            return Ok(0);
        };
        made.files = write(folder, std::mem::take(&mut made.files))?;
        print(&made.to_text())?;
        if made.files.is_empty() {
            return Ok(0);
        }
        let message = "what stands after `# file:` was not written: put it into the file that is there already";
        // Where standard error is closed, the exit status is all that can be said.
        let _ = failed(OTHER_ERROR, message);
        Ok(OTHER_ERROR)
    }
}

/// Whether the file at `path` has that `text`, byte for byte.
fn stands(path: &Path, text: &str) -> io::Result<bool> {
    let mut bytes = Vec::new();
    File::open(path)?.take(text.len() as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes == text.as_bytes())
}

/// Puts the files below `folder`, and gives back those in whose place another stands.
fn write(
    folder: &Path,
    files: Vec<client_config::File>,
) -> anyhow::Result<Vec<client_config::File>> {
    let mut left = Vec::new();
    for file in files {
        let path = folder.join(file.path.trim_start_matches('/'));
        let wrong = || format!("{} cannot be written", path.display());
        let parent = path.parent().unwrap_or(folder);
        if leads_out(parent, folder).with_context(wrong)? {
            bail!("{} leads out of {}: name the folder itself", parent.display(), folder.display());
        }
        DirBuilder::new().recursive(true).mode(0o755).create(parent).with_context(wrong)?;
        match File::create_new(&path) {
            Ok(mut opened) => {
                let written =
                    opened.write_all(file.text.as_bytes()).and_then(|()| opened.sync_all());
                if written.is_err() {
                    // A part of a file is a broken one, and broken ones fail open. The first error is the one to tell.
                    let _ = fs::remove_file(&path);
                }
                written.with_context(wrong)?;
                print(&format!("# wrote {}\n", path.display()))?;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if stands(&path, &file.text).with_context(wrong)? {
                    print(&format!("# it stands already: {}\n", path.display()))?;
                } else {
                    left.push(file);
                }
            }
            Err(error) => return Err(error).with_context(wrong),
        }
    }
    Ok(left)
}

/// Whether what is there of `path` leads out of `folder` by a link: another machine's links are of its own root.
fn leads_out(path: &Path, folder: &Path) -> io::Result<bool> {
    for part in path.ancestors().take_while(|part| part.starts_with(folder)) {
        if part.symlink_metadata().is_ok() {
            return Ok(!fs::canonicalize(part)?.starts_with(fs::canonicalize(folder)?));
        }
    }
    Ok(false)
}
