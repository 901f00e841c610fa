//! A small runnable image made of bytes: one layer with a static busybox and the file `/message`.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::registry::digest_of;

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const OCTETS: &str = "application/octet-stream";

/// An image whose container prints `message`.
#[derive(Clone)]
pub(crate) struct Runnable {
    pub(crate) layer: Bytes,
    pub(crate) config: Bytes,
    pub(crate) manifest: Bytes,
}

impl Runnable {
    pub(crate) fn new(busybox: &[u8], message: &str) -> Self {
        Self::running(busybox, message, &["cat", "/message"])
    }

    /// The same, but its container runs busybox with these arguments.
    pub(crate) fn running(busybox: &[u8], message: &str, arguments: &[&str]) -> Self {
        // The message comes first, so that a search does not need to read the whole file.
        let files: [(&str, &[u8]); 2] = [("message", message.as_bytes()), ("bin/busybox", busybox)];
        let layer = tar(&files);
        let config = config(&digest_of(&layer), arguments);
        let manifest = manifest(&config, &[described(OCI_LAYER, &layer)]);
        Self { layer, config, manifest }
    }

    /// Its descriptor: media type, digest and size.
    pub(crate) fn descriptor(&self) -> Value {
        described(OCI_MANIFEST, &self.manifest)
    }
}

/// The config of an image with one layer, whose containers run busybox with these arguments.
pub(crate) fn config(diff_id: &str, arguments: &[&str]) -> Bytes {
    json!({"architecture": architecture(), "os": "linux",
        "config": {"Entrypoint": ["/bin/busybox"], "Cmd": arguments},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]}})
    .to_string()
    .into()
}

/// An image manifest with an image's config.
pub(crate) fn manifest(config: &[u8], layers: &[Value]) -> Bytes {
    json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described(OCI_CONFIG, config),
        "layers": layers})
    .to_string()
    .into()
}

/// The descriptor of `content`.
pub(crate) fn described(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest_of(content), "size": content.len()})
}

/// This machine's architecture, as Go names it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A `ustar` archive of executable files.
fn tar(files: &[(&str, &[u8])]) -> Bytes {
    let mut archive = Vec::new();
    for (name, content) in files {
        let mut header = [0_u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(b"0000755\0");
        header[108..116].copy_from_slice(b"0000000\0");
        header[116..124].copy_from_slice(b"0000000\0");
        header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        header[136..148].copy_from_slice(b"00000000000\0");
        header[148..156].copy_from_slice(b"        ");
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend_from_slice(&header);
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive.into()
}
