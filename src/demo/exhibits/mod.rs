//! What the demo shows: images that are signed in every way, or attacked, and what the gate must say of each.

mod cosign;
mod notary;
mod notation;
mod rules;

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::oci::name::InvalidName;
use crate::oci::{Digest, Repository};
use crate::trust::Reason;
use crate::trust::notaryv1::KeyId;

use super::image::{self, Pushed};
use super::key::{Key, SigningError};
use super::notary::MemoryNotary;
use super::notation::Signer;
use super::publisher::Publisher;
use super::registry::MemoryRegistry;
use super::sigstore::Sigstore;

/// The registry's name in the names of its images.
pub(super) const REGISTRY: &str = "demo.example";

/// What a group of exhibits is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    NotaryV1,
    CosignKey,
    CosignKeyless,
    Notation,
    Rules,
}

impl Topic {
    /// Those about a signing scheme.
    pub(super) const SCHEMES: [Self; 4] =
        [Self::NotaryV1, Self::CosignKey, Self::CosignKeyless, Self::Notation];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::NotaryV1 => "Docker Content Trust (Notary v1)",
            Self::CosignKey => "cosign with a key",
            Self::CosignKeyless => "cosign keyless (a certificate for a person, and a log)",
            Self::Notation => "notation (a private certificate authority)",
            Self::Rules => "Rules",
        }
    }
}

/// One image, by tag or digest, and what the gate must say of it.
#[derive(Clone, Debug)]
pub(super) struct Exhibit {
    pub(super) topic: Topic,
    /// `repository:tag` or `repository@digest`.
    pub(super) image: String,
    pub(super) about: &'static str,
    pub(super) expected: Expected,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// This digest is served.
    Admitted(Digest),
    Denied(Reason),
}

/// The registry and the Notary server of the demo, filled, and everyone who signs.
pub(super) struct Exhibition {
    pub(super) registry: Arc<MemoryRegistry>,
    pub(super) notary: Arc<MemoryNotary>,
    pub(super) exhibits: Vec<Exhibit>,
    publisher: Publisher,
    cosign: Key,
    sigstore: Sigstore,
    notation: Signer,
    now: Timestamp,
}

/// Why the demo cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetUpError {
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error(transparent)]
    Signing(#[from] SigningError),
}

impl Exhibition {
    /// Makes keys and images, signs images, and attacks some of them.
    pub(super) fn set_up(now: Timestamp) -> Result<Self, SetUpError> {
        let mut exhibition = Self {
            registry: Arc::new(MemoryRegistry::new()),
            notary: Arc::new(MemoryNotary::new()),
            exhibits: Vec::new(),
            publisher: Publisher::new()?,
            cosign: Key::new()?,
            sigstore: Sigstore::new(now)?,
            notation: Signer::new("Acme root", now)?,
            now,
        };
        exhibition.notary_v1()?;
        exhibition.cosign_with_a_key()?;
        exhibition.cosign_keyless()?;
        exhibition.notation()?;
        exhibition.rules()?;
        Ok(exhibition)
    }

    /// The key id to pin for Notary v1.
    pub(super) fn root_key_id(&self) -> KeyId {
        self.publisher.root_key_id()
    }

    /// The public key of cosign.
    pub(super) fn cosign_key(&self) -> String {
        self.cosign.pem()
    }

    /// The `trusted_root.json` of the private Sigstore.
    pub(super) fn trusted_root(&self) -> String {
        self.sigstore.trusted_root().to_string()
    }

    /// The root certificate for notation.
    pub(super) fn notation_root(&self) -> String {
        self.notation.root()
    }

    /// Pushes an image that prints a line.
    fn push(&self, repository: &Repository, tag: &str) -> Result<Pushed, SetUpError> {
        self.push_printing(repository, tag, &format!("Hello from {repository}:{tag}.\n"))
    }

    fn push_printing(
        &self,
        repository: &Repository,
        tag: &str,
        text: &str,
    ) -> Result<Pushed, SetUpError> {
        let pushed = image::push(&self.registry, repository, text);
        self.registry.put_tag(repository, tag.parse()?, pushed.digest);
        Ok(pushed)
    }

    fn admitted(&mut self, topic: Topic, image: &str, about: &'static str, pushed: &Pushed) {
        let expected = Expected::Admitted(pushed.digest);
        self.exhibits.push(Exhibit { topic, image: image.to_owned(), about, expected });
    }

    fn denied(
        &mut self,
        topic: Topic,
        image: impl Into<String>,
        about: &'static str,
        reason: Reason,
    ) {
        let expected = Expected::Denied(reason);
        self.exhibits.push(Exhibit { topic, image: image.into(), about, expected });
    }
}
