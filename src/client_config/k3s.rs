//! k3s, which makes containerd's files of its own.

use super::{Printed, Wanted};

pub(super) fn k3s(wanted: &Wanted) -> Printed {
    let mut printed = Printed::default();
    printed.note("k3s, server or agent, on each node. Restart it after a change.");
    printed.note("None of this holds somebody who names another place: close the way out as well");
    printed.note("(`countersign client-config egress`).");
    printed.file("/etc/rancher/k3s/registries.yaml", registries(wanted));
    printed.file(
        "/etc/rancher/k3s/config.yaml.d/countersign.yaml",
        "# Without this, containerd asks the registry itself after every error of an endpoint. The option is\n\
         # there from 1.26.13, 1.27.10, 1.28.6 and 1.29.1 on.\n\
         disable-default-registry-endpoint: true\n"
            .to_owned(),
    );
    printed
}

fn registries(wanted: &Wanted) -> String {
    let gate = &wanted.gate;
    let mut text = "# A registry that is not named here would be asked itself: \"*\" is for those.\nmirrors:\n".to_owned();
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
