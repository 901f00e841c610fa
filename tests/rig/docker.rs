//! The rig's own docker daemon, and docker CLIs that use it.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::folder::Folder;
use crate::machine::Machine;
use crate::process::{Process, Said, every, must, run, same, tool};

/// `dockerd` with all its data in its own folder.
pub(crate) struct Daemon {
    socket: PathBuf,
    process: Process,
    own_network: bool,
    folder: Folder,
}

impl Daemon {
    /// In this machine's network, without changes to it: containers run with `--network host`.
    pub(crate) fn start() -> Self {
        Self::start_as(&without_network(), false)
    }

    /// With a mirror of Docker Hub, and without access to Docker Hub, which docker would ask after a denial of the
    /// mirror.
    pub(crate) fn start_with_mirror(url: &str) -> Self {
        let mut command = without_network();
        command.args(["--registry-mirror", url]);
        command.env("HTTPS_PROXY", "http://127.0.0.1:9").env("NO_PROXY", "127.0.0.1");
        Self::start_as(&command, false)
    }

    /// On another machine, with the configuration files of that machine.
    pub(crate) fn start_on(machine: &Machine) -> Self {
        Self::start_as(&machine.on(&without_network()), false)
    }

    /// With a mirror of Docker Hub, and access to the server with Docker Hub's name here. Tries a layer twice, because
    /// it waits longer before each further attempt.
    pub(crate) fn start_between(mirror: &str) -> Self {
        let mut command = without_network();
        command.args(["--registry-mirror", mirror, "--max-download-attempts", "1"]);
        Self::start_as(&command, false)
    }

    /// With bridges, addresses and published ports as in production, but in its own network namespace without access to
    /// the outside. Its CLIs run there, too.
    pub(crate) fn start_in_its_own_network() -> Self {
        let dockerd = tool("dockerd", "docker.io");
        let mut command = tool("unshare", "util-linux");
        let script = "busybox ip link set lo up && exec \"$@\"";
        command.args(["--net", "--", "sh", "-c", script, "sh"]).arg(dockerd.get_program());
        Self::start_as(&command, true)
    }

    fn start_as(dockerd: &Command, own_network: bool) -> Self {
        let folder = Folder::new("docker");
        let socket = folder.join("docker.sock");
        let mut command = same(dockerd);
        command
            .arg("--data-root")
            .arg(folder.join("data"))
            .arg("--exec-root")
            .arg(folder.join("exec"))
            .arg("--pidfile")
            .arg(folder.join("pid"))
            .arg("-H")
            .arg(format!("unix://{}", socket.display()));
        let process = Process::start("dockerd", &command, &folder).until_there_is(&socket);
        Self { socket, process, own_network, folder }
    }

    /// Starts this `dockerd` in this machine's network.
    pub(crate) fn start_program(dockerd: &Command) -> Self {
        let mut command = same(dockerd);
        command.args(["--bridge=none", "--iptables=false", "--ip6tables=false"]);
        Self::start_as(&command, false)
    }

