//! Revocation data of which one copy is wrong.

use std::sync::Arc;

use http::HeaderMap;

use super::*;
use crate::bundle::contents::Revocation;
use crate::bundle::revocation::BundleRevocation;
use crate::http_client::{LocalServer as _, Method};
use crate::registry_client::BundleFiles;

const URL: &str = "http://crl.example/a.crl";

/// A bundle with one response for [`URL`].
fn with(content: &'static str, ends: i64) -> Parts {
    let document = "notation/revocation/a.crl".to_owned();
    let mut parts = parts();
    parts.documents.add(&document, content).unwrap();
    parts.contents.revocation.push(Revocation { url: URL.to_owned(), document, ends: Some(ends) });
    parts
}

#[test]
fn a_wrong_response_does_not_hide_that_of_another_bundle() {
    let folder = Folder::new("revocation");
    with("the response", 1).write_unchecked(&folder.0.join("b.tar"));
    with("changed later", 2).write_unchecked(&folder.path());
    let set = BundleSet::new(BundleFiles::new(&folder.0.join("*.tar")).unwrap());
    let server = BundleRevocation::new(Arc::new(set));
    let answer = || server.answer(Method::Get, &URL.parse().unwrap(), &HeaderMap::new());
    assert!(format!("{:?}", answer().unwrap().body()).contains("changed later"));
    let mut bytes = fs::read(folder.path()).unwrap();
    let at = bytes.windows(13).position(|window| window == b"changed later").unwrap();
    bytes[at] = b'C';
    File::create(folder.path()).unwrap().write_all(&bytes).unwrap();
    assert!(format!("{:?}", answer().unwrap().body()).contains("the response"));
    // A wrong response alone is not an absent one.
    fs::remove_file(folder.0.join("b.tar")).unwrap();
    assert!(answer().is_err());
}
