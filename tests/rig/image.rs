//! An image made of a few bytes, without a container engine. It can be pulled, but not run.

use bytes::Bytes;
use serde_json::json;

use crate::folder::Folder;
use crate::process::{must, tool};
use crate::random::Random;
use crate::registry::{Registry, digest_of};

const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An image of one layer.
pub(crate) struct Image {
    pub(crate) layer: Bytes,
    pub(crate) config: Bytes,
    pub(crate) manifest: Bytes,
}

impl Image {
    /// With a file that contains `message`, and a file of `size` random bytes.
    pub(crate) fn new(message: &str, size: usize) -> Self {
        Self::on("amd64", message, size)
    }

    /// With this layer, which is no valid tar: for tests about bytes.
    pub(crate) fn of(layer: Bytes) -> Self {
        Self::with("amd64", layer)
    }

    /// The same for another architecture.
    pub(crate) fn on(architecture: &str, message: &str, size: usize) -> Self {
        let folder = Folder::new("layer");
        folder.write("message", message);
        folder.write("padding", Random::new(size as u64).content(size));
        let tar = folder.join("layer.tar");
        let mut command = tool("tar", "tar");
        command.arg("-C").arg(folder.path()).arg("-cf").arg(&tar).args(["message", "padding"]);
        must(&command);
        let layer = Bytes::from(std::fs::read(tar).unwrap());
        Self::with(architecture, layer)
    }

    fn with(architecture: &str, layer: Bytes) -> Self {
        let config = json!({"architecture": architecture, "os": "linux", "config": {"Cmd": ["/message"]},
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
        self.put(registry, repository, Some(tag));
    }

    fn put(&self, registry: &Registry, repository: &str, tag: Option<&str>) {
        registry.put_blob(repository, self.layer.clone());
        registry.put_blob(repository, self.config.clone());
        registry.put(repository, tag, OCI_IMAGE, &self.manifest);
    }

    /// Pushes an OCI index of these images, each with its architecture, and returns its digest.
    pub(crate) fn push_index(
        images: &[(&str, &Self)],
        registry: &Registry,
        repository: &str,
        tag: &str,
    ) -> String {
        let listed: Vec<_> = images
            .iter()
            .map(|(architecture, image)| {
                image.put(registry, repository, None);
                json!({"mediaType": OCI_IMAGE, "digest": digest_of(&image.manifest),
                    "size": image.manifest.len(),
                    "platform": {"os": "linux", "architecture": architecture}})
            })
            .collect();
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed});
        registry.put(repository, Some(tag), OCI_INDEX, index.to_string().as_bytes())
    }
}
