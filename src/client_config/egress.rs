//! Firewall rules that block registries other than the gate.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Impossible, Printed, Wanted};

/// The ports that registries usually listen on.
const REGISTRY_PORTS: [u16; 3] = [80, 443, 5000];

pub(super) fn nftables(wanted: &Wanted) -> Result<Printed, Impossible> {
    let gate = &wanted.gate;
    let mut addresses: BTreeSet<IpAddr> = wanted.addresses.iter().copied().collect();
    addresses.extend(gate.ip());
    if addresses.is_empty() {
        return Err(Impossible::NoAddress(gate.host().to_owned()));
    }
    let ports: BTreeSet<u16> = [Some(gate), wanted.mirror.as_ref()]
        .into_iter()
        .flatten()
        .map(super::GateAddress::port)
        .collect();
    let ports = list(&ports);
    let family = |v4: bool, word: &str| {
        let of_it: BTreeSet<_> = addresses.iter().filter(|a| a.is_ipv4() == v4).collect();
        let line =
            format!("\t\t{word} daddr {{ {} }} tcp dport {{ {ports} }} accept\n", list(&of_it));
        if of_it.is_empty() { String::new() } else { line }
    };
    let closed = list(&closed(wanted));
    let mut printed = Printed::default();
    printed.note("These rules enforce what clients' own files cannot: no client can reach a registry other than the gate,");
    printed.note("whatever name it uses. Load the file with `nft -f`, and at boot.");
    printed.note(format!("They block the TCP ports {closed} to all other addresses."));
    printed.note("Allow other services that the machine needs on these ports (packages, an API)");
    printed.note("by address, above the last two lines of the chain.");
    printed.note(
        "The output chain does not see traffic of containers: if images are pulled in containers",
    );
    printed.note("(docker in docker, buildx with its container driver), add the same lines to a `forward` chain.");
    let text = format!(
        "# Only {gate} may serve images.\n\
         table inet countersign\ndelete table inet countersign\n\n\
         table inet countersign {{\n\tchain output {{\n\
         \t\ttype filter hook output priority filter; policy accept;\n\
         \t\toifname \"lo\" accept\n{}{}\
         \t\ttcp dport {{ {closed} }} reject with tcp reset\n\
         \t\tudp dport 443 reject\n\t}}\n}}\n",
        family(true, "ip"),
        family(false, "ip6"),
    );
    printed.file("/etc/nftables.d/countersign.nft", text);
    Ok(printed)
}

/// The ports of registries: the usual ones, and those that the names of the registries contain.
fn closed(wanted: &Wanted) -> BTreeSet<u16> {
    let named = wanted.registries.iter().filter_map(|registry| {
        let (_, port) = registry.as_str().rsplit_once(':')?;
        port.parse().ok()
    });
    REGISTRY_PORTS.into_iter().chain(named).collect()
}

fn list<T: ToString>(items: &BTreeSet<T>) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
