//! The recipes for clients that keep their image names, and for clients that require TLS.

use crate::docker::Daemon;
use crate::engines::engines;
use crate::folder::Folder;
use crate::gate::{Clock, Gate};
use crate::notary::Keys;
use crate::podman::Podman;
use crate::process::{must, run, tool};
use crate::site::{PROMPT, Site};

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        containerd_uses_the_gate_through_its_hosts_file,
        podman_and_skopeo_use_the_gate_through_registries_conf,
        docker_uses_the_gate_as_a_mirror_of_docker_hub,
        builds_start_from_signed_images_only,
        every_client_pulls_over_tls_with_the_certificate_verified,
    ]
}

/// A signed tag `1` and an unsigned tag `unsigned`, which the registry itself serves to everyone.
fn signed_and_unsigned(site: &Site) -> (String, Gate) {
    let signer = site.signer();
    let digest = signer.push(&site.image("library/app:1"), "led here");
    signer.push_unsigned(&site.image("library/app:unsigned"), "led here too");
    let gate = site.gate(&signer, PROMPT);
    gate.comes_to("library/app", "1", Ok(&digest));
    (digest, gate)
}

fn containerd_uses_the_gate_through_its_hosts_file() {
    let (site, engines) = (Site::new(Keys::InServer), engines());
    let (digest, gate) = signed_and_unsigned(&site);
    let folder = Folder::new("certs.d");
    let url = gate.url("");
    folder.write(
        &format!("{}/hosts.toml", site.registry.name()),
        format!("server = \"{url}\"\n[host.\"{url}\"]\ncapabilities = [\"pull\", \"resolve\"]\n"),
    );
    let pull = |image: &str| {
        let mut ctr = engines.containerd.ctr();
        run(ctr.args(["image", "pull", "--hosts-dir"]).arg(folder.path()).arg(site.image(image)))
    };
    let said = pull("library/app:1");
    assert!(said.ok() && said.all().contains(&digest), "{}", said.all());
    assert!(!pull("library/app:unsigned").ok());
    must(engines.containerd.ctr().args([
        "image",
        "remove",
        "--sync",
        &site.image("library/app:1"),
    ]));
}

fn podman_and_skopeo_use_the_gate_through_registries_conf() {
    let site = Site::new(Keys::InServer);
    let (digest, gate) = signed_and_unsigned(&site);
    let folder = Folder::new("registries");
    let conf = folder.write(
        "registries.conf",
        format!(
            "[[registry]]\nprefix = \"{}\"\nlocation = \"{}\"\ninsecure = true\n",
            site.registry.name(),
            gate.name()
        ),
    );
    let podman = Podman::new();
    let pull = |image: &str| {
        let mut command = podman.command();
        run(command.env("CONTAINERS_REGISTRIES_CONF", &conf).arg("pull").arg(site.image(image)))
    };
    let said = pull("library/app:1");
    assert!(said.ok(), "{}", said.all());
    let inspect = ["image", "inspect", "--format", "{{.Digest}}", &site.image("library/app:1")];
    assert_eq!(must(podman.command().args(inspect)).trim(), digest);
    let said = pull("library/app:unsigned");
    assert!(
        !said.ok() && said.all().contains("remote trust data does not exist"),
        "{}",
        said.all()
    );

    let inspect = |image: &str| {
        let mut skopeo = tool("skopeo", "skopeo");
        skopeo.arg("--registries-conf").arg(&conf).args(["inspect", "--no-tags"]);
        run(skopeo.args(["--format", "{{.Digest}}"]).arg(format!("docker://{}", site.image(image))))
    };
    let said = inspect("library/app:1");
    assert_eq!(said.stdout.trim(), digest, "{}", said.all());
    assert!(!inspect("library/app:unsigned").ok());
}

