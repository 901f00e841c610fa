//! An image made of a few bytes, without a container engine. It can be pulled, but not run.

use bytes::Bytes;
use serde_json::json;

use crate::folder::Folder;
use crate::process::{must, tool};
use crate::random::Random;
use crate::registry::{Registry, digest_of};

const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

/// An image of one layer.
pub(crate) struct Image {
    pub(crate) layer: Bytes,
    pub(crate) config: Bytes,
    pub(crate) manifest: Bytes,
}

impl Image {
    /// With a file that contains `message`, and a file of `size` random bytes.
    pub(crate) fn new(message: &str, size: usize) -> Self {
        let folder = Folder::new("layer");
        folder.write("message", message);
        folder.write("padding", Random::new(size as u64).content(size));
        let tar = folder.join("layer.tar");
        let mut command = tool("tar", "tar");
        command.arg("-C").arg(folder.path()).arg("-cf").arg(&tar).args(["message", "padding"]);
        must(&command);
        let layer = Bytes::from(std::fs::read(tar).unwrap());
        let config = json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/message"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(&layer)]}});
        let config = Bytes::from(config.to_string());
        let described = |kind: &str, content: &Bytes| {
            json!({"mediaType": format!("application/vnd.oci.image.{kind}"),
                "digest": digest_of(content), "size": content.len()})
        };
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_IMAGE,
            "config": described("config.v1+json", &config),
            "layers": [described("layer.v1.tar", &layer)]});
        let manifest = Bytes::from(manifest.to_string());
        Self { layer, config, manifest }
    }

    pub(crate) fn push(&self, registry: &Registry, repository: &str, tag: &str) {
        registry.put_blob(repository, self.layer.clone());
        registry.put_blob(repository, self.config.clone());
        registry.put(repository, Some(tag), OCI_IMAGE, &self.manifest);
    }
}
