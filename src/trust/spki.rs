//! Writes public keys as DER SubjectPublicKeyInfo, in the same form as other tools, to hash keys that were given in another
//! format. Pure.

use super::keys::{Curve, PublicKey};

/// The SubjectPublicKeyInfo of an Ed25519 key (RFC 8410), without the key.
pub(super) const ED25519: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
/// The AlgorithmIdentifier of an RSA key (RFC 3279).
const RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";

impl PublicKey {
    /// Reads a bare RSAPublicKey (PKCS#1, DER) of 2048 to 8192 bits.
    pub(super) fn from_pkcs1(der: &[u8]) -> Option<Self> {
        (der.len() < 1 << 15).then(|| Self::from_spki(&rsa_spki(der)))?
    }

    /// The DER SubjectPublicKeyInfo of the key.
    pub fn to_spki(&self) -> Vec<u8> {
        match self {
            Self::Ecdsa { curve, point } => [prefix(*curve), point].concat(),
            Self::Ed25519(key) => [ED25519, key].concat(),
            Self::Rsa { modulus, exponent } => rsa_spki(&rsa_key(modulus, exponent)),
        }
    }
}

/// The SubjectPublicKeyInfo of a key on this curve (RFC 5480), without the uncompressed point.
const fn prefix(curve: Curve) -> &'static [u8] {
    match curve {
            Curve::P256 => {
                b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\
                  \x07\x03\x42\x00"
            }
            Curve::P384 => {
                b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\
                  \x00"
            }
            Curve::P521 => {
                b"\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23\x03\
                  \x81\x86\x00"
            }
        }
}

/// The SubjectPublicKeyInfo of an RSAPublicKey (PKCS#1, DER).
fn rsa_spki(key: &[u8]) -> Vec<u8> {
    tlv(0x30, &[RSA, &tlv(0x03, &[&[0], key])])
}

/// The RSAPublicKey with that modulus and exponent.
fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let integer = |digits: &[u8]| {
        let sign =
            if digits.first().is_some_and(|first| first & 0x80 != 0) { &[0][..] } else { &[] };
        tlv(0x02, &[sign, digits])
    };
    tlv(0x30, &[&integer(modulus), &integer(exponent)])
}

/// A DER element of at most 65,535 bytes: an RSA key of 8192 bits has about 1,040.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut element = vec![tag];
    match content.len() {
        short @ 0..0x80 => element.push(short as u8),
        medium @ 0x80..0x100 => element.extend([0x81, medium as u8]),
        long => element.extend([0x82, (long >> 8) as u8, long as u8]),
    }
    element.extend(content);
    element
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PublicKeyData as _};

    use super::*;

    #[test]
    fn a_key_is_encoded_as_it_was_parsed() {
        for algorithm in [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
            &rcgen::PKCS_ECDSA_P521_SHA512,
            &rcgen::PKCS_RSA_SHA256,
            &rcgen::PKCS_ED25519,
        ] {
            let spki = KeyPair::generate_for(algorithm).unwrap().subject_public_key_info();
            let key = PublicKey::from_ed25519_spki(&spki).or_else(|| PublicKey::from_spki(&spki));
            assert_eq!(key.unwrap().to_spki(), spki);
        }
    }
}
