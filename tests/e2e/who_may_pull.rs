//! Access control with real clients that log in, also during a reload of the configuration.

use std::time::Duration;

use crate::curl::{Version, curl};
use crate::engines::engines;
use crate::folder::Folder;
use crate::gate::{Clock, Gate};
use crate::notary::Keys;
use crate::podman::Podman;
use crate::process::{Said, run, tool, wait_for};
use crate::site::{PROMPT, Site};
use crate::tls::Authority;

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        users_log_in_and_pull_what_their_grants_allow,
        nodes_pull_with_certificates,
        a_running_gate_applies_a_valid_rule_and_rejects_an_invalid_one,
    ]
}

/// bob may not pull anything.
fn users(site: &Site) -> (Folder, String) {
    let folder = Folder::new("users");
    let line = |user: &str| format!("{user}:{}\n", bcrypt::hash(user, 5).unwrap());
    let file = folder.write("htpasswd", line("alice") + &line("bob"));
    let clients = format!(
        "[clients]\nhtpasswd = \"{}\"\n[[clients.rule]]\nusers = [\"alice\"]\nimages = [\"{}/library/*\"]\n",
        file.display(),
        site.registry.name(),
    );
    (folder, clients)
}

fn users_log_in_and_pull_what_their_grants_allow() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    signer.push(&site.image("library/app:1"), "for users");
    let (_users, clients) = users(&site);
    let config = format!("{}{clients}", site.config(&[&signer.root_key_id()], PROMPT));
    let gate = Gate::start(0, "", &config, Clock::Machine);
    let (name, image) = (gate.name(), format!("{}/library/app:1", gate.name()));

    let docker = engines().docker.cli();
    let refused = docker.run(&["pull", &image]);
    assert!(!refused.ok(), "{}", refused.all());
    let wrong = docker.run(&["login", "--username", "alice", "--password", "bob", &name]);
    assert!(!wrong.ok() && wrong.all().contains("401"), "{}", wrong.all());
    docker.must(&["login", "--username", "bob", "--password", "bob", &name]);
    let refused = docker.run(&["pull", &image]);
    assert!(!refused.ok() && refused.all().contains("bob may not pull"), "{}", refused.all());
    docker.must(&["login", "--username", "alice", "--password", "alice", &name]);
    docker.must(&["pull", &image]);
    let ran = docker.must(&["run", "--rm", "--network", "none", &image]);
    assert_eq!(ran.trim(), "for users");
    docker.must(&["rmi", &image]);

    for (user, expected) in [("alice", true), ("bob", false), ("carol", false)] {
        for said in
            [by_containerd(&image, user), by_podman(&name, &image, user), by_skopeo(&image, user)]
        {
            assert_eq!(said.ok(), expected, "{user}: {}", said.all());
        }
    }
    assert!(gate.log().contains("\"client.user\":\"alice\""), "{}", gate.log());
    assert!(!gate.log().contains("Basic "), "{}", gate.log());
}

fn by_containerd(image: &str, user: &str) -> Said {
    let engines = engines();
    let user = format!("{user}:{user}");
    let mut pull = engines.containerd.ctr();
    let said = run(pull.args(["image", "pull", "--plain-http", "--user", &user, image]));
    run(engines.containerd.ctr().args(["image", "rm", "--sync", image]));
    said
}

fn by_podman(gate: &str, image: &str, user: &str) -> Said {
    let podman = Podman::new();
    let login = ["login", "--tls-verify=false", "--username", user, "--password", user, gate];
    let said = run(podman.command().args(login));
    if !said.ok() {
        return said;
    }
    run(podman.command().args(["pull", "--tls-verify=false", image]))
}

fn by_skopeo(image: &str, user: &str) -> Said {
    let (folder, user) = (Folder::new("skopeo"), format!("{user}:{user}"));
    let mut copy = tool("skopeo", "skopeo");
    copy.args(["--insecure-policy", "copy", "--src-tls-verify=false", "--src-creds", &user]);
    run(copy
        .arg(format!("docker://{image}"))
        .arg(format!("dir:{}", folder.join("image").display())))
}

