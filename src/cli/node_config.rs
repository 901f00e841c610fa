//! `countersign node-config`: keeps the `hosts.toml` files of a Kubernetes node. A DaemonSet runs it.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::client_config::{self, ClientPath, GateAddress, MANAGED, NODE_CA, NodeGate};
use crate::http_client::Credentials;
use crate::oci::Registry;
use crate::oci::docker_hub::DOCKER_HUB;

use super::client_config::leads_out;
use super::print;

/// How often `--stay` checks the files.
const LOOK: Duration = Duration::from_secs(60);
/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// The most folders of registries that a node may have.
const MAX_FOLDERS: usize = 2_000;
/// The name under which a file is written before it replaces the previous one.
const NEW: &str = ".countersign-new";

/// Keep the files that make a Kubernetes node use only the gate.
///
/// These are the `hosts.toml` files of containerd. The first line of each marks it as managed. The command replaces
/// managed files, removes those that are no longer needed, and leaves other files alone. It does not change
/// containerd's config.toml. The files stay when the command ends: the node pulls through the gate or not at all.
/// Exit status: 0; 2 invalid arguments; 1 a file was not read, written or removed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign node-config --write / --gate https://gate.example.com --ca gate-ca.crt\n  \
    countersign node-config --remove /")]
pub(super) struct NodeConfig {
    /// Write the files below this folder, the root of the node.
    #[arg(long, value_name = "FOLDER", required_unless_present = "remove", requires = "gate")]
    write: Option<PathBuf>,
    /// Remove the managed files below this folder, the root of the node.
    #[arg(long, value_name = "FOLDER", conflicts_with = "write")]
    remove: Option<PathBuf>,
    /// URL of the gate, as the node reaches it.
    #[arg(long, value_name = "URL")]
    gate: Option<GateAddress>,
    /// A registry, as image names contain it; may be repeated.
    #[arg(long = "registry", value_name = "NAME", default_value = DOCKER_HUB)]
    registries: Vec<Registry>,
    /// CA certificate of the gate: a file, which is copied to the node.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// User for the node, if the gate requires passwords.
    #[arg(long, value_name = "USER", requires = "password_file")]
    username: Option<String>,
    /// File with the password of the user.
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// The folder on the node in which containerd looks for `hosts.toml` files.
    #[arg(long, value_name = "FOLDER", default_value = "/etc/containerd/certs.d")]
    certs_dir: ClientPath,
    /// Stay until SIGTERM or SIGINT, and repair the files once a minute.
    #[arg(long)]
    stay: bool,
}

impl NodeConfig {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                biased;
                _ = look.tick() => self.pass()?,
                _ = terminate.recv() => return Ok(0),
                _ = interrupt.recv() => return Ok(0),
            }
            if !self.stay {
                return Ok(0);
            }
        }
    }

    /// Makes the files of the node what they should be.
    fn pass(&self) -> anyhow::Result<()> {
        let (Some(folder), Some(gate)) = (&self.write, &self.gate) else {
            let folder = self.remove.as_deref().context("give --write or --remove")?;
            return self.node(folder).sync(&[], 0o644);
        };
        let credentials =
            Credentials::read(self.username.as_deref(), self.password_file.as_deref())?;
        let mode = if credentials.is_some() { 0o600 } else { 0o644 };
        let ca = self.ca.as_deref().map(certificate).transpose()?;
        let files = client_config::node(&NodeGate {
            gate: gate.clone(),
            registries: self.registries.clone(),
            ca,
            credentials,
            certs_dir: self.certs_dir.clone(),
        });
        self.node(folder).sync(&files, mode)
    }

    fn node<'a>(&self, root: &'a Path) -> Node<'a> {
        Node { root, certs: below(root, self.certs_dir.as_str()) }
    }
}

/// A path of the node below its root.
fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// The CA certificate in `file`, as PEM.
fn certificate(file: &Path) -> anyhow::Result<String> {
    let text = text(file)
        .with_context(|| format!("cannot read {}", file.display()))?
        .with_context(|| format!("{} does not exist", file.display()))?;
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        bail!("{} contains no certificate in PEM", file.display());
    }
    Ok(text)
}

/// The text of a file, or nothing if it does not exist.
fn text(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::other("the file has more than 1 MiB"));
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// The file system of a node.
struct Node<'a> {
    root: &'a Path,
    /// The folder of `hosts.toml` files.
    certs: PathBuf,
}

impl Node<'_> {
    /// Writes `files`, and removes every other managed file.
    fn sync(&self, files: &[client_config::File], mode: u32) -> anyhow::Result<()> {
        self.stays_inside(&self.certs)?;
        let mut others = Vec::new();
        let mut wanted = Vec::new();
        for file in files {
            let path = below(self.root, &file.path);
            match text(&path).with_context(|| format!("cannot read {}", path.display()))? {
                Some(text) if text == file.text => {}
                Some(text) if !text.starts_with(MANAGED) => others.push(path.display().to_string()),
                Some(_) | None => {
                    self.write(&path, &file.text, mode)
                        .with_context(|| format!("cannot write {}", path.display()))?;
                    print(&format!("wrote {}\n", path.display()))?;
                }
            }
            wanted.push(path);
        }
        for path in self.candidates()? {
            let wrong = || format!("cannot remove {}", path.display());
            if wanted.contains(&path)
                || !text(&path).with_context(wrong)?.is_some_and(|text| text.starts_with(MANAGED))
            {
                continue;
            }
            fs::remove_file(&path).with_context(wrong)?;
            if let Some(folder) = path.parent().filter(|folder| *folder != self.certs) {
                match fs::remove_dir(folder) {
                    // Files of others may be in the folder, too.
                    Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
                    removed => removed.with_context(wrong)?,
                }
            }
            print(&format!("removed {}\n", path.display()))?;
        }
        if others.is_empty() {
            return Ok(());
        }
        bail!(
            "other programs wrote these files, so they are unchanged; remove or rename them, and run this command again: {}",
            others.join(", ")
        )
    }

    /// The files that may be managed, whether they exist or not.
    fn candidates(&self) -> anyhow::Result<Vec<PathBuf>> {
        let wrong = || format!("cannot list {}", self.certs.display());
        let listed = match fs::read_dir(&self.certs) {
            Ok(listed) => listed,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(wrong),
        };
        let mut found = vec![self.certs.join(NODE_CA)];
        for entry in listed {
            let entry = entry.with_context(wrong)?;
            // A link may lead out of the node.
            if !entry.file_type().with_context(wrong)?.is_dir() {
                continue;
            }
            if found.len() > MAX_FOLDERS {
                bail!("{} has more than {MAX_FOLDERS} folders", self.certs.display());
            }
            found.push(entry.path().join("hosts.toml"));
        }
        Ok(found)
    }

    /// Absolute links of a mounted node refer to its own root, and lead elsewhere from here.
    fn stays_inside(&self, folder: &Path) -> anyhow::Result<()> {
        if leads_out(folder, self.root)? {
            bail!("{} is a link to a folder outside {}", folder.display(), self.root.display());
        }
        Ok(())
    }

    /// Replaces the file in one step: containerd ignores a partial file and asks the registry itself.
    fn write(&self, path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
        let parent = path.parent().unwrap_or(self.root);
        self.stays_inside(parent)?;
        DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
        let new = parent.join(NEW);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            Err(_) | Ok(()) => {}
        }
        let mut file = File::options().write(true).create_new(true).mode(mode).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        Ok(())
    }
}
