//! The rig's own docker daemon, and docker CLIs that use it.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::folder::Folder;
use crate::machine::Machine;
use crate::process::{Process, Said, every, must, run, same, tool};

/// `dockerd`, with everything it keeps in a folder of its own.
pub(crate) struct Daemon {
    socket: PathBuf,
    process: Process,
    own_network: bool,
    folder: Folder,
}

impl Daemon {
    /// In this machine's network, of which it changes nothing: containers run with `--network host`.
    pub(crate) fn start() -> Self {
        Self::start_as(&without_network(), false)
    }

    /// With a mirror of Docker Hub, and no way to Docker Hub itself: what the mirror refuses it would ask for there.
    pub(crate) fn start_with_mirror(url: &str) -> Self {
        let mut command = without_network();
        command.args(["--registry-mirror", url]);
        command.env("HTTPS_PROXY", "http://127.0.0.1:9").env("NO_PROXY", "127.0.0.1");
        Self::start_as(&command, false)
    }

    /// On another machine, as its files configure it.
    pub(crate) fn start_on(machine: &Machine) -> Self {
        Self::start_as(&machine.on(&without_network()), false)
    }

    /// With a mirror of Docker Hub, and a way to whatever is called so here. Tries a layer twice, for it waits longer
    /// before each further try.
    pub(crate) fn start_between(mirror: &str) -> Self {
        let mut command = without_network();
        command.args(["--registry-mirror", mirror, "--max-download-attempts", "1"]);
        Self::start_as(&command, false)
    }

    /// With bridges, addresses and published ports as sites have them, but in a network namespace of its own, from
    /// which no way leads outside; its CLIs stand in there too.
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

    /// Starts this `dockerd`, in this machine's network.
    pub(crate) fn start_program(dockerd: &Command) -> Self {
        let mut command = same(dockerd);
        command.args(["--bridge=none", "--iptables=false", "--ip6tables=false"]);
        Self::start_as(&command, false)
    }

    /// The folder of everything that it keeps.
    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// A command that talks to this daemon, and stands in its network.
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

    /// The CLI of someone who trusts no Notary server.
    pub(crate) fn cli(&self) -> Cli {
        Cli::new(self)
    }

    /// The newest CLI on the PATH: a daemon of today does not answer one of before 25.
    pub(crate) fn newest_cli(&self) -> Cli {
        Cli { command: self.command(&newest_cli()), ..Cli::new(self) }
    }

    /// Builds `FROM scratch` with a static busybox; a container of it prints `message`.
    pub(crate) fn build(&self, tag: &str, message: &str) {
        let busybox = every("busybox").into_iter().next();
        let busybox = busybox.expect("`busybox` is missing: apt-get install busybox-static");
        let context = Folder::new("build");
        context.write("message", message);
        std::fs::copy(busybox, context.join("busybox")).unwrap();
        context.write(
            "Dockerfile",
            "FROM scratch\nCOPY message /message\nCOPY busybox /bin/busybox\n\
             ENTRYPOINT [\"/bin/busybox\"]\nCMD [\"cat\", \"/message\"]\n",
        );
        let mut build = self.cli().command();
        // A step that another build made may go with its image while this one builds upon it.
        build.env("DOCKER_BUILDKIT", "0").args(["build", "--quiet", "--no-cache", "--tag", tag]);
        must(build.arg(context.path()));
    }

    /// Builds it, and pushes it without `DOCKER_CONTENT_TRUST`; gives its digest. Keeps nothing of it.
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

/// A docker CLI with a home of its own.
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

    /// With `DOCKER_CONTENT_TRUST=1`, this Notary server, and (as a file in the home) its certificate authority.
    pub(crate) fn trusting(mut self, trust_server: &str, ca: &str) -> Self {
        let host = trust_server.strip_prefix("https://").expect("docker wants https");
        self.home.write(&format!(".docker/tls/{host}/ca.crt"), ca);
        self.trust_server = Some(trust_server.to_owned());
        self
    }

    /// With this password for Docker Hub, as `docker login` stores it. docker sends it to mirrors, too.
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

/// The first docker CLI on the PATH that signs and removes signers: 29 signs no more, and 28's `docker trust signer
/// remove` says nothing, exits 0 and removes nobody.
fn signing_cli() -> PathBuf {
    let signs = |cli: &PathBuf| major(cli).is_some_and(|major| major < 28);
    let found = every("docker").into_iter().find(signs);
    found.expect("no docker CLI before 28 on the PATH: apt-get install docker.io")
}
