//! The gate's configuration, as an operator would write it: a file, and the keys and certificates that it
//! names beside it.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use url::Url;

use super::exhibits::{Exhibition, REGISTRY};

const FILE: &str = "countersign.toml";

/// The ports of this machine that the gate listens on; 0 is any free one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ports {
    pub(super) gate: u16,
    pub(super) admin: u16,
}

/// Writes the configuration into `folder`; gives its path and its text.
pub(super) fn write(
    folder: &Path,
    ports: Ports,
    registry: &Url,
    notary: &Url,
    demo: &Exhibition,
) -> io::Result<(PathBuf, String)> {
    let text = text(ports, registry, notary, demo);
    for (name, content) in [
        (FILE, &text),
        ("cosign.pub", &demo.cosign_key()),
        ("trusted_root.json", &demo.trusted_root()),
        ("root.crt", &demo.notation_root()),
    ] {
        File::create_new(folder.join(name))?.write_all(content.as_bytes())?;
    }
    Ok((folder.join(FILE), text))
}

fn text(ports: Ports, registry: &Url, notary: &Url, demo: &Exhibition) -> String {
    let Ports { gate, admin } = ports;
    let (root_key, issuer) = (demo.root_key_id(), super::sigstore::ISSUER);
    format!(
        r#"# The gate of `countersign demo`.
[server]
listen = "127.0.0.1:{gate}"

[admin]
listen = "127.0.0.1:{admin}"

[store]
path = "store"

[[upstream]]
registry = "{REGISTRY}"
url = "{registry}"
default = true

[[anchor]]
name = "notary"
scheme = "notaryv1"
url = "{notary}"
root_keys = ["{root_key}"]

[[anchor]]
name = "cosign"
scheme = "cosign"
keys = ["cosign.pub"]

[[anchor]]
name = "cosign-keyless"
scheme = "cosign"
identity = "*@acme.example"
issuer = "{issuer}"
trusted_root = "trusted_root.json"

[[anchor]]
name = "notation"
scheme = "notation"
trust_store = ["ca:root.crt"]
identities = ["x509.subject: C=US, ST=WA, O=Acme"]

[[rule]]
images = ["{REGISTRY}/notary/**"]
require = ["notary"]

[[rule]]
images = ["{REGISTRY}/cosign/**"]
require = ["cosign"]

[[rule]]
images = ["{REGISTRY}/keyless/**"]
require = ["cosign-keyless"]

[[rule]]
images = ["{REGISTRY}/notation/**"]
require = ["notation"]

[[rule]]
images = ["{REGISTRY}/sandbox/**"]
mode = "allow"
reason = "anything may be tried here"

[[rule]]
images = ["{REGISTRY}/retired/**"]
mode = "deny"
"#
    )
}
