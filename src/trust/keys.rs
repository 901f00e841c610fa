//! Public keys and signature checks. Pure; knows only the SubjectPublicKeyInfo format, and not whom a key belongs to.
//!
//! A check is a conversion: it takes a message and returns [`VerifiedBytes`]. Claims are parsed only from those, so an
//! unverified signature claims nothing.

use aws_lc_rs::signature::{
    self, EcdsaVerificationAlgorithm, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
    VerificationAlgorithm,
};
use ed25519_dalek::{Signature, SignatureError, VerifyingKey};
use sha2::{Digest as _, Sha256, Sha512};
use thiserror::Error;
use x509_parser::asn1_rs::Oid;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521,
    OID_PKCS1_RSAENCRYPTION,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::spki::ED25519;

/// A message whose signature was verified. Only the checks in this module create one:
///
/// ```
/// use countersign::trust::keys::{BadSignature, Method, PublicKey, VerifiedBytes};
/// fn checked<'a>(key: &PublicKey, message: &'a [u8]) -> Result<VerifiedBytes<'a>, BadSignature> {
///     key.verify(Method::EcdsaFixed, message, b"the signature")
/// }
/// ```
///
/// Using the first key and skipping the signature does not compile:
///
/// ```compile_fail,E0423
/// use countersign::trust::keys::{BadSignature, PublicKey, VerifiedBytes};
/// fn unchecked<'a>(keys: &[PublicKey], message: &'a [u8]) -> Option<VerifiedBytes<'a>> {
///     keys.first().map(|_| VerifiedBytes(message))
/// }
/// ```
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedBytes<'a>(&'a [u8]);

impl<'a> VerifiedBytes<'a> {
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

/// The key did not sign the message with this method.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the signature is not valid")]
pub struct BadSignature;

/// A public key for verification. A key that no algorithm here supports is not a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    Ecdsa { curve: Curve, point: Vec<u8> },
    Ed25519([u8; 32]),
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
}

/// The NIST curves. P-224 is not supported: no suitable library verifies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    P256,
    P384,
    P521,
}

/// How a signature was made. ECDSA and RSA hash with SHA-256, whatever the size of the key, unless stated otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `r ‖ s`, each as wide as the curve's order.
    EcdsaFixed,
    Ed25519,
    /// Over the SHA-512 of the message (Ed25519ph, RFC 8032, section 5.1), without a context.
    Ed25519Prehashed,
    /// PKCS#1 v1.5.
    RsaPkcs1,
    /// PSS with MGF1-SHA-256 and a salt of 32 bytes.
    RsaPss,
}

impl PublicKey {
    /// Parses a DER SubjectPublicKeyInfo with an ECDSA key on a NIST curve (uncompressed) or an RSA key of 2048 to 8192
    /// bits.
    pub fn from_spki(der: &[u8]) -> Option<Self> {
        let (rest, spki) = SubjectPublicKeyInfo::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let algorithm = &spki.algorithm;
        match spki.parsed().ok()? {
            Parsed::EC(point) if algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY => {
                let named = algorithm.parameters.as_ref()?.as_oid().ok()?;
                let curve = Curve::ALL.into_iter().find(|curve| curve.oid() == named)?;
                let point = point.data().to_vec();
                let uncompressed = point.len() == 1 + 2 * curve.width() && point[0] == 4;
                uncompressed.then_some(Self::Ecdsa { curve, point })
            }
            Parsed::RSA(key) if algorithm.algorithm == OID_PKCS1_RSAENCRYPTION => {
                let unsigned = |number: &[u8]| {
                    let zeros = number.iter().take_while(|byte| **byte == 0).count();
                    number[zeros..].to_vec()
                };
                let (modulus, exponent) = (unsigned(key.modulus), unsigned(key.exponent));
                let bits = modulus.len() * 8 - modulus.first()?.leading_zeros() as usize;
                (2048..=8192).contains(&bits).then_some(Self::Rsa { modulus, exponent })
            }
            Parsed::EC(_)
            | Parsed::RSA(_)
            | Parsed::DSA(_)
            | Parsed::GostR3410(_)
            | Parsed::GostR3410_2012(_)
            | Parsed::Unknown(_) => None,
        }
    }

