//! Revocation data of which one copy is wrong.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response};
use rcgen::{
    CertificateParams, CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, SerialNumber, date_time_ymd,
};

use super::*;
use crate::bundle::contents::Revocation;
use crate::bundle::revocation::BundleRevocation;
use crate::http_client::{LocalBody, LocalServer as _, Method};
use crate::registry_client::BundleFiles;

const URL: &str = "http://crl.example/a.crl";

/// A bundle with one response for [`URL`].
fn with(content: impl Into<Bytes>, ends: i64) -> Parts {
    let document = "notation/revocation/a.crl".to_owned();
    let mut parts = parts();
    parts.documents.add(&document, content.into()).unwrap();
    parts.contents.revocation.push(Revocation { url: URL.to_owned(), document, ends: Some(ends) });
    parts
}

#[test]
fn a_wrong_response_does_not_hide_that_of_another_bundle() {
    let folder = Folder::new("revocation");
    let (older, newer) = (crl(1), crl(2));
    with(older.clone(), 2).write_unchecked(&folder.0.join("b.tar"));
    with(newer.clone(), 1).write_unchecked(&folder.path());
    let set = BundleSet::new(BundleFiles::new(&folder.0.join("*.tar")).unwrap());
    let server = BundleRevocation::new(Arc::new(set));
    let answer = || server.answer(Method::Get, &URL.parse().unwrap(), &HeaderMap::new());
    assert!(is(&answer().unwrap(), &newer));
    let mut bytes = fs::read(folder.path()).unwrap();
    let at = bytes.windows(newer.len()).position(|window| window == newer).unwrap();
    bytes[at + newer.len() - 1] ^= 1;
    File::create(folder.path()).unwrap().write_all(&bytes).unwrap();
    assert!(is(&answer().unwrap(), &older));
    // A wrong response alone is not an absent one.
    fs::remove_file(folder.0.join("b.tar")).unwrap();
    assert!(answer().is_err());
}

/// A CRL of that day.
fn crl(day: u8) -> Vec<u8> {
    let (mut authority, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
    authority.key_usages = vec![KeyUsagePurpose::CrlSign];
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 11, day),
        next_update: date_time_ymd(2026, 12, day),
        crl_number: SerialNumber::from(u64::from(day)),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(&Issuer::new(authority, key)).unwrap().der().to_vec()
}

#[test]
fn an_older_response_does_not_hide_a_newer_one_whatever_its_exporter_says() {
    let folder = Folder::new("revocation-order");
    let (older, newer) = (crl(1), crl(2));
    with(older, i64::MAX).write_unchecked(&folder.0.join("b.tar"));
    with(newer.clone(), 1).write_unchecked(&folder.path());
    let set = BundleSet::new(BundleFiles::new(&folder.0.join("*.tar")).unwrap());
    let server = BundleRevocation::new(Arc::new(set));
    let answer = server.answer(Method::Get, &URL.parse().unwrap(), &HeaderMap::new()).unwrap();
    assert!(is(&answer, &newer), "{answer:?}");
}

/// Whether that is the content of the answer.
fn is(answer: &Response<LocalBody>, content: &[u8]) -> bool {
    format!("{:?}", answer.body()).contains(&format!("{:?}", Bytes::copy_from_slice(content)))
}
