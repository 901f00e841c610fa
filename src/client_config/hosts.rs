//! `hosts.toml`, which containerd, CRI and nerdctl read, and Docker with containerd's store.

use super::{Printed, Wanted};

/// Where CRI and nerdctl read `hosts.toml`.
const CONTAINERD: &str = "/etc/containerd/certs.d";

/// The folder for all registries without a folder of their own.
const ANY_OTHER: &str = "_default";

pub(super) fn containerd(wanted: &Wanted) -> Printed {
    let mut printed = Printed::default();
    let names = wanted.names().join(", ");
    printed.note(format!("containerd uses {} for images of {names}, and of", wanted.gate));
    printed.note(
        "every other registry. It reads these files on each pull and needs no restart for them.",
    );
    printed.note("`ctr` reads them only with `--hosts-dir /etc/containerd/certs.d`.");
    printed.note(
        "Restart containerd after a change of config.toml. If the file already exists, add the",
    );
    printed
        .note("`config_path` to it, and remove every `registry.mirrors` and `registry.configs`.");
    if wanted.credentials.is_some() {
        printed
            .note("The hosts.toml files contain the password: only root may read them (mode 600).");
    }
    printed.note("Users can still name another registry: also block registries on the network");
    printed.note("(`countersign client-config egress`).");
    folders(&mut printed, CONTAINERD, wanted);
    printed.file(
        "/etc/containerd/config.toml",
        format!(
            "# Before containerd 2.2, CRI reads hosts.toml only if `config_path` is set.\n\
             # The older setting `registry.mirrors` always falls back to the registry itself.\n\
             # In a file with `version = 3`, the table is named\n\
             # [plugins.\"io.containerd.cri.v1.images\".registry].\n\
             version = 2\n\n\
             [plugins.\"io.containerd.grpc.v1.cri\".registry]\n  \
             config_path = \"{CONTAINERD}\"\n"
        ),
    );
    printed
}

/// One folder below `root` for each name, and one for all others. The first file explains the reasons.
pub(super) fn folders(printed: &mut Printed, root: &str, wanted: &Wanted) {
    let text = hosts_toml(wanted);
    let names = wanted.names();
    let first = names.first().copied().unwrap_or(ANY_OTHER);
    let short = format!("# Both parts are required: see {root}/{first}/hosts.toml.\n");
    for name in &names {
        let why = if *name == first { reasons(wanted) } else { short.clone() };
        printed.file(format!("{root}/{name}/hosts.toml"), format!("{why}{text}"));
    }
    let any = "# For every registry without a folder of its own. A folder beside this one, even an empty one,\n\
               # hides this file. The gate answers 404 for registries that it is not configured for.\n";
    printed.file(format!("{root}/{ANY_OTHER}/hosts.toml"), format!("{any}{short}{text}"));
}

fn reasons(wanted: &Wanted) -> String {
    let gate = &wanted.gate;
    format!(
        "# Both parts are required, and `server` must come first. Without `server`, containerd falls back to the\n\
         # registry itself. With `server` alone, containerd 1.6, and 1.7 before 1.7.32, reject the file.\n\
         # An invalid file fails OPEN: containerd logs it and uses the registry itself. After each change, run\n\
         # `countersign doctor --gate {gate}`. Without `resolve`, containerd resolves tags at the\n\
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
    if let Some(credentials) = &wanted.credentials {
        // Base64 is text.
        let value = credentials.basic().to_str().unwrap_or_default();
        keys.push_str(&format!("header = {{ authorization = \"{value}\" }}\n"));
    }
    format!(
        "server = \"{gate}\"\n{keys}\n[host.\"{gate}\"]\ncapabilities = [\"pull\", \"resolve\"]\n{keys}"
    )
}
