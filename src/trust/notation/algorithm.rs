//! The signature algorithms of envelopes: the key alone decides which one.

use aws_lc_rs::signature;

use crate::trust::keys::{BadSignature, Curve, PublicKey, VerifiedBytes, ecdsa};
use crate::trust::x509::{Hash, SignatureAlgorithm};

/// The signature algorithm of an envelope: one for each kind and size of key (signature-specification,
/// "Algorithm Selection").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Ps(Hash),
    Es(Hash),
}

impl Algorithm {
    /// The only algorithm for a key of this kind and size; `None` for other sizes.
    pub(super) fn of(key: &PublicKey) -> Option<Self> {
        match key {
            PublicKey::Ecdsa { curve, .. } => Some(Self::Es(match curve {
                Curve::P256 => Hash::Sha256,
                Curve::P384 => Hash::Sha384,
                Curve::P521 => Hash::Sha512,
            })),
            PublicKey::Rsa { modulus, .. } => match rsa_bits(modulus) {
                2048 => Some(Self::Ps(Hash::Sha256)),
                3072 => Some(Self::Ps(Hash::Sha384)),
                4096 => Some(Self::Ps(Hash::Sha512)),
                _ => None,
            },
            PublicKey::Ed25519(_) => None,
        }
    }

    /// Its name in a JWS header.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ps(Hash::Sha256) => "PS256",
            Self::Ps(Hash::Sha384) => "PS384",
            Self::Ps(Hash::Sha512) => "PS512",
            Self::Es(Hash::Sha256) => "ES256",
            Self::Es(Hash::Sha384) => "ES384",
            Self::Es(Hash::Sha512) => "ES512",
        }
    }

    /// Returns the message if `key` made `signature` over it. ECDSA signatures are `r ‖ s`.
    pub(super) fn verify<'a>(
        self,
        key: &PublicKey,
        message: &'a [u8],
        signature: &[u8],
    ) -> Result<VerifiedBytes<'a>, BadSignature> {
        match self {
            Self::Ps(hash) => SignatureAlgorithm::RsaPss(hash).verify(key, message, signature),
            Self::Es(hash) => {
                let PublicKey::Ecdsa { curve, point } = key else { return Err(BadSignature) };
                let algorithm = match (curve, hash) {
                    (Curve::P256, Hash::Sha256) => &signature::ECDSA_P256_SHA256_FIXED,
                    (Curve::P384, Hash::Sha384) => &signature::ECDSA_P384_SHA384_FIXED,
                    (Curve::P521, Hash::Sha512) => &signature::ECDSA_P521_SHA512_FIXED,
                    (Curve::P256 | Curve::P384 | Curve::P521, _) => return Err(BadSignature),
                };
                ecdsa(algorithm, point, message, signature)
            }
        }
    }
}

fn rsa_bits(modulus: &[u8]) -> usize {
    modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize)
}
