//! Failed lookups: a registry that rejects requests, is busy, is down, or sends invalid responses. A missing feature
//! of a registry is not a failure.

use std::time::Duration;

use countersign::pull_through::FetchError;
use countersign::registry_client::UpstreamError;
use countersign::trust::discovery::{RequestBudget, SignatureKind, Unread, Why};
use http::StatusCode;
use http::header::{CONTENT_TYPE, LINK, RETRY_AFTER};
use serde_json::{Value, json};

use super::site::{
    BUNDLE, INDEX, JOSE, NOTATION, Site, apart, app, contents, finds, is_none, is_unread, looked,
    unread,
};
use crate::fake_registry::{Asked, Fault, respond, with};

/// Every path that contains `part` gets this answer.
fn answers(site: &Site, part: &'static str, status: u16, body: &'static str) {
    site.fake.hook(move |asked| {
        let answer = || with(respond(status, body), RETRY_AFTER, "60");
        asked.path.contains(part).then(|| Fault::Respond(answer()))
    });
}

fn upstreams(unread: &Unread) -> &UpstreamError {
    let Why::Fetch(FetchError::Upstream(error)) = &unread.why else { panic!("{unread}") };
    error
}

#[tokio::test]
async fn referrers_that_are_refused_are_unread() {
    for status in [401, 403] {
        let site = Site::new().await;
        answers(&site, "/referrers/", status, "");
        let located = site.locate(SignatureKind::Notation).await;
        is_unread(&located, &format!("upstream refused the request with status {status}"));
        assert!(matches!(upstreams(&located.unread[0]), UpstreamError::Refused { .. }));
    }
}

#[tokio::test]
async fn the_tag_schema_may_have_signatures_if_referrers_are_refused() {
    let site = Site::new().await;
    answers(&site, "/referrers/", 403, "");
    site.schema(&[site.bundle("bundle")]);
    let located = site.locate(SignatureKind::CosignSignature).await;
    finds(&located, &["bundle"]);
    assert_eq!(located.unread.len(), 1);
}

#[tokio::test]
async fn a_busy_registry_is_reported_with_its_message() {
    for part in ["/referrers/", "/manifests/", "/blobs/"] {
        let site = Site::new().await;
        site.put(&app(), &site.about(NOTATION, &[site.layer(JOSE, "envelope")]));
        answers(&site, part, 429, "");
        let located = site.locate(SignatureKind::Notation).await;
        finds(&located, &[]);
        let UpstreamError::TooManyRequests { retry_after } = upstreams(&located.unread[0]) else {
            panic!("{}", unread(&located))
        };
        assert_eq!(*retry_after, Some(Duration::from_secs(60)));
    }
}

#[tokio::test]
async fn a_busy_registry_gets_no_further_requests() {
    let site = Site::new().await;
    let payloads: Vec<String> = (0..30).map(|number| number.to_string()).collect();
    site.sig(&app(), &payloads.iter().map(String::as_str).collect::<Vec<_>>());
    answers(&site, "/blobs/", 429, "");
    let located = site.locate(SignatureKind::CosignSignature).await;
    finds(&located, &[]);
    let busy = |unread: &Unread| matches!(upstreams(unread), UpstreamError::TooManyRequests { .. });
    assert_eq!(
        located.unread.iter().filter(|unread| busy(unread)).count(),
        30 + 2,
        "{}",
        unread(&located)
    );
    // No request follows the refusals of requests in progress: neither for referrers nor for the tag schema.
    assert_eq!(site.fake.asked().len(), 1 + 8);
}

#[tokio::test]
async fn a_failing_registry_leaves_each_place_unread() {
    let site = Site::new().await;
    site.sig(&app(), &["payload"]);
    answers(&site, "/", 503, "");
    let located = site.locate(SignatureKind::CosignSignature).await;
    finds(&located, &[]);
    // The `.sig` tag, the referrers, and the tag schema that replaces them.
    assert_eq!(located.unread.len(), 3, "{}", unread(&located));
    site.fake.hook(|asked| asked.path.contains("/blobs/").then_some(Fault::Truncate(3)));
    is_unread(&site.locate(SignatureKind::CosignSignature).await, "request to");
}