    /// The folder with all its data.
    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// A command that uses this daemon and runs in its network.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = if self.own_network {
            let mut command = tool("nsenter", "util-linux");
            command.arg(format!("--net=/proc/{}/ns/net", self.process.id())).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.env("DOCKER_HOST", format!("unix://{}", self.socket.display()));
        command
    }

    /// A CLI that trusts no Notary server.
    pub(crate) fn cli(&self) -> Cli {
        Cli::new(self)
    }

    /// The newest CLI on the PATH: current daemons reject clients before version 25.
    pub(crate) fn newest_cli(&self) -> Cli {
        Cli { command: self.command(&newest_cli()), ..Cli::new(self) }
    }

    /// Builds `FROM scratch` with a static busybox; a container of it prints `message`.
    pub(crate) fn build(&self, tag: &str, message: &str) {
        let busybox = every("busybox").into_iter().next();
        let busybox = busybox.expect("`busybox` is not installed: apt-get install busybox-static");
        let context = Folder::new("build");
        context.write("message", message);
        std::fs::copy(busybox, context.join("busybox")).unwrap();
        context.write(
            "Dockerfile",
            "FROM scratch\nCOPY message /message\nCOPY busybox /bin/busybox\n\
             ENTRYPOINT [\"/bin/busybox\"]\nCMD [\"cat\", \"/message\"]\n",
        );
        let mut build = self.cli().command();
        // A step of another build may be removed with its image during this build.
        build.env("DOCKER_BUILDKIT", "0").args(["build", "--quiet", "--no-cache", "--tag", tag]);
        must(build.arg(context.path()));
    }

    /// Builds the image, pushes it without `DOCKER_CONTENT_TRUST`, removes it here, and returns its digest.
    pub(crate) fn push(&self, tag: &str, message: &str) -> String {
        self.build(tag, message);
        let cli = self.cli();
        let said = cli.must(&["push", tag]);
        cli.must(&["rmi", tag]);
        let digest = said.split("digest: ").nth(1).and_then(|rest| rest.split(' ').next());
        digest.unwrap_or_else(|| panic!("no digest: {said}")).to_owned()
    }
}

fn without_network() -> Command {
    let mut command = tool("dockerd", "docker.io");
    command.args(["--bridge=none", "--iptables=false", "--ip6tables=false"]);
    command
}

/// A docker CLI with its own home folder.
pub(crate) struct Cli {
    pub(crate) home: Folder,
    command: Command,
    trust_server: Option<String>,
}

impl Cli {
    fn new(daemon: &Daemon) -> Self {
        let command = daemon.command(&signing_cli());
        Self { home: Folder::new("home"), command, trust_server: None }
    }

    /// With `DOCKER_CONTENT_TRUST=1`, this Notary server, and its certificate authority as a file in the home folder.
    pub(crate) fn trusting(mut self, trust_server: &str, ca: &str) -> Self {
        let host = trust_server.strip_prefix("https://").expect("docker wants https");
        self.home.write(&format!(".docker/tls/{host}/ca.crt"), ca);
        self.trust_server = Some(trust_server.to_owned());
        self
    }

    /// With this password for Docker Hub, stored as `docker login` does. docker also sends it to mirrors.
    pub(crate) fn with_hub_password(self, user: &str, password: &str) -> Self {
        let pair = STANDARD.encode(format!("{user}:{password}"));
        let auths =
            format!("{{\"auths\":{{\"https://index.docker.io/v1/\":{{\"auth\":\"{pair}\"}}}}}}");
        self.home.write(".docker/config.json", auths);
        self
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = same(&self.command);
        command
            .env("HOME", self.home.path())
            .env("DOCKER_CONFIG", self.home.join(".docker"))
            .env_remove("DOCKER_CONTEXT")
            .env_remove("DOCKER_CONTENT_TRUST")
            .env_remove("DOCKER_CONTENT_TRUST_SERVER");
        if let Some(server) = &self.trust_server {
            command.env("DOCKER_CONTENT_TRUST", "1").env("DOCKER_CONTENT_TRUST_SERVER", server);
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        run(self.command().args(arguments))
    }

    pub(crate) fn must(&self, arguments: &[&str]) -> String {
        must(self.command().args(arguments))
    }
}

fn newest_cli() -> PathBuf {
    let newest = every("docker").into_iter().max_by_key(major);
    newest.expect("no docker CLI on the PATH: apt-get install docker.io")
}

fn major(cli: &PathBuf) -> Option<u32> {
    let version = must(Command::new(cli).arg("--version"));
    version.split([' ', '.']).find_map(|word| word.parse().ok())
}

/// The first docker CLI on the PATH that can sign and remove signers. Version 29 cannot sign, and `docker trust signer
/// remove` of version 28 prints nothing, exits with 0 and removes no signer.
fn signing_cli() -> PathBuf {
    let signs = |cli: &PathBuf| major(cli).is_some_and(|major| major < 28);
    let found = every("docker").into_iter().find(signs);
    found.expect("no docker CLI before 28 on the PATH: apt-get install docker.io")
}
