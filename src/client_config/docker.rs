//! dockerd, with its own image store and with containerd's.

use super::{File, GateAddress, Printed, Wanted, hosts};
use crate::oci::docker_hub::DOCKER_HUB;

/// Where dockerd reads certificates, and with containerd's store `hosts.toml`.
const CERTIFICATES: &str = "/etc/docker/certs.d";
const DAEMON: &str = "/etc/docker/daemon.json";

/// dockerd's own store (the default before 29): by name, or as a mirror.
pub(super) fn classic(wanted: &Wanted) -> Printed {
    let mut printed = Printed::default();
    let gate = &wanted.gate;
    printed.note("dockerd with its own image store. It has no setting that excludes Docker Hub, so name images by the");
    printed
        .note("gate: the pull then has no other source, and docker shows the reason of a denial.");
    for registry in &wanted.registries {
        // A repository name cannot contain a colon: such a registry can only be the gate's default upstream.
        let segment =
            if registry.as_str().contains(':') { String::new() } else { format!("/{registry}") };
        printed.note(format!("  docker pull {}{segment}/library/app:1", gate.authority()));
    }
    certificates(&mut printed, wanted);
    if let Some(mirror) = &wanted.mirror {
        let registries = &wanted.registries;
        printed.note(format!(
            "docker uses a mirror only for images of {DOCKER_HUB}. After any error of a mirror, and"
        ));
        printed.note("after an incomplete layer, docker falls back to registry-1.docker.io. The gate's [mirror] listener");
        printed
            .note("answers so that all tested versions stop, but docker does not guarantee that.");
        printed.note(
            "Therefore also block Docker Hub on the network (`countersign client-config egress`).",
        );
        printed.note("`docker pull registry-1.docker.io/library/app` does not use a mirror.");
        printed.note(format!("docker does not send the registry's name to a mirror: {DOCKER_HUB} must be the gate's default upstream"));
        printed.note("(`default = true`). Check this machine afterwards:");
        printed.note(format!("  countersign doctor --gate {gate} --gate {mirror}"));
        if registries.iter().any(|registry| registry.as_str() != DOCKER_HUB) {
            printed
                .note("docker has no mirrors for other registries: name their images by the gate.");
        }
        if !mirror.is_secure() {
            printed
                .note("Over http, docker uses only 127.0.0.0/8; do not set `insecure-registries`.");
        }
        printed.note("If daemon.json already exists, add the key to it: dockerd does not start with an invalid file.");
        printed.note("Restart dockerd, or send it SIGHUP.");
        let text = format!("{{\n  \"registry-mirrors\": [\"{mirror}\"]\n}}\n");
        printed.files.push(File { path: DAEMON.to_owned(), text });
    }
    printed
}

/// dockerd with containerd's store (the default of new installations from 29 on).
pub(super) fn containerd_store(wanted: &Wanted) -> Printed {
    let mut printed = Printed::default();
    printed.note("Docker 28 or later with containerd's image store. Docker before 28 does not read hosts.toml, and");
    printed.note("neither does docker's own store: name images by the gate there");
    printed.note("(`countersign client-config docker`).");
    printed.note("Remove `registry-mirrors` from daemon.json: docker tries them first. If daemon.json already exists,");
    printed.note("add the key to it. docker then shows only images of the new store: pull again.");
    printed.note("Users can still name another registry: also block registries on the network");
    printed.note("(`countersign client-config egress`).");
    hosts::folders(&mut printed, CERTIFICATES, wanted);
    let text = "{\n  \"features\": { \"containerd-snapshotter\": true }\n}\n".to_owned();
    printed.file(DAEMON, text);
    printed
}

fn certificates(printed: &mut Printed, wanted: &Wanted) {
    let commands = wanted.certificates(CERTIFICATES);
    if !commands.is_empty() {
        printed
            .note("docker reads certificates from a folder with the server's name. Install them:");
        if wanted.mirror.as_ref().is_some_and(GateAddress::is_secure) {
            printed.note(format!(
                "For a mirror, docker 28 and later reads the folder of {DOCKER_HUB} (containerd's store, and"
            ));
            printed.note("every build), the classic store that of the mirror. Without them, docker falls back to Docker Hub.");
        }
    }
    for command in commands {
        printed.note(format!("  {command}"));
    }
}
