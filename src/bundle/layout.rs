//! `index.json` of a bundle: an OCI image index whose first descriptor is the bundle artifact, followed by the images
//! and by what is attached to them. Pure.
//!
//! Other tools read the images by `org.opencontainers.image.ref.name` (skopeo, oras, podman) and by
//! `io.containerd.image.name` (containerd). Attached manifests have neither, so that no tool imports a signature as an
//! image; containerd recognizes them by `io.containerd.manifest.subject`.

use std::collections::BTreeMap;

use serde::Serialize;
use thiserror::Error;

use crate::json::{Document, InvalidJson, Value};
use crate::oci::{Digest, ImageRef, MediaType, RepositoryRef, Tag};

/// The content of the entry `oci-layout`.
pub const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// The artifact type of the bundle artifact.
pub use crate::trust::notaryv1::BUNDLE_ARTIFACT as ARTIFACT_TYPE;
/// The longest `index.json`, in bytes.
pub const MAX_INDEX: u64 = 16 << 20;

const REF_NAME: &str = "org.opencontainers.image.ref.name";
const IMAGE_NAME: &str = "io.containerd.image.name";
const SUBJECT: &str = "io.containerd.manifest.subject";
const REPOSITORY: &str = "vnd.countersign.repository";
const TAG: &str = "vnd.countersign.tag";

/// The content of `index.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The bundle artifact.
    pub artifact: Pointer,
    /// The images. An image with several names occurs once for each name.
    pub images: Vec<Image>,
    /// Signatures, attestations and SBOMs of the images, and the exporter's statement about the bundle artifact.
    pub attached: Vec<Attached>,
}

/// The digest and the size of a manifest, and its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pointer {
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    pub media_type: MediaType,
}

/// An image and one of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The name under which the gate serves it. A digest in it is that of `manifest`.
    pub name: ImageRef,
    pub manifest: Pointer,
}

/// A manifest that belongs to another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    pub manifest: Pointer,
    /// The manifest to which it belongs.
    pub subject: Digest,
    pub artifact_type: Option<String>,
    /// Where it comes from; `None` for a statement about the bundle artifact.
    pub repository: Option<RepositoryRef>,
    /// The tag that it had there (`sha256-….sig`).
    pub tag: Option<Tag>,
}

