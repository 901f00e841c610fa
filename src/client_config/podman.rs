//! `registries.conf`, which podman, buildah, skopeo and CRI-O read.

use super::{Impossible, Printed, Wanted};
use crate::oci::Registry;
use crate::oci::docker_hub::{self, DOCKER_HUB};

const DROP_IN: &str = "/etc/containers/registries.conf.d/countersign.conf";
const CERTIFICATES: &str = "/etc/containers/certs.d";

/// One place to ask, named as the registry.
pub(super) fn renamed(wanted: &Wanted) -> Result<Printed, Impossible> {
    let mut printed = about(wanted);
    let mut text = traps();
    for registry in &wanted.registries {
        text.push_str(&format!(
            "\n# {registry} is renamed to the gate: there is no second place to go on to.\n\
             [[registry]]\nprefix = \"{registry}\"\nlocation = \"{}\"\n{}",
            location(registry, wanted)?,
            insecure(wanted)
        ));
    }
    text.push_str(&blocked(wanted));
    printed.file(DROP_IN, text);
    Ok(printed)
}

/// The gate as a mirror of a registry that is blocked.
pub(super) fn mirrored(wanted: &Wanted) -> Result<Printed, Impossible> {
    let mut printed = about(wanted);
    let mut text = traps();
    text.push_str(
        "# After an error of a mirror the registry itself is asked: `blocked` is what makes this fail closed.\n\
         # No `mirror-by-digest-only`, and no `pull-from-mirror`: tags would never be asked of the gate.\n",
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
        "podman, buildah, skopeo and CRI-O. Names that begin with no registry are looked up where",
    );
    printed.note(
        "`unqualified-search-registries` says: leave only registries there that stand below.",
    );
    printed.note("A user's own ~/.config/containers/registries.conf and `--registries-conf` replace this file.");
    let commands = wanted.certificates(CERTIFICATES);
    if !commands.is_empty() {
        printed.note("Certificates are looked for in a folder of the gate's name; put them there:");
    }
    for command in commands {
        printed.note(format!("  {command}"));
    }
    printed.note("None of this holds somebody who names another place: close the way out as well");
    printed.note("(`countersign client-config egress`).");
    printed
}

fn traps() -> String {
    "# An entry with a longer prefix in another file (`docker.io/library`) replaces the whole entry for\n\
     # what it is for, and opens it again. `countersign doctor` finds such.\n"
        .to_owned()
}

/// The gate, and the registry as the first segment of the name there.
fn location(registry: &Registry, wanted: &Wanted) -> Result<String, Impossible> {
    let gate = wanted.gate.authority();
    if !registry.as_str().contains(':') {
        return Ok(format!("{gate}/{registry}"));
    }
    // The name of a repository holds no colon.
    let alone = wanted.registries.len() == 1;
    if alone { Ok(gate) } else { Err(Impossible::Port(registry.clone())) }
}

fn insecure(wanted: &Wanted) -> &'static str {
    if wanted.gate.is_secure() { "" } else { "insecure = true    # http, on this machine alone\n" }
}

/// The other names of Docker Hub.
fn blocked(wanted: &Wanted) -> String {
    if !wanted.registries.iter().any(|registry| registry.as_str() == DOCKER_HUB) {
        return String::new();
    }
    let entry = |name| format!("\n[[registry]]\nlocation = \"{name}\"\nblocked = true\n");
    let entries: String = docker_hub::HOSTS.iter().map(entry).collect();
    format!("\n# Docker Hub by its other names.{entries}")
}
