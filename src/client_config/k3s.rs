//! k3s, which generates containerd's files.

use super::{Printed, Wanted};

pub(super) fn k3s(wanted: &Wanted) -> Printed {
    let mut printed = Printed::default();
    printed.note("k3s, server or agent, on each node. Restart it after a change.");
    printed.note("Users can still name another registry: also block registries on the network");
    printed.note("(`countersign client-config egress`).");
    printed.file("/etc/rancher/k3s/registries.yaml", registries(wanted));
    printed.file(
        "/etc/rancher/k3s/config.yaml.d/countersign.yaml",
        "# Without this option, containerd falls back to the registry itself after an error of an endpoint. It\n\
         # requires 1.26.13, 1.27.10, 1.28.6 or 1.29.1.\n\
         disable-default-registry-endpoint: true\n"
            .to_owned(),
    );
    printed
}

fn registries(wanted: &Wanted) -> String {
    let gate = &wanted.gate;
    let mut text = "# \"*\" matches all other registries, which containerd would otherwise use directly.\nmirrors:\n".to_owned();
    for name in wanted.names().into_iter().chain(["*"]) {
        text.push_str(&format!("  \"{name}\":\n    endpoint:\n      - \"{gate}\"\n"));
    }
    let mut tls = Vec::new();
    if let Some(ca) = &wanted.ca {
        tls.push(format!("      ca_file: \"{}\"\n", ca.as_str()));
    }
    if let Some(own) = &wanted.certificate {
        tls.push(format!("      cert_file: \"{}\"\n", own.certificate.as_str()));
        tls.push(format!("      key_file: \"{}\"\n", own.key.as_str()));
    }
    if !tls.is_empty() {
        let authority = gate.authority();
        text.push_str(&format!("configs:\n  \"{authority}\":\n    tls:\n{}", tls.concat()));
    }
    text
}
