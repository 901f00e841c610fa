//! Recognizes one signer under several anchors, so that a threshold counts it once.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::endorsement::Endorsement;
use super::keys::PublicKey;

/// The hash of something that identifies a signer: a public key, or a name and the authority that vouches for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignerId([u8; 32]);

/// All ids of the signers of one endorsement. Two endorsements that share an id may be by the same signer.
pub type SignerIds = BTreeSet<SignerId>;

impl SignerId {
    pub fn of_key(key: &PublicKey) -> Self {
        Self(key.identity())
    }

    /// The id of a name that `authority` vouches for: an OIDC issuer or a root certificate.
    pub fn of_name(authority: &[u8], name: &[u8]) -> Self {
        let mut hasher = Sha256::new_with_prefix(b"countersign signer name\0");
        for part in [authority, name] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// The id in hex.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }
}

/// How many of `endorsements` are certainly by different signers: no two counted endorsements share an id. Never counts too
/// many; may count too few if one endorsement shares ids with several others.
pub fn distinct<'a>(endorsements: impl IntoIterator<Item = &'a Endorsement>) -> usize {
    let mut ids: Vec<&SignerIds> =
        endorsements.into_iter().map(|endorsement| &endorsement.says().signer_ids).collect();
    // Those with fewer ids first, because they exclude fewer others.
    ids.sort_by_key(|ids| ids.len());
    let mut counted = SignerIds::new();
    let mut count = 0;
    for ids in ids {
        if ids.is_disjoint(&counted) {
            counted.extend(ids);
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::oci::Digest;
    use crate::trust::{Endorsed, Origin, Scheme};

    fn endorsement(ids: &[&str]) -> Endorsement {
        Endorsement::new(Endorsed {
            repository: "r.example/app".parse().unwrap(),
            digest: Digest::of(b""),
            length: None,
            sha512: None,
            tag: None,
            anchor: Arc::from("anchor"),
            scheme: Scheme::Cosign,
            signers: Vec::new(),
            signer_ids: ids.iter().map(|id| SignerId::of_name(b"", id.as_bytes())).collect(),
            signed: None,
            expires: None,
            renew_by: None,
            origin: Origin::Published,
            based_on: Arc::default(),
        })
    }

    fn count(all: &[&[&str]]) -> usize {
        let all: Vec<Endorsement> = all.iter().map(|ids| endorsement(ids)).collect();
        distinct(&all)
    }

    #[test]
    fn endorsements_that_share_an_id_count_once() {
        assert_eq!(count(&[]), 0);
        assert_eq!(count(&[&["a"], &["a"]]), 1);
        assert_eq!(count(&[&["a", "x"], &["b", "x"]]), 1);
        assert_eq!(count(&[&["a"], &["b"], &["a"]]), 2);
    }

    #[test]
    fn one_endorsement_by_two_signers_hides_neither() {
        assert_eq!(count(&[&["a", "b"], &["a"], &["b"]]), 2);
    }
}
