//! The gate with anchors that sign content: resolving tags, the lifetime of tags and verdicts, moved tags, and the
//! cost of all this.

mod costs;
mod denied;
mod exempted;
mod forgotten;
mod held;
mod lifetimes;
mod queued;
mod rolled_back;
mod rules;
mod explain;

use http::Method;

use crate::attached::{MINE, ROOT, layer, layer_at, put_sig, tag_of};
use crate::fake_registry::REGISTRY;
use crate::sigstore::{HOUR, Layer, NOW, Sigstore};
use crate::whole_gate::{APP, Setup, World, app};

/// An anchor `ci` of cosign with additional lines.
fn ci(lines: &str) -> String {
    format!(
        "[[anchor]]\nname = \"ci\"\nscheme = \"cosign\"\nkeys = [\"mine.pub\"]\n\
         trusted_root = \"root.json\"\n{lines}\n"
    )
}

/// An anchor `platform` of notation with additional lines.
fn platform(lines: &str) -> String {
    format!(
        "[[anchor]]\nname = \"platform\"\nscheme = \"notation\"\ntrust_store = [\"ca:root.crt\"]\n\
         identities = [\"*\"]\nrevocation = \"skip\"\n{lines}\n"
    )
}

/// An anchor `team` of notaryv1.
const TEAM: &str = "[[anchor]]\nname = \"team\"\nscheme = \"notaryv1\"\nurl = \"NOTARY\"\n\
                    root_keys = [\"PIN\"]\n";

/// A rule for all images with these lines.
fn rule(lines: &str) -> String {
    format!("[[rule]]\nimages = [\"{REGISTRY}/**\"]\n{lines}\n")
}

/// These tables and the files of the anchors; the time is an hour after cosign's signatures.
fn setup(tables: &[String]) -> Setup {
    Setup::new(tables.concat())
        .file("mine.pub", MINE.pem())
        .file("root.json", Sigstore::shared().trusted_root().to_string())
        .file("root.crt", ROOT.pem())
        .at(NOW + HOUR)
}

/// A gate with one rule that requires `ci`, and additional lines for both.
async fn world(anchor: &str, of_rule: &str) -> World {
    let rule = rule(&format!("require = [\"ci\"]\n{of_rule}"));
    World::of(setup(&[ci(anchor), rule])).await
}

fn put(world: &World, manifest: &[u8], layers: &[Layer]) -> Vec<u8> {
    put_sig(&world.registry, &app(), manifest, layers)
}

/// Signs `manifest` as `ci`.
fn sign(world: &World, manifest: &[u8]) {
    put(world, manifest, &[layer(manifest, &MINE)]);
}

/// The same, with a time that the signer states and a log proves.
fn sign_at(world: &World, manifest: &[u8], at: i64) {
    put(world, manifest, &[layer_at(manifest, &MINE, at)]);
}

fn push_signed(world: &World, tag: &str, text: &str) -> Vec<u8> {
    let manifest = world.push(tag, text);
    sign(world, &manifest);
    manifest
}

fn push_signed_at(world: &World, tag: &str, text: &str, at: i64) -> Vec<u8> {
    let manifest = world.push(tag, text);
    sign_at(world, &manifest, at);
    manifest
}

/// How often upstream was asked to resolve `tag`.
fn resolved(world: &World, tag: &str) -> usize {
    let path = format!("/v2/{APP}/manifests/{tag}");
    let asked = world.registry.asked();
    asked.iter().filter(|asked| asked.path == path && asked.method == Method::HEAD).count()
}

/// How often the signature tag of `manifest` was requested.
fn searched(world: &World, manifest: &[u8]) -> usize {
    world.registry.asked_for(&tag_of(manifest, ".sig")).len()
}

/// The verdict and the reason in the output of `why`, and the result of its first anchor.
fn explained(json: &serde_json::Value) -> [&str; 3] {
    let all = [&json["verdict"], &json["reason"], &json["anchors"][0]["answer"]];
    all.map(|value| value.as_str().unwrap_or_default())
}
