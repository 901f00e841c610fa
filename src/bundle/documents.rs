//! The bundle artifact: an OCI manifest whose layers are the documents of a bundle, each with its name as
//! `org.opencontainers.image.title`. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use thiserror::Error;

use super::layout::{ARTIFACT_TYPE, Pointer};
use crate::json::{Document, InvalidJson, Value};
use crate::oci::{Digest, MediaType};
use crate::trust::notaryv1::{CopiedTrust, document_folder};

/// The document that lists the content of the bundle.
pub const CONTENTS: &str = "contents.json";
/// The longest manifest of the bundle artifact, in bytes.
pub const MAX_ARTIFACT: u64 = 16 << 20;
/// The longest name of a document, in bytes.
const MAX_TITLE: usize = 255;

const TITLE: &str = "org.opencontainers.image.title";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const EMPTY_CONTENT: &[u8] = b"{}";

/// The documents of a bundle that is being written, by name.
#[derive(Clone, Debug, Default)]
pub struct Documents(BTreeMap<String, Bytes>);

/// The bundle artifact of [`Documents`].
#[derive(Clone, Debug)]
pub struct Artifact {
    pub pointer: Pointer,
    /// The bytes of the manifest, of its config, and of all documents, by digest.
    pub blobs: BTreeMap<Digest, Bytes>,
}

/// The name cannot be the name of a document.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0:?} cannot be the name of a document")]
pub struct InvalidTitle(String);

/// Why the bundle artifact is invalid.
#[derive(Debug, Error)]
pub enum InvalidArtifact {
    #[error("{}", super::shown(.0))]
    Json(#[from] InvalidJson),
    #[error("it is not an artifact of the type {ARTIFACT_TYPE}")]
    Type,
    #[error("layers[{0}] has no valid digest, size and title")]
    Layer(usize),
    #[error("it has two documents with the name {0:?}")]
    Duplicate(String),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u8,
    media_type: &'static str,
    artifact_type: &'static str,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: &'static str,
    digest: String,
    size: usize,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
}

impl Documents {
    /// Adds or replaces a document.
    ///
    /// # Errors
    ///
    /// `title` is not a relative path of the characters `A-Z a-z 0-9 . _ -`.
    pub fn add(&mut self, title: &str, content: impl Into<Bytes>) -> Result<(), InvalidTitle> {
        if !is_title(title) {
            return Err(InvalidTitle(crate::text::shown(title, MAX_TITLE)));
        }
        self.0.insert(title.to_owned(), content.into());
        Ok(())
    }

    /// Adds the files of `trust`.
    pub fn add_trust(&mut self, trust: &CopiedTrust) -> Result<(), InvalidTitle> {
        let folder = document_folder(&trust.gun);
        let mut files = trust.files.iter();
        files.try_for_each(|(name, content)| self.add(&format!("{folder}{name}"), content.clone()))
    }

    /// The artifact with these documents as layers, sorted by name.
    pub fn artifact(&self) -> Result<Artifact, serde_json::Error> {
        let empty = Bytes::from_static(EMPTY_CONTENT);
        let mut blobs = BTreeMap::from([(Digest::of(&empty), empty.clone())]);
        let mut layers = Vec::new();
        for (title, content) in &self.0 {
            blobs.insert(Digest::of(content), content.clone());
            let annotations = BTreeMap::from([(TITLE, title.clone())]);
            layers.push(descriptor(media_type(title), content, annotations));
        }
        let manifest = serde_json::to_vec(&Manifest {
            schema_version: 2,
            media_type: MediaType::OciImage.as_str(),
            artifact_type: ARTIFACT_TYPE,
            config: descriptor(EMPTY, &empty, BTreeMap::new()),
            layers,
        })?;
        let manifest = Bytes::from(manifest);
        let digest = Digest::of(&manifest);
        let size = manifest.len() as u64;
        blobs.insert(digest, manifest);
        let pointer = Pointer { digest, size, media_type: MediaType::OciImage };
        Ok(Artifact { pointer, blobs })
    }
}

fn descriptor(
    media_type: &'static str,
    content: &[u8],
    annotations: BTreeMap<&'static str, String>,
) -> Descriptor {
    let digest = Digest::of(content).to_string();
    Descriptor { media_type, digest, size: content.len(), annotations }
}

fn media_type(title: &str) -> &'static str {
    match title.rsplit_once('.').map(|(_, ending)| ending) {
        Some("json") => "application/json",
        Some("jsonl") => "application/jsonl",
        Some("toml") => "application/toml",
        Some("pem" | "crt") => "application/x-pem-file",
        Some("crl") => "application/pkix-crl",
        Some("ocsp") => "application/ocsp-response",
        Some(_) | None => "application/octet-stream",
    }
}

/// The digest and the size of each document in the manifest of a bundle artifact, by name.
pub fn parse(manifest: &[u8]) -> Result<BTreeMap<String, (Digest, u64)>, InvalidArtifact> {
    let document = Document::parse(manifest)?;
    let root = document.root();
    let layers = root.member("layers").and_then(Value::as_array);
    let is_artifact = root.member("artifactType").and_then(Value::as_str) == Some(ARTIFACT_TYPE);
    let layers = layers.filter(|_| is_artifact).ok_or(InvalidArtifact::Type)?;
    let mut found = BTreeMap::new();
    for (at, layer) in layers.iter().enumerate() {
        let (title, place) = layer_of(layer).ok_or(InvalidArtifact::Layer(at))?;
        if found.insert(title.to_owned(), place).is_some() {
            return Err(InvalidArtifact::Duplicate(title.to_owned()));
        }
    }
    Ok(found)
}

fn layer_of(layer: Value<'_>) -> Option<(&str, (Digest, u64))> {
    let title = layer.member("annotations")?.member(TITLE)?.as_str()?;
    let digest = layer.member("digest")?.as_str()?.parse().ok()?;
    let size = u64::try_from(layer.member("size")?.as_integer()?).ok()?;
    is_title(title).then_some((title, (digest, size)))
}

/// Whether a text is a relative path that no file system and no shell reads as anything else.
fn is_title(text: &str) -> bool {
    let is_safe = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    let is_segment = |segment: &str| {
        segment.bytes().all(is_safe) && !segment.starts_with(['.', '-']) && !segment.is_empty()
    };
    text.len() <= MAX_TITLE && text.split('/').all(is_segment)
}
