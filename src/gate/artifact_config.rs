//! The config of an artifact. cosign writes an image's config under its tags, and containerd's CRI reads any config as
//! an image's, whatever its media type. An engine may therefore treat the artifact as an image: one without layers to
//! unpack, or with layers that it already has. So the config must contain nothing that an engine would run. Pure.

use bytes::Bytes;

use crate::json::{Document, Value};
use crate::oci::Digest;
use crate::oci::form::StrictManifest;

/// The largest config of an artifact, in bytes. It contains about two digests for each layer.
pub(super) const MAX_ARTIFACT_CONFIG: usize = 256 << 10;

/// The members of an image's config that tell an engine what to run. cosign writes them empty.
const RUNS: [&str; 2] = ["config", "container_config"];
/// The members that an engine does not run.
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

/// Whether the config of that manifest runs nothing: it is `{}`, or its complete `content` is harmless.
pub(super) fn runs_nothing(form: &StrictManifest, content: Option<&Bytes>) -> bool {
    let layers = || form.layers.iter().map(|layer| &layer.digest);
    form.config.is_empty_object()
        || content.is_some_and(|content| {
            form.config.digest.is_of(content) && is_harmless_config(content, layers())
        })
}

/// Whether a config of an artifact with these `layers` runs nothing and names no other layers.
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

/// Whether `rootfs` names exactly these layers, or none. Engines find unpacked layers by the digests in `rootfs`, and
/// then ignore the layers of the manifest.
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
    fn a_config_of_cosign_is_harmless() {
        assert!(is_harmless(&cosigns()));
        assert!(is_harmless(&json!({})));
        assert!(is_harmless(
            &json!({"rootfs": {"type": "layers", "diff_ids": null}, "config": null})
        ));
    }

    #[test]
    fn a_config_that_runs_something_is_not_harmless() {
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
    fn a_config_that_names_other_layers_is_not_harmless() {
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
