//! Images for the demo that docker, containerd and podman pull and run: one layer with one program in it, for
//! each platform.

use serde_json::{Value, json};

use crate::oci::{Digest, MediaType, Repository};

use super::program::Architecture;
use super::registry::MemoryRegistry;

pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const PROGRAM: &str = "hello";
/// The size of everything in a tar archive is a multiple of this.
const BLOCK: usize = 512;

/// A manifest that the registry has.
#[derive(Clone, Debug)]
pub(super) struct Pushed {
    pub(super) digest: Digest,
    pub(super) bytes: Vec<u8>,
    media_type: MediaType,
}

impl Pushed {
    pub(super) fn descriptor(&self) -> Value {
        descriptor(self.media_type.as_str(), &self.bytes)
    }
}

/// Pushes an image that prints `text`, as an index of all platforms.
pub(super) fn push(registry: &MemoryRegistry, repository: &Repository, text: &str) -> Pushed {
    let manifests = Architecture::ALL.map(|architecture| {
        let mut listed = push_platform(registry, repository, architecture, text).descriptor();
        listed["platform"] = json!({ "architecture": architecture.name(), "os": "linux" });
        listed
    });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciIndex.as_str(),
        "manifests": manifests,
    });
    put(registry, repository, MediaType::OciIndex, &index)
}

fn push_platform(
    registry: &MemoryRegistry,
    repository: &Repository,
    architecture: Architecture,
    text: &str,
) -> Pushed {
    let layer = tar(PROGRAM, &architecture.program(text));
    let diff_id = Digest::of(&layer).to_string();
    let config = json!({
        "architecture": architecture.name(),
        "os": "linux",
        "config": { "Entrypoint": [format!("/{PROGRAM}")] },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        "history": [{ "created_by": "countersign demo", "comment": text.trim_end() }],
    })
    .to_string();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciImage.as_str(),
        "config": descriptor(CONFIG, config.as_bytes()),
        "layers": [descriptor(LAYER, &layer)],
    });
    registry.put_blob(repository, config);
    registry.put_blob(repository, layer);
    put(registry, repository, MediaType::OciImage, &manifest)
}

/// Pushes a manifest.
pub(super) fn put(
    registry: &MemoryRegistry,
    repository: &Repository,
    media_type: MediaType,
    manifest: &Value,
) -> Pushed {
    let bytes = manifest.to_string().into_bytes();
    let digest = registry.put_manifest(repository, media_type.as_str(), bytes.clone());
    Pushed { digest, bytes, media_type }
}

pub(super) fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({
        "mediaType": media_type,
        "digest": Digest::of(content).to_string(),
        "size": content.len(),
    })
}

/// A tar archive (POSIX ustar) of one file that everyone may read and execute.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; BLOCK];
    let mut field = |at: usize, text: &str| {
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    field(0, name);
    field(100, "0000755\0"); // mode
    field(108, "0000000\0"); // owner
    field(116, "0000000\0"); // group
    field(124, &format!("{:011o}\0", content.len()));
    field(136, "00000000000\0"); // modified
    field(148, "        "); // the checksum counts as spaces
    field(156, "0"); // a file
    field(257, "ustar\x0000");
    let checksum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{checksum:06o}\0 ").as_bytes());

    let mut archive = header.to_vec();
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    archive.resize(archive.len() + 2 * BLOCK, 0); // the end
    archive
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::manifest::Manifest;

    #[test]
    fn an_image_is_an_index_of_a_runnable_image_for_each_platform() {
        let registry = MemoryRegistry::new();
        let repository: Repository = "app".parse().unwrap();
        let index = push(&registry, &repository, "hello\n");
        let read = Manifest::parse(&index.bytes, Some(MediaType::OciIndex.as_str())).unwrap();
        let children: Vec<Digest> = read.children().iter().map(|child| child.digest).collect();
        assert_eq!(children.len(), 2);
        for (architecture, digest) in Architecture::ALL.into_iter().zip(children) {
            let image = push_platform(&registry, &repository, architecture, "hello\n");
            assert_eq!(image.digest, digest);
            let read = Manifest::parse(&image.bytes, Some(MediaType::OciImage.as_str())).unwrap();
            assert!(read.is_runnable());
        }
    }

    #[test]
    fn an_archive_has_its_blocks_and_its_checksum() {
        let archive = tar("hello.txt", &[b'x'; 513]);
        assert_eq!(archive.len(), BLOCK * 5);
        assert_eq!(&archive[BLOCK..BLOCK + 513], &[b'x'; 513]);
        assert_eq!(&archive[124..136], b"00000001001\0");
        let stored = std::str::from_utf8(&archive[148..154]).unwrap();
        let mut header = archive[..BLOCK].to_vec();
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        assert_eq!(u32::from_str_radix(stored, 8).unwrap(), sum);
    }
}
