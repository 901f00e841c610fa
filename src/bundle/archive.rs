//! Notary v1 trust data in bundles: the documents `notaryv1/<sha256 of gun>/<file>.json`, byte for byte, with the exporter's
//! statement if the bundle is signed. Verifies nothing.

use std::cmp::Reverse;
use std::sync::Arc;

use bytes::Bytes;

use super::file::{Bundle, ReadError};
use super::layout::Attached;
use super::set::BundleSet;
use crate::json::Document;
use crate::oci::Digest;
use crate::oci::manifest::MAX_MANIFEST;
use crate::signing::BUNDLE_TYPE;
use crate::trust::notaryv1::{
    Archive, ArchiveError, Capture, Evidence, File, Gun, TrustFiles, document_folder,
};

/// The most files of one repository in one bundle, and their most bytes together.
const MAX_FILES: usize = 1_000;
const MAX_BYTES: u64 = 64 << 20;
/// The most statements about one bundle that are read, and the longest one in bytes.
const MAX_STATEMENTS: usize = 16;
const MAX_STATEMENT: u64 = 4 << 20;

/// The trust data in sets of bundles.
#[derive(Debug)]
pub struct BundleArchive {
    sets: Vec<Arc<BundleSet>>,
    name: String,
}

impl BundleArchive {
    /// The trust data in `sets`, which are called `name`.
    pub fn new(sets: Vec<Arc<BundleSet>>, name: String) -> Self {
        Self { sets, name }
    }
}

impl Archive for BundleArchive {
    fn captures(&self, gun: &Gun, visit: &mut dyn FnMut(Capture)) -> Result<(), ArchiveError> {
        let current: Vec<_> = self.sets.iter().map(|set| set.current()).collect();
        let mut unreadable = current.iter().find_map(|current| current.unreadable.clone());
        let bundles = current.iter().flat_map(|current| &current.bundles);
        let mut bundles: Vec<&Bundle> = bundles.map(|catalog| catalog.bundle()).collect();
        bundles.sort_by_cached_key(|bundle| Reverse(fetched(bundle, gun)));
        for bundle in bundles {
            match capture(bundle, gun) {
                Ok(Some(capture)) => visit(capture),
                Ok(None) => {}
                Err(error) => {
                    let path = super::shown_path(bundle.path());
                    if matches!(error, ReadError::Io(_)) {
                        unreadable.get_or_insert(format!("{path}: {error}"));
                    }
                    // One bad bundle must not hide the others.
                    tracing::warn!(%path, %gun, %error, "trust data in a bundle cannot be used");
                }
            }
        }
        unreadable.map_or(Ok(()), |why| Err(ArchiveError(why)))
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// When the exporter says that it fetched the data of `gun`.
fn fetched(bundle: &Bundle, gun: &Gun) -> Option<i64> {
    let gun = gun.to_string();
    let all = bundle.contents().notaryv1.iter();
    all.filter(|repository| repository.gun == gun).map(|repository| repository.fetched).max()
}

fn capture(bundle: &Bundle, gun: &Gun) -> Result<Option<Capture>, ReadError> {
    let Some(files) = files(bundle, gun)? else { return Ok(None) };
    Ok(Some(Capture { files, evidence: evidence(bundle)? }))
}

/// The files of `gun` in `bundle`, by their names on the server. `None` if there are none.
pub(super) fn files(bundle: &Bundle, gun: &Gun) -> Result<Option<TrustFiles>, ReadError> {
    let folder = document_folder(gun);
    let listed = bundle.documents_in(&folder).filter_map(|(title, size)| {
        let name = title.strip_prefix(&folder)?.strip_suffix(".json")?;
        // One that is too long for its role is refused where it is used: it is not absent.
        File::parse(name).map(|_| (title, name, size))
    });
    let listed: Vec<(&str, &str, u64)> = listed.collect();
    if listed.is_empty() {
        return Ok(None);
    }
    let size = listed.iter().map(|(.., size)| *size).fold(0, u64::saturating_add);
    if listed.len() > MAX_FILES || size > MAX_BYTES {
        let what = format!("the trust data of {gun} ({} files)", listed.len());
        return Err(ReadError::TooLong { what, size, most: MAX_BYTES });
    }
    let mut files = Vec::new();
    for (title, name, _) in listed {
        if let Some(content) = bundle.document(title)? {
            files.push((name.to_owned(), content));
        }
    }
    Ok(Some(TrustFiles::new(files)))
}

/// The statements about the bundle; `None` if there are none.
fn evidence(bundle: &Bundle) -> Result<Option<Evidence>, ReadError> {
    let about = |attached: &&Attached| {
        attached.subject == *bundle.artifact()
            && attached.artifact_type.as_deref() == Some(BUNDLE_TYPE)
    };
    let mut signatures = Vec::new();
    for attached in bundle.index().attached.iter().filter(about).take(MAX_STATEMENTS) {
        signatures.extend(statement(bundle, attached)?);
    }
    if signatures.is_empty() {
        return Ok(None);
    }
    let artifact = bundle.artifact_manifest()?;
    Ok(artifact.map(|artifact| Evidence { artifact, signatures }))
}

/// The content of the first layer of a statement; `None` if it is not a valid one.
fn statement(bundle: &Bundle, attached: &Attached) -> Result<Option<Bytes>, ReadError> {
    let manifest = bundle.whole_blob(&attached.manifest.digest, MAX_MANIFEST as u64)?;
    let document = manifest.and_then(|manifest| Document::parse(&manifest).ok());
    let layers = document.as_ref().and_then(|it| it.root().member("layers")?.as_array());
    let digest = layers.and_then(|layers| layers.iter().next()?.member("digest")?.as_str());
    match digest.and_then(|digest| digest.parse::<Digest>().ok()) {
        Some(digest) => bundle.whole_blob(&digest, MAX_STATEMENT),
        None => Ok(None),
    }
}
