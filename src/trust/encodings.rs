//! The equivalent encodings of a certificate. Anybody can turn an ECDSA signature `(r, s)` into `(r, n - s)`, which is also
//! valid, and so change the SHA-256 of a certificate without its issuer. Pure; verifies nothing.

use der::asn1::{AnyRef, UintRef};
use der::{Decode as _, Encode as _, Reader as _, SliceReader, Tag, TagNumber};
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;

/// The orders of P-256, P-384 and P-521 (FIPS 186-4, D.1.2).
const ORDERS: [&str; 3] = [
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa\
     51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
];

/// The SHA-256 of the signed part of a certificate (`TBSCertificate`). It is the same for all encodings.
pub(super) fn signed_part(certificate: &X509Certificate<'_>) -> [u8; 32] {
    Sha256::digest(certificate.tbs_certificate.as_ref()).into()
}

/// The SHA-256 of every possible encoding of this certificate. The curve of the issuer's key is not known here, so every
/// supported curve is tried.
pub(super) fn hashes(certificate: &X509Certificate<'_>) -> Vec<[u8; 32]> {
    let signature: &[u8] = &certificate.signature_value.data;
    let mut signatures = vec![signature.to_vec()];
    if let Some((r, s)) = halves(signature) {
        signatures.extend(ORDERS.iter().filter_map(|order| sequence(&r, &difference(order, &s)?)));
    }
    let tbs = certificate.tbs_certificate.as_ref();
    let hash = |signature: Vec<u8>| Some(Sha256::digest(encoded(tbs, &signature)?).into());
    signatures.into_iter().filter_map(hash).collect()
}

/// The certificate with this signature. The signature algorithm is taken from the signed part.
fn encoded(tbs: &[u8], signature: &[u8]) -> Option<Vec<u8>> {
    let bits = [&[0], signature].concat();
    let bits = AnyRef::new(Tag::BitString, &bits).ok()?.to_der().ok()?;
    let content = [tbs, algorithm(tbs)?, &bits].concat();
    AnyRef::new(Tag::Sequence, &content).ok()?.to_der().ok()
}

/// The `signature` field of a `TBSCertificate`, after the version and the serial number.
fn algorithm(tbs: &[u8]) -> Option<&[u8]> {
    let version = Tag::ContextSpecific { constructed: true, number: TagNumber::N0 };
    let mut reader = SliceReader::new(AnyRef::from_der(tbs).ok()?.value()).ok()?;
    if reader.peek_header().ok()?.tag == version {
        reader.tlv_bytes().ok()?;
    }
    reader.tlv_bytes().ok()?;
    reader.tlv_bytes().ok()
}

/// `r` and `s` of an ECDSA signature, without leading zeros.
fn halves(signature: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut reader = SliceReader::new(AnyRef::from_der(signature).ok()?.value()).ok()?;
    let r = UintRef::decode(&mut reader).ok()?.as_bytes().to_vec();
    let s = UintRef::decode(&mut reader).ok()?.as_bytes().to_vec();
    reader.is_finished().then_some((r, s))
}

fn sequence(r: &[u8], s: &[u8]) -> Option<Vec<u8>> {
    let integer = |digits| UintRef::new(digits).ok()?.to_der().ok();
    let content = [integer(r)?, integer(s)?].concat();
    AnyRef::new(Tag::Sequence, &content).ok()?.to_der().ok()
}

/// `order - s`. `None` if `s` is greater.
fn difference(order: &str, s: &[u8]) -> Option<Vec<u8>> {
    let mut digits = hex::decode(order).ok()?;
    let padding = digits.len().checked_sub(s.len())?;
    let mut borrowed = false;
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        let other = at.checked_sub(padding).and_then(|at| s.get(at)).copied().unwrap_or_default();
        let (less, first) = digit.overflowing_sub(other);
        let (less, second) = less.overflowing_sub(u8::from(borrowed));
        (*digit, borrowed) = (less, first || second);
    }
    (!borrowed).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_needs_a_smaller_number() {
        assert_eq!(difference("0100", &[1]), Some(vec![0, 0xff]));
        assert_eq!(difference("0100", &[0xff]), Some(vec![0, 1]));
        assert_eq!(difference("0100", &[1, 1]), None);
        assert_eq!(difference("0100", &[1, 0, 0]), None);
        for order in ORDERS {
            let order = order.replace(char::is_whitespace, "");
            let top = hex::decode(&order).unwrap();
            assert_eq!(difference(&order, &top), Some(vec![0; top.len()]));
        }
        assert_eq!(ORDERS.map(str::len), [64, 96, 132]);
    }

    /// Only the signature differs between the encodings.
    #[test]
    fn a_certificate_is_among_its_own_encodings() {
        use x509_parser::prelude::FromDer as _;
        for algorithm in
            [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519]
        {
            let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let made = rcgen::CertificateParams::default().self_signed(&key).unwrap();
            let (_, parsed) = X509Certificate::from_der(made.der()).unwrap();
            let own: [u8; 32] = Sha256::digest(made.der()).into();
            assert!(hashes(&parsed).contains(&own));
        }
    }
}
