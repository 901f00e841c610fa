//! The output of `countersign client-config` on client machines whose Docker Hub serves everything: clients pull
//! signed images through the gate and cannot pull unsigned ones. Also checks what `countersign doctor` reports there.

use std::path::Path;
use std::process::Command;

use crate::docker::{Cli, Daemon};
use crate::docker_hub::DockerHub;
use crate::engines::{Engines, engines};
use crate::folder::Folder;
use crate::gate::{Clock, Gate};
use crate::machine::{GATE, Machine};
use crate::notary::Keys;
use crate::podman::Podman;
use crate::process::{Said, must, tool};
use crate::site::{PROMPT, Site};
use crate::tls::Authority;

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        containerd_as_configured_pulls_nothing_unsigned,
        podman_and_skopeo_as_configured_pull_nothing_unsigned,
        podman_with_a_mirror_as_configured_pulls_nothing_unsigned,
        docker_by_the_gates_name_pulls_nothing_unsigned,
        docker_with_a_mirror_pulls_nothing_unsigned_if_docker_hub_is_blocked,
        containerd_reads_the_printed_config,
        the_egress_rules_do_not_block_the_gate,
    ]
}

/// Docker Hub with a signed and an unsigned image, the gate in front of it, and a client machine.
struct Place {
    signed: String,
    unsigned: String,
    url: String,
    ca: String,
    client: [String; 2],
    machine: Machine,
    hub: DockerHub,
    gate: Gate,
    _authority: Authority,
    _site: Site,
}

impl Place {
    fn new() -> Self {
        let site = Site::new(Keys::InServer);
        let signer = site.signer();
        let signed = signer.push_unsigned(&site.image("library/app:1"), "signed at Docker Hub");
        let unsigned =
            signer.push_unsigned(&site.image("library/app:unsigned"), "not signed there");
        signer.begin("docker.io/library/app");
        let manifest = site.registry.manifest("library/app", &signed);
        signer.sign_digest("docker.io/library/app", "1", &manifest);

        // The machine's system trusts Docker Hub's authority, and this one only if configured.
        let authority = Authority::new();
        let (certificate, key) = authority.certify("gate", &[GATE]);
        let tls =
            format!("tls_cert = \"{}\"\ntls_key = \"{}\"\n", certificate.display(), key.display());
        let config = site.config_as("docker.io", &[&signer.root_key_id()], PROMPT);
        let gate = Gate::start(0, &tls, &config, Clock::Machine);
        let hub = DockerHub::start(site.content.path(), &site.notary.authority);
        let machine = Machine::new(&hub, &site.notary.authority);
        let url = format!("https://{GATE}:{}", gate.port);
        let ca = authority.ca().display().to_string();
        let client = authority.certify("client", &["client.example.com"]);
        let client = [client.0, client.1].map(|file| file.display().to_string());
        Self {
            signed,
            unsigned,
            url,
            ca,
            client,
            machine,
            hub,
            gate,
            _authority: authority,
            _site: site,
        }
    }

    fn configure(&self, client: &str, more: &[&str]) {
        let arguments = ["--gate", &self.url, "--ca", &self.ca];
        // The gate requires no client certificate. But a client stops if it cannot read its files.
        let [certificate, key] = &self.client;
        let own = ["--client-cert", certificate, "--client-key", key];
        self.machine.configure(client, &[&arguments, &own[..], more].concat());
    }

    /// The gate's name in image names.
    fn authority(&self) -> String {
        format!("{GATE}:{}", self.gate.port)
    }

    /// Checks that unsigned images come from Docker Hub until `lead` points the client to the gate; afterwards, clients
    /// cannot pull them, and Docker Hub gets no request.
    fn is_closed_by(&self, lead: impl FnOnce(), pull: impl Fn(&str) -> Said) {
        let said = pull("docker.io/library/app:unsigned");
        assert!(said.ok() && self.hub.answered() > 0, "{}", said.all());
        lead();
        let before = self.hub.answered();
        let said = pull("docker.io/library/app:1");
        assert!(said.ok(), "{}", said.all());
        for image in [
            "docker.io/library/app:unsigned".to_owned(),
            format!("docker.io/library/app@{}", self.unsigned),
            "docker.io/library/other:1".to_owned(),
            "registry-1.docker.io/library/app:unsigned".to_owned(),
            "index.docker.io/library/app:unsigned".to_owned(),
        ] {
            let said = pull(&image);
            assert!(!said.ok(), "{image}: {}", said.all());
        }
        assert_eq!(self.hub.answered(), before, "Docker Hub got a request");
    }

