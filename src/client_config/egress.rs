//! The way out of the machine, closed but for the gate.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Impossible, Printed, Wanted};

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
    let mut printed = Printed::default();
    printed.note("This is the control that clients' own files are not: whatever a client asks for, by whatever name,");
    printed.note("it reaches no registry but the gate. `nft -f` loads it; have it loaded at boot.");
    printed.note("It closes HTTP and HTTPS to everywhere else. What the machine needs besides (packages, an API)");
    printed.note("goes above the last two lines of the chain, by address.");
    printed.note("What containers send is forwarded, and not seen here: where images are pulled in containers");
    printed.note("(docker in docker, buildx with its container driver), put the same lines into a `forward` chain.");
    let text = format!(
        "# {gate} is the only place for images.\n\
         table inet countersign\ndelete table inet countersign\n\n\
         table inet countersign {{\n\tchain output {{\n\
         \t\ttype filter hook output priority filter; policy accept;\n\
         \t\toifname \"lo\" accept\n{}{}\
         \t\ttcp dport {{ 80, 443, 5000 }} reject with tcp reset\n\
         \t\tudp dport 443 reject\n\t}}\n}}\n",
        family(true, "ip"),
        family(false, "ip6"),
    );
    printed.file("/etc/nftables.d/countersign.nft", text);
    Ok(printed)
}

fn list<T: ToString>(items: &BTreeSet<T>) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
