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
use crate::gate::{Denial, Gate};
use crate::oci::ImageRef;

use super::Progress;
use super::judge::{self, Judged, JudgedImage, Passed, PassedBlob};

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
pub async fn store_all(
    gate: &Gate,
    bundle: &Arc<Bundle>,
    judged: Judged,
    progress: &(dyn Fn(Progress) + Sync),
) -> Imported {
    let mut imported = Imported::default();
    let all = judged.images.len();
    for JudgedImage { name, result } in judged.images {
        let (result, because) = match result {
            Ok(passed) => match store_image(gate, bundle, &name, &passed).await {
                Ok(()) => ("imported", String::new()),
                Err(NotStored::Failed(because)) => ("failed", because),
                Err(NotStored::Refused(because)) => ("refused", because),
            },
            Err(left) => (left.verdict, left.because),
        };
        let (image, result) = (name.to_string(), result.to_owned());
        imported.images.push(ImportedImage { image, result, because });
        progress(Progress::Imported { images: imported.images.len(), all });
    }
    imported
}

/// Why an image that passed is not stored.
enum NotStored {
    /// The store cannot keep it.
    Failed(String),
    /// The store does not have what the bundle assumes.
    Refused(String),
}

/// Stores one image: its blobs, then its manifests.
async fn store_image(
    gate: &Gate,
    bundle: &Arc<Bundle>,
    name: &ImageRef,
    passed: &Passed,
) -> Result<(), NotStored> {
    let failed = |denial: Denial| NotStored::Failed(denial.to_string());
    for PassedBlob { repository, digest, is_signed } in &passed.blobs {
        if bundle.blob(digest).is_some() {
            gate.store_blob(repository, digest).await.map_err(failed)?;
            continue;
        }
        if !gate.has_stored_blob(repository, digest, *is_signed).await.map_err(failed)? {
            return Err(NotStored::Refused(format!(
                "the bundle assumes that this side has {digest} for {repository}, and it does not"
            )));
        }
    }
    // The storing gate decides once more, which updates the trust memory.
    let image = judge::collect(gate, bundle, name).await;
    let image = image.map_err(|left| NotStored::Failed(left.because))?;
    // The image itself comes last.
    for (repository, manifest) in image.admitted_manifests.iter().rev() {
        gate.store_manifest(repository, manifest).await.map_err(failed)?;
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