fn nodes_pull_with_certificates() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    let digest = signer.push(&site.image("library/app:1"), "for nodes");
    let (authority, strangers) = (Authority::new(), Authority::new());
    let (certificate, key) = authority.certify("node-1", &["node-1"]);
    let server = format!(
        "tls_cert = \"{}\"\ntls_key = \"{}\"",
        authority.server_certificate().display(),
        authority.server_key().display()
    );
    let config = format!(
        "{}[clients]\ntls_client_ca = \"{}\"\n[[clients.rule]]\nusers = [\"node-*\"]\nimages = [\"{}/library/*\"]\n",
        site.config(&[&signer.root_key_id()], PROMPT),
        authority.ca().display(),
        site.registry.name(),
    );
    let gate = Gate::start(0, &server, &config, Clock::Machine);
    let url = format!("https://localhost:{}/v2/library/app/manifests/1", gate.port);
    let (cert, key) = (certificate.display().to_string(), key.display().to_string());
    for version in [Version::Http11, Version::Http2] {
        let received = curl(&url, version, &authority, &["--cert", &cert, "--key", &key]);
        assert_eq!((received.status, received.header("docker-content-digest")), (200, &*digest));
    }

    let image = format!("localhost:{}/library/app:1", gate.port);
    let (stranger, strangers_key) = strangers.certify("node-1", &["node-1"]);
    let shown = [(Some((&cert, &key)), true), (None, false)];
    for (shown, expected) in shown {
        assert_eq!(podman_with(&authority, shown, &image).ok(), expected, "{shown:?}");
    }
    let shown = (stranger.display().to_string(), strangers_key.display().to_string());
    let said = podman_with(&authority, Some((&shown.0, &shown.1)), &image);
    assert!(!said.ok(), "{}", said.all());
}

/// Pulls with a folder of certificates in the format of `/etc/containers/certs.d`.
fn podman_with(authority: &Authority, shown: Option<(&String, &String)>, image: &str) -> Said {
    let folder = Folder::new("certs");
    std::fs::copy(authority.ca(), folder.join("ca.crt")).unwrap();
    if let Some((certificate, key)) = shown {
        std::fs::copy(certificate, folder.join("client.cert")).unwrap();
        std::fs::copy(key, folder.join("client.key")).unwrap();
    }
    let podman = Podman::new();
    run(podman.command().arg("pull").arg("--cert-dir").arg(folder.path()).arg(image))
}

fn a_running_gate_applies_a_valid_rule_and_rejects_an_invalid_one() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    signer.push(&site.image("library/app:1"), "signed");
    let unsigned = signer.push_unsigned(&site.image("library/app:dev"), "not signed");
    let gate = site.gate(&signer, PROMPT);
    gate.comes_to("library/app", "dev", Err("tag_not_signed"));

    let strict = std::fs::read_to_string(gate.config()).unwrap();
    let open = format!(
        "{strict}\n[[rule]]\nimages = [\"{}\"]\nmode = \"allow\"\nreason = \"a test\"\n",
        site.image("library/app:dev")
    );
    let write = |text: &str| gate.configure(text);
    write(&open);
    gate.hangup();
    wait_for("the new rule", Duration::from_secs(10), || {
        (gate.manifest("library/app", "dev").status == 200).then_some(())
    });
    gate.comes_to("library/app", "dev", Ok(&unsigned));

    write(&format!("{strict}\n[[rule]]\nimages = []\nmode = \"sure\"\n"));
    gate.hangup();
    wait_for("the error to be logged", Duration::from_secs(10), || {
        let log = gate.log();
        (log.contains("\\\"sure\\\"") && log.contains("keeping the previous one")).then_some(())
    });
    assert_eq!(gate.metric("countersign_config_last_reload_successful"), 0);
    gate.comes_to("library/app", "dev", Ok(&unsigned));

    // Also without a signal, once the gate notices the changed file.
    write(&strict);
    wait_for("the file to be noticed", Duration::from_secs(30), || {
        (gate.manifest("library/app", "dev").status == 404).then_some(())
    });
    gate.comes_to("library/app", "dev", Err("tag_not_signed"));
    assert_eq!(gate.metric("countersign_config_generation"), 3);
}
