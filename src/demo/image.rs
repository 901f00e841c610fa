//! Images for the demo that docker, containerd and podman really pull: one layer with one file in it.

use serde_json::{Value, json};

use crate::oci::{Digest, MediaType, Repository};

use super::registry::MemoryRegistry;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// The size of everything in a tar archive is a multiple of this.
const BLOCK: usize = 512;

/// A manifest that the registry has.
#[derive(Clone, Debug)]
pub(super) struct Pushed {
    pub(super) digest: Digest,
    pub(super) length: usize,
    pub(super) bytes: Vec<u8>,
}

/// Pushes an image for `architecture` that holds the file `/hello.txt` with that text.
pub(super) fn push(
    registry: &MemoryRegistry,
    repository: &Repository,
    architecture: &str,
    text: &str,
) -> Pushed {
    let layer = tar("hello.txt", text.as_bytes());
    let diff_id = Digest::of(&layer).to_string();
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": { "Cmd": ["cat", "/hello.txt"] },
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

/// Pushes an index of images for these architectures.
pub(super) fn push_index(
    registry: &MemoryRegistry,
    repository: &Repository,
    images: &[(&str, &Pushed)],
) -> Pushed {
    let manifests: Vec<Value> = images
        .iter()
        .map(|(architecture, image)| {
            let mut listed = descriptor(MediaType::OciImage.as_str(), &image.bytes);
            listed["platform"] = json!({ "architecture": architecture, "os": "linux" });
            listed
        })
        .collect();
    let index = json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(),
        "manifests": manifests });
    put(registry, repository, MediaType::OciIndex, &index)
}

fn put(
    registry: &MemoryRegistry,
    repository: &Repository,
    media_type: MediaType,
    manifest: &Value,
) -> Pushed {
    let bytes = manifest.to_string().into_bytes();
    let digest = registry.put_manifest(repository, media_type.as_str(), bytes.clone());
    Pushed { digest, length: bytes.len(), bytes }
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(content).to_string(),
        "size": content.len() })
}

/// A tar archive (POSIX ustar) of one file that everyone may read.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; BLOCK];
    let mut field = |at: usize, text: &str| {
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    field(0, name);
    field(100, "0000644\0"); // mode
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
    fn an_image_and_an_index_are_what_they_say() {
        let registry = MemoryRegistry::new();
        let repository: Repository = "app".parse().unwrap();
        let image = push(&registry, &repository, "amd64", "hello\n");
        let read = Manifest::parse(&image.bytes, Some(MediaType::OciImage.as_str())).unwrap();
        assert!(read.is_runnable());
        let index = push_index(&registry, &repository, &[("amd64", &image)]);
        let read = Manifest::parse(&index.bytes, Some(MediaType::OciIndex.as_str())).unwrap();
        assert_eq!(read.children()[0].digest, image.digest);
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
