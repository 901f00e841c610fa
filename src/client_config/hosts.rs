//! `hosts.toml`, which containerd, CRI and nerdctl read, and Docker with containerd's store.

use super::{Printed, Wanted};

/// Where CRI and nerdctl look.
const CONTAINERD: &str = "/etc/containerd/certs.d";

/// For the registries that have no folder of their own.
const ANY_OTHER: &str = "_default";

pub(super) fn containerd(wanted: &Wanted) -> Printed {
    let mut printed = Printed::default();
    let names = wanted.names().join(", ");
    printed.note(format!("containerd asks {} for images of {names}, and of", wanted.gate));
    printed.note(
        "every other registry. They are read for each pull: nothing is to be restarted for them.",
    );
    printed.note(
        "`ctr` reads them only with `--hosts-dir /etc/containerd/certs.d`: who runs it is root.",
    );
    printed.note(
        "Restart containerd after a change of config.toml. Where there is one already, put the",
    );
    printed.note(
        "`config_path` into it, and take out every `registry.mirrors` and `registry.configs`.",
    );
    printed.note("None of this holds somebody who names another place: close the way out as well");
    printed.note("(`countersign client-config egress`).");
    folders(&mut printed, CONTAINERD, wanted);
    printed.file(
        "/etc/containerd/config.toml",
        format!(
            "# Before containerd 2.2, CRI reads no hosts.toml unless this says where they are.\n\
             # `registry.mirrors`, the older setting, always adds the registry itself at the end.\n\
             # Where the file says `version = 3`, the table is named\n\
             # [plugins.\"io.containerd.cri.v1.images\".registry].\n\
             version = 2\n\n\
             [plugins.\"io.containerd.grpc.v1.cri\".registry]\n  \
             config_path = \"{CONTAINERD}\"\n"
        ),
    );
    printed
}

/// One folder below `root` for each name, and one for all others. The reasons stand in the first.
pub(super) fn folders(printed: &mut Printed, root: &str, wanted: &Wanted) {
    let text = hosts_toml(wanted);
    let names = wanted.names();
    let first = names.first().copied().unwrap_or(ANY_OTHER);
    let short = format!("# Both parts must stand here: {root}/{first}/hosts.toml says why.\n");
    for name in &names {
        let why = if *name == first { reasons(wanted) } else { short.clone() };
        printed.file(format!("{root}/{name}/hosts.toml"), format!("{why}{text}"));
    }
    let any = "# For every registry that has no folder of its own: a folder beside this one, even an empty one,\n\
               # hides this file. The gate answers 404 for registries that it is not configured for.\n";
    printed.file(format!("{root}/{ANY_OTHER}/hosts.toml"), format!("{any}{short}{text}"));
}

fn reasons(wanted: &Wanted) -> String {
    let gate = &wanted.gate;
    format!(
        "# Both parts must stand here, and `server` first. Without `server` the registry itself is asked in\n\
         # the end. With `server` alone, containerd 1.6, and 1.7 before 1.7.32, take the file for broken.\n\
         # A file that is broken fails OPEN: it is logged, and the registry itself is asked. After each\n\
         # change: `countersign doctor --gate {gate}`. Without `resolve`, tags are looked up at the\n\
         # registry itself.\n"
    )
}

fn hosts_toml(wanted: &Wanted) -> String {
    let gate = &wanted.gate;
    let mut keys = String::new();
    if let Some(ca) = &wanted.ca {
        keys.push_str(&format!("ca = \"{}\"\n", ca.as_str()));
    }
    if let Some(own) = &wanted.certificate {
        let (certificate, key) = (own.certificate.as_str(), own.key.as_str());
        keys.push_str(&format!("client = [[\"{certificate}\", \"{key}\"]]\n"));
    }
    format!(
        "server = \"{gate}\"\n{keys}\n[host.\"{gate}\"]\ncapabilities = [\"pull\", \"resolve\"]\n{keys}"
    )
}
