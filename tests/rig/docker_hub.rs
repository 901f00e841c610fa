//! A stand-in for Docker Hub: Debian's `docker-registry` over TLS with Docker Hub's names, on its own loopback
//! address. It serves everything without authentication.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::folder::Folder;
use crate::process::{Process, same, tool};
use crate::tls::Authority;

/// The host names of Docker Hub's registry.
pub(crate) const NAMES: [&str; 2] = ["registry-1.docker.io", "index.docker.io"];

pub(crate) struct DockerHub {
    pub(crate) address: Ipv4Addr,
    command: Command,
    process: Option<Process>,
    folder: Folder,
}

impl DockerHub {
    /// Serves the content of this folder, which another registry may write.
    pub(crate) fn start(content: &Path, authority: &Authority) -> Self {
        static COUNT: AtomicU8 = AtomicU8::new(0);
        // An address that no other test run uses.
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, 64 + COUNT.fetch_add(1, Ordering::Relaxed), high, low);
        let folder = Folder::new("docker-hub");
        let (certificate, key) = authority.certify("docker-hub", &NAMES);
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\n\
             storage: {{filesystem: {{rootdirectory: \"{}\"}}}}\n\
             http: {{addr: \"{address}:443\", tls: {{certificate: \"{}\", key: \"{}\"}}}}\n",
            content.display(),
            certificate.display(),
            key.display(),
        );
        let config = folder.write("config.yml", config);
        let mut command = tool("docker-registry", "docker-registry");
        command.arg("serve").arg(config).env("OTEL_TRACES_EXPORTER", "none");
        let mut hub = Self { address, command, process: None, folder };
        hub.start_again();
        hub
    }

    pub(crate) fn start_again(&mut self) {
        let mut process = Process::start("docker-hub", &same(&self.command), &self.folder);
        let address = SocketAddr::from((self.address, 443));
        process.until(|_| TcpStream::connect(address).ok());
        self.process = Some(process);
    }

    /// Simulates an unreachable Docker Hub.
    pub(crate) fn stop(&mut self) {
        self.process.take();
    }

    /// The number of requests that it has answered since its first start.
    pub(crate) fn answered(&self) -> usize {
        let log = std::fs::read_to_string(self.folder.join("docker-hub.log")).unwrap();
        log.matches(" HTTP/").count()
    }
}
