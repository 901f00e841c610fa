//! The types of the OCI distribution and image specifications: names, digests, media types, manifests, errors. Parses
//! text and bytes into these types. No I/O, no async, no trust.

pub mod artifact;
pub mod digest;
pub mod docker_hub;
pub mod error;
pub mod form;
pub mod headers;
pub mod manifest;
pub mod media_type;
pub mod name;
mod pointers;
pub mod recognize;

pub use artifact::{Artifact, Layer, NoArtifact, Referrer};
pub use digest::{Algorithm, Digest, Hasher, Mismatch};
pub use error::{ErrorBody, ErrorCode};
pub use form::StrictManifest;
pub use manifest::{Descriptor, Manifest};
pub use media_type::MediaType;
pub use name::{ImageRef, Reference, Registry, Repository, RepositoryRef, Tag};
