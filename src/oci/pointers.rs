//! Finds every place where a manifest points at other content, as a permissive client would: clients follow any
//! descriptor by its media type, and use its inline `data` instead of fetching. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::digest::{Algorithm, Digest};
use super::manifest::{Descriptor, Manifest};
use super::media_type::{MediaType, names_manifest};
use super::recognize::looks_like_manifest;
use crate::json::Value;

/// The most manifests that one manifest may point at outside its `manifests`. Legitimate manifests have none.
const MAX_OUTSIDE_MANIFESTS: usize = 8;

/// The pointers of a manifest other than its children, its config and its layers.
#[derive(Debug, Default)]
pub(super) struct Pointers {
    /// The manifests that it points at outside `manifests` and `subject`, each once. They need their own admission.
    pub(super) outside: Vec<Descriptor>,
    /// The digests, by every algorithm, of all inline content, including content inlined within it. Clients use that
    /// content without a request.
    pub(super) inlined: Vec<Digest>,
    /// Why the manifest must not be served, even if it is endorsed: one full clause.
    pub(super) flaw: Option<String>,
}

/// The role of a descriptor in its manifest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DescriptorRole {
    /// An entry of `manifests`: a child, which is admitted through its index.
    Child,
    /// The manifest that this one refers to; clients do not run it.
    Subject,
    Other,
}

impl Pointers {
    /// Examines all of `manifest`, a parsed JSON object.
    pub(super) fn of(manifest: Value<'_>) -> Self {
        let mut found = Self::default();
        for (name, member) in manifest.as_object().into_iter().flatten() {
            match (name, member) {
                ("manifests", Value::Array(children)) => {
                    children.iter().for_each(|child| found.look(child, DescriptorRole::Child));
                }
                ("subject", subject) => found.look(subject, DescriptorRole::Subject),
                (_, other) => found.look(other, DescriptorRole::Other),
            }
        }
        found
    }

    fn look(&mut self, value: Value<'_>, role: DescriptorRole) {
        match value {
            Value::Array(items) => {
                items.iter().for_each(|item| self.look(item, DescriptorRole::Other))
            }
            Value::Object(members) => {
                self.descriptor(value, role);
                members.iter().for_each(|(_, member)| self.look(member, DescriptorRole::Other));
            }
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Real | Value::String(_) => {}
        }
    }

    /// Examines an object that may be a descriptor.
    fn descriptor(&mut self, object: Value<'_>, role: DescriptorRole) {
        let Some(digest) = object.member("digest").and_then(Value::as_str) else { return };
        let media_type = object.member("mediaType").and_then(Value::as_str).unwrap_or_default();
        let content = match inline(object, digest) {
            Ok(content) => content,
            Err(why) => return self.reject(why),
        };
        if let Some(content) = &content {
            let digests = [Algorithm::Sha256, Algorithm::Sha512].map(|it| Digest::by(it, content));
            self.inlined.extend(digests);
        }
        let inlined = content.as_deref().filter(|content| looks_like_manifest(content));
        match role {
            DescriptorRole::Subject => {}
            DescriptorRole::Child => {
                if let Some(content) = inlined {
                    self.merge(content, media_type);
                }
            }
            DescriptorRole::Other if inlined.is_some() || names_manifest(media_type) => {
                self.point_outside(object, digest, media_type);
            }
            DescriptorRole::Other => {}
        }
    }

    /// Adopts the pointers of an inlined child, because no client fetches that child from the gate.
    fn merge(&mut self, child: &[u8], media_type: &str) {
        let said = names_manifest(media_type).then_some(media_type);
        match Manifest::parse(child, said) {
            Ok(child) => {
                child.outside().iter().for_each(|pointed| self.add(pointed.clone()));
                self.inlined.extend(child.inlined());
                if let Some(flaw) = child.flaw() {
                    self.reject(flaw.to_owned());
                }
            }
            Err(invalid) => {
                self.reject(format!("the manifest in its `data` is invalid: {invalid}"))
            }
        }
    }

    fn point_outside(&mut self, object: Value<'_>, digest: &str, media_type: &str) {
        let size = object.member("size").and_then(Value::as_integer);
        match (digest.parse(), size.and_then(|size| u64::try_from(size).ok())) {
            (Ok(digest), Some(size)) => {
                self.add(Descriptor { digest, size, media_type: MediaType::parse(media_type) });
            }
            _ => self.reject("it points at a manifest with an invalid digest or size".to_owned()),
        }
    }

    fn add(&mut self, pointed: Descriptor) {
        if self.outside.iter().any(|known| known.digest == pointed.digest) {
            return;
        }
        if self.outside.len() < MAX_OUTSIDE_MANIFESTS {
            self.outside.push(pointed);
        } else {
            let most = MAX_OUTSIDE_MANIFESTS;
            self.reject(format!("it points at more than {most} manifests outside `manifests`"));
        }
    }

    fn reject(&mut self, why: String) {
        self.flaw.get_or_insert(why);
    }
}

