//! `countersign bundle import`: judges a bundle as `verify` does, then stores the content of the images that pass, and
//! updates the trust memory in the usual way: versions never go back.
//!
//! The blobs of an image are stored before its manifests. An import that is interrupted has imported each image
//! completely or not at all; the next one skips what is stored.

pub mod accept;
pub mod request;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bundle::Bundle;
use crate::gate::Gate;
use crate::oci::ImageRef;

use super::judge::{self, Judged, JudgedImage, Passed};

/// The result of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    pub images: Vec<ImportedImage>,
}

/// The result for one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedImage {
    pub image: String,
    /// `imported`, `absent`, `refused`, `missing`, `undecided`, or `failed` (it could not be stored).
    pub result: String,
    /// One sentence; empty if it was imported.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub because: String,
}

/// Stores the images that passed. `gate` must store content and get everything from the bundle.
pub async fn store_all(gate: &Gate, bundle: &Arc<Bundle>, judged: Judged) -> Imported {
    let mut imported = Imported::default();
    for JudgedImage { name, result, .. } in judged.images {
        let (result, because) = match result {
            Ok(passed) => match store_image(gate, bundle, &name, &passed).await {
                Ok(()) => ("imported", String::new()),
                Err(because) => ("failed", because),
            },
            Err(left) => (left.verdict, left.because),
        };
        let (image, result) = (name.to_string(), result.to_owned());
        imported.images.push(ImportedImage { image, result, because });
    }
    imported
}

/// Stores one image: its blobs, then its manifests.
async fn store_image(
    gate: &Gate,
    bundle: &Arc<Bundle>,
    name: &ImageRef,
    passed: &Passed,
) -> Result<(), String> {
    for (repository, digest) in &passed.blobs {
        let stored = gate.store_blob(repository, digest).await;
        stored.map_err(|denial| denial.to_string())?;
    }
    // The storing gate decides once more, which updates the trust memory.
    let image = judge::collect(gate, bundle, name).await.map_err(|left| left.because)?;
    // The image itself comes last.
    for (repository, manifest) in image.admitted_manifests.iter().rev() {
        let stored = gate.store_manifest(repository, manifest).await;
        stored.map_err(|denial| denial.to_string())?;
    }
    Ok(())
}

impl Imported {
    /// 0 everything was imported; 1 an image could not be stored; 3 an image was refused; 4 one is undecided.
    pub fn exit_status(&self) -> u8 {
        let has = |words: &[&str]| self.images.iter().any(|it| words.contains(&it.result.as_str()));
        if has(&["failed"]) {
            1
        } else if has(&["absent", "refused", "missing"]) {
            3
        } else if has(&["undecided"]) {
            4
        } else {
            0
        }
    }
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ImportedImage { image, result, because } in &self.images {
            match because.as_str() {
                "" => writeln!(f, "{result}  {image}")?,
                because => writeln!(f, "NOT IMPORTED  {image} ({result}): {because}")?,
            }
        }
        let imported = self.images.iter().filter(|image| image.result == "imported").count();
        writeln!(f, "imported {imported} of {} images", self.images.len())
    }
}
