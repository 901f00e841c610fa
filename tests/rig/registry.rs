//! Debian's `docker-registry` (distribution 2.8) over plain HTTP, with its content in its own folder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::folder::Folder;
use crate::process::{Process, free_port, same, tool};
use crate::requests;

pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

pub(crate) struct Registry {
    pub(crate) port: u16,
    command: Command,
    process: Process,
    folder: Folder,
}

impl Registry {
    pub(crate) fn start(content: &Path) -> Self {
        Self::start_at(free_port(), content)
    }

    pub(crate) fn start_at(port: u16, content: &Path) -> Self {
        let folder = Folder::new("registry");
        let config = folder.write(
            "config.yml",
            format!(
                "version: 0.1\nlog: {{level: error}}\n\
                 storage: {{filesystem: {{rootdirectory: \"{}\"}}, delete: {{enabled: true}}}}\n\
                 http: {{addr: \"127.0.0.1:{port}\"}}\n",
                content.display()
            ),
        );
        let mut command = tool("docker-registry", "docker-registry");
        command.arg("serve").arg(config).env("OTEL_TRACES_EXPORTER", "none");
        Self::run(port, &command, folder)
    }

    /// Any registry program that listens on that port.
    pub(crate) fn run(port: u16, command: &Command, folder: Folder) -> Self {
        let command = same(command);
        let process = Process::start("registry", &command, &folder).until_it_listens(port);
        Self { port, command, process, folder }
    }

    pub(crate) fn stop(&mut self) {
        self.process.stop();
    }

    /// Ends it, even during a request.
    pub(crate) fn kill(&mut self) {
        self.process.signal("KILL");
        self.process.ended(Duration::from_secs(10)).unwrap();
    }

    /// Starts it again with the same port and content.
    pub(crate) fn start_again(&mut self) {
        let process = Process::start("registry", &self.command, &self.folder);
        self.process = process.until_it_listens(self.port);
    }

    /// Its responses and its log.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// The number of requests for this path that it has answered, according to its access log.
    pub(crate) fn asked(&self, method: &str, path: &str) -> usize {
        self.log().matches(&format!("\"{method} {path} HTTP/")).count()
    }

    /// `host:port`, as in the names of its images.
    pub(crate) fn name(&self) -> String {
        format!("localhost:{}", self.port)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn manifest(&self, repository: &str, reference: &str) -> Bytes {
        let answer =
            requests::get(&format!("{}/v2/{repository}/manifests/{reference}", self.url()));
        assert_eq!(answer.status, 200, "{repository} {reference}: {}", answer.text());
        answer.body
    }

    /// Stores a manifest under a tag, or without one only under its digest; returns its digest.
    pub(crate) fn put(
        &self,
        repository: &str,
        tag: Option<&str>,
        media_type: &str,
        manifest: &[u8],
    ) -> String {
        let digest = digest_of(manifest);
        let url = format!("{}/v2/{repository}/manifests/{}", self.url(), tag.unwrap_or(&digest));
        let answer = requests::put(&url, media_type, Bytes::copy_from_slice(manifest));
        assert_eq!(answer.status, 201, "{url}: {}", answer.text());
        digest
    }

    /// Stores a docker manifest list of manifests in this repository.
    pub(crate) fn put_list(
        &self,
        repository: &str,
        tag: &str,
        children: &[(&str, &str)],
    ) -> Vec<u8> {
        let children: Vec<_> = children
            .iter()
            .map(|(digest, architecture)| {
                let size = self.manifest(repository, digest).len();
                serde_json::json!({"mediaType": DOCKER_MANIFEST, "digest": digest, "size": size,
                    "platform": {"architecture": architecture, "os": "linux"}})
            })
            .collect();
        let list = serde_json::json!({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": children});
        let list = serde_json::to_vec(&list).unwrap();
        self.put(repository, Some(tag), DOCKER_LIST, &list);
        list
    }

    /// How often it has sent all of the content at this path.
    pub(crate) fn gave(&self, path: &str) -> usize {
        self.log().matches(&format!("\"GET {path} HTTP/1.1\" 200 ")).count()
    }

    /// The folder of this blob below its content folder, for all repositories.
    pub(crate) fn blob_folder(content: &Path, bytes: &[u8]) -> PathBuf {
        let digest = digest_of(bytes);
        let hex = digest.trim_start_matches("sha256:");
        content.join(format!("docker/registry/v2/blobs/sha256/{}/{hex}", &hex[..2]))
    }

    /// Mounts a blob of another repository.
    pub(crate) fn mount_blob(&self, repository: &str, digest: &str, from: &str) {
        let url = self.url();
        let url = format!("{url}/v2/{repository}/blobs/uploads/?mount={digest}&from={from}");
        let answer = requests::send(http::Method::POST, &url, &[], Bytes::new(), None).unwrap();
        assert_eq!(answer.status, 201, "{url}: {}", answer.text());
    }

    /// Stores a blob with one request; returns its digest.
    pub(crate) fn put_blob(&self, repository: &str, blob: Bytes) -> String {
        let digest = digest_of(&blob);
        let url = format!("{}/v2/{repository}/blobs/uploads/", self.url());
        let started = requests::send(http::Method::POST, &url, &[], Bytes::new(), None).unwrap();
        let to = started.header("location");
        let to = if to.starts_with('/') { format!("{}{to}", self.url()) } else { to.to_owned() };
        let separator = if to.contains('?') { '&' } else { '?' };
        let to = format!("{to}{separator}digest={digest}");
        let answer = requests::put(&to, "application/octet-stream", blob);
        assert_eq!(answer.status, 201, "{to}: {}", answer.text());
        digest
    }
}

pub(crate) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