/// Why a text is not the `index.json` of a bundle.
#[derive(Debug, Error)]
pub enum InvalidIndex {
    #[error("{}", super::shown(.0))]
    Json(#[from] InvalidJson),
    #[error("it is not an OCI image index (schemaVersion 2)")]
    NotAnIndex,
    #[error("its first descriptor is not a bundle artifact ({ARTIFACT_TYPE})")]
    NoArtifact,
    #[error("manifests[{at}]: {member} is missing or invalid")]
    Member { at: usize, member: &'static str },
    #[error("manifests[{at}] has both an image name and a subject")]
    ImageAndAttached { at: usize },
    #[error("manifests[{at}]: the name and `{REPOSITORY}` or the digest disagree")]
    NamesDisagree { at: usize },
    #[error("two images have the name {}", super::shown(.0))]
    DuplicateName(ImageRef),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Descriptor>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: &'static str,
    digest: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
}

impl Index {
    /// The text of `index.json`. Equal content in any order gives equal text.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let artifact = descriptor(self.artifact, Some(ARTIFACT_TYPE.to_owned()), BTreeMap::new());
        let mut images: Vec<&Image> = self.images.iter().collect();
        images.sort_by_cached_key(|image| image.name.to_string());
        let mut attached: Vec<&Attached> = self.attached.iter().collect();
        attached.sort_by_cached_key(|it| (it.manifest, it.tag.clone(), it.repository.clone()));
        attached.dedup();
        let manifests = [artifact]
            .into_iter()
            .chain(images.into_iter().map(Image::descriptor))
            .chain(attached.into_iter().map(Attached::descriptor))
            .collect();
        let media_type = MediaType::OciIndex.as_str();
        serde_json::to_vec(&Written { schema_version: 2, media_type, manifests })
    }

    /// Parses the text of `index.json`.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidIndex> {
        let document = Document::parse(text)?;
        let root = document.root();
        let version = root.member("schemaVersion").and_then(Value::as_integer);
        let manifests = root.member("manifests").and_then(Value::as_array);
        let (Some(2), Some(manifests)) = (version, manifests) else {
            return Err(InvalidIndex::NotAnIndex);
        };
        let mut items = manifests.iter().enumerate();
        let (_, first) = items.next().ok_or(InvalidIndex::NoArtifact)?;
        if first.member("artifactType").and_then(Value::as_str) != Some(ARTIFACT_TYPE) {
            return Err(InvalidIndex::NoArtifact);
        }
        let artifact = pointer(0, first)?;
        let mut index = Self { artifact, images: Vec::new(), attached: Vec::new() };
        for (at, item) in items {
            index.add(at, item)?;
        }
        let mut names: Vec<&ImageRef> = index.images.iter().map(|image| &image.name).collect();
        names.sort_by_cached_key(|name| name.to_string());
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(InvalidIndex::DuplicateName(pair[0].clone()));
        }
        Ok(index)
    }

    fn add(&mut self, at: usize, item: Value<'_>) -> Result<(), InvalidIndex> {
        let manifest = pointer(at, item)?;
        let member = |member| InvalidIndex::Member { at, member };
        let text = |name: &'static str| match annotation(item, name) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or(member(name)),
        };
        let repository = match text(REPOSITORY)? {
            None => None,
            Some(text) => Some(text.parse::<RepositoryRef>().map_err(|_| member(REPOSITORY))?),
        };
        let (name, subject) = (text(REF_NAME)?.or(text(IMAGE_NAME)?), text(SUBJECT)?);
        match (name, subject) {
            (Some(_), Some(_)) => Err(InvalidIndex::ImageAndAttached { at }),
            (None, None) => Err(member(REF_NAME)),
            (Some(_), None) => {
                let [name, other] = [REF_NAME, IMAGE_NAME].map(text);
                let (name, other) = (name?.ok_or(member(REF_NAME))?, other?);
                let parsed: ImageRef = name.parse().map_err(|_| member(REF_NAME))?;
                let is_own = repository.as_ref() == Some(&parsed.repository);
                let digest_agrees = parsed.digest().is_none_or(|it| *it == manifest.digest);
                // Two tools must not see two names.
                if parsed.to_string() != name || other != Some(name) || !is_own || !digest_agrees {
                    return Err(InvalidIndex::NamesDisagree { at });
                }
                self.images.push(Image { name: parsed, manifest });
                Ok(())
            }
            (None, Some(subject)) => {
                let subject = subject.parse().map_err(|_| member(SUBJECT))?;
                let tag = text(TAG)?.map(str::parse).transpose().map_err(|_| member(TAG))?;
                let artifact_type = match item.present("artifactType") {
                    None => None,
                    Some(value) => Some(value.as_str().ok_or(member("artifactType"))?.to_owned()),
                };
                // Only the statement about the bundle itself belongs to no repository.
                if repository.is_none() && subject != self.artifact.digest {
                    return Err(member(REPOSITORY));
                }
                self.attached.push(Attached { manifest, subject, artifact_type, repository, tag });
                Ok(())
            }
        }
    }
}

impl Image {
    fn descriptor(&self) -> Descriptor {
        let name = self.name.to_string();
        let repository = self.name.repository.to_string();
        let annotations = [(REF_NAME, name.clone()), (IMAGE_NAME, name), (REPOSITORY, repository)];
        descriptor(self.manifest, None, annotations.into())
    }
}

impl Attached {
    fn descriptor(&self) -> Descriptor {
        let mut annotations = BTreeMap::from([(SUBJECT, self.subject.to_string())]);
        let repository = self.repository.as_ref();
        annotations.extend(repository.map(|repository| (REPOSITORY, repository.to_string())));
        annotations.extend(self.tag.as_ref().map(|tag| (TAG, tag.to_string())));
        descriptor(self.manifest, self.artifact_type.clone(), annotations)
    }
}

fn descriptor(
    manifest: Pointer,
    artifact_type: Option<String>,
    annotations: BTreeMap<&'static str, String>,
) -> Descriptor {
    Descriptor {
        media_type: manifest.media_type.as_str(),
        digest: manifest.digest.to_string(),
        size: manifest.size,
        artifact_type,
        annotations,
    }
}

fn annotation<'a>(item: Value<'a>, name: &str) -> Option<Value<'a>> {
    item.present("annotations")?.present(name)
}

/// The manifest to which a descriptor points.
pub(super) fn pointer(at: usize, item: Value<'_>) -> Result<Pointer, InvalidIndex> {
    let text = |member: &'static str| {
        let value = item.member(member).and_then(Value::as_str);
        value.ok_or(InvalidIndex::Member { at, member })
    };
    let invalid = |member| InvalidIndex::Member { at, member };
    let media_type = text("mediaType")?;
    let media_type = MediaType::parse(media_type).filter(|it| it.as_str() == media_type);
    let size = item.member("size").and_then(Value::as_integer);
    Ok(Pointer {
        digest: text("digest")?.parse().map_err(|_| invalid("digest"))?,
        size: size.and_then(|size| u64::try_from(size).ok()).ok_or(invalid("size"))?,
        media_type: media_type.ok_or(invalid("mediaType"))?,
    })
}
