//! The public listener, path by path: valid requests get their response, all others the error that the contract
//! specifies.

use std::collections::BTreeSet;

use countersign::oci::Digest;
use countersign::server::DenialStatus;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::proxy::{OCI_IMAGE, Standing, stand, stand_with};
use crate::wire::{body, header, rest, soon, status};

const NO_DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// Status and code of the single error in an answer; checks the parts that every error has.
#[track_caller]
fn error(answer: &str) -> (u16, String) {
    assert_eq!(header(answer, "content-type"), Some("application/json"), "{answer}");
    assert_eq!(header(answer, "cache-control"), Some("no-store"), "{answer}");
    assert_eq!(header(answer, "docker-distribution-api-version"), Some("registry/2.0"));
    let json: Value = serde_json::from_str(body(answer)).unwrap();
    let [error] = &json["errors"].as_array().unwrap()[..] else { panic!("{json}") };
    assert!(!error["message"].as_str().unwrap().is_empty());
    (status(answer), error["code"].as_str().unwrap().to_owned())
}

impl Standing {
    async fn get(&self, target: &str) -> String {
        self.served.request("GET", target, "").await
    }

    /// Sends the whole body before it reads the answer, as some clients do.
    async fn upload(&self, target: &str, length: usize) -> String {
        let mut stream = soon(TcpStream::connect(self.served.address)).await.unwrap();
        let head =
            format!("PUT {target} HTTP/1.1\r\nhost: gate\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let piece = vec![0; 1 << 20];
        for _ in 0..length / piece.len() {
            stream.write_all(&piece).await.unwrap();
        }
        rest(&mut stream).await
    }

    /// Checks that HEAD has the same status and headers as GET, and no body.
    async fn head_agrees(&self, target: &str) {
        let strip = |answer: &str| {
            let head = answer.split_once("\r\n\r\n").unwrap().0.to_owned();
            // A reason phrase contains the request id.
            let (status, headers) = head.split_once("\r\n").unwrap();
            let status = status.split(' ').take(2).collect::<Vec<_>>().join(" ");
            let lines = [&*status].into_iter().chain(headers.lines());
            let lines = lines.filter(|line| !line.starts_with("date:"));
            lines.map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let (get, head) = (self.get(target).await, self.served.request("HEAD", target, "").await);
        let (get, head, nothing) = (strip(&get), strip(&head), body(&head));
        assert_eq!((head, nothing), (get, ""), "{target}");
    }
}

#[tokio::test]
async fn malformed_requests_get_the_specified_error() {
    let stand = stand().await;
    let long = format!("open/{}", "a".repeat(251));
    let tag = "t".repeat(129);
    for (target, status, code) in [
        ("/v2/Open/app/manifests/v1", 400, "NAME_INVALID"),
        ("/v2/open//app/manifests/v1", 400, "NAME_INVALID"),
        ("/v2//manifests/v1", 400, "NAME_INVALID"),
        ("/v2/manifests/v1", 400, "NAME_INVALID"),
        ("/v2/../etc/manifests/v1", 400, "NAME_INVALID"),
        ("/v2/open/../app/manifests/v1", 400, "NAME_INVALID"),
        ("/v2/open%2Fapp/manifests/v1", 400, "NAME_INVALID"),
        ("/v2/%6fpen/app/manifests/v1", 400, "NAME_INVALID"),
        ("/v2/other.example:5000/app/manifests/v1", 400, "NAME_INVALID"),
        (&format!("/v2/{long}/manifests/v1"), 400, "NAME_INVALID"),
        ("/v2/open/app/manifests/", 400, "TAG_INVALID"),
        ("/v2/open/app/manifests/.v1", 400, "TAG_INVALID"),
        ("/v2/open/app/manifests/v%31", 400, "TAG_INVALID"),
        ("/v2/open/app/manifests/v1%00", 400, "TAG_INVALID"),
        (&format!("/v2/open/app/manifests/{tag}"), 400, "TAG_INVALID"),
        ("/v2/open/app/manifests/sha256:abc", 400, "DIGEST_INVALID"),
        ("/v2/open/app/manifests/sha256%3Aabc", 400, "DIGEST_INVALID"),
        ("/v2/open/app/manifests/md5:d41d8cd98f00b204e9800998ecf8427e", 400, "DIGEST_INVALID"),
        (&format!("/v2/open/app/blobs/{}", NO_DIGEST.to_uppercase()), 400, "DIGEST_INVALID"),
        ("/v2/open/app/blobs/v1", 400, "DIGEST_INVALID"),
        ("/v2/open/app/referrers/v1", 400, "DIGEST_INVALID"),
        ("/v2/open/app/tags/list?n=many", 400, "PAGINATION_NUMBER_INVALID"),
        ("/v2/open/app/tags/list?n=-1", 400, "PAGINATION_NUMBER_INVALID"),
        ("/v2/open/app/manifests/v1?ns=r.example&ns=docker.io", 400, "NAME_INVALID"),
        ("/v2/open/app/manifests/v1?ns=other.example", 404, "NAME_UNKNOWN"),
        ("/v2/open/app/manifests/v1?ns=", 404, "NAME_UNKNOWN"),
        ("/v2/r.example/_trust/tuf/root.json", 400, "NAME_INVALID"),
        ("/v2/r.example/open/app/_trust/tuf/root.json", 404, "METADATA_NOT_FOUND"),
        ("/v2/r.example/open/app/_trust/tuf/timestamp.key", 404, "UNSUPPORTED"),
        ("/v2/_catalog", 404, "UNSUPPORTED"),
        ("/v2/open/app/blobs/uploads/", 404, "UNSUPPORTED"),
        ("/", 404, "UNSUPPORTED"),
        ("/v1/", 404, "UNSUPPORTED"),
        ("/metrics", 404, "UNSUPPORTED"),
    ] {
        let answer = stand.get(target).await;
        assert_eq!(error(&answer), (status, code.to_owned()), "{target}");
        stand.head_agrees(target).await;
    }
}

#[tokio::test]
async fn the_registry_api_is_read_only() {
    let stand = stand().await;
    for (method, target) in [
        ("POST", "/v2/open/app/blobs/uploads/"),
        ("PATCH", "/v2/open/app/blobs/uploads/1"),
        ("PUT", "/v2/open/app/manifests/v1"),
        ("DELETE", "/v2/open/app/manifests/v1"),
        ("POST", "/v2/r.example/open/app/_trust/tuf/"),
        ("BREW", "/v2/"),
    ] {
        let content = "Content-Length: 5\r\n\r\nhello";
        let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{content}");
        let answer = stand.served.exchange(request).await;
        assert_eq!(error(&answer), (405, "UNSUPPORTED".to_owned()), "{method} {target}");
        assert_eq!(header(&answer, "allow"), Some("GET, HEAD"));
        assert_eq!(header(&answer, "connection"), Some("close"));
    }
}

#[tokio::test]
async fn the_base_path_identifies_a_registry() {
    let stand = stand().await;
    for target in ["/v2/", "/v2", "/v2/?ns=r.example"] {
        let answer = stand.get(target).await;
        assert_eq!((status(&answer), body(&answer)), (200, "{}"));
        assert_eq!(header(&answer, "docker-distribution-api-version"), Some("registry/2.0"));
        assert_eq!(header(&answer, "x-registry-supports-signatures"), None);
        stand.head_agrees(target).await;
    }
}

#[tokio::test]
async fn a_manifest_is_served_byte_for_byte_by_tag_and_digest() {
    let stand = stand().await;
    let digest = Digest::of(&stand.content.manifest).to_string();
    for target in [
        "/v2/open/app/manifests/v1",
        "/v2/r.example/open/app/manifests/v1",
        "/v2/open/app/manifests/v1?ns=docker.io",
        &format!("/v2/open/app/manifests/{digest}"),
        &format!("/v2/open/app/manifests/{}", digest.replace(':', "%3A")),
    ] {
        let answer = stand.get(target).await;
        assert_eq!(status(&answer), 200, "{target}: {answer}");
        assert_eq!(body(&answer).as_bytes(), stand.content.manifest, "{target}");
        assert_eq!(header(&answer, "content-type"), Some(OCI_IMAGE));
        assert_eq!(header(&answer, "docker-content-digest"), Some(&*digest));
        assert_eq!(header(&answer, "etag"), Some(&*format!("\"{digest}\"")));
        stand.head_agrees(target).await;
    }
    for (tag, expected) in [(format!("\"{digest}\""), 304), (NO_DIGEST.to_owned(), 200)] {
        let condition = format!("If-None-Match: {tag}\r\n");
        let answer = stand.served.request("GET", "/v2/open/app/manifests/v1", &condition).await;
        assert_eq!(status(&answer), expected);
        assert_eq!(header(&answer, "docker-content-digest"), Some(&*digest));
        assert_eq!(body(&answer).is_empty(), expected == 304);
    }
}

#[tokio::test]
async fn denials_state_the_reason() {
    let stand = stand().await;
    let detail = |verdict: &str, reason: &str, image: &str, rule: Option<&str>| {
        let mut detail = json!({"verdict": verdict, "reason": reason, "image": image});
        if let Some(rule) = rule {
            detail["rule"] = rule.into();
        }
        detail
    };
    for (target, expected, begin, detail) in [
        (
            "/v2/else/app/manifests/v1",
            (404, "MANIFEST_UNKNOWN"),
            "r.example/else/app:v1 is denied: ",
            detail("refused", "no_rule", "r.example/else/app:v1", None),
        ),
        (
            "/v2/alpine/manifests/3?ns=docker.io",
            (404, "MANIFEST_UNKNOWN"),
            "docker.io/library/alpine:3 is denied: ",
            detail("refused", "no_rule", "docker.io/library/alpine:3", None),
        ),
        (
            "/v2/shut/app/manifests/v1",
            (404, "MANIFEST_UNKNOWN"),
            "r.example/shut/app:v1 is denied: ",
            detail("refused", "denied_by_rule", "r.example/shut/app:v1", Some("*/shut/**")),
        ),
        (
            "/v2/open/broken/manifests/v1",
            (503, "UNAVAILABLE"),
            "cannot decide about r.example/open/broken:v1 now: ",
            detail(
                "undecided",
                "upstream_unreachable",
                "r.example/open/broken:v1",
                Some("*/open/**"),
            ),
        ),
    ] {
        let answer = stand.get(target).await;
        let (status, code) = expected;
        assert_eq!(error(&answer), (status, code.to_owned()), "{answer}");
        let json: Value = serde_json::from_str(body(&answer)).unwrap();
        let mut reported = json["errors"][0].clone();
        assert!(reported["message"].as_str().unwrap().starts_with(begin), "{reported}");
        let id = reported["detail"].as_object_mut().unwrap().remove("request_id").unwrap();
        assert_eq!(id.as_str().unwrap().len(), 16);
        assert_eq!(reported["detail"], detail);
        assert_eq!(header(&answer, "retry-after").is_some(), status == 503);
    }
    let busy = stand.get("/v2/open/app/manifests/busy").await;
    assert_eq!(error(&busy), (429, "TOOMANYREQUESTS".to_owned()));
    assert_eq!(header(&busy, "retry-after"), Some("7"));
    let missing = stand.get("/v2/open/app/manifests/none").await;
    assert_eq!(error(&missing), (404, "MANIFEST_UNKNOWN".to_owned()));
}

#[tokio::test]
async fn a_blob_is_served_unchanged_whole_or_in_part() {
    let stand = stand().await;
    let blob = std::str::from_utf8(&stand.content.blob).unwrap();
    let digest = Digest::of(blob.as_bytes()).to_string();
    let target = format!("/v2/open/app/blobs/{digest}");
    let answer = stand.get(&target).await;
    assert_eq!(status(&answer), 200);
    assert!(body(&answer) == blob, "{} bytes", body(&answer).len());
    for (name, value) in [
        ("docker-content-digest", &*digest),
        ("accept-ranges", "bytes"),
        ("content-type", "application/octet-stream"),
        ("content-length", "800000"),
    ] {
        assert_eq!(header(&answer, name), Some(value));
    }
    assert_eq!(header(&answer, "content-encoding"), None);
    stand.head_agrees(&target).await;

    let etag = format!("If-Range: \"{digest}\"\r\n");
    for (range, part) in [
        ("Range: bytes=5-9\r\n", Some(5..10)),
        ("Range: bytes=799990-\r\n", Some(799_990..800_000)),
        ("Range: bytes=-3\r\n", Some(799_997..800_000)),
        ("Range: bytes=799999-900000\r\n", Some(799_999..800_000)),
        (&format!("{etag}Range: bytes=0-0\r\n"), Some(0..1)),
        ("If-Range: \"other\"\r\nRange: bytes=0-0\r\n", None),
        ("Range: bytes=0-1,4-5\r\n", None),
        ("Range: lines=0-1\r\n", None),
    ] {
        let answer = stand.served.request("GET", &target, range).await;
        let Some(part) = part else {
            assert_eq!((status(&answer), body(&answer).len()), (200, blob.len()), "{range}");
            continue;
        };
        assert_eq!((status(&answer), body(&answer)), (206, &blob[part.clone()]), "{range}");
        let expected = format!("bytes {}-{}/800000", part.start, part.end - 1);
        assert_eq!(header(&answer, "content-range"), Some(&*expected), "{range}");
        assert_eq!(header(&answer, "content-length"), Some(&*part.len().to_string()));
    }
    for (range, size) in [
        ("bytes=800000-", Some("bytes */800000")),
        ("bytes=9-5", None),
        ("bytes=a-b", None),
        ("bytes", None),
        ("bytes=99999999999999999999-", None),
    ] {
        let range = format!("Range: {range}\r\n");
        let answer = stand.served.request("GET", &target, &range).await;
        assert_eq!(error(&answer), (416, "RANGE_INVALID".to_owned()), "{range}");
        assert_eq!(header(&answer, "content-range"), size, "{range}");
    }
    let answer = stand.get(&format!("/v2/open/app/blobs/{NO_DIGEST}")).await;
    assert_eq!(error(&answer), (404, "BLOB_UNKNOWN".to_owned()));
    let manifest = Digest::of(&stand.content.manifest);
    stand.get("/v2/open/app/manifests/v1").await;
    let answer = stand.get(&format!("/v2/open/app/blobs/{manifest}")).await;
    assert_eq!(error(&answer), (404, "BLOB_UNKNOWN".to_owned()), "a manifest is not a blob");
}

#[tokio::test]
async fn lists_come_from_upstream_with_links_to_the_gate() {
    let stand = stand().await;
    let answer = stand.get("/v2/open/app/tags/list").await;
    assert_eq!((status(&answer), header(&answer, "link")), (200, None));
    assert_eq!(header(&answer, "content-type"), Some("application/json"));
    let list: Value = serde_json::from_str(body(&answer)).unwrap();
    assert_eq!(list, json!({"name": "open/app", "tags": ["v1"]}));
    for (target, link) in [
        ("/v2/open/app/tags/list?n=1", "</v2/open/app/tags/list?n=1&last=v1>; rel=\"next\""),
        (
            "/v2/docker.io/open/app/tags/list?n=1",
            "</v2/docker.io/open/app/tags/list?n=1&last=v1>; rel=\"next\"",
        ),
        (
            "/v2/open/app/tags/list?ns=docker.io&n=1",
            "</v2/open/app/tags/list?n=1&last=v1&ns=docker.io>; rel=\"next\"",
        ),
    ] {
        assert_eq!(header(&stand.get(target).await, "link"), Some(link));
    }
    let answer = stand.get("/v2/open/none/tags/list").await;
    assert_eq!(error(&answer), (404, "NAME_UNKNOWN".to_owned()));

    let manifest = Digest::of(&stand.content.manifest);
    let target = format!("/v2/open/app/referrers/{manifest}");
    stand.get("/v2/open/app/manifests/v1").await;
    let answer = stand.get(&target).await;
    assert_eq!(status(&answer), 200, "{answer}");
    let index = "application/vnd.oci.image.index.v1+json";
    assert_eq!(header(&answer, "content-type"), Some(index));
    let list: Value = serde_json::from_str(body(&answer)).unwrap();
    assert_eq!(list, json!({"schemaVersion": 2, "mediaType": index, "manifests": []}));
    // Clients learn no more about missing or denied content (distribution-spec, "Listing Referrers").
    for repository in ["open/app", "open/none", "other/app"] {
        let answer = stand.get(&format!("/v2/{repository}/referrers/{NO_DIGEST}")).await;
        assert_eq!((status(&answer), header(&answer, "content-type")), (200, Some(index)));
        let list: Value = serde_json::from_str(body(&answer)).unwrap();
        assert_eq!(list["manifests"], json!([]), "{repository}");
    }
}

#[tokio::test]
async fn only_denied_manifests_are_403_if_configured() {
    let stand = stand_with(DenialStatus::Forbidden).await;
    let hex = "0".repeat(64);
    for (target, status, code) in [
        ("/v2/shut/app/manifests/v1".to_owned(), 403, "DENIED"),
        (format!("/v2/shut/app/manifests/sha256:{hex}"), 403, "DENIED"),
        ("/v2/other/app/manifests/v1".to_owned(), 403, "DENIED"),
        (format!("/v2/shut/app/manifests/sha256-{hex}"), 404, "MANIFEST_UNKNOWN"),
        (format!("/v2/shut/app/manifests/sha256-{hex}.sig"), 404, "MANIFEST_UNKNOWN"),
        (format!("/v2/shut/app/manifests/sha256-{hex}.att"), 404, "MANIFEST_UNKNOWN"),
        (format!("/v2/shut/app/referrers/sha256:{hex}"), 404, "MANIFEST_UNKNOWN"),
        (format!("/v2/shut/app/blobs/sha256:{hex}"), 404, "MANIFEST_UNKNOWN"),
        ("/v2/shut/app/tags/list".to_owned(), 404, "MANIFEST_UNKNOWN"),
        ("/v2/open/app/manifests/none".to_owned(), 404, "MANIFEST_UNKNOWN"),
        ("/v2/open/broken/manifests/v1".to_owned(), 503, "UNAVAILABLE"),
        ("/v2/open/app/manifests/v1?ns=other.example".to_owned(), 404, "NAME_UNKNOWN"),
    ] {
        assert_eq!(error(&stand.get(&target).await), (status, code.to_owned()), "{target}");
        stand.head_agrees(&target).await;
    }
}

/// More than both sockets can buffer: a connection that is closed with unread data is reset.
#[tokio::test]
async fn a_large_upload_gets_a_response_and_not_a_reset() {
    let stand = stand().await;
    for target in ["/v2/open/app/blobs/uploads/", "/v2/open/app/manifests/v1"] {
        let answer = stand.upload(target, 64 << 20).await;
        assert_eq!(error(&answer), (405, "UNSUPPORTED".to_owned()), "{target}");
    }
}
