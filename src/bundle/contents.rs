//! `contents.json`: the list of all content of a bundle, with the exporter's reasons to include it. It admits nothing: what
//! it names is verified as if a registry had sent it. The receiving side takes from it which content each repository has,
//! which images lack content, and where revocation data is. The newest `fetched` decides which bundle wins a tag, and which
//! trust data is tried first. A frozen archive, whose SHA-256 is pinned, is judged at its `fetched`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::json::{Document, InvalidJson};
use crate::trust::notaryv1::CopiedTrust;

/// The version of the format that this program writes and reads.
pub const FORMAT: u32 = 1;
/// The longest `contents.json`, in bytes.
pub const MAX_CONTENTS: u64 = 16 << 20;

/// The whole document. Texts are as the exporter wrote them: parse and escape them before use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    pub format: u32,
    /// Sorted by digest.
    #[serde(default)]
    pub images: Vec<Image>,
    /// The Notary v1 repositories, sorted by GUN.
    #[serde(default)]
    pub notaryv1: Vec<NotaryRepository>,
    /// CRLs and OCSP responses, sorted by URL.
    #[serde(default)]
    pub revocation: Vec<Revocation>,
}

/// One image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its full names in the bundle.
    pub names: Vec<String>,
    pub digest: String,
    /// The platforms of which the bundle has the content: `os/architecture[/variant]`.
    #[serde(default)]
    pub platforms: Vec<String>,
    /// Everything that belongs to the image on these platforms: manifests, configs, layers, and what is attached.
    pub blobs: Vec<Blob>,
    /// Digests in `blobs` that the bundle does not contain, because the receiver said that it has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assumed: Vec<String>,
    pub decision: Decision,
}

/// Content and its size in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Blob {
    pub digest: String,
    pub size: u64,
}

/// Why the exporter's gate admitted an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The pattern of the rule.
    pub rule: String,
    #[serde(default)]
    pub anchors: Vec<Anchor>,
    /// When the first of the required signatures ends, in seconds since 1970; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<i64>,
}

/// An anchor that accepted an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    pub name: String,
    /// `notaryv1`, `cosign` or `notation`.
    pub scheme: String,
    #[serde(default)]
    pub signers: Vec<String>,
    #[serde(default)]
    pub key_ids: Vec<String>,
    /// When the anchor's acceptance ends, in seconds since 1970; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<i64>,
}

/// The trust data of one Notary v1 repository. Its files are the documents `notaryv1/<sha256 of gun>/<role>.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotaryRepository {
    pub gun: String,
    /// The exporter's name of the anchor, and the server's URL.
    pub anchor: String,
    pub server: String,
    /// When the exporter fetched and verified the files, in seconds since 1970.
    pub fetched: i64,
    /// The end of each role, in seconds since 1970.
    #[serde(default)]
    pub ends: BTreeMap<String, i64>,
}

impl NotaryRepository {
    /// The entry of `trust`, which is from `server` and from the anchor of this name.
    pub fn of(trust: &CopiedTrust, anchor: &str, server: &str) -> Self {
        let ends = trust.ends.iter().map(|(role, end)| (role.clone(), end.unix()));
        Self {
            gun: trust.gun.to_string(),
            anchor: anchor.to_owned(),
            server: server.to_owned(),
            fetched: trust.fetched.unix(),
            ends: ends.collect(),
        }
    }
}

/// A CRL or an OCSP response: the document `notation/revocation/<sha256>.crl` or `.ocsp`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    pub url: String,
    pub document: String,
    /// When the response expires (`nextUpdate`), in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<i64>,
}

/// Why a text is not a `contents.json` that this program reads.
#[derive(Debug, Error)]
pub enum InvalidContents {
    #[error("{}", super::shown(.0))]
    Json(#[from] InvalidJson),
    #[error("{}", super::shown(.0))]
    Form(#[from] serde_json::Error),
    #[error("it has format {0}; this program reads format {FORMAT}. Use a newer countersign")]
    Format(u32),
}

impl Contents {
    /// The text. Sorts everything first, so that equal content gives equal text.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut sorted = Self { format: FORMAT, ..self.clone() };
        for image in &mut sorted.images {
            image.names.sort();
            image.platforms.sort();
            image.blobs.sort();
            image.blobs.dedup();
            image.assumed.sort();
        }
        sorted.images.sort_by(|a, b| (&a.digest, &a.names).cmp(&(&b.digest, &b.names)));
        sorted.notaryv1.sort_by(|a, b| (&a.gun, &a.anchor).cmp(&(&b.gun, &b.anchor)));
        sorted.revocation.sort_by(|a, b| (&a.url, &a.document).cmp(&(&b.url, &b.document)));
        serde_json::to_vec_pretty(&sorted)
    }

    /// Parses the text, strictly: duplicate members are errors. Members of later versions are ignored.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidContents> {
        Document::parse(text)?;
        let contents: Self = serde_json::from_slice(text)?;
        match contents.format {
            FORMAT => Ok(contents),
            other => Err(InvalidContents::Format(other)),
        }
    }
}