/// The inline content of a descriptor, checked against its digest and size.
fn inline(descriptor: Value<'_>, digest: &str) -> Result<Option<Vec<u8>>, String> {
    let text = match descriptor.member("data") {
        None | Some(Value::Null) => return Ok(None),
        Some(data) => data.as_str().ok_or("it has `data` that is not a string")?,
    };
    // Go's decoder skips line breaks.
    let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let content = STANDARD.decode(text).map_err(|_| "it has `data` that is not base64")?;
    let digest: Digest =
        digest.parse().map_err(|_| "it has `data` with an invalid digest".to_owned())?;
    let size = descriptor.member("size").and_then(Value::as_integer);
    if size.and_then(|size| usize::try_from(size).ok()) != Some(content.len())
        || !digest.is_of(&content)
    {
        return Err(format!("its inline `data` for {digest} has another digest or size"));
    }
    Ok(Some(content))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::json::Document;

    const OCI: &str = MediaType::OciImage.as_str();

    fn described(media_type: &str, content: &[u8]) -> Json {
        json!({"mediaType": media_type, "digest": Digest::of(content).to_string(), "size": content.len()})
    }

    fn inlined(media_type: &str, content: &[u8], data: &[u8]) -> Json {
        let mut descriptor = described(media_type, content);
        descriptor["data"] = json!(STANDARD.encode(data));
        descriptor
    }

    fn image() -> Json {
        json!({"schemaVersion": 2, "config": described("application/vnd.oci.image.config.v1+json", b"{}"),
               "layers": [described("application/vnd.oci.image.layer.v1.tar", b"layer")]})
    }

    fn pointers(manifest: &Json) -> Pointers {
        Pointers::of(Document::parse(manifest.to_string().as_bytes()).unwrap().root())
    }

    fn outside(manifest: &Json) -> Vec<Digest> {
        let found = pointers(manifest);
        assert_eq!(found.flaw, None, "{manifest}");
        found.outside.iter().map(|pointed| pointed.digest).collect()
    }

    #[test]
    fn children_subject_config_and_layers_are_not_outside() {
        let mut index = json!({"manifests": [described(OCI, b"child")]});
        index["subject"] = described(OCI, b"subject");
        assert_eq!(outside(&index), []);
        assert_eq!(outside(&image()), []);
    }

    #[test]
    fn a_manifest_type_anywhere_else_is_outside_in_every_spelling() {
        for spelled in [
            OCI,
            "Application/vnd.oci.image.INDEX.v1+json",
            " application/vnd.oci.image.manifest.v1+json;a=b",
        ] {
            for place in ["/config", "/layers/0"] {
                let mut manifest = image();
                *manifest.pointer_mut(place).unwrap() = described(spelled, b"pointed");
                assert_eq!(outside(&manifest), [Digest::of(b"pointed")], "{manifest}");
            }
            let mut manifest = image();
            manifest["other"] = json!([[{"deep": described(spelled, b"pointed")}]]);
            assert_eq!(outside(&manifest), [Digest::of(b"pointed")]);
            let mut index = json!({"manifests": [described(OCI, b"child")]});
            index["manifests"][0]["deep"] = described(spelled, b"pointed");
            assert_eq!(outside(&index), [Digest::of(b"pointed")]);
        }
    }

    #[test]
    fn inline_data_must_match_its_descriptor() {
        for data in [json!("e30"), json!("!"), json!(7), json!(""), json!(STANDARD.encode(b"[]"))] {
            let mut manifest = image();
            manifest["config"]["data"] = data;
            assert!(pointers(&manifest).flaw.is_some(), "{manifest}");
        }
        for data in [json!("e30="), json!("e3\n0="), Json::Null] {
            let mut manifest = image();
            manifest["config"]["data"] = data;
            assert_eq!(outside(&manifest), []);
        }
        let mut manifest = image();
        manifest["config"]["data"] = json!("e30=");
        manifest["config"]["size"] = json!(3);
        assert!(pointers(&manifest).flaw.is_some());
    }

    #[test]
    fn inline_data_that_is_a_manifest_is_outside_whatever_its_type() {
        let hidden = image().to_string().into_bytes();
        let mut manifest = image();
        manifest["layers"][0] = inlined("text/plain", &hidden, &hidden);
        assert_eq!(outside(&manifest), [Digest::of(&hidden)]);
    }

    #[test]
    fn the_pointers_of_an_inlined_child_count_for_its_index() {
        let mut child = image();
        child["layers"][0] = described(OCI, b"pointed");
        let child = child.to_string().into_bytes();
        let index = json!({"manifests": [inlined(OCI, &child, &child)]});
        assert_eq!(outside(&index), [Digest::of(b"pointed")]);
        let index = json!({"manifests": [inlined(OCI, &child, b"another")]});
        assert!(pointers(&index).flaw.is_some());
        let both = br#"{"manifests":[{"digest":"a"}],"layers":[]}"#;
        let index = json!({"manifests": [inlined(OCI, both, both)]});
        assert!(pointers(&index).flaw.is_some());
    }

    #[test]
    fn all_inline_content_is_listed_including_that_of_children() {
        let mut child = image();
        child["config"] = inlined("application/vnd.oci.image.config.v1+json", b"{}", b"{}");
        let child = child.to_string().into_bytes();
        let index = json!({"manifests": [inlined(OCI, &child, &child)]});
        let found = pointers(&index).inlined;
        for content in [&child[..], b"{}"] {
            assert!(found.contains(&Digest::of(content)), "{found:?}");
            assert!(found.contains(&Digest::by(Algorithm::Sha512, content)), "{found:?}");
        }
        assert_eq!(found.len(), 4);
        assert!(pointers(&image()).inlined.is_empty());
    }

    #[test]
    fn the_number_of_manifests_outside_is_limited() {
        let mut manifest = image();
        let layers = |count: u8| (0..count).map(|n| described(OCI, &[n])).collect::<Vec<_>>();
        manifest["layers"] = json!(layers(8));
        assert_eq!(outside(&manifest).len(), 8);
        manifest["layers"] = json!(layers(9));
        assert!(pointers(&manifest).flaw.is_some());
    }
}
