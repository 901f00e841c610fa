//! The status, headers and body of every denial, as the contract defines them.

use std::pin::pin;

use http_body_util::BodyExt;
use serde_json::Value;

use super::*;
use crate::audit::Audit;
use crate::clock::Clock;
use crate::gate::{Denied, Doubt, Undecided};
use crate::oci::ImageRef;
use crate::trust::{Reason, Refusal, Scheme};

fn image() -> ImageRef {
    "registry.example.com/library/app:v1".parse().unwrap()
}

fn load() -> Load {
    Load::new(&crate::server::Limits::default())
}

fn denied_for(reason: Reason) -> Denied {
    Denied {
        resource: image().into(),
        refusal: Refusal::new(reason, "no signature by release-team"),
        rule: Some("registry.example.com/library/**".into()),
        anchor: Some("release-team".into()),
        scheme: Some(Scheme::NotaryV1),
    }
}

fn is_throttled(denial: &Denial) -> bool {
    matches!(denial, Denial::Throttled { .. })
}

/// The status, headers and body of the response to `denial`; the request id is removed from the body.
fn answered(denial: &Denial) -> (u16, HeaderMap, Value) {
    let id = Audit::new(Clock::System, None).name();
    let (head, mut json) = taken(denied(denial, id, DenialStatus::NotFound));
    let request_id = json["errors"][0]["detail"].as_object_mut().unwrap().remove("request_id");
    assert_eq!(request_id, Some(Value::String(id.to_string())));
    let message = json["errors"][0]["message"].as_str().unwrap().to_owned();
    let end = format!(" (request {id})");
    assert_eq!(
        message.ends_with(&end),
        denial.verdict().is_some() || is_throttled(denial),
        "{message}"
    );
    json["errors"][0]["message"] = message.trim_end_matches(&end).into();
    (head.status.as_u16(), head.headers, json)
}

/// The head and body of a response; checks that their lengths agree.
fn taken(response: Response<Body>) -> (http::response::Parts, Value) {
    let (head, body) = response.into_parts();
    let body = futures_util::FutureExt::now_or_never(body.collect()).unwrap().unwrap().to_bytes();
    assert_eq!(head.headers[CONTENT_LENGTH].to_str().unwrap(), body.len().to_string());
    assert_eq!(head.headers[CONTENT_TYPE], "application/json");
    assert_eq!(head.headers[DOCKER_DISTRIBUTION_API_VERSION], "registry/2.0");
    (head, serde_json::from_slice(&body).unwrap())
}

#[test]
fn an_unsigned_image_gets_the_response_of_the_contract() {
    let (status, headers, body) = answered(&Denial::Absent(denied_for(Reason::NoTrustData)));
    assert_eq!((status, &headers[CACHE_CONTROL]), (404, &NO_STORE));
    assert_eq!(
        body,
        json!({"errors": [{
            "code": "MANIFEST_UNKNOWN",
            "message": "remote trust data does not exist for registry.example.com/library/app:v1: \
                        no signature by release-team",
            "detail": {
                "image": "registry.example.com/library/app:v1",
                "verdict": "absent", "reason": "no_trust_data",
                "rule": "registry.example.com/library/**", "anchor": "release-team",
                "scheme": "notaryv1",
            },
        }]})
    );
}

#[test]
fn a_refused_image_says_so() {
    let (status, headers, body) = answered(&Denial::Refused(denied_for(Reason::Expired)));
    assert_eq!((status, &headers[CACHE_CONTROL]), (404, &NO_STORE));
    let error = &body["errors"][0];
    assert_eq!(error["code"], "MANIFEST_UNKNOWN");
    let begin = "trust data for registry.example.com/library/app:v1 was refused";
    assert!(error["message"].as_str().unwrap().starts_with(begin));
    assert_eq!(
        (&error["detail"]["verdict"], &error["detail"]["reason"]),
        (&json!("refused"), &json!("expired"))
    );
}

#[test]
fn an_image_without_a_rule_has_no_anchor_in_its_detail() {
    let bare = Denied { rule: None, anchor: None, scheme: None, ..denied_for(Reason::NoRule) };
    let (_, _, body) = answered(&Denial::Refused(bare));
    assert_eq!(
        body["errors"][0]["detail"],
        json!({"image": image().to_string(), "verdict": "refused", "reason": "no_rule"})
    );
}

#[test]
fn denial_status_applies_to_absent_and_refused_images_only() {
    let id = Audit::new(Clock::System, None).name();
    let forbidden = |denial: &Denial| {
        let (head, body) = taken(denied(denial, id, DenialStatus::Forbidden));
        (head.status.as_u16(), body["errors"][0]["code"].as_str().unwrap().to_owned())
    };
    let reason = denied_for(Reason::NoTrustData);
    for denial in [Denial::Absent(reason.clone()), Denial::Refused(reason)] {
        assert_eq!(forbidden(&denial), (403, "DENIED".to_owned()));
    }
    let undecided = Denial::Undecided(Undecided {
        resource: image().into(),
        doubt: Doubt::TrustUnreachable,
        because: "no answer".to_owned(),
        rule: None,
        anchor: None,
        scheme: None,
    });
    assert_eq!(forbidden(&undecided), (503, "UNAVAILABLE".to_owned()));
    let code = ErrorCode::ManifestUnknown;
    let missing =
        Denial::Missing { resource: image().into(), code, message: "not here".to_owned() };
    assert_eq!(forbidden(&missing), (404, "MANIFEST_UNKNOWN".to_owned()));
}

