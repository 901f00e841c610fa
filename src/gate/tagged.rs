//! The content of a cosign artifact under a tag. Docker unpacks any layer, whatever its media type, if the config is an
//! image's. So the artifact must be of a listed kind ([`kinds`]), its layers must be text that no engine can unpack,
//! and its config must run nothing. Pure.

use bytes::Bytes;

use super::artifact_config::runs_nothing;
use super::kinds::{self, Suffix};
use crate::oci::form::Part;
use crate::oci::{Descriptor, Digest, Manifest};
use crate::parsing;

/// The most bytes of all layers of such an artifact: signatures, attestations and SBOMs. One decision holds 32 MiB
/// ([`MAX_BYTES`](crate::trust::discovery::MAX_BYTES)), and the signatures of the subject need some of them.
pub(super) const MAX_LAYER_BYTES: usize = 24 << 20;

/// The config and the layers of a cosign artifact under a tag.
#[derive(Debug)]
pub(super) struct Tagged {
    /// The config; `None` if it is `{}`.
    pub(super) config: Option<Bytes>,
    pub(super) layers: Vec<TextLayer>,
}

/// The proof that the content of a layer is text.
#[derive(Debug)]
pub(super) struct TextLayer {
    digest: Digest,
    size: u64,
}

impl TextLayer {
    /// Checks `content`, which has that digest; `None` if it is not text. Checks large content outside the threads that
    /// serve clients.
    pub(super) async fn check(digest: Digest, content: Bytes) -> Option<Self> {
        // It allocates nothing.
        parsing::run(content.len(), 0, move || {
            let is_layer = digest.is_of(&content) && is_text(&content);
            is_layer.then(|| Self { digest, size: content.len() as u64 })
        })
        .await
    }
}

/// Checks that a manifest with that content is a cosign artifact of `subject` under a tag with `suffix`. The error says
/// in one clause why it is not.
pub(super) fn check(
    manifest: &Manifest,
    subject: &Descriptor,
    suffix: Suffix,
    content: &Tagged,
) -> Result<(), String> {
    let form = kinds::form(manifest)?;
    kinds::check_tagged(manifest.media_type(), form, subject, suffix)?;
    let Tagged { config, layers } = content;
    let same =
        |(layer, text): (&Part, &TextLayer)| layer.size == text.size && layer.digest == text.digest;
    if form.layers.len() != layers.len() || !form.layers.iter().zip(layers).all(same) {
        return Err("its layers do not match their digests and sizes".to_owned());
    }
    match runs_nothing(form, config.as_ref()) {
        true => Ok(()),
        false => Err("its config is not one that cosign writes".to_owned()),
    }
}

/// Whether `bytes` are text without zero bytes, and not an archive that engines unpack. Of the compressed formats, only
/// bzip2 can be text; an uncompressed archive can be text if every field of its headers is full.
fn is_text(bytes: &[u8]) -> bool {
    let text = !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok();
    text && !bytes.starts_with(b"BZh") && !begins_as_tar(bytes)
}

/// Whether `bytes` begin with a `tar` header of any format. All formats have the same checksum, for which the checksum
/// field counts as spaces.
fn begins_as_tar(bytes: &[u8]) -> bool {
    let Some((header, _)) = bytes.split_at_checked(512) else { return false };
    let (before, rest) = header.split_at(148);
    let (checksum, after) = rest.split_at(8);
    let digits = checksum.trim_ascii_start().iter().take_while(|byte| (b'0'..=b'7').contains(byte));
    let said = digits.fold(0, |sum, digit| sum * 8 + i64::from(digit - b'0'));
    let counted = before.iter().chain(after);
    let unsigned: i64 = counted.clone().map(|byte| i64::from(*byte)).sum();
    let signed: i64 = counted.map(|byte| i64::from(byte.cast_signed())).sum();
    let spaces = 8 * i64::from(b' ');
    [unsigned + spaces, signed + spaces].contains(&said)
}