    /// Parses the DER SubjectPublicKeyInfo of an Ed25519 key (RFC 8410), which has only one form.
    pub fn from_ed25519_spki(der: &[u8]) -> Option<Self> {
        let key = der.strip_prefix(ED25519)?;
        Some(Self::Ed25519(key.try_into().ok()?))
    }

    /// Identifies the key independently of its encoding: thresholds count these identities.
    pub fn identity(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        match self {
            Self::Ecdsa { curve, point } => {
                hasher.update([1, curve.width() as u8]);
                hasher.update(point);
            }
            Self::Ed25519(key) => {
                hasher.update([2]);
                hasher.update(key);
            }
            Self::Rsa { modulus, exponent } => {
                hasher.update([3]);
                hasher.update((modulus.len() as u64).to_be_bytes());
                hasher.update(modulus);
                hasher.update(exponent);
            }
        }
        hasher.finalize().into()
    }

    /// The message, if this key signed it with `method`. A method that does not fit the key verifies nothing.
    pub fn verify<'a>(
        &self,
        method: Method,
        message: &'a [u8],
        signature: &[u8],
    ) -> Result<VerifiedBytes<'a>, BadSignature> {
        match (self, method) {
            (Self::Ecdsa { curve, point }, Method::EcdsaFixed) => {
                curve.verify(point, message, signature)
            }
            (Self::Ed25519(key), Method::Ed25519) => {
                ed25519(key, message, signature, |key, made| key.verify_strict(message, made))
            }
            (Self::Ed25519(key), Method::Ed25519Prehashed) => {
                ed25519(key, message, signature, |key, made| {
                    let digest = Sha512::new_with_prefix(message);
                    key.verify_prehashed_strict(digest, None, made)
                })
            }
            (Self::Rsa { modulus, exponent }, Method::RsaPkcs1) => {
                rsa(&signature::RSA_PKCS1_2048_8192_SHA256, modulus, exponent, message, signature)
            }
            (Self::Rsa { modulus, exponent }, Method::RsaPss) => {
                rsa(&signature::RSA_PSS_2048_8192_SHA256, modulus, exponent, message, signature)
            }
            (Self::Ecdsa { .. } | Self::Ed25519(_) | Self::Rsa { .. }, _) => Err(BadSignature),
        }
    }
}

impl Curve {
    const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    fn oid(self) -> Oid<'static> {
        match self {
            Self::P256 => OID_EC_P256,
            Self::P384 => OID_NIST_EC_P384,
            Self::P521 => OID_NIST_EC_P521,
        }
    }

    /// Bytes of one coordinate.
    const fn width(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    fn verify<'a>(
        self,
        point: &[u8],
        message: &'a [u8],
        signature: &[u8],
    ) -> Result<VerifiedBytes<'a>, BadSignature> {
        if signature.len() != 2 * self.width() {
            return Err(BadSignature);
        }
        match self {
            Self::P256 => ecdsa(&signature::ECDSA_P256_SHA256_FIXED, point, message, signature),
            Self::P384 => {
                ecdsa(&signature::ECDSA_P384_SHA256_ASN1, point, message, &to_der(signature))
            }
            Self::P521 => ecdsa(&signature::ECDSA_P521_SHA256_FIXED, point, message, signature),
        }
    }
}

/// The message, if the key at `point` signed it, in the form that `algorithm` expects.
pub(super) fn ecdsa<'a>(
    algorithm: &'static EcdsaVerificationAlgorithm,
    point: &[u8],
    message: &'a [u8],
    signature: &[u8],
) -> Result<VerifiedBytes<'a>, BadSignature> {
    let algorithm: &'static dyn VerificationAlgorithm = algorithm;
    let verified = UnparsedPublicKey::new(algorithm, point).verify(message, signature);
    verified.map(|()| VerifiedBytes(message)).map_err(|_| BadSignature)
}

