//! Reads a manifest that may hold signatures. Distinguishes a manifest of another shape from one that exceeds a limit.

use super::Limit;
use crate::oci::{Artifact, Manifest, NoArtifact};
use crate::parsing;
use crate::pull_through::Fetched;

/// Why a manifest or a list has no usable signatures.
#[derive(Debug)]
pub(super) enum Unfit {
    /// It is not a signature manifest.
    Shape(String),
    /// It exceeds this limit, so its content is unknown.
    Limit(Limit),
}

impl From<String> for Unfit {
    fn from(why: String) -> Self {
        Self::Shape(why)
    }
}

impl From<NoArtifact> for Unfit {
    fn from(why: NoArtifact) -> Self {
        match why.exceeds_limit() {
            true => Self::Limit(Limit::Entries),
            false => Self::Shape(why.to_string()),
        }
    }
}

/// Reads the manifest of a tag or of a referrer.
pub(super) async fn read(fetched: &Fetched) -> Result<Artifact, Unfit> {
    if fetched.manifest().media_type().is_index() {
        return Err(Unfit::Shape("it is an index".to_owned()));
    }
    let (text, length) = (fetched.bytes().clone(), fetched.bytes().len());
    let parse = move || Artifact::parse(&text).map_err(Unfit::from);
    parsing::run(length, Manifest::most_memory(length), parse).await
}
