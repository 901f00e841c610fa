//! Debian's `notary-server` 0.7 over TLS, with its local trust service, or with `notary-signer` as sites run it. Both
//! keep everything in memory: a stopped server loses it.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::folder::Folder;
use crate::process::{Process, free_port, tool};
use crate::requests::{self, Answer};
use crate::tls::Authority;

/// The program that holds the server's keys.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Keys {
    InServer,
    InSigner,
}

pub(crate) struct Notary {
    pub(crate) port: u16,
    pub(crate) authority: Authority,
    server: Process,
    _signer: Option<Process>,
    _folder: Folder,
}

impl Notary {
    pub(crate) fn start(keys: Keys) -> Self {
        let (folder, authority, port) = (Folder::new("notary"), Authority::new(), free_port());
        let (signer, trust_service) = match keys {
            Keys::InServer => {
                let local = json!({"type": "local", "hostname": "", "port": "",
                    "key_algorithm": "ed25519"});
                (None, local)
            }
            Keys::InSigner => {
                let (signer, port) = start_signer(&folder, &authority);
                let remote = json!({"type": "remote", "hostname": "localhost",
                    "port": port.to_string(), "key_algorithm": "ecdsa",
                    "tls_ca_file": authority.ca(), "tls_client_cert": authority.server_certificate(),
                    "tls_client_key": authority.server_key()});
                (Some(signer), remote)
            }
        };
        let config = json!({
            "server": {"http_addr": format!("127.0.0.1:{port}"),
                "tls_cert_file": authority.server_certificate(), "tls_key_file": authority.server_key()},
            "trust_service": trust_service,
            "logging": {"level": "error"},
            "storage": {"backend": "memory"},
        });
        let config = folder.write("server.json", config.to_string());
        let mut command = tool("notary-server", "notary");
        command.arg("-config").arg(config);
        let server = Process::start("notary-server", &command, &folder).until_it_listens(port);
        Self { port, authority, server, _signer: signer, _folder: folder }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.authority.ca()
    }

    pub(crate) fn stop(&mut self) {
        self.server.stop();
    }

    /// One metadata file of a repository, as the server sends it.
    pub(crate) fn file(&self, gun: &str, name: &str) -> Answer {
        let url = format!("{}/v2/{gun}/_trust/tuf/{name}.json", self.url());
        requests::get_over_tls(&url, &self.authority)
    }

    pub(crate) fn signed(&self, gun: &str, role: &str) -> Value {
        let answer = self.file(gun, role);
        assert_eq!(answer.status, 200, "{gun} {role}: {}", answer.text());
        answer.json()["signed"].take()
    }
}

fn start_signer(folder: &Folder, authority: &Authority) -> (Process, u16) {
    let port = free_port();
    let config = json!({
        "server": {"grpc_addr": format!("127.0.0.1:{port}"), "client_ca_file": authority.ca(),
            "tls_cert_file": authority.server_certificate(), "tls_key_file": authority.server_key()},
        "logging": {"level": "error"},
        "storage": {"backend": "memory"},
    });
    let config = folder.write("signer.json", config.to_string());
    let mut command = tool("notary-signer", "notary");
    command.arg("-config").arg(config);
    command.env("NOTARY_SIGNER_DEFAULTALIAS", "rig").env("NOTARY_SIGNER_RIG", "rig-passphrase");
    (Process::start("notary-signer", &command, folder).until_it_listens(port), port)
}
