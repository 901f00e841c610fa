//! The key `signature_repository` of anchors: where signatures are stored, if not beside the image.

use crate::oci::{Registry, Repository};
use crate::toml_reader::Section;

/// Reads `registry/repository`.
pub(super) fn signature_repository(section: &Section<'_>) -> Option<(Registry, Repository)> {
    let text = section.text("signature_repository")?;
    let names = text.split_once('/').and_then(|(registry, repository)| {
        let registry: Registry = registry.parse().ok()?;
        let repository = registry.repository(repository.parse().ok()?);
        Some((registry, repository))
    });
    if names.is_none() {
        section.wrong(
            "signature_repository",
            format!(
                "{text:?} is not a `registry/repository`, such as \"registry.example.com/signatures\""
            ),
        );
    }
    names
}
