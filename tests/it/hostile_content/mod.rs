//! Attacks by a registry on rules with cosign anchors. Each attacks the whole gate, not the verification of
//! signatures.

#![expect(clippy::unwrap_used, reason = "shared code is not in the body of a test")]

mod archives;
mod doubts;
mod rollback;
mod signature_tags;
mod work;

use std::collections::BTreeMap;

use countersign::oci::{Digest, MediaType};
use serde_json::{Value, json};

use crate::fake_registry::REGISTRY;
use crate::folder::Folder;
use crate::notary_repository::NOW;
use crate::sigstore::{Key, Kind, Layer, Sigstore, payload};
use crate::whole_gate::{DEFAULTS, World, app, described};

const DAY: i64 = 86_400;

/// A gate with cosign anchors for [`app`], their keys, and the attacking registry.
struct Site {
    world: World,
    keys: BTreeMap<&'static str, Key>,
    _folder: Folder,
}

impl Site {
    /// A gate with such anchors, each with its own key, and `rules`, in which `APP` is [`app`].
    async fn new(anchors: &[&'static str], rules: &str) -> Self {
        let folder = Folder::new("hostile-content");
        let root = folder.write("root.json", Sigstore::shared().trusted_root().to_string());
        let mut keys = BTreeMap::new();
        let mut tables = rules.replace("APP", &format!("{REGISTRY}/library/app"));
        for name in anchors {
            let key = Key::new(Kind::P256);
            let file = folder.write(&format!("{name}.pub"), key.pem());
            tables += &format!(
                "\n[[anchor]]\nname = \"{name}\"\nscheme = \"cosign\"\nkeys = [{file:?}]\n\
                 trusted_root = {root:?}\n"
            );
            keys.insert(*name, key);
        }
        Self { world: World::with(DEFAULTS, &tables).await, keys, _folder: folder }
    }

    /// The signature of `anchor` over `manifest`, with a stated time `days_ago` days ago.
    fn signature(&self, anchor: &str, manifest: &[u8], days_ago: i64) -> Layer {
        let at = NOW - days_ago * DAY;
        let text = payload(&Digest::of(manifest).to_string(), json!({ "timestamp": at }));
        Layer::signed(&text, &self.keys[anchor])
    }

    /// Stores `layers` under the signature tag of `manifest`.
    fn put_signatures(&self, manifest: &[u8], layers: &[Layer]) -> Digest {
        let digest = self.put_layers(layers);
        self.tag(&signatures_of(manifest, ".sig"), digest);
        digest
    }

    /// Pushes a cosign manifest with those layers.
    fn put_layers(&self, layers: &[Layer]) -> Digest {
        let listed = layers.iter().map(|layer| {
            self.world.registry.registry().put_blob(&app(), layer.payload.clone());
            let mut listed = described(&layer.media_type, &layer.payload);
            listed["annotations"] = json!(layer.annotations);
            listed
        });
        let listed: Vec<Value> = listed.collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OciImage.as_str(),
            "config": described("application/vnd.oci.image.config.v1+json", b"{}"),
            "layers": listed,
        });
        self.world.registry.registry().put_blob(&app(), b"{}".to_vec());
        self.put(MediaType::OciImage, &manifest)
    }

    fn put(&self, media_type: MediaType, manifest: &Value) -> Digest {
        let bytes = manifest.to_string().into_bytes();
        self.world.registry.registry().put_manifest(&app(), media_type.as_str(), bytes)
    }

    /// Moves `tag` to `digest`.
    fn tag(&self, tag: &str, digest: Digest) {
        self.world.registry.registry().put_tag(&app(), tag.parse().unwrap(), digest);
    }

    /// Pushes an image that `anchor` signed just now.
    fn push_signed(&self, tag: &str, text: &str, anchor: &str) -> Vec<u8> {
        let image = self.world.push(tag, text);
        self.put_signatures(&image, &[self.signature(anchor, &image, 0)]);
        image
    }
}

fn signatures_of(manifest: &[u8], suffix: &str) -> String {
    format!("sha256-{}{suffix}", Digest::of(manifest).hex())
}
