//! A user who builds, pushes and signs images as Docker's documentation describes.

use crate::docker::{Cli, Daemon};
use crate::notary::Notary;
use crate::process::{Said, run, run_answering, tool};

const PASSPHRASE: &str = "a passphrase of the rig";

/// Keys in their own home folder; the first signature creates the repository.
pub(crate) struct Signer<'a> {
    daemon: &'a Daemon,
    cli: Cli,
    server: String,
    ca: std::path::PathBuf,
}

impl<'a> Signer<'a> {
    pub(crate) fn new(daemon: &'a Daemon, notary: &Notary) -> Self {
        let cli = daemon.cli().trusting(&notary.url(), &notary.authority.certificate);
        Self { daemon, cli, server: notary.url(), ca: notary.ca() }
    }

    /// Builds an image that prints `message`, pushes it with `DOCKER_CONTENT_TRUST=1`, and returns its digest. The
    /// daemon does not keep the image.
    pub(crate) fn push(&self, image: &str, message: &str) -> String {
        self.push_with(image, message, "1")
    }

    pub(crate) fn push_unsigned(&self, image: &str, message: &str) -> String {
        self.push_with(image, message, "0")
    }

    fn push_with(&self, image: &str, message: &str, content_trust: &str) -> String {
        self.daemon.build(image, message);
        let said = self.docker(&["push", image], content_trust);
        assert!(said.ok(), "{}", said.all());
        let signed = said.all().contains("Successfully signed");
        assert_eq!(signed, content_trust == "1", "{}", said.all());
        let digest = said.stdout.split("digest: ").nth(1).and_then(|rest| rest.split(' ').next());
        let digest = digest.unwrap_or_else(|| panic!("no digest: {}", said.all())).to_owned();
        self.docker(&["rmi", image], "0");
        digest
    }

    /// `docker trust key generate` and `docker trust signer add`: later pushes sign `targets/<name>` and
    /// `targets/releases`.
    pub(crate) fn add(&self, name: &str, repository: &str) {
        let home = self.cli.home.path().to_string_lossy().into_owned();
        let key = format!("{home}/{name}.pub");
        if !std::path::Path::new(&key).is_file() {
            self.trust(&["key", "generate", name, "--dir", &home]);
        }
        self.trust(&["signer", "add", "--key", &key, name, repository]);
    }

    pub(crate) fn remove(&self, name: &str, repository: &str) {
        let said = self.trust(&["signer", "remove", "--force", name, repository]);
        assert!(said.contains(&format!("Successfully removed {name}")), "{said}");
    }

    /// The output of `docker trust inspect` for a repository.
    pub(crate) fn inspect(&self, repository: &str) -> serde_json::Value {
        serde_json::from_str(&self.trust(&["inspect", repository])).unwrap()
    }

    /// The id of the root key, which is the same for every repository of this signer (unlike the ids of the root
    /// certificates).
    pub(crate) fn root_key_id(&self) -> String {
        let keys = self.cli.home.join(".docker/trust/private");
        let of_root = |file: &std::fs::DirEntry| {
            std::fs::read_to_string(file.path()).is_ok_and(|key| key.contains("role: root"))
        };
        let file = std::fs::read_dir(keys).unwrap().flatten().find(of_root);
        let file = file.expect("no root key yet").file_name();
        file.to_string_lossy().trim_end_matches(".key").to_owned()
    }

    /// Creates a repository without signatures, if no push creates it.
    pub(crate) fn begin(&self, repository: &str) {
        self.notary(&["init", "-p", repository]);
    }

    /// Signs a digest that need not exist in a docker daemon, as for multi-platform images.
    pub(crate) fn sign_digest(&self, repository: &str, tag: &str, manifest: &[u8]) {
        let digest = crate::registry::digest_of(manifest);
        let (size, hex) = (manifest.len().to_string(), digest.trim_start_matches("sha256:"));
        self.notary(&["addhash", "-p", repository, tag, &size, "--sha256", hex]);
    }

    /// `notary key rotate` to a new local key, or (`-r`) to one of the server.
    pub(crate) fn rotate(&self, repository: &str, key: &[&str]) {
        self.notary(&[&["key", "rotate", repository][..], key].concat());
    }

    /// Creates a root key before the rotation to it, so that it can be pinned; returns its id.
    pub(crate) fn new_root_key(&self) -> String {
        let said = self.notary(&["key", "generate", "ecdsa", "--role", "root"]);
        let hex = |word: &&str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
        let id = said.split_whitespace().find(hex);
        id.unwrap_or_else(|| panic!("no key id: {said}")).to_owned()
    }

    pub(crate) fn rotate_root_to(&self, repository: &str, id: &str) {
        let key = self.cli.home.join(&format!(".docker/trust/private/{id}.key"));
        self.rotate(repository, &["root", "--key", &key.to_string_lossy()]);
    }

    fn notary(&self, arguments: &[&str]) -> String {
        let mut command = tool("notary", "notary");
        command.args(["-s", &self.server, "--tlscacert"]).arg(&self.ca);
        command.arg("-d").arg(self.cli.home.join(".docker/trust")).args(arguments);
        for role in ["ROOT", "TARGETS", "SNAPSHOT", "DELEGATION"] {
            command.env(format!("NOTARY_{role}_PASSPHRASE"), PASSPHRASE);
        }
        let said = run_answering(&command, "yes\n");
        assert!(said.ok(), "notary {arguments:?}: {}", said.all());
        said.all()
    }

    fn trust(&self, arguments: &[&str]) -> String {
        let said = self.docker(&[&["trust"][..], arguments].concat(), "1");
        assert!(said.ok(), "docker trust {arguments:?}: {}", said.all());
        said.stdout
    }

    /// A shell with this user's settings. Its `docker` is the CLI that signs, linked into the folder `bin`.
    pub(crate) fn shell(&self, bin: &std::path::Path) -> std::process::Command {
        let docker = self.cli.command();
        std::os::unix::fs::symlink(docker.get_program(), bin.join("docker")).unwrap();
        let mut shell = tool("sh", "dash");
        for (name, value) in docker.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell.env_remove("DOCKER_CONTENT_TRUST").env_remove("DOCKER_CONTENT_TRUST_SERVER");
        shell.env("DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE", PASSPHRASE);
        shell.env("DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE", PASSPHRASE);
        shell
    }

    /// Runs the docker CLI with this value of `DOCKER_CONTENT_TRUST`.
    pub(crate) fn docker(&self, arguments: &[&str], content_trust: &str) -> Said {
        let mut command = self.cli.command();
        command.env("DOCKER_CONTENT_TRUST", content_trust).args(arguments);
        command.env("DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE", PASSPHRASE);
        command.env("DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE", PASSPHRASE);
        run(&command)
    }
}
