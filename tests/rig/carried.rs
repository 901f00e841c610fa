//! Packs what the fakes hold into a bundle, for a gate that has only the bundle. Writes the tar itself, independently of
//! the product, so that it can also lie.
//!
//! With [`CARRIED`] in its environment, the test program runs every gate of [`crate::whole_gate::World`] from such a
//! bundle: all tests of a module can run a second time without a change.

#![allow(clippy::unwrap_used, reason = "a rig that fails is a test that fails")]
#![allow(dead_code, unreachable_pub, reason = "shared by tests that each use a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use countersign::bundle::Bundle;
use countersign::demo::{Held, MemoryRegistry};
use countersign::oci::{Digest, MediaType};
use serde_json::{Value, json};

use crate::fake_registry::{CARRIED, REGISTRY};
use crate::notary_repository::Files;

const TITLE: &str = "org.opencontainers.image.title";
const ARTIFACT: &str = "application/vnd.countersign.bundle.v1+json";

/// Whether the gates of this program have only bundles.
pub fn is_carried() -> bool {
    std::env::var_os(CARRIED).is_some()
}

/// If the gates of this program have only bundles, writes everything into a bundle in the folder `incoming`.
pub fn pack(
    registry: &MemoryRegistry,
    published: impl FnOnce() -> BTreeMap<String, Files>,
    incoming: &Path,
) {
    if is_carried() {
        Carried::of(registry, &published()).write(&incoming.join("carried.tar"));
    }
}

/// The content of a signature as a gate reads it from a bundle, if the gates of this program have only bundles.
pub fn through(content: Vec<u8>) -> Vec<u8> {
    if !is_carried() {
        return content;
    }
    let mut carried = Carried::default();
    let digest = Digest::of(&content);
    carried.blobs.insert(digest, content);
    let bundle = Bundle::in_memory(Path::new("carried.tar"), carried.tar().into()).unwrap();
    bundle.whole_blob(&digest, u64::MAX).unwrap().unwrap().to_vec()
}

/// The lines about the source of an upstream, and the other tables: without the URL of the Notary server if the gate has
/// no network. `bundles`: whether there are bundles, and whether there is also the registry at `url`.
pub fn source(bundles: Option<bool>, url: &str, tables: &str) -> (String, String) {
    let url = format!("url = \"{url}\"");
    let bundled = "bundles = \"incoming/*.tar\"";
    match if is_carried() { Some(false) } else { bundles } {
        None => (url, tables.to_owned()),
        Some(true) => (format!("{url}\n{bundled}"), tables.to_owned()),
        Some(false) => (bundled.to_owned(), tables.replace("url = \"NOTARY\"", "")),
    }
}

/// The parts of a bundle.
#[derive(Clone, Default)]
pub struct Carried {
    pub images: Vec<Value>,
    pub attached: Vec<Value>,
    /// Content by the digest in its name, which may be wrong.
    pub blobs: BTreeMap<Digest, Vec<u8>>,
    /// The documents, except `contents.json`.
    pub documents: BTreeMap<String, Vec<u8>>,
    pub contents: Vec<Value>,
    pub notaryv1: Vec<Value>,
    pub revocation: Vec<Value>,
}

impl Carried {
    /// Everything that a registry and a Notary server hold.
    pub fn of(registry: &MemoryRegistry, published: &BTreeMap<String, Files>) -> Self {
        let mut carried = Self::default();
        for held in registry.everything() {
            carried.add_repository(&held);
        }
        for (gun, files) in published {
            carried.add_gun(gun, files);
        }
        carried
    }

    /// The trust data of a repository.
    pub fn add_gun(&mut self, gun: &str, files: &Files) {
        let folder = Digest::of(gun.as_bytes()).hex();
        for (name, content) in files {
            self.documents.insert(format!("notaryv1/{folder}/{name}.json"), content.clone());
        }
        let gun = json!({ "gun": gun, "anchor": "team", "server": "https://x", "fetched": 0 });
        self.notaryv1.push(gun);
    }

    fn add_repository(&mut self, held: &Held) {
        let repository = format!("{REGISTRY}/{}", held.repository);
        let all: Vec<Value> = held
            .manifests
            .iter()
            .map(|(digest, (_, bytes))| (digest, bytes))
            .chain(&held.blobs)
            .map(|(digest, bytes)| json!({ "digest": digest.to_string(), "size": bytes.len() }))
            .collect();
        let tagged: BTreeSet<Digest> = held.tags.values().copied().collect();
        for (digest, bytes) in &held.blobs {
            self.blobs.insert(*digest, bytes.to_vec());
        }
        for (digest, (media_type, bytes)) in &held.manifests {
            self.blobs.insert(*digest, bytes.to_vec());
            // `index.json` lists only types of manifests; anything else is found by its digest.
            if MediaType::parse(media_type).is_none_or(|it| it.as_str() != media_type) {
                continue;
            }
            let listed = json!({ "mediaType": media_type, "digest": digest.to_string(),
                "size": bytes.len() });
            for (tag, _) in held.tags.iter().filter(|(_, tagged)| *tagged == digest) {
                match subject_in(tag.as_str()) {
                    Some(subject) => {
                        self.attach(&listed, &repository, &subject, Some(tag.as_str()))
                    }
                    None => self.name(&listed, &repository, &format!("{repository}:{tag}"), &all),
                }
            }
            let parsed: Value = serde_json::from_slice(bytes).unwrap_or_default();
            let subject = parsed["subject"]["digest"].as_str();
            match subject.filter(|subject| subject.parse::<Digest>().is_ok()) {
                Some(subject) => self.attach(&listed, &repository, subject, None),
                None if tagged.contains(digest) => {}
                None => self.name(&listed, &repository, &format!("{repository}@{digest}"), &all),
            }
        }
    }

