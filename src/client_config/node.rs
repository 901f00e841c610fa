//! The files of a Kubernetes node that `node-config` manages: `hosts.toml`, and the CA certificate of the gate.

use super::{ClientPath, File, GateAddress, Printed, Wanted, hosts};

use crate::http_client::Credentials;
use crate::oci::Registry;

/// The first line of each managed file.
pub const MANAGED: &str = "# Managed by `countersign node-config`, which overwrites changes.\n";

/// The file of the gate's CA certificate in the folder of the registries.
pub const NODE_CA: &str = "countersign-ca.crt";

/// The gate of a node.
#[derive(Clone, Debug)]
pub struct NodeGate {
    pub gate: GateAddress,
    pub registries: Vec<Registry>,
    /// The CA certificate, as PEM; by default, the system roots of the node.
    pub ca: Option<String>,
    pub credentials: Option<Credentials>,
    /// Where containerd looks for `hosts.toml` files.
    pub certs_dir: ClientPath,
}

/// The files, the certificate before those that name it.
pub fn node(node: &NodeGate) -> Vec<File> {
    let root = node.certs_dir.as_str();
    let ca = ClientPath(format!("{root}/{NODE_CA}"));
    let mut printed = Printed::default();
    if let Some(certificate) = &node.ca {
        // Readers of PEM skip the text before a certificate.
        printed.file(ca.as_str(), certificate.clone());
    }
    let wanted = Wanted {
        gate: node.gate.clone(),
        mirror: None,
        addresses: Vec::new(),
        registries: node.registries.clone(),
        ca: node.ca.is_some().then_some(ca),
        certificate: None,
        credentials: node.credentials.clone(),
    };
    hosts::folders(&mut printed, root, &wanted);
    for file in &mut printed.files {
        file.text.insert_str(0, MANAGED);
    }
    printed.files
}