    /// Checks that `doctor` agrees: the client's files are closed, although it can still reach Docker Hub.
    fn doctor_finds_only_egress(&self, client: &str) {
        let said = self.machine.doctor(&self.url);
        assert_eq!(said.status.code(), Some(3), "{}", said.all());
        let about = |line: &&str| line.split_whitespace().nth(1) == Some(client);
        let lines: Vec<_> = said.stdout.lines().filter(about).collect();
        assert!(
            !lines.is_empty() && lines.iter().all(|line| line.starts_with("closed")),
            "{}",
            said.all()
        );
        let egress = "registry-1.docker.io is reachable from this machine";
        assert!(said.stdout.contains(egress), "{}", said.all());
    }
}

fn containerd_as_configured_pulls_nothing_unsigned() {
    let (place, engines) = (Place::new(), engines());
    let pull = |image: &str| pull_with_ctr(&place, &engines, image);
    place.is_closed_by(|| place.configure("containerd", &[]), pull);
    place.doctor_finds_only_egress("containerd");

    // A typo makes containerd use Docker Hub again: `doctor` detects it.
    let hosts = place.machine.root().join("etc/containerd/certs.d/docker.io/hosts.toml");
    let broken =
        std::fs::read_to_string(&hosts).unwrap().replace("\"pull\", \"resolve\"]", "\"pull\"");
    std::io::Write::write_all(&mut std::fs::File::create(&hosts).unwrap(), broken.as_bytes())
        .unwrap();
    let said = place.machine.doctor(&place.url);
    assert!(
        said.stdout.contains("in /etc/containerd/certs.d/docker.io/hosts.toml:"),
        "{}",
        said.all()
    );
    assert!(pull("docker.io/library/app:unsigned").ok(), "the typo no longer bypasses the gate");
}

/// Pulls an image and removes it.
fn pull_with_ctr(place: &Place, engines: &Engines, image: &str) -> Said {
    let mut ctr = engines.containerd.ctr();
    ctr.args(["image", "pull", "--hosts-dir", "/etc/containerd/certs.d", image]);
    let said = place.machine.run(&ctr);
    if said.ok() {
        must(engines.containerd.ctr().args(["image", "remove", "--sync", image]));
    }
    said
}

fn pull_with_podman(place: &Place, podman: &Podman, image: &str) -> Said {
    place.machine.run(podman.command().args(["pull", image]))
}

fn inspect_with_skopeo(place: &Place, image: &str) -> Said {
    let mut skopeo = tool("skopeo", "skopeo");
    skopeo.args(["inspect", "--no-tags", "--format", "{{.Digest}}"]);
    place.machine.run(skopeo.arg(format!("docker://{image}")))
}

fn podman_and_skopeo_as_configured_pull_nothing_unsigned() {
    let (place, podman) = (Place::new(), Podman::new());
    place.is_closed_by(
        || place.configure("podman", &[]),
        |image| pull_with_podman(&place, &podman, image),
    );
    let said = pull_with_podman(&place, &podman, "docker.io/library/app:unsigned");
    assert!(said.all().contains("remote trust data does not exist"), "{}", said.all());
    let said = inspect_with_skopeo(&place, "docker.io/library/app:1");
    assert_eq!(said.stdout.trim(), place.signed, "{}", said.all());
    assert!(!inspect_with_skopeo(&place, "docker.io/library/app:unsigned").ok());
    place.doctor_finds_only_egress("podman");
}

fn podman_with_a_mirror_as_configured_pulls_nothing_unsigned() {
    let (place, podman) = (Place::new(), Podman::new());
    place.is_closed_by(
        || place.configure("podman-mirror", &[]),
        |image| pull_with_podman(&place, &podman, image),
    );
    let said = pull_with_podman(&place, &podman, "docker.io/library/app:unsigned");
    assert!(said.all().contains("remote trust data does not exist"), "{}", said.all());
    place.doctor_finds_only_egress("podman");
}

