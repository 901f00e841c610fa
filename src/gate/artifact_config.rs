//! The config of an artifact. cosign writes an image's config under its tags, and containerd's CRI reads any config as an
//! image's, whatever its media type. An engine may then take the manifest for an image: one that has no layers that it
//! can unpack, or only ones that it holds already. The config must therefore say nothing that an engine would do. Pure.

use bytes::Bytes;

use crate::json::{Document, Value};
use crate::oci::Digest;
use crate::oci::form::StrictManifest;

/// The largest such config: it names two digests or so for each layer.
pub(super) const MAX_ARTIFACT_CONFIG: usize = 256 << 10;

/// The members of an image's config that tell an engine what to run; empty in what cosign writes.
const RUNS: [&str; 2] = ["config", "container_config"];
/// Those that tell nothing.
const TELLS: [&str; 11] = [
    "architecture",
    "author",
    "container",
    "created",
    "docker_version",
    "history",
    "os",
    "os.features",
    "os.version",
    "rootfs",
    "variant",
];

/// Whether the config of such a manifest runs nothing: it is `{}`, or `content`, which is all of it, is harmless.
pub(super) fn runs_nothing(form: &StrictManifest, content: Option<&Bytes>) -> bool {
    let layers = || form.layers.iter().map(|layer| &layer.digest);
    form.config.is_empty_object()
        || content.is_some_and(|content| {
            form.config.digest.is_of(content) && is_harmless_config(content, layers())
        })
}

/// Whether a config beside such `layers` runs nothing and stands for no other layers.
fn is_harmless_config<'a>(
    config: &[u8],
    layers: impl ExactSizeIterator<Item = &'a Digest>,
) -> bool {
    let Ok(config) = Document::parse(config) else { return false };
    let config = config.root();
    let Some(members) = config.as_object() else { return false };
    members.iter().all(|(name, value)| match name {
        name if RUNS.contains(&name) => is_empty(value),
        name => TELLS.contains(&name),
    }) && has_layers(config.member("rootfs"), layers)
}

fn is_empty(value: Value<'_>) -> bool {
    match value {
        Value::Null => true,
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Integer(_) | Value::Real | Value::String(_) | Value::Array(_) => {
            false
        }
    }
}

/// Whether the file system is made of these layers as they are, or of none. Engines find layers that they have unpacked
/// before by these digests, and do not look at the layers of the manifest then.
fn has_layers<'a>(
    rootfs: Option<Value<'_>>,
    layers: impl ExactSizeIterator<Item = &'a Digest>,
) -> bool {
    let Some(rootfs) = rootfs else { return true };
    let Some(members) = rootfs.as_object() else { return is_empty(rootfs) };
    if members.names().any(|name| !["type", "diff_ids"].contains(&name)) {
        return false;
    }
    let listed = match members.member("diff_ids") {
        None | Some(Value::Null) => return true,
        Some(Value::Array(listed)) => listed,
        Some(_) => return false,
    };
    let same = |(listed, layer): (Value<'_>, &Digest)| listed.as_str() == Some(&layer.to_string());
    listed.is_empty() || (listed.len() == layers.len() && listed.iter().zip(layers).all(same))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn is_harmless(config: &Json) -> bool {
        let layers = [Digest::of(b"one"), Digest::of(b"two")];
        is_harmless_config(config.to_string().as_bytes(), layers.iter())
    }

    fn cosigns() -> Json {
        let layers = [b"one", b"two"].map(|layer| Digest::of(layer).to_string());
        json!({"architecture": "", "created": "0001-01-01T00:00:00Z", "os": "", "config": {},
               "history": [{"created": "0001-01-01T00:00:00Z"}, {"created": "0001-01-01T00:00:00Z"}],
               "rootfs": {"type": "layers", "diff_ids": layers}})
    }

    #[test]
    fn what_cosign_writes_is_harmless() {
        assert!(is_harmless(&cosigns()));
        assert!(is_harmless(&json!({})));
        assert!(is_harmless(
            &json!({"rootfs": {"type": "layers", "diff_ids": null}, "config": null})
        ));
    }

    #[test]
    fn a_config_that_runs_something_is_not() {
        for (name, value) in [
            ("config", json!({"Entrypoint": ["/bin/sh"]})),
            ("config", json!({"OnBuild": ["RUN x"]})),
            ("config", json!([])),
            ("Config", json!({})),
            ("container_config", json!({"Cmd": ["x"]})),
            ("unknown", json!("x")),
            ("ro\u{17f}tfs", json!({})),
        ] {
            let mut config = cosigns();
            config[name] = value;
            assert!(!is_harmless(&config), "{config}");
        }
        assert!(!is_harmless(&json!([])));
        assert!(!is_harmless_config(b"{} {}", [].iter()));
    }

    #[test]
    fn a_config_that_stands_for_other_layers_is_not() {
        let (one, two) = (Digest::of(b"one").to_string(), Digest::of(b"two").to_string());
        for listed in
            [json!([one]), json!([two, one]), json!([one, two, one]), json!("x"), json!([1, 2])]
        {
            let mut config = cosigns();
            config["rootfs"]["diff_ids"] = listed;
            assert!(!is_harmless(&config), "{config}");
        }
        let mut config = cosigns();
        config["rootfs"]["Diff_ids"] = json!([]);
        assert!(!is_harmless(&config));
    }
}
