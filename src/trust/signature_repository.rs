//! The key `signature_repository` of anchors: where signatures are stored, if not beside the image.

use crate::oci::RepositoryRef;
use crate::toml_reader::Section;

/// Reads `registry/repository`.
pub(super) fn signature_repository(section: &Section<'_>) -> Option<RepositoryRef> {
    let text = section.text("signature_repository")?;
    let names = text.parse().ok().map(RepositoryRef::in_full);
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