#[tokio::test]
async fn a_failing_place_hides_no_other_place() {
    let site = Site::new().await;
    site.sig(&app(), &["payload"]);
    answers(&site, "/referrers/", 500, "");
    let located = site.locate(SignatureKind::CosignSignature).await;
    finds(&located, &["payload"]);
    assert_eq!(located.unread.len(), 1);
    let site = Site::new().await;
    site.put(&app(), &site.bundle("bundle"));
    answers(&site, ".sig", 401, "");
    let located = site.locate(SignatureKind::CosignSignature).await;
    finds(&located, &["bundle"]);
    assert_eq!(located.unread.len(), 1);
}

#[tokio::test]
async fn an_invalid_list_is_unread() {
    for body in ["", "[]", "{}", r#"{"schemaVersion":2,"manifests":[{}]}"#] {
        let site = Site::new().await;
        site.fake.hook(move |asked| {
            let answer = || with(respond(200, body), CONTENT_TYPE, INDEX);
            asked.path.contains("/referrers/").then(|| Fault::Respond(answer()))
        });
        is_unread(&site.locate(SignatureKind::Notation).await, "upstream violated the protocol");
    }
}

#[tokio::test]
async fn an_unreadable_list_does_not_hide_the_tag_schema() {
    for (status, body) in
        [(500, ""), (503, ""), (200, "{broken"), (200, "{}"), (200, "<html>"), (401, ""), (418, "")]
    {
        let site = Site::new().await;
        answers(&site, "/referrers/", status, body);
        site.schema(&[site.bundle("bundle")]);
        let located = site.locate(SignatureKind::CosignSignature).await;
        finds(&located, &["bundle"]);
        assert_eq!(located.unread.len(), 1, "{status} {body}");
    }
}

#[tokio::test]
async fn a_sign_in_page_at_a_signature_tag_is_unread() {
    for body in ["<html>sign in</html>", r#"{"error":"sign in"}"#, ""] {
        let site = Site::new().await;
        answers(&site, ".sig", 200, body);
        let located = site.locate(SignatureKind::CosignSignature).await;
        assert_eq!(located.unread.len(), 1, "{body}");
        finds(&located, &[]);
    }
}

