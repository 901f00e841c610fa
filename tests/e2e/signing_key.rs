//! A key of a publisher or exporter, made as the documentation describes.

use std::path::PathBuf;

use crate::folder::Folder;
use crate::process::{must, tool};

/// An ECDSA P-256 key, and its public key.
pub(crate) fn signing_key(folder: &Folder) -> (PathBuf, PathBuf) {
    let (key, public) = (folder.join("signing.key"), folder.join("signing.pub"));
    let mut generate = tool("openssl", "openssl");
    must(generate.args(["ecparam", "-name", "prime256v1", "-genkey", "-out"]).arg(&key));
    let mut export = tool("openssl", "openssl");
    must(export.arg("ec").arg("-in").arg(&key).arg("-pubout").arg("-out").arg(&public));
    (key, public)
}
