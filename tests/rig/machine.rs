//! A client machine: this machine with another `/etc`, in its own mount namespace. There, Docker Hub's names resolve
//! to the stand-in, and the gate has a name.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::docker_hub::{DockerHub, NAMES};
use crate::folder::Folder;
use crate::process::{Process, Said, must, run, same, tool};
use crate::tls::Authority;

/// The host name of the gate on the machine.
pub(crate) const GATE: &str = "gate.example.com";

pub(crate) struct Machine {
    process: Process,
    folder: Folder,
    /// The authority that the machine's system trusts.
    system: PathBuf,
}

impl Machine {
    /// A machine without settings for the gate, which trusts Docker Hub's certificate.
    pub(crate) fn new(hub: &DockerHub, authority: &Authority) -> Self {
        let folder = Folder::new("machine");
        let etc = folder.join("etc");
        must(tool("cp", "coreutils").arg("--archive").arg("/etc").arg(&etc));
        for client in ["docker", "containerd"] {
            let _ = std::fs::remove_dir_all(etc.join(client));
        }
        let mut hosts = format!("127.0.0.1 localhost {GATE}\n");
        hosts.extend(NAMES.map(|name| format!("{} {name}\n", hub.address)));
        folder.write("etc/hosts", hosts);
        let mut command = tool("unshare", "util-linux");
        command.args(["--mount", "--propagation", "private", "--", "sh", "-c"]);
        command.arg("mount --bind \"$0\" /etc && echo mounted && exec sleep infinity").arg(&etc);
        let mut process = Process::start("machine", &command, &folder);
        process.until(|said| said.contains("mounted").then_some(()));
        Self { process, folder, system: authority.ca() }
    }

    /// The path of the machine's root outside its namespace; it contains only `/etc`.
    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// The same command, run on this machine.
    pub(crate) fn on(&self, command: &Command) -> Command {
        let whole = same(command);
        let mut inside = tool("nsenter", "util-linux");
        inside.arg(format!("--mount=/proc/{}/ns/mnt", self.process.id())).arg("--");
        inside.arg(whole.get_program()).args(whole.get_args());
        for (name, value) in whole.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside.env("SSL_CERT_FILE", &self.system);
        for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
            inside.env_remove(proxy);
        }
        inside
    }

    pub(crate) fn run(&self, command: &Command) -> Said {
        run(&self.on(command))
    }

    /// Writes the files of `countersign client-config` for this client, and follows its instructions about
    /// certificates.
    pub(crate) fn configure(&self, client: &str, arguments: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.args(["client-config", client]).args(arguments).arg("--write").arg(self.root());
        let said = must(&command);
        for line in said.lines() {
            if let Some(install) = line.strip_prefix("#   install ") {
                must(&self.on(tool("install", "coreutils").args(install.split(' '))));
            }
        }
    }

    /// Runs `countersign doctor` on the machine.
    pub(crate) fn doctor(&self, gate: &str) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        self.run(command.args(["doctor", "--gate", gate]))
    }
}