/// A mirror's denial is advisory: a real daemon continues with Docker Hub, which is unreachable here.
fn docker_uses_the_gate_as_a_mirror_of_docker_hub() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    let digest = signer.push_unsigned(&site.image("library/app:1"), "as from Docker Hub");
    signer.push_unsigned(&site.image("library/app:unsigned"), "as from Docker Hub, unsigned");
    signer.begin("docker.io/library/app");
    let manifest = site.registry.manifest("library/app", &digest);
    signer.sign_digest("docker.io/library/app", "1", &manifest);
    let config = site.config_as("docker.io", &[&signer.root_key_id()], PROMPT);
    let gate = Gate::start(0, "", &config, Clock::Machine);

    let daemon = Daemon::start_with_mirror(&gate.url(""));
    let docker = daemon.cli();
    let said = docker.run(&["pull", "app:1"]);
    assert!(said.ok() && said.stdout.contains(&format!("Digest: {digest}")), "{}", said.all());
    let printed = docker.must(&["run", "--rm", "--network", "host", "app:1"]);
    assert_eq!(printed, "as from Docker Hub");
    assert!(!docker.run(&["pull", "app:unsigned"]).ok());
    let asked = gate.log();
    assert!(
        asked.contains("docker.io/library/app:unsigned") || asked.contains("tag_not_signed"),
        "{asked}"
    );
}

fn builds_start_from_signed_images_only() {
    let (site, engines) = (Site::new(Keys::InServer), engines());
    let (_, gate) = signed_and_unsigned(&site);
    let docker = engines.docker.cli();
    for builder in ["0", "1"] {
        let build = |tag: &str| {
            let context = Folder::new("build");
            let from =
                format!("FROM {}/library/app:{tag}\nLABEL built=by-{builder}\n", gate.name());
            context.write("Dockerfile", from);
            let mut command = docker.command();
            command.env("DOCKER_BUILDKIT", builder).args(["build", "--network", "host", "--pull"]);
            run(command.args(["--tag", "e2e-built"]).arg(context.path()))
        };
        let said = build("1");
        assert!(said.ok(), "{builder}: {}", said.all());
        assert_eq!(docker.must(&["run", "--rm", "--network", "host", "e2e-built"]), "led here");
        docker.must(&["rmi", "--force", "e2e-built"]);
        let said = build("unsigned");
        assert!(!said.ok(), "{builder}: {}", said.all());
    }
}

fn every_client_pulls_over_tls_with_the_certificate_verified() {
    let (site, engines) = (Site::new(Keys::InServer), engines());
    let signer = site.signer();
    let digest = signer.push(&site.image("library/app:1"), "over TLS");
    let authority = &site.notary.authority;
    let tls = format!(
        "tls_cert = \"{}\"\ntls_key = \"{}\"\n",
        authority.server_certificate().display(),
        authority.server_key().display()
    );
    let config = site.config(&[&signer.root_key_id()], PROMPT);
    let gate = Gate::start(0, &tls, &config, Clock::Machine);
    let image = format!("{}/library/app:1", gate.name());
    let folder = Folder::new("certificates");
    folder.write("certs/ca.crt", &authority.certificate);
    let certificates = folder.join("certs");

    // By default, containerd uses no TLS for loopback addresses.
    folder.write(
        &format!("hosts/{}/hosts.toml", gate.name()),
        format!("[host.\"https://{}\"]\nca = \"{}\"\n", gate.name(), authority.ca().display()),
    );
    let mut ctr = engines.containerd.ctr();
    let hosts = folder.join("hosts");
    let said = run(ctr.args(["image", "pull", "--hosts-dir"]).arg(hosts).arg(&image));
    assert!(said.ok() && said.all().contains(&digest), "{}", said.all());
    must(engines.containerd.ctr().args(["image", "remove", "--sync", &image]));

    let podman = Podman::new();
    must(podman.command().args(["pull", "--cert-dir"]).arg(&certificates).arg(&image));

    let mut skopeo = tool("skopeo", "skopeo");
    skopeo.args(["inspect", "--no-tags", "--format", "{{.Digest}}", "--cert-dir"]);
    let said = run(skopeo.arg(&certificates).arg(format!("docker://{image}")));
    assert_eq!(said.stdout.trim(), digest, "{}", said.all());

    // Without a trusted certificate there is no connection, so the pulls above verified it.
    let mut skopeo = tool("skopeo", "skopeo");
    let said = run(skopeo.args(["inspect", "--no-tags"]).arg(format!("docker://{image}")));
    assert!(!said.ok() && said.all().contains("certificate"), "{}", said.all());
}
