//! dockerd, with its own image store and with containerd's.

use super::{File, GateAddress, Printed, Wanted, hosts};
use crate::oci::docker_hub::DOCKER_HUB;

/// Where dockerd looks for certificates, and with containerd's store for `hosts.toml`.
const CERTIFICATES: &str = "/etc/docker/certs.d";
const DAEMON: &str = "/etc/docker/daemon.json";

/// dockerd's own store (the default before 29): by name, or as a mirror.
pub(super) fn classic(wanted: &Wanted) -> Printed {
    let mut printed = Printed::default();
    let gate = &wanted.gate;
    printed.note("dockerd with its own image store. No setting of it leaves Docker Hub out, so images are asked for");
    printed.note("by the gate's name: one place, no way around it in the pull itself, and the reason is shown.");
    for registry in &wanted.registries {
        // A name's segments hold no colon: such a registry can only be the gate's default upstream.
        let segment =
            if registry.as_str().contains(':') { String::new() } else { format!("/{registry}") };
        printed.note(format!("  docker pull {}{segment}/library/app:1", gate.authority()));
    }
    certificates(&mut printed, wanted);
    if let Some(mirror) = &wanted.mirror {
        let registries = &wanted.registries;
        printed.note(format!("As a mirror it is asked for images of {DOCKER_HUB} only. After any error of a mirror, and"));
        printed.note("after a layer that breaks off, docker goes on to registry-1.docker.io. The gate's [mirror] listener");
        printed.note("answers so that the engines it was tried with stop; that is their behaviour, and no promise.");
        printed.note("Close the way to Docker Hub as well (`countersign client-config egress`): that is the control.");
        printed.note("`docker pull registry-1.docker.io/library/app` asks no mirror at all.");
        printed.note(format!("A mirror is not told the registry's name: {DOCKER_HUB} must be the gate's default upstream"));
        printed.note("(`default = true`). To look at this machine afterwards:");
        printed.note(format!("  countersign doctor --gate {gate} --gate {mirror}"));
        if registries.iter().any(|registry| registry.as_str() != DOCKER_HUB) {
            printed.note(
                "No other registry has mirrors in docker: ask for its images by the gate's name.",
            );
        }
        if !mirror.is_secure() {
            printed.note("Over http docker asks only 127.0.0.0/8 (no `insecure-registries` is needed, or wanted).");
        }
        printed.note("Where there is a daemon.json already, put the key into it: a broken one stops dockerd.");
        printed.note("Restart dockerd, or send it SIGHUP.");
        let text = format!("{{\n  \"registry-mirrors\": [\"{mirror}\"]\n}}\n");
        printed.files.push(File { path: DAEMON.to_owned(), text });
    }
    printed
}

/// dockerd with containerd's store (the default of new installations from 29 on).
pub(super) fn containerd_store(wanted: &Wanted) -> Printed {
    let mut printed = Printed::default();
    printed.note("Docker 28 or newer with containerd's image store. Docker before 28 does not read hosts.toml, and");
    printed.note("neither does docker's own store: there the gate is asked for by name");
    printed.note("(`countersign client-config docker`).");
    printed.note("Leave `registry-mirrors` out of daemon.json: they are asked first. Where there is a daemon.json");
    printed.note("already, put the key into it. Docker then shows the images of the other store: pull again.");
    printed.note("None of this holds somebody who names another place: close the way out as well");
    printed.note("(`countersign client-config egress`).");
    hosts::folders(&mut printed, CERTIFICATES, wanted);
    let text = "{\n  \"features\": { \"containerd-snapshotter\": true }\n}\n".to_owned();
    printed.file(DAEMON, text);
    printed
}

fn certificates(printed: &mut Printed, wanted: &Wanted) {
    let commands = wanted.certificates(CERTIFICATES);
    if !commands.is_empty() {
        printed.note(
            "docker looks for certificates in a folder of the server's name; put them there:",
        );
        if wanted.mirror.as_ref().is_some_and(GateAddress::is_secure) {
            printed.note(format!(
                "For a mirror, docker 28 and newer looks in the folder of {DOCKER_HUB} (containerd's store, and"
            ));
            printed.note("every build), the classic store in that of the mirror. Without them, docker asks Docker Hub.");
        }
    }
    for command in commands {
        printed.note(format!("  {command}"));
    }
}