/// `r ‖ s` as the DER SEQUENCE of two INTEGERs, for halves of at most 48 bytes.
fn to_der(fixed: &[u8]) -> Vec<u8> {
    let (r, s) = fixed.split_at(fixed.len() / 2);
    let mut integers = Vec::with_capacity(fixed.len() + 6);
    for half in [r, s] {
        let zeros = half.iter().take_while(|byte| **byte == 0).count().min(half.len() - 1);
        let digits = &half[zeros..];
        let sign = usize::from(digits[0] & 0x80 != 0);
        integers.extend([0x02, (digits.len() + sign) as u8]);
        integers.extend(std::iter::repeat_n(0, sign));
        integers.extend(digits);
    }
    let mut sequence = vec![0x30, integers.len() as u8];
    sequence.append(&mut integers);
    sequence
}

/// The message, if `verify` accepts the signature by the key.
fn ed25519<'a>(
    key: &[u8; 32],
    message: &'a [u8],
    signature: &[u8],
    verify: impl FnOnce(&VerifyingKey, &Signature) -> Result<(), SignatureError>,
) -> Result<VerifiedBytes<'a>, BadSignature> {
    let key = VerifyingKey::from_bytes(key).map_err(|_| BadSignature)?;
    let signature = Signature::from_slice(signature).map_err(|_| BadSignature)?;
    verify(&key, &signature).map(|()| VerifiedBytes(message)).map_err(|_| BadSignature)
}

/// The message, if the key with that modulus and exponent signed it, padded and hashed as `parameters` say.
pub(super) fn rsa<'a>(
    parameters: &'static RsaParameters,
    modulus: &[u8],
    exponent: &[u8],
    message: &'a [u8],
    signature: &[u8],
) -> Result<VerifiedBytes<'a>, BadSignature> {
    let verified =
        RsaPublicKeyComponents { n: modulus, e: exponent }.verify(parameters, message, signature);
    verified.map(|()| VerifiedBytes(message)).map_err(|_| BadSignature)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P521_SHA256_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
    };

    use super::*;

    fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> (PublicKey, Vec<u8>) {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let spki: Vec<u8> = pair.public_key().as_der().unwrap().as_ref().to_vec();
        let signature = pair.sign(&SystemRandom::new(), b"message").unwrap();
        (PublicKey::from_spki(&spki).unwrap(), signature.as_ref().to_vec())
    }

    #[test]
    fn an_ecdsa_signature_is_exactly_r_and_s() {
        for algorithm in [&ECDSA_P256_SHA256_FIXED_SIGNING, &ECDSA_P521_SHA256_FIXED_SIGNING] {
            let (key, signature) = ecdsa(algorithm);
            assert!(key.verify(Method::EcdsaFixed, b"message", &signature).is_ok());
            assert!(key.verify(Method::EcdsaFixed, b"Message", &signature).is_err());
            assert!(key.verify(Method::EcdsaFixed, b"message", &vec![0; signature.len()]).is_err());
            assert!(key.verify(Method::EcdsaFixed, b"message", &signature[1..]).is_err());
            assert!(key.verify(Method::EcdsaFixed, b"message", &to_der(&signature)).is_err());
            assert!(key.verify(Method::EcdsaFixed, b"message", b"").is_err());
            assert!(key.verify(Method::Ed25519, b"message", &signature).is_err());
        }
    }

    #[test]
    fn an_ed25519_key_is_its_32_bytes() {
        let pair = Ed25519KeyPair::generate().unwrap();
        let key = PublicKey::Ed25519(pair.public_key().as_ref().try_into().unwrap());
        let signature = pair.sign(b"message");
        assert!(key.verify(Method::Ed25519, b"message", signature.as_ref()).is_ok());
        assert!(key.verify(Method::Ed25519, b"message", &signature.as_ref()[..63]).is_err());
        assert!(PublicKey::Ed25519([0; 32]).verify(Method::Ed25519, b"message", &[0; 64]).is_err());
    }

    #[test]
    fn der_integers_are_minimal_and_positive() {
        assert_eq!(to_der(&[0, 0x80, 0, 0]), [0x30, 7, 2, 2, 0, 0x80, 2, 1, 0]);
        assert_eq!(to_der(&[0x12, 0x34, 0, 0x7f]), [0x30, 7, 2, 2, 0x12, 0x34, 2, 1, 0x7f]);
    }

    #[test]
    fn invalid_keys_are_rejected() {
        for der in [&b""[..], b"\x30\x00", &[0x30; 100]] {
            assert_eq!(PublicKey::from_spki(der), None);
        }
    }
}
