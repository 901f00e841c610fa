//! The form of an image manifest: all that it contains, for decisions about a manifest without an endorsement. Parses
//! strictly: unknown content is a [`StrictManifest::stray`]. Knows no artifact type.

use super::digest::Digest;
use crate::json::Value;

/// The media type of the empty descriptor (image-spec, "Guidance for an Empty Descriptor"), and its content.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const EMPTY_CONTENT: &[u8] = b"{}";
/// [`EMPTY_CONTENT`] as `data`, which oras and BuildKit write in addition to the digest.
const EMPTY_DATA: &str = "e30=";

/// An image manifest as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrictManifest {
    /// Its `artifactType`; `None` if absent.
    pub artifact_type: Option<String>,
    pub config: Part,
    pub layers: Vec<Part>,
    pub subject: Option<Part>,
    /// The first content that an artifact does not need, such as inline `data` or an unknown member: one clause.
    pub stray: Option<String>,
}

/// A descriptor as the manifest describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
}

impl StrictManifest {
    /// The form of `manifest`, a parsed JSON object; `None` if it is not an image manifest.
    pub(super) fn of(manifest: Value<'_>) -> Option<Self> {
        let members = manifest.as_object()?;
        let mut stray = Stray(None);
        for (name, member) in members {
            match (name, member) {
                ("schemaVersion", Value::Integer(2))
                | ("mediaType" | "artifactType", Value::String(_))
                | ("config" | "subject", Value::Object(_))
                | ("layers", Value::Array(_))
                | ("subject" | "annotations", Value::Null) => {}
                ("annotations", annotations) => stray.annotations(annotations),
                (other, _) => stray.note(|| format!("the member {}", shown(other))),
            }
        }
        let config = Part::read(members.member("config")?, "config", &mut stray)?;
        let layers = members.member("layers")?.as_array()?;
        let layers = layers.iter().map(|layer| Part::read(layer, "a layer", &mut stray));
        let layers = layers.collect::<Option<_>>()?;
        let subject = members.member("subject").filter(|subject| !subject.is_null());
        let subject = match subject {
            Some(subject) => Some(Part::read(subject, "subject", &mut stray)?),
            None => None,
        };
        let artifact_type =
            members.member("artifactType").and_then(Value::as_str).map(str::to_owned);
        let stray = stray.0;
        Some(Self { artifact_type, config, layers, subject, stray })
    }

    /// Its artifact type: its own, otherwise the media type of its config (distribution-spec, "Listing Referrers").
    pub fn own_type(&self) -> &str {
        self.artifact_type.as_deref().unwrap_or(&self.config.media_type)
    }
}

impl Part {
    /// Whether it is the empty descriptor: its type, digest and size.
    pub fn is_empty_descriptor(&self) -> bool {
        self.media_type == EMPTY && self.is_empty_object()
    }

    /// Whether its content is the empty object `{}`, whatever its media type.
    pub fn is_empty_object(&self) -> bool {
        self.size == EMPTY_CONTENT.len() as u64 && self.digest == Digest::of(EMPTY_CONTENT)
    }

    fn read(descriptor: Value<'_>, what: &str, stray: &mut Stray) -> Option<Self> {
        let members = descriptor.as_object()?;
        let text = |name: &str| members.member(name).and_then(Value::as_str);
        let size = members.member("size").and_then(Value::as_integer);
        let part = Self {
            media_type: text("mediaType")?.to_owned(),
            digest: text("digest")?.parse().ok()?,
            size: u64::try_from(size?).ok()?,
        };
        for (name, member) in members {
            match (name, member) {
                ("mediaType" | "digest" | "size", _)
                | ("artifactType", Value::String(_))
                | ("annotations", Value::Null) => {}
                ("annotations", annotations) => stray.annotations(annotations),
                ("data", Value::String(data))
                    if data == EMPTY_DATA && part.is_empty_descriptor() => {}
                ("platform", Value::Object(platform)) if what == "subject" => {
                    let nested = |(_, value)| matches!(value, Value::Object(_));
                    if platform.iter().any(nested) {
                        stray.note(|| "an invalid platform".to_owned());
                    }
                }
                (other, _) => stray.note(|| format!("{} in {what}", shown(other))),
            }
        }
        Some(part)
    }
}

/// The first stray content.
struct Stray(Option<String>);

impl Stray {
    fn note(&mut self, what: impl FnOnce() -> String) {
        self.0.get_or_insert_with(what);
    }

    fn annotations(&mut self, annotations: Value<'_>) {
        let texts = annotations
            .as_object()
            .is_some_and(|members| members.iter().all(|(_, value)| value.as_str().is_some()));
        if !texts {
            self.note(|| "annotations that are not strings".to_owned());
        }
    }
}

fn shown(name: &str) -> String {
    format!("`{}`", crate::text::shown(name, 64))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::json::Document;

    fn part(media_type: &str) -> Json {
        json!({"mediaType": media_type, "digest": Digest::of(b"{}").to_string(), "size": 2})
    }

    fn artifact() -> Json {
        json!({"schemaVersion": 2, "mediaType": "m", "artifactType": "a/type", "config": part(EMPTY),
               "layers": [part("a/layer")], "subject": part("a/subject"), "annotations": {"a": "b"}})
    }

    fn form(json: &Json) -> Option<StrictManifest> {
        StrictManifest::of(Document::parse(json.to_string().as_bytes()).unwrap().root())
    }

    #[test]
    fn a_form_contains_every_member() {
        let form = form(&artifact()).unwrap();
        assert_eq!((form.own_type(), &form.stray), ("a/type", &None));
        assert!(form.config.is_empty_descriptor());
        assert_eq!(form.layers[0].media_type, "a/layer");
        assert_eq!(form.subject.unwrap().digest, Digest::of(b"{}"));
    }

    #[test]
    fn the_empty_descriptor_may_have_inline_data() {
        let mut artifact = artifact();
        artifact["config"]["data"] = json!("e30=");
        assert_eq!(form(&artifact).unwrap().stray, None);
        artifact["config"]["mediaType"] = json!("a/config");
        assert!(form(&artifact).unwrap().stray.is_some());
    }

    #[test]
    fn any_other_content_is_stray() {
        for (place, name, value) in [
            ("", "blobs", json!([])),
            ("", "manifests", json!([])),
            ("", "x", json!(1)),
            ("", "schemaVersion", json!(1)),
            ("", "annotations", json!({"a": {}})),
            ("/config", "data", json!("e30=\n")),
            ("/config", "urls", json!(["https://example.com"])),
            ("/config", "platform", json!({"os": "linux"})),
            ("/layers/0", "data", json!("e30=")),
            ("/layers/0", "data", Json::Null),
            ("/layers/0", "x", json!({"digest": "a"})),
            ("/layers/0", "annotations", json!(["a"])),
            ("/subject", "data", json!("e30=")),
            ("/subject", "platform", json!({"os": {"digest": "a"}})),
        ] {
            let mut artifact = artifact();
            artifact.pointer_mut(place).unwrap()[name] = value;
            assert!(form(&artifact).unwrap().stray.is_some(), "{artifact}");
        }
    }
}
