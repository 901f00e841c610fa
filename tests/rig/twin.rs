//! The ECDSA twin of a certificate: its signature `(r, s)` is replaced by `(r, n - s)`, which also verifies. This
//! needs no issuer key.

use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The order of P-256, of P-384.
const ORDERS: [&str; 2] = [
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
];

/// The twin of the certificate `der`, whose issuer has a P-256 or P-384 key.
pub(crate) fn twin(der: &[u8]) -> Vec<u8> {
    let (_, parsed) = X509Certificate::from_der(der).unwrap();
    let tbs = parsed.tbs_certificate.as_ref();
    let signature = parsed.signature_value.data.to_vec();
    let (r, rest) = integer(&signature[2..]);
    let (s, _) = integer(rest);
    let order = ORDERS.iter().map(|order| hex::decode(order).unwrap());
    let order =
        order.into_iter().find(|order| order.len() + 2 > s.len() && s.len() > order.len() - 8);
    let other = subtract(&order.unwrap(), &s);
    let signature = tlv(0x30, &[tlv(2, &signed(&r)), tlv(2, &signed(&other))].concat());
    let algorithm = der_after(der, tbs);
    tlv(0x30, &[tbs.to_vec(), algorithm, tlv(3, &[&[0][..], &signature].concat())].concat())
}

/// The TLV after `tbs`: the signature algorithm.
fn der_after(der: &[u8], tbs: &[u8]) -> Vec<u8> {
    let at = der.windows(tbs.len()).position(|window| window == tbs).unwrap() + tbs.len();
    der[at..at + 2 + usize::from(der[at + 1])].to_vec()
}

/// The digits of the INTEGER at the start of `der`, without leading zeros, and the bytes after it.
fn integer(der: &[u8]) -> (Vec<u8>, &[u8]) {
    let (content, rest) = der[2..].split_at(usize::from(der[1]));
    (content.iter().copied().skip_while(|byte| *byte == 0).collect(), rest)
}

fn signed(digits: &[u8]) -> Vec<u8> {
    let sign = if digits[0] & 0x80 == 0 { &[][..] } else { &[0] };
    [sign, digits].concat()
}

/// `from - what`, without leading zeros.
fn subtract(from: &[u8], what: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut digits: Vec<u8> = Vec::new();
    for at in 0..from.len() {
        let one = i16::from(from[from.len() - 1 - at]);
        let other = what.len().checked_sub(at + 1).map_or(0, |at| i16::from(what[at]));
        let difference = one - other - borrow;
        borrow = i16::from(difference < 0);
        digits.push(u8::try_from(difference.rem_euclid(256)).unwrap());
    }
    digits.into_iter().rev().skip_while(|byte| *byte == 0).collect()
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let header = match length {
        0..=127 => vec![tag, length as u8],
        128..=255 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [header, content.to_vec()].concat()
}