#[tokio::test]
async fn a_missing_later_page_is_unread() {
    for status in [404, 400, 401, 503] {
        let site = Site::new().await;
        site.fake.hook(move |asked: &Asked| {
            let first = || {
                let list = respond(200, r#"{"schemaVersion":2,"manifests":[]}"#);
                let list = with(list, CONTENT_TYPE, INDEX);
                with(list, LINK, r#"</x?last=a>; rel="next""#)
            };
            let second = || with(respond(status, ""), RETRY_AFTER, "60");
            match (asked.path.contains("/referrers/"), asked.query.contains("last=a")) {
                (true, false) => Some(Fault::Respond(first())),
                (true, true) => Some(Fault::Respond(second())),
                (false, _) => None,
            }
        });
        is_unread(&site.locate(SignatureKind::Notation).await, "page 2: ");
    }
}

#[tokio::test]
async fn an_invalid_link_to_the_next_page_leaves_it_unread() {
    let site = Site::new().await;
    let entry = site.entry(&site.about(NOTATION, &[site.layer(JOSE, "envelope")]));
    site.fake.hook(move |asked| {
        let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
        let list = || with(respond(200, list.to_string()), CONTENT_TYPE, INDEX);
        let list = || with(list(), LINK, r#"</x>; rel="next""#);
        asked.path.contains("/referrers/").then(|| Fault::Respond(list()))
    });
    let located = site.locate(SignatureKind::Notation).await;
    finds(&located, &["envelope"]);
    assert!(unread(&located).contains("the header Link is invalid"));
}

#[tokio::test]
async fn a_registry_without_the_api_cannot_have_signatures_there() {
    for (status, body) in [(404, "404 page not found"), (400, ""), (405, ""), (406, ""), (501, "")]
    {
        let site = Site::new().await;
        answers(&site, "/referrers/", status, body);
        let located = site.locate(SignatureKind::Notation).await;
        is_none(&located);
        let status = StatusCode::from_u16(status).unwrap();
        let reported =
            format!("not possible here: the registry has no referrers API (status {status})");
        assert!(looked(&located).contains(&reported), "{}", looked(&located));
        is_none(&site.locate(SignatureKind::Notation).await);
        // The repository, the one that confirms it, and neither of them the second time.
        let asked = site.fake.asked();
        let asked = asked.iter().filter(|asked| asked.path.contains("/referrers/"));
        assert_eq!(asked.count(), 2);
    }
}

#[tokio::test]
async fn a_web_page_says_nothing_about_the_registry() {
    for (status, content_type) in
        [(404, "text/html"), (404, ""), (400, "text/html"), (200, "text/html")]
    {
        let site = Site::new().await;
        site.fake.hook(move |asked| {
            let answer = || with(respond(status, " <html>"), CONTENT_TYPE, content_type);
            asked.path.contains("/referrers/").then(|| Fault::Respond(answer()))
        });
        for _ in 0..2 {
            is_unread(&site.locate(SignatureKind::Notation).await, "a web page");
        }
        site.schema(&[site.bundle("bundle")]);
        finds(&site.locate(SignatureKind::CosignSignature).await, &["bundle"]);
    }
}

/// A server in front of the registry answers for one repository, and hides the signatures of no other.
#[tokio::test]
async fn a_404_for_one_repository_says_nothing_about_the_registry() {
    let site = Site::new().await;
    site.fake.hook(|asked| {
        let hidden = asked.path.contains("/library/app/referrers/");
        hidden.then(|| Fault::Respond(respond(404, "404 page not found")))
    });
    for _ in 0..2 {
        is_unread(&site.locate(SignatureKind::CosignSignature).await, "no second repository");
    }
    // A bundle in another repository is found.
    let bundle = site.about(BUNDLE, &[site.blob(&apart(), BUNDLE, "bundle")]);
    site.put(&apart(), &bundle);
    finds(&site.locate_apart(SignatureKind::CosignSignature).await, &["bundle"]);
    // A valid signature in the list under the tag counts meanwhile.
    site.schema(&[site.bundle("listed")]);
    finds(&site.locate(SignatureKind::CosignSignature).await, &["listed"]);
}

#[tokio::test]
async fn an_unknown_manifest_says_nothing_about_the_registry() {
    let site = Site::new().await;
    for code in ["NAME_UNKNOWN", "MANIFEST_UNKNOWN"] {
        site.fake.hook(move |asked| {
            let body = format!(r#"{{"errors":[{{"code":"{code}"}}]}}"#);
            asked.path.contains("/referrers/").then(|| Fault::Respond(respond(404, body)))
        });
        is_none(&site.locate(SignatureKind::Notation).await);
    }
    site.fake.hook(|_| None);
    site.put(&app(), &site.about(NOTATION, &[site.layer(JOSE, "envelope")]));
    finds(&site.locate(SignatureKind::Notation).await, &["envelope"]);
}

#[tokio::test]
async fn a_registry_that_had_the_api_is_asked_again() {
    let site = Site::new().await;
    is_none(&site.locate(SignatureKind::Notation).await);
    answers(&site, "/referrers/", 404, "404 page not found");
    is_unread(&site.locate(SignatureKind::Notation).await, "no second repository");
    site.fake.hook(|_| None);
    site.put(&app(), &site.about(NOTATION, &[site.layer(JOSE, "envelope")]));
    finds(&site.locate(SignatureKind::Notation).await, &["envelope"]);
}

#[tokio::test]
async fn a_missing_signature_repository_has_no_signatures() {
    let site = Site::new().await;
    let located = site.locate_apart(SignatureKind::CosignSignature).await;
    is_none(&located);
    assert_eq!(located.looked.len(), 6, "{}", looked(&located));
    // It says nothing about the registry's API.
    assert_eq!(site.fake.asked_for(&site.subject.digest.to_string()).len(), 2);
}

#[tokio::test]
async fn a_signature_repository_at_an_unconfigured_registry_is_unread() {
    let site = Site::new().await;
    let elsewhere = "other.example/library/app".parse().unwrap();
    let inquiry = RequestBudget::new();
    let located = site
        .places
        .locate(SignatureKind::Notation, &site.subject, Some(&elsewhere), &inquiry)
        .await;
    is_unread(&located, "no upstream is configured for other.example");
}

#[tokio::test]
async fn stored_signatures_are_used_while_upstream_content_is_unavailable() {
    let site = Site::with_store().await;
    site.sig(&app(), &["payload"]);
    finds(&site.locate(SignatureKind::CosignSignature).await, &["payload"]);
    site.stored(b"payload").await;
    answers(&site, "/blobs/", 503, "");
    finds(&site.locate(SignatureKind::CosignSignature).await, &["payload"]);
}

#[tokio::test]
async fn tags_cannot_be_resolved_while_the_registry_is_down() {
    let site = Site::with_store().await;
    site.sig(&app(), &["payload"]);
    finds(&site.locate(SignatureKind::CosignSignature).await, &["payload"]);
    site.stored(b"payload").await;
    answers(&site, "/", 503, "");
    is_unread(&site.locate(SignatureKind::CosignSignature).await, ".sig: upstream is unavailable");
}

/// Some tools and registries drop the type of a manifest or write another one.
#[tokio::test]
async fn a_bundle_of_a_wrong_or_missing_artifact_type_is_examined_last() {
    for wrong in [json!("application/vnd.example.thing"), json!(null)] {
        let site = Site::new().await;
        let mut manifest = site.bundle("untyped");
        manifest["artifactType"] = wrong;
        site.put(&app(), &manifest);
        site.put(&app(), &site.bundle("typed"));
        let located = site.locate(SignatureKind::CosignSignature).await;
        assert_eq!(contents(&located.candidates), ["typed", "untyped"]);
        assert!(located.unread.is_empty());
    }
}

/// The registry filters by the type in its list, which may be wrong.
#[tokio::test]
async fn a_notation_signature_listed_with_another_type_is_found() {
    let site = Site::new().await;
    let manifest = site.about(NOTATION, &[site.layer(JOSE, "envelope")]);
    site.put(&app(), &manifest);
    let mut entry = site.entry(&manifest);
    entry["artifactType"] = json!("application/vnd.example.thing");
    let list =
        |entries: Value| json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    let (all, none) = (list(json!([entry])).to_string(), list(json!([])).to_string());
    site.fake.hook(move |asked| {
        let is_list = asked.path.contains("/referrers/");
        is_list.then(|| {
            let filters = http::HeaderName::from_static("oci-filters-applied");
            Fault::Respond(match asked.query.contains("artifactType") {
                true => {
                    let answer = with(respond(200, none.clone()), CONTENT_TYPE, INDEX);
                    with(answer, filters, "artifactType")
                }
                false => with(respond(200, all.clone()), CONTENT_TYPE, INDEX),
            })
        })
    });
    let located = site.locate(SignatureKind::Notation).await;
    assert_eq!(contents(&located.candidates), ["envelope"]);
}

#[tokio::test]
async fn a_list_with_more_json_values_than_the_limit_is_unread() {
    let site = Site::new().await;
    let many = format!("[0{}]", ",0".repeat(200_000));
    let list =
        format!("{{\"schemaVersion\":2,\"mediaType\":\"{INDEX}\",\"manifests\":[],\"a\":{many}}}");
    site.fake.hook(move |asked| {
        let is_list = asked.path.contains("/referrers/");
        let answer = || with(respond(200, list.clone()), CONTENT_TYPE, INDEX);
        is_list.then(|| Fault::Respond(answer()))
    });
    let located = site.locate(SignatureKind::CosignSignature).await;
    is_unread(&located, "it contains too many values");
    assert_eq!(located.unread.len(), 1, "{:?}", located.unread);
}
