//! Finds pairs of anchors that one signer can satisfy, as far as their configuration shows. Independent of this, a
//! threshold counts a signer once, by the verified signatures.

use super::Config;
use super::cosign::Signers;
use super::{cosign, notaryv1};

impl Config {
    pub fn name(&self) -> &str {
        match self {
            Self::NotaryV1(config) => &config.name,
            Self::Cosign(config) => &config.name,
            Self::Notation(config) => &config.name,
        }
    }

    /// What lets one signer satisfy both this anchor and `other`, for people.
    pub fn shares(&self, other: &Self) -> Option<&'static str> {
        match (self, other) {
            (Self::NotaryV1(one), Self::NotaryV1(other)) => by_notary(one, other),
            (Self::Cosign(one), Self::Cosign(other)) => by_cosign(one, other),
            (Self::Notation(one), Self::Notation(other)) => {
                one.shares(other).then_some("the same root certificate and overlapping identities")
            }
            // With different schemes, only the signatures can show it.
            (Self::NotaryV1(_) | Self::Cosign(_) | Self::Notation(_), _) => None,
        }
    }
}

fn by_notary(one: &notaryv1::Config, other: &notaryv1::Config) -> Option<&'static str> {
    let signers = one.signers.is_empty()
        || other.signers.is_empty()
        || one.signers.iter().any(|signer| other.signers.contains(signer));
    let same = one.url == other.url && one.template == other.template && signers;
    same.then_some("the same signers on the same Notary server")
}

fn by_cosign(one: &cosign::Config, other: &cosign::Config) -> Option<&'static str> {
    match (&one.signers, &other.signers) {
        (Signers::Keys(one), Signers::Keys(other)) => {
            one.iter().any(|key| other.contains(key)).then_some("the same key")
        }
        (
            Signers::Keyless { identity: one, issuer },
            Signers::Keyless { identity: other, issuer: of_other },
        ) if issuer == of_other => match (one == other, one.overlaps(other)) {
            (true, _) => Some("the same identity and issuer"),
            (false, true) => Some("overlapping identities and the same issuer"),
            (false, false) => None,
        },
        (
            Signers::Pki { chain, identity: one, .. },
            Signers::Pki { chain: of_other, identity: other, .. },
        ) if chain.last() == of_other.last() => match (one == other, one.overlaps(other)) {
            (true, _) => Some("the same root certificate and identity"),
            (false, true) => Some("the same root certificate and overlapping identities"),
            (false, false) => None,
        },
        (Signers::Keys(_) | Signers::Keyless { .. } | Signers::Pki { .. }, _) => None,
    }
}
