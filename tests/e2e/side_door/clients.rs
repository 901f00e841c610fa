//! The clients that `.ci/run` provides: those of Debian and of `.ci/go-tools.list`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::lab::{Client, version};
use crate::containerd::Containerd;
use crate::docker::{Cli, Daemon};
use crate::engines::{Engines, engines};
use crate::folder::Folder;
use crate::go_tools::go_tool;
use crate::podman::Podman;
use crate::process::{Said, run, tool};

/// How `ctr` pulls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pull {
    /// The default of this version; since containerd 2, the transfer service.
    Default,
    /// In `ctr` itself, by containerd's client library.
    Local,
}

pub(crate) struct Ctr {
    name: String,
    containerd: Containerd,
    pull: Pull,
}

impl Ctr {
    pub(crate) fn of_debian() -> Self {
        let version = version(&tool("containerd", "containerd"), "--version");
        Self {
            name: format!("ctr ({version})"),
            containerd: Containerd::start(),
            pull: Pull::Default,
        }
    }

    pub(crate) fn current(pull: Pull) -> Self {
        let version = version(&go_tool("containerd"), "--version");
        let name = format!("ctr, {pull:?} ({version})");
        Self { name, containerd: Containerd::start_current(), pull }
    }
}

impl Client for Ctr {
    fn name(&self) -> &str {
        &self.name
    }

    fn pull(&self, image: &str) -> Said {
        let mut ctr = self.containerd.ctr();
        ctr.args(["image", "pull", "--plain-http"]);
        if self.pull == Pull::Local {
            ctr.arg("--local");
        }
        run(ctr.arg(image))
    }

    fn run(&self, image: &str) -> Option<Said> {
        Some(run(self.containerd.ctr().args(["run", "--rm", "--net-host", image, &container()])))
    }

    fn root(&self) -> &Path {
        self.containerd.root()
    }
}

/// A unique container name.
pub(crate) fn container() -> String {
    static CONTAINERS: AtomicU32 = AtomicU32::new(0);
    format!("side-door-{}", CONTAINERS.fetch_add(1, Ordering::Relaxed))
}

pub(crate) struct Docker {
    name: String,
    cli: Cli,
    daemon: Daemon,
    /// The files that the daemon reads.
    _files: Folder,
}

impl Docker {
    pub(crate) fn of_debian() -> Self {
        let version = version(&tool("dockerd", "docker.io"), "--version");
        let daemon = Daemon::start();
        let name = format!("docker, its own store ({version})");
        Self { name, cli: daemon.cli(), daemon, _files: Folder::new("docker") }
    }

    /// A daemon for the installed CLI, which must be new enough for it.
    pub(crate) fn of_daemon(name: String, daemon: Daemon, files: Folder) -> Self {
        Self { name, cli: daemon.newest_cli(), daemon, _files: files }
    }
}

impl Client for Docker {
    fn name(&self) -> &str {
        &self.name
    }

    fn pull(&self, image: &str) -> Said {
        self.cli.run(&["pull", image])
    }

    fn run(&self, image: &str) -> Option<Said> {
        Some(run_without_pull(&self.cli, image))
    }

    fn root(&self) -> &Path {
        self.daemon.root()
    }
}

/// Runs the pulled image without further pulls, under another name or for another platform.
fn run_without_pull(cli: &Cli, image: &str) -> Said {
    cli.run(&["run", "--rm", "--pull", "never", "--network", "host", image])
}

pub(crate) struct PodmanClient {
    name: String,
    podman: Podman,
}

impl PodmanClient {
    pub(crate) fn of_debian() -> Self {
        let version = version(&tool("podman", "podman"), "--version");
        Self { name: version, podman: Podman::new() }
    }
}

impl Client for PodmanClient {
    fn name(&self) -> &str {
        &self.name
    }

    fn pull(&self, image: &str) -> Said {
        run(self.podman.command().args(["pull", "--tls-verify=false", image]))
    }

    fn run(&self, image: &str) -> Option<Said> {
        // A sandbox may not permit podman's default limits.
        let limits = ["--ulimit", "nofile=256:256", "--ulimit", "nproc=256:256"];
        let run_it = ["run", "--rm", "--pull", "never", "--network", "host"];
        Some(run(self.podman.command().args(run_it).args(limits).arg(image)))
    }

    fn root(&self) -> &Path {
        self.podman.root()
    }
}

/// A program that copies an image into a folder, and runs no containers.
pub(crate) struct Copier {
    name: String,
    folder: Folder,
    copy: fn(&str, &Path) -> Command,
}

impl Copier {
    pub(crate) fn skopeo() -> Self {
        let copy = |image: &str, into: &Path| {
            let mut command = tool("skopeo", "skopeo");
            command.args(["--insecure-policy", "copy", "--src-tls-verify=false"]);
            command.arg(format!("docker://{image}")).arg(format!("dir:{}", into.display()));
            command
        };
        Self::new(version(&tool("skopeo", "skopeo"), "--version"), copy)
    }

    /// Without a choice of platform: everything that an index lists.
    pub(crate) fn crane_whole() -> Self {
        let copy = |image: &str, into: &Path| {
            let mut command = go_tool("crane");
            command.args(["pull", "--insecure", "--format", "oci", image]).arg(into);
            command
        };
        Self::new(format!("crane as a layout {}", version(&go_tool("crane"), "version")), copy)
    }

    pub(crate) fn oras() -> Self {
        let copy = |image: &str, into: &Path| {
            let mut command = go_tool("oras");
            command.args(["copy", "--recursive", "--from-plain-http", image, "--to-oci-layout"]);
            command.arg(format!("{}:copy", into.display()));
            command
        };
        Self::new(format!("oras {}", version(&go_tool("oras"), "version")), copy)
    }

    fn new(name: String, copy: fn(&str, &Path) -> Command) -> Self {
        Self { name, folder: Folder::new("copies"), copy }
    }
}

impl Client for Copier {
    fn name(&self) -> &str {
        &self.name
    }

    fn pull(&self, image: &str) -> Said {
        run(&(self.copy)(image, &self.folder.join(&container())))
    }

    fn run(&self, _: &str) -> Option<Said> {
        None
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }
}

/// `crane pull`; docker then loads and runs the image.
pub(crate) struct Crane {
    name: String,
    folder: Folder,
    docker: Cli,
    /// Keeps the daemon running.
    _engines: Arc<Engines>,
}

impl Crane {
    pub(crate) fn new() -> Self {
        let (name, engines) =
            (format!("crane {}", version(&go_tool("crane"), "version")), engines());
        Self { name, folder: Folder::new("crane"), docker: engines.docker.cli(), _engines: engines }
    }

    /// The output of the last pull.
    fn archive(&self) -> PathBuf {
        self.folder.join("image.tar")
    }
}

impl Client for Crane {
    fn name(&self) -> &str {
        &self.name
    }

    fn pull(&self, image: &str) -> Said {
        // The output of an earlier pull would prove nothing about this one.
        let _ = std::fs::remove_file(self.archive());
        run(go_tool("crane").args(["pull", "--insecure", image]).arg(self.archive()))
    }

    fn run(&self, _: &str) -> Option<Said> {
        let mut load = self.docker.command();
        let loaded = run(load.args(["load", "--quiet", "--input"]).arg(self.archive()));
        let image = loaded.stdout.trim().rsplit_once(": ").map(|(_, image)| image.to_owned());
        let Some(image) = image.filter(|_| loaded.ok()) else { return Some(loaded) };
        let said = run_without_pull(&self.docker, &image);
        self.docker.run(&["rmi", "--force", &image]);
        Some(said)
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }
}
