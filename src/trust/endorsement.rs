//! The proof that a trusted signer vouches for one digest in one repository, until a time. Only a
//! verified signature makes one; knows nothing of rules or of content.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::oci::{Digest, Registry, Repository, Tag};

use super::scheme::Scheme;
use super::signer::SignerIds;

/// A trusted signer vouches for `digest` in `registry/repository`.
///
/// Fields are private and `Endorsement::new` is visible to `trust` alone: whoever holds one holds
/// a verified signature. Cheap to clone. It cannot be made elsewhere:
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

/// What an endorsement says.
#[derive(Clone, Debug)]
pub struct Endorsed {
    pub registry: Registry,
    pub repository: Repository,
    pub digest: Digest,
    /// The manifest's length in bytes, where the scheme signs it.
    pub length: Option<u64>,
    /// Its SHA-512, where the scheme signs that too.
    pub sha512: Option<Box<[u8; 64]>>,
    /// The tag by which it was signed, where the scheme signs names.
    pub tag: Option<Tag>,
    pub anchor: Arc<str>,
    pub scheme: Scheme,
    /// Who signed, as the scheme names them (roles and their keys).
    pub signers: Vec<String>,
    /// The keys and names by which the same signer is recognised under another anchor.
    pub signer_ids: SignerIds,
    /// When it was signed, where the scheme tells. Where it does not, versions guard against rollback.
    pub signed: Option<Timestamp>,
    /// The earliest end of all that this rests on.
    pub expires: Timestamp,
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
