//! Bundles: images, their signatures and all trust data in one file, to carry to a site without a network.
//!
//! A bundle is a plain tar and an OCI image layout. Its reader treats it as a hostile registry and a hostile trust server
//! in a file: nothing in it is trusted, and the gate judges its content as it judges a network's.
//!
//! - [`Writer`]: writes a bundle from a [`Plan`], streaming, and publishes it at the end.
//! - [`Bundle`]: an opened bundle: one file, or volumes that are not joined. Gives blobs by digest, documents by name.
//! - [`Bundles`]: the bundles of a configuration; [`BundleSet`] rereads a folder, [`BundleRegistry`] answers from it.
//! - [`layout`]: `index.json`: the images, and what is attached to them.
//! - [`documents`]: the bundle artifact, whose layers are all documents.
//! - [`contents`]: the document that lists everything.

mod archive;
mod blob;
mod bundles;
mod catalog;
pub mod contents;
mod copies;
pub mod documents;
mod file;
pub mod layout;
mod output;
mod registry;
mod revocation;
mod set;
mod source;
mod tar;
mod trust_data;
mod writer;

pub use archive::BundleArchive;
pub use blob::Blob;
pub use bundles::Bundles;
pub use contents::Contents;
pub use documents::{Artifact, Documents};
pub use file::{Bundle, MAX_DOCUMENT, OpenError, Problem, ReadError};
pub use layout::Index;
pub use output::MIN_VOLUME;
pub use registry::BundleRegistry;
pub use set::BundleSet;
pub use source::{MAX_VOLUMES, SourceError, bundle_of};
pub use tar::MAX_ENTRIES;
pub use tar::read::TarError;
pub use trust_data::trust_data;
pub use writer::{Plan, Published, WriteError, Writer};

use std::path::Path;

/// The longest text of a bundle that a message shows, in characters.
const MAX_SHOWN: usize = 300;
/// The longest path that a message shows, in characters: the limit of the system.
const MAX_PATH: usize = 4096;

/// A text that may come from a bundle, for a message.
fn shown(text: &(impl ToString + ?Sized)) -> String {
    crate::text::shown(&text.to_string(), MAX_SHOWN)
}

/// A path for a message. The files of a folder of bundles may have any names.
fn shown_path(path: &Path) -> String {
    crate::text::shown(&path.to_string_lossy(), MAX_PATH)
}

#[cfg(test)]
mod tests;
