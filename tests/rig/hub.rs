//! A stand-in for Docker Hub with its name and a certificate that the system trusts. It serves everything to everyone
//! and records the requests. It works only in its own network.

use std::path::Path;

use crate::folder::Folder;
use crate::namespace;
use crate::process::tool;
use crate::registry::Registry;
use crate::tls::Authority;

const NAMES: [&str; 4] = ["registry-1.docker.io", "index.docker.io", "auth.docker.io", "docker.io"];

pub(crate) struct Hub {
    /// The same content over plain HTTP, to store content.
    pub(crate) content: Registry,
    secure: Registry,
    _authority: Authority,
    _system: Folder,
}

impl Hub {
    pub(crate) fn start(content: &Path) -> Self {
        let (authority, system) = (Authority::for_names(&NAMES), Folder::new("system"));
        namespace::is_at_home_here(&NAMES, &authority.certificate, &system);
        let folder = Folder::new("hub");
        let config = folder.write(
            "config.yml",
            format!(
                "version: 0.1\nlog: {{level: error}}\n\
                 storage: {{filesystem: {{rootdirectory: \"{}\"}}}}\n\
                 http: {{addr: \"127.0.0.1:443\", tls: {{certificate: \"{}\", key: \"{}\"}}}}\n",
                content.display(),
                authority.server_certificate().display(),
                authority.server_key().display()
            ),
        );
        let mut command = tool("docker-registry", "docker-registry");
        command.arg("serve").arg(config).env("OTEL_TRACES_EXPORTER", "none");
        let secure = Registry::run(443, &command, folder);
        let content = Registry::start(content);
        Self { content, secure, _authority: authority, _system: system }
    }

    /// The requests over TLS, one per line.
    pub(crate) fn asked(&self) -> Vec<String> {
        let log = self.secure.log();
        log.lines().filter(|line| line.contains(" HTTP/")).map(str::to_owned).collect()
    }
}