    fn name(&mut self, listed: &Value, repository: &str, name: &str, all: &[Value]) {
        let mut image = listed.clone();
        image["annotations"] = json!({
            "org.opencontainers.image.ref.name": name,
            "io.containerd.image.name": name,
            "vnd.countersign.repository": repository,
        });
        self.images.push(image);
        self.contents.push(json!({ "names": [name], "digest": listed["digest"], "blobs": all,
            "decision": { "rule": "**" } }));
    }

    fn attach(&mut self, listed: &Value, repository: &str, subject: &str, tag: Option<&str>) {
        let mut attached = listed.clone();
        attached["annotations"] = json!({ "io.containerd.manifest.subject": subject,
            "vnd.countersign.repository": repository });
        if let Some(tag) = tag {
            attached["annotations"]["vnd.countersign.tag"] = json!(tag);
        }
        self.attached.push(attached);
    }

    /// The names and bytes of the entries of the tar, in their order.
    pub fn entries(&self) -> Vec<(String, Vec<u8>)> {
        let contents = json!({ "format": 1, "images": self.contents, "notaryv1": self.notaryv1,
            "revocation": self.revocation });
        let mut documents = self.documents.clone();
        documents.insert("contents.json".to_owned(), contents.to_string().into_bytes());
        let mut blobs = self.blobs.clone();
        let mut layers = Vec::new();
        for (title, content) in documents {
            let mut layer = pointer("application/octet-stream", &content);
            layer["annotations"] = json!({ TITLE: title });
            layers.push(layer);
            blobs.insert(Digest::of(&content), content);
        }
        let config = pointer("application/vnd.oci.empty.v1+json", b"{}");
        blobs.insert(Digest::of(b"{}"), b"{}".to_vec());
        let oci = MediaType::OciImage.as_str();
        let artifact = json!({ "schemaVersion": 2, "mediaType": oci, "artifactType": ARTIFACT,
            "config": config, "layers": layers });
        let artifact = artifact.to_string().into_bytes();
        let mut first = pointer(oci, &artifact);
        first["artifactType"] = json!(ARTIFACT);
        blobs.insert(Digest::of(&artifact), artifact);
        let manifests: Vec<&Value> =
            [&first].into_iter().chain(&self.images).chain(&self.attached).collect();
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        let mut entries = vec![
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("index.json".to_owned(), index.to_string().into_bytes()),
        ];
        let name = |digest: Digest| format!("blobs/sha256/{}", digest.hex());
        entries.extend(blobs.into_iter().map(|(digest, content)| (name(digest), content)));
        entries
    }

    /// The bytes of the bundle.
    pub fn tar(&self) -> Vec<u8> {
        tar(&self.entries())
    }

    /// Writes the bundle to `path`, as one that was copied and then renamed.
    pub fn write(&self, path: &Path) {
        put(path, &self.tar());
    }
}

/// Replaces the file at `path`.
pub fn put(path: &Path, content: &[u8]) {
    use std::io::Write as _;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let name = format!(".{}", path.file_name().unwrap().to_str().unwrap());
    let temporary = path.with_file_name(name);
    std::fs::File::create(&temporary).unwrap().write_all(content).unwrap();
    std::fs::rename(temporary, path).unwrap();
}

/// A tar of these entries.
pub fn tar(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, content) in entries {
        tar.extend(header(name, content.len(), b'0', ""));
        tar.extend(content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.extend([0; 1024]);
    tar
}

/// A ustar header.
pub fn header(name: &str, size: usize, kind: u8, link: &str) -> Vec<u8> {
    let mut header = vec![0; 512];
    let mut put = |at: usize, text: &str| {
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    put(0, name);
    put(100, "0000644\x000000000\x000000000\0");
    put(124, &format!("{size:011o}\x0000000000000\0        "));
    put(157, link);
    put(257, "ustar\x0000");
    put(329, "0000000\x000000000\0");
    header[156] = kind;
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

fn pointer(media_type: &str, content: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(content).to_string(),
        "size": content.len() })
}

/// The subject in the tag of a signature.
fn subject_in(tag: &str) -> Option<String> {
    let hex = tag.strip_prefix("sha256-")?.split('.').next()?;
    let digest = format!("sha256:{hex}");
    digest.parse::<Digest>().is_ok().then_some(digest)
}
