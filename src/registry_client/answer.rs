//! Whether an answer comes from a registry. A portal, a proxy or a sign-in page also answers with status 200. Such a
//! page counts neither as "not found" nor as a malformed manifest.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};

use super::error::Violation;
use crate::json::{self, Document, Value};
use crate::oci::Digest;
use crate::oci::headers::DOCKER_CONTENT_DIGEST;
use crate::oci::manifest::MAX_VALUES;
use crate::oci::media_type::names_manifest;
use crate::parsing;

/// Whether the headers announce a web page.
pub(super) fn announces_web_page(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(is_html)
}

/// Whether a body is a web page or another XML document: no registry sends one.
pub(super) fn is_web_page(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"<")
}

/// Whether the body of an error is text for people, in HTML or not: registries write JSON or nothing, and storage behind them
/// writes XML.
pub(super) fn is_page(body: &[u8]) -> bool {
    let text = body.trim_ascii_start();
    let is_xml = text.starts_with(b"<?xml") || text.starts_with(b"<Error");
    !text.is_empty() && !matches!(text[0], b'{' | b'[') && !is_xml
}

/// An error if a response for the blob `digest` announces a web page, unless it names that digest.
pub(super) fn check_blob(headers: &HeaderMap, digest: &Digest) -> Result<(), Violation> {
    let named = headers.get(DOCKER_CONTENT_DIGEST).and_then(|value| value.to_str().ok());
    let is_named = named.is_some_and(|named| named.parse() == Ok(*digest));
    if announces_web_page(headers) && !is_named {
        return Err(Violation::WebPage(StatusCode::OK));
    }
    Ok(())
}

/// An error unless `body`, which came with status 200, may be a manifest or an index from a registry.
pub(super) async fn check_manifest(
    content_type: Option<&str>,
    body: &Bytes,
) -> Result<(), Violation> {
    if content_type.is_some_and(is_html) || is_web_page(body) {
        return Err(Violation::WebPage(StatusCode::OK));
    }
    let declared = content_type.is_some_and(names_manifest);
    let (text, length) = (body.clone(), body.len());
    let memory = json::most_memory(length, MAX_VALUES);
    let is_manifest = parsing::run(length, memory, move || looks_like_manifest(&text, declared));
    if is_manifest.await { Ok(()) } else { Err(Violation::NoManifest) }
}

/// Whether `body` is meant to be a manifest. The parser decides whether it is a valid one.
fn looks_like_manifest(body: &[u8], declared: bool) -> bool {
    let Ok(document) = Document::parse_within(body, MAX_VALUES) else {
        return declared && body.trim_ascii_start().starts_with(b"{");
    };
    let manifest = document.root();
    let has = |member: &str| manifest.member(member).is_some();
    let media_type = manifest.member("mediaType").and_then(Value::as_str);
    has("schemaVersion")
        || media_type.is_some_and(names_manifest)
        || ["manifests", "layers", "fsLayers"].into_iter().any(has)
        || (declared && has("config"))
}

/// Whether a content type is that of a web page.
fn is_html(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("text/html")
        || essence.eq_ignore_ascii_case("application/xhtml+xml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_without_members_of_a_manifest_is_not_a_manifest() {
        for (body, is_manifest) in [
            (&b"{}"[..], false),
            (br#"{"error":"please sign in"}"#, false),
            (br#"{"errors":[{"code":"DENIED"}],"config":{}}"#, false),
            (b"[]", false),
            (b"", false),
            (br#"{"schemaVersion":2}"#, true),
            (br#"{"manifests":null}"#, true),
            (br#"{"mediaType":"application/vnd.oci.image.index.v1+json"}"#, true),
        ] {
            let shown = String::from_utf8_lossy(body);
            assert_eq!(looks_like_manifest(body, false), is_manifest, "{shown}");
        }
        assert!(looks_like_manifest(br#"{"layers":[],"layers":[]}"#, true));
        assert!(!looks_like_manifest(br#"{"layers":[],"layers":[]}"#, false));
    }
}
