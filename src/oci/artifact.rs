//! Artifacts as signature verification needs them: the type, layers, annotations and subject of a manifest, and the
//! entries of a list of referrers. Parses documents that [`Manifest`](super::Manifest) has accepted, and ignores
//! unknown members. [`StrictManifest`](super::StrictManifest) decides what may be served. Knows no artifact type.

use std::collections::BTreeMap;

use thiserror::Error;

use super::digest::Digest;
use super::manifest::MAX_VALUES;
use crate::json::{Document, InvalidJson, Value};

/// An image manifest that is an artifact, as it describes itself (image-spec, manifest.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Its `artifactType`; `None` if absent or empty.
    pub artifact_type: Option<String>,
    pub config_type: String,
    pub layers: Vec<Layer>,
    pub subject: Option<Layer>,
    pub annotations: BTreeMap<String, String>,
}

/// A descriptor with its members except `data`: verifiers fetch the content and check its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    pub annotations: BTreeMap<String, String>,
}

/// One entry of a list of referrers. It is only a hint, because nothing checks it against the referrer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    pub digest: Digest,
    pub artifact_type: Option<String>,
    pub annotations: BTreeMap<String, String>,
}

/// Why a manifest is not an artifact, or a document not a list of referrers.
#[derive(Debug, Error)]
pub enum NoArtifact {
    #[error(transparent)]
    Json(#[from] InvalidJson),
    #[error("it has no {0}")]
    Missing(&'static str),
    #[error("its {0} has an invalid value")]
    Member(&'static str),
}

impl NoArtifact {
    /// Whether it is larger than this program reads; another program may accept it.
    pub fn exceeds_limit(&self) -> bool {
        match self {
            Self::Json(error) => error.exceeds_limit(),
            Self::Missing(_) | Self::Member(_) => false,
        }
    }
}

impl Artifact {
    /// Reads an image manifest.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoArtifact> {
        let document = Document::parse_within(bytes, MAX_VALUES)?;
        let manifest = document.root();
        let config = manifest.member("config").ok_or(NoArtifact::Missing("config"))?;
        let layers = match manifest.present("layers") {
            Some(layers) => layers.as_array().ok_or(NoArtifact::Member("layers"))?.iter().collect(),
            None => Vec::new(),
        };
        Ok(Self {
            artifact_type: artifact_type(manifest)?,
            config_type: layer(config)?.media_type,
            layers: layers.into_iter().map(layer).collect::<Result<_, _>>()?,
            subject: manifest.present("subject").map(layer).transpose()?,
            annotations: annotations(manifest)?,
        })
    }

    /// Its type: the `artifactType`, otherwise the media type of its config.
    pub fn own_type(&self) -> &str {
        self.artifact_type.as_deref().unwrap_or(&self.config_type)
    }
}

impl Referrer {
    /// Reads the entries of an index.
    pub fn parse_list(index: &[u8]) -> Result<Vec<Self>, NoArtifact> {
        let document = Document::parse_within(index, MAX_VALUES)?;
        let Some(entries) = document.root().present("manifests") else { return Ok(Vec::new()) };
        let entries = entries.as_array().ok_or(NoArtifact::Member("list of manifests"))?;
        entries.iter().map(Self::read).collect()
    }

    fn read(entry: Value<'_>) -> Result<Self, NoArtifact> {
        Ok(Self {
            digest: digest(entry)?,
            artifact_type: artifact_type(entry)?,
            annotations: annotations(entry)?,
        })
    }
}

fn artifact_type(of: Value<'_>) -> Result<Option<String>, NoArtifact> {
    let Some(member) = of.present("artifactType") else { return Ok(None) };
    let text = member.as_str().ok_or(NoArtifact::Member("artifactType"))?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn layer(descriptor: Value<'_>) -> Result<Layer, NoArtifact> {
    let media_type = match descriptor.present("mediaType") {
        Some(media_type) => media_type.as_str().ok_or(NoArtifact::Member("mediaType"))?,
        None => "",
    };
    let size = descriptor.member("size").and_then(Value::as_integer);
    let size = size.and_then(|size| u64::try_from(size).ok());
    Ok(Layer {
        media_type: media_type.to_owned(),
        digest: digest(descriptor)?,
        size: size.ok_or(NoArtifact::Member("size"))?,
        annotations: annotations(descriptor)?,
    })
}

fn digest(descriptor: Value<'_>) -> Result<Digest, NoArtifact> {
    let digest = descriptor.member("digest").and_then(Value::as_str);
    digest.and_then(|text| text.parse().ok()).ok_or(NoArtifact::Member("digest"))
}

fn annotations(of: Value<'_>) -> Result<BTreeMap<String, String>, NoArtifact> {
    let Some(annotations) = of.present("annotations") else { return Ok(BTreeMap::new()) };
    let annotations = annotations.as_object().ok_or(NoArtifact::Member("annotations"))?;
    let text =
        |(name, value): (&str, Value<'_>)| Some((name.to_owned(), value.as_str()?.to_owned()));
    let texts: Option<BTreeMap<_, _>> = annotations.iter().map(text).collect();
    texts.ok_or(NoArtifact::Member("annotations"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn descriptor(media_type: &str) -> Json {
        json!({"mediaType": media_type, "digest": Digest::of(b"").to_string(), "size": 3,
               "data": "AAAA", "annotations": {"a": "b"}})
    }

    fn artifact() -> Json {
        json!({"schemaVersion": 2, "artifactType": "a/type", "config": descriptor("a/config"),
               "layers": [descriptor("a/layer")], "subject": descriptor("a/subject")})
    }

    fn parse(json: &Json) -> Result<Artifact, NoArtifact> {
        Artifact::parse(json.to_string().as_bytes())
    }

    #[test]
    fn an_artifact_is_parsed_with_all_its_members() {
        let read = parse(&artifact()).unwrap();
        assert_eq!((read.own_type(), &*read.config_type), ("a/type", "a/config"));
        assert_eq!(read.layers[0].annotations["a"], "b");
        assert_eq!((read.layers[0].size, read.layers[0].digest), (3, Digest::of(b"")));
        assert_eq!(read.subject.unwrap().media_type, "a/subject");
    }

    #[test]
    fn an_artifact_without_a_type_has_the_type_of_its_config() {
        for none in [Json::Null, json!("")] {
            let mut artifact = artifact();
            artifact["artifactType"] = none;
            artifact["subject"] = Json::Null;
            let read = parse(&artifact).unwrap();
            assert_eq!((read.own_type(), &read.subject), ("a/config", &None));
        }
    }

    #[test]
    fn a_manifest_that_is_not_an_artifact_is_refused() {
        for (member, value) in [
            ("artifactType", json!(7)),
            ("config", Json::Null),
            ("layers", json!({})),
            ("layers", json!([{}])),
            ("layers", json!([{"mediaType": "a/b", "digest": "sha256:0", "size": 1}])),
            ("subject", json!("sha256:0")),
            ("annotations", json!({"a": 1})),
        ] {
            let mut artifact = artifact();
            artifact[member] = value;
            assert!(parse(&artifact).is_err(), "{artifact}");
        }
        for size in [json!(-1), json!(1.5), json!("3"), json!(u64::MAX)] {
            let mut artifact = artifact();
            artifact["layers"][0]["size"] = size;
            assert!(parse(&artifact).is_err(), "{artifact}");
        }
    }

    #[test]
    fn a_list_of_referrers_is_parsed() {
        let mut entry = descriptor("a/manifest");
        entry["artifactType"] = json!("a/type");
        let list = json!({"manifests": [entry, descriptor("a/manifest")]}).to_string();
        let read = Referrer::parse_list(list.as_bytes()).unwrap();
        assert_eq!(read[0].artifact_type.as_deref(), Some("a/type"));
        assert_eq!(read[1].artifact_type, None);
        for list in [&b"{}"[..], br#"{"manifests":null}"#] {
            assert!(Referrer::parse_list(list).unwrap().is_empty());
        }
        assert!(Referrer::parse_list(br#"{"manifests":7}"#).is_err());
    }
}
