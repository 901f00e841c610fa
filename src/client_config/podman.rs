//! `registries.conf`, which podman, buildah, skopeo and CRI-O read.

use super::{Impossible, Printed, Wanted};
use crate::oci::Registry;
use crate::oci::docker_hub::{self, DOCKER_HUB};

const DROP_IN: &str = "/etc/containers/registries.conf.d/countersign.conf";
const CERTIFICATES: &str = "/etc/containers/certs.d";

/// The registry's name, redirected to the gate.
pub(super) fn renamed(wanted: &Wanted) -> Result<Printed, Impossible> {
    let mut printed = about(wanted);
    let mut text = traps();
    for registry in &wanted.registries {
        text.push_str(&format!(
            "\n# {registry} is redirected to the gate, and there is no fallback.\n\
             [[registry]]\nprefix = \"{registry}\"\nlocation = \"{}\"\n{}",
            location(registry, wanted)?,
            insecure(wanted)
        ));
    }
    text.push_str(&blocked(wanted));
    printed.file(DROP_IN, text);
    Ok(printed)
}

/// The gate as a mirror of a blocked registry.
pub(super) fn mirrored(wanted: &Wanted) -> Result<Printed, Impossible> {
    let mut printed = about(wanted);
    let mut text = traps();
    text.push_str(
        "# After an error of a mirror, clients fall back to the registry itself; `blocked` prevents that.\n\
         # Do not set `mirror-by-digest-only` or `pull-from-mirror`: tags would bypass the gate.\n",
    );
    for registry in &wanted.registries {
        text.push_str(&format!(
            "\n[[registry]]\nprefix = \"{registry}\"\nlocation = \"{registry}\"\nblocked = true\n\n\
             [[registry.mirror]]\nlocation = \"{}\"\n{}",
            location(registry, wanted)?,
            insecure(wanted)
        ));
    }
    text.push_str(&blocked(wanted));
    printed.file(DROP_IN, text);
    Ok(printed)
}

fn about(wanted: &Wanted) -> Printed {
    let mut printed = Printed::default();
    printed.note(
        "podman, buildah, skopeo and CRI-O. They search names without a registry in the registries of",
    );
    printed.note(
        "`unqualified-search-registries`: keep only registries there that are configured below.",
    );
    printed.note("A user's own ~/.config/containers/registries.conf and `--registries-conf` replace this file.");
    let commands = wanted.certificates(CERTIFICATES);
    if !commands.is_empty() {
        printed.note("Clients read certificates from a folder with the gate's name. Install them:");
    }
    for command in commands {
        printed.note(format!("  {command}"));
    }
    printed.note("Users can still name another registry: also block registries on the network");
    printed.note("(`countersign client-config egress`).");
    printed
}

fn traps() -> String {
    "# An entry with a longer prefix in another file (`docker.io/library`) replaces this entry for its\n\
     # images and bypasses the gate. `countersign doctor` finds such entries.\n"
        .to_owned()
}

/// The gate, with the registry as the first segment of the name.
fn location(registry: &Registry, wanted: &Wanted) -> Result<String, Impossible> {
    let gate = wanted.gate.authority();
    if !registry.as_str().contains(':') {
        return Ok(format!("{gate}/{registry}"));
    }
    // A repository name cannot contain a colon.
    let alone = wanted.registries.len() == 1;
    if alone { Ok(gate) } else { Err(Impossible::Port(registry.clone())) }
}

fn insecure(wanted: &Wanted) -> &'static str {
    if wanted.gate.is_secure() { "" } else { "insecure = true    # http, only on this machine\n" }
}

/// The other names of Docker Hub.
fn blocked(wanted: &Wanted) -> String {
    if !wanted.registries.iter().any(|registry| registry.as_str() == DOCKER_HUB) {
        return String::new();
    }
    let entry = |name| format!("\n[[registry]]\nlocation = \"{name}\"\nblocked = true\n");
    let entries: String = docker_hub::HOSTS.iter().map(entry).collect();
    format!("\n# The other names of Docker Hub.{entries}")
}
