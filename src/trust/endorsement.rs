//! The proof that a trusted signer vouches for a digest in a repository until a given time. Only a verified signature
//! creates one. Does not know rules or content.

use std::fmt;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::oci::{Digest, RepositoryRef, Tag};

use super::notaryv1::Role;
use super::scheme::Scheme;
use super::signer::SignerIds;

/// A trusted signer vouches for `digest` in `registry/repository`.
///
/// The fields are private and only `trust` can call `Endorsement::new`, so that every endorsement proves a verified
/// signature. Cheap to clone. Other modules cannot create one:
///
/// ```compile_fail,E0624
/// use countersign::trust::{Endorsed, Endorsement};
/// fn forge(endorsed: Endorsed) -> Endorsement {
///     Endorsement::new(endorsed)
/// }
/// ```
///
/// ```compile_fail,E0423
/// use countersign::trust::{Endorsed, Endorsement};
/// fn forge(endorsed: Endorsed) -> Endorsement {
///     Endorsement(std::sync::Arc::new(endorsed))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Endorsement(Arc<Endorsed>);

/// The content of an endorsement.
#[derive(Clone, Debug)]
pub struct Endorsed {
    pub repository: RepositoryRef,
    pub digest: Digest,
    /// The length of the manifest in bytes, if the scheme signs it.
    pub length: Option<u64>,
    /// The SHA-512 of the manifest, if the scheme signs it.
    pub sha512: Option<Box<[u8; 64]>>,
    /// The signed tag, if the scheme signs names.
    pub tag: Option<Tag>,
    pub anchor: Arc<str>,
    pub scheme: Scheme,
    pub signers: Vec<SignerName>,
    /// The ids that identify the same signer under other anchors.
    pub signer_ids: SignerIds,
    /// The signing time that the signer states, or that a short-lived certificate bounds. `None` if there is neither: for
    /// Notary v1, versions protect from rollback.
    pub signed: Option<Timestamp>,
    /// The earliest expiry of the signatures, certificates and metadata that this is based on; `None` if none of them expires.
    pub expires: Option<Timestamp>,
    /// The earliest expiry that only a person can extend, by signing again. That of a Notary v1 timestamp or snapshot is not
    /// one, nor that of revocation data: their servers renew them. `None` if there is none.
    pub renew_by: Option<Timestamp>,
    pub origin: Origin,
    /// The files with the signatures. A Notary v1 timestamp is not among them: its server replaces it often.
    pub based_on: Arc<[TrustFile]>,
}

/// A file with signatures, as its publisher stored it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustFile {
    /// For display: the place in a registry, or the name of the metadata.
    pub name: String,
    pub digest: Digest,
}

/// Where trust data comes from, as far as this limits what it can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The server or the registry to which signers publish. It has the newest signatures.
    Published,
    /// An archive that no longer changes. It counts until that instant, and newer signatures are unknown.
    Frozen { until: Timestamp },
}

/// A signer, as the scheme names it. A role is written out only for people: every warm pull makes an endorsement.
#[derive(Clone, Debug)]
pub enum SignerName {
    Role(Role),
    /// The key, or the identity in a certificate.
    Identity(String),
}

impl fmt::Display for SignerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(role) => role.fmt(f),
            Self::Identity(identity) => f.write_str(identity),
        }
    }
}

impl Endorsement {
    pub(super) fn new(endorsed: Endorsed) -> Self {
        Self(Arc::new(endorsed))
    }

    pub fn says(&self) -> &Endorsed {
        &self.0
    }

    pub fn digest(&self) -> Digest {
        self.0.digest
    }
}