fn docker_by_the_gates_name_pulls_nothing_unsigned() {
    let place = Place::new();
    place.configure("docker", &[]);
    let daemon = Daemon::start_on(&place.machine);
    let (docker, gate) = (daemon.cli(), place.authority());
    let said = docker.run(&["pull", &format!("{gate}/docker.io/library/app:1")]);
    assert!(said.ok() && said.stdout.contains(&place.signed), "{}", said.all());
    let said = docker.run(&["pull", &format!("{gate}/docker.io/library/app:unsigned")]);
    assert!(
        !said.ok() && said.all().contains("remote trust data does not exist"),
        "{}",
        said.all()
    );
    assert_eq!(place.hub.answered(), 0);
}

fn docker_with_a_mirror_pulls_nothing_unsigned_if_docker_hub_is_blocked() {
    let mut place = Place::new();
    let mirror = place.url.clone();
    place.configure("docker", &["--mirror", &mirror]);
    let daemon = Daemon::start_on(&place.machine);
    let docker = daemon.cli();
    let said = place.machine.doctor(&place.url);
    assert_eq!(said.status.code(), Some(3), "{}", said.all());
    assert!(said.stdout.contains("in /etc/docker/daemon.json:2"), "{}", said.all());
    pull_and_forget(&docker);
    assert_eq!(place.hub.answered(), 0);

    place.hub.stop();
    for image in ["app:unsigned", &format!("app@{}", place.unsigned)] {
        let said = docker.run(&["pull", image]);
        assert!(!said.ok(), "{image}: {}", said.all());
    }
    pull_and_forget(&docker);
    let said = place.machine.doctor(&place.url);
    let about = |line: &&str| line.split_whitespace().nth(1) == Some("docker");
    assert!(
        said.stdout.lines().filter(about).all(|line| line.starts_with("held")),
        "{}",
        said.all()
    );
}

fn pull_and_forget(docker: &Cli) {
    docker.must(&["pull", "app:1"]);
    docker.must(&["rmi", "app:1"]);
}

fn containerd_reads_the_printed_config() {
    let root = Folder::new("printed");
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(["client-config", "containerd", "--gate", "https://gate.example.com", "--write"]);
    must(command.arg(root.path()));
    let config = root.join("etc/containerd/config.toml");
    let mut containerd = tool("containerd", "containerd");
    let meant = must(containerd.arg("--config").arg(config).args(["config", "dump"]));
    assert!(meant.contains("config_path = \"/etc/containerd/certs.d\""), "{meant}");
}

/// In its own network, where no server answers: the rules refuse connections at once, which makes them visible.
fn the_egress_rules_do_not_block_the_gate() {
    let root = Folder::new("printed");
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(["client-config", "egress", "--gate", "https://10.99.0.2", "--write"]);
    must(command.arg(root.path()));
    let rules = root.join("etc/nftables.d/countersign.nft");
    let script = "set -e; busybox ip link add out type bridge; busybox ip addr add 10.99.0.1/24 dev out; \
         busybox ip link set out up; busybox ip link set lo up; for rules; do nft -f \"$rules\"; done; \
         for place in '10.99.0.2 443' '10.99.0.2 80' '10.99.0.3 443' '10.99.0.3 80'; do \
         echo \"$place: $(busybox nc -w 1 $place 2>&1 </dev/null)\"; done";
    let refused = |rules: &[&Path]| {
        let mut command = tool("unshare", "util-linux");
        command.args(["--net", "--", "sh", "-c", script, "sh"]).args(rules);
        let said = must(&command);
        let refused = said.lines().filter(|line| line.ends_with("Connection refused"));
        refused
            .filter_map(|line| line.split_once(": "))
            .map(|(place, _)| place.to_owned())
            .collect()
    };
    let none: Vec<String> = refused(&[]);
    assert_eq!(none, <[String; 0]>::default());
    // Loaded twice, as at boot and after a change.
    let closed: Vec<String> = refused(&[&rules, &rules]);
    assert_eq!(closed, ["10.99.0.2 80", "10.99.0.3 443", "10.99.0.3 80"]);
}