#[test]
fn an_undecided_request_may_be_retried() {
    for doubt in [Doubt::TrustUnreachable, Doubt::UpstreamRefused, Doubt::UpstreamUnreachable] {
        let (status, headers, body) = answered(&Denial::Undecided(Undecided {
            resource: image().into(),
            doubt,
            because: "no answer".to_owned(),
            rule: None,
            anchor: None,
            scheme: None,
        }));
        assert_eq!((status, &headers[RETRY_AFTER]), (503, &HeaderValue::from(5)));
        assert_eq!(headers[CACHE_CONTROL], NO_STORE);
        let error = &body["errors"][0];
        assert_eq!(
            (&error["code"], &error["detail"]["verdict"]),
            (&json!("UNAVAILABLE"), &json!("undecided"))
        );
        assert_eq!(error["detail"]["reason"], doubt.as_str());
    }
}

#[test]
fn errors_of_the_upstream_are_passed_on() {
    for (code, text) in [
        (ErrorCode::ManifestUnknown, "MANIFEST_UNKNOWN"),
        (ErrorCode::BlobUnknown, "BLOB_UNKNOWN"),
        (ErrorCode::NameUnknown, "NAME_UNKNOWN"),
    ] {
        let message = "upstream's own words".to_owned();
        let (status, _, body) =
            answered(&Denial::Missing { resource: image().into(), code, message });
        let error = &body["errors"][0];
        assert_eq!((status, &error["code"]), (404, &json!(text)));
        assert_eq!(error["message"], "upstream's own words");
        assert_eq!(error["detail"], json!({"image": image().to_string()}));
    }
    for (retry_after, seconds) in [(Some(Duration::from_millis(1500)), 2), (None, 5)] {
        let (status, headers, body) =
            answered(&Denial::Throttled { resource: image().into(), retry_after });
        assert_eq!((status, &headers[RETRY_AFTER]), (429, &HeaderValue::from(seconds)));
        assert_eq!(body["errors"][0]["code"], "TOOMANYREQUESTS");
    }
}

#[test]
fn a_range_beyond_the_end_gets_the_length() {
    for (size, range) in [(Some(7), Some("bytes */7")), (None, None)] {
        let (status, headers, body) =
            answered(&Denial::Unsatisfiable { resource: image().into(), size });
        assert_eq!((status, &body["errors"][0]["code"]), (416, &json!("RANGE_INVALID")));
        assert_eq!(headers.get(CONTENT_RANGE).map(|range| range.to_str().unwrap()), range);
    }
}

#[test]
fn responses_without_a_decision() {
    let (head, body) = taken(base());
    assert_eq!((head.status.as_u16(), body), (200, json!({})));

    let (head, body) = taken(unsupported(Version::HTTP_11));
    assert_eq!((head.status.as_u16(), &body["errors"][0]["code"]), (405, &json!("UNSUPPORTED")));
    assert_eq!(
        (&head.headers[ALLOW], &head.headers[CONNECTION]),
        (&HeaderValue::from_static("GET, HEAD"), &HeaderValue::from_static("close"))
    );
    let (head, _) = taken(unsupported(Version::HTTP_2));
    assert!(!head.headers.contains_key(CONNECTION), "HTTP/2 has no such header");

    let (head, _) = taken(not_found());
    assert_eq!(head.status.as_u16(), 404);

    let (head, body) = taken(trust_metadata(None, &load()).unwrap());
    assert_eq!(head.status.as_u16(), 404);
    assert_eq!(
        body,
        json!({"errors": [{"code": "METADATA_NOT_FOUND", "detail": {},
                           "message": "You have requested metadata that does not exist."}]})
    );
}

#[test]
fn a_list_links_to_its_next_page() {
    let page = |next| TagPage { tags: vec!["v1".parse().unwrap()].into(), next };
    let (head, body) =
        taken(tags(&page(None), &Listed { name: "a/b", ns: None }, &load()).unwrap());
    assert_eq!(body, json!({"name": "a/b", "tags": ["v1"]}));
    assert!(!head.headers.contains_key(LINK));

    let next = Some(Page::parse("n=10&last=v1%26x%3D%22%3E%3C"));
    let ns = "localhost:5000".parse().unwrap();
    let listed = Listed { name: "a/b", ns: Some(&ns) };
    let (head, _) = taken(tags(&page(next.clone()), &listed, &load()).unwrap());
    assert_eq!(
        head.headers[LINK],
        "</v2/a/b/tags/list?n=10&last=v1%26x%3D%22%3E%3C&ns=localhost%3A5000>; rel=\"next\""
    );

    let mut page = ReferrerList::none();
    page.filters_applied = Some("artifactType".to_owned());
    page.next = next;
    let digest = Digest::of(b"");
    let listed = Listed { ns: None, ..listed };
    let response = referrers(page, &listed, &digest, Some("a/b"), &load()).unwrap();
    let headers = response.headers();
    assert_eq!(headers[CONTENT_TYPE], "application/vnd.oci.image.index.v1+json");
    assert_eq!(headers[OCI_FILTERS_APPLIED], "artifactType");
    let query = "n=10&last=v1%26x%3D%22%3E%3C&artifactType=a%2Fb";
    let link = format!("</v2/a/b/referrers/{digest}?{query}>; rel=\"next\"");
    assert_eq!(headers[LINK], link);
}

#[test]
fn head_keeps_every_header() {
    let response = not_found();
    let headers = response.headers().clone();
    let response = without_body(response);
    assert_eq!(*response.headers(), headers);
    let body = pin!(response.into_body());
    assert!(http_body::Body::is_end_stream(&*body));
}
