//! The registry client with a healthy, slow, broken or hostile registry.

use std::time::Duration;

use countersign::http_client::{Client, Method, NetError, Stage, Timeouts};
use countersign::oci::manifest::MAX_MANIFEST;
use countersign::oci::{Digest, ErrorCode, MediaType, Reference, Repository, Tag};
use countersign::registry_client::{
    Busy, Config, Metrics, Outage, Page, Upstream, UpstreamError, Violation,
};
use http::HeaderMap;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER,
};

use crate::fake_registry::{FakeRegistry, Fault, redirect, respond, with};

fn app() -> Repository {
    "library/app".parse().unwrap()
}

fn v1() -> Tag {
    "v1".parse().unwrap()
}

/// A registry with `library/app:v1`, and the digest of that image.
async fn with_app() -> (FakeRegistry, Digest) {
    let fake = FakeRegistry::start().await;
    let digest = fake.registry().put_image(&app(), "layer");
    fake.registry().put_tag(&app(), v1(), digest);
    (fake, digest)
}

fn upstream_with(fake: &FakeRegistry, change: impl FnOnce(&mut Config)) -> Upstream {
    let mut config = fake.config();
    change(&mut config);
    Upstream::new(&config, &Metrics::default()).unwrap()
}

async fn fails_with(fault: impl Fn() -> Fault + Send + Sync + 'static) -> UpstreamError {
    let (fake, digest) = with_app().await;
    fake.hook(move |_| Some(fault()));
    fake.upstream().manifest(&app(), &Reference::Digest(digest)).await.unwrap_err()
}

#[tokio::test]
async fn a_manifest_is_fetched_by_digest_and_tag_with_its_type() {
    let (fake, digest) = with_app().await;
    let upstream = fake.upstream();
    for reference in [Reference::Digest(digest), Reference::Tag(v1())] {
        let answer = upstream.manifest(&app(), &reference).await.unwrap();
        assert_eq!(Digest::of(&answer.bytes), digest);
        assert_eq!(answer.content_type.as_deref(), Some(MediaType::OciImage.as_str()));
    }
    for asked in fake.asked() {
        assert_eq!(asked.header(ACCEPT), MediaType::ACCEPT);
        assert_eq!(asked.header(ACCEPT_ENCODING), "identity");
    }
}

#[tokio::test]
async fn a_path_in_the_url_precedes_v2() {
    let (fake, digest) = with_app().await;
    fake.hook(|_| Some(Fault::Respond(respond(200, r#"{"schemaVersion":2,"layers":[]}"#))));
    let upstream =
        upstream_with(&fake, |config| config.url = config.url.join("proxy/hub/").unwrap());
    upstream.manifest(&app(), &Reference::Digest(digest)).await.unwrap();
    let path = format!("/proxy/hub/v2/library/app/manifests/{digest}");
    assert_eq!(fake.asked()[0].path, path);
}

#[tokio::test]
async fn missing_content_is_absent_with_upstreams_message() {
    let (fake, _) = with_app().await;
    let upstream = fake.upstream();
    let other: Repository = "other".parse().unwrap();
    let nothing = Reference::Digest(Digest::of(b"nothing"));
    let code_of = |error: UpstreamError| {
        let UpstreamError::Absent { code, .. } = error else { panic!("{error}") };
        code
    };
    let lacks = upstream.manifest(&app(), &nothing).await.unwrap_err();
    assert_eq!(code_of(lacks), ErrorCode::ManifestUnknown);
    let lacks = upstream.manifest(&other, &nothing).await.unwrap_err();
    assert_eq!(code_of(lacks), ErrorCode::NameUnknown);
    let lacks = upstream.blob(&app(), &Digest::of(b"nothing"), None).await.unwrap_err();
    assert_eq!(code_of(lacks), ErrorCode::BlobUnknown);
    let lacks = upstream.resolve(&app(), &"v2".parse().unwrap()).await.unwrap_err();
    assert_eq!(code_of(lacks), ErrorCode::ManifestUnknown);
    fake.hook(|_| Some(Fault::Respond(respond(404, ""))));
    let lacks = upstream.tags(&app(), &Page::default()).await.unwrap_err();
    assert_eq!(code_of(lacks), ErrorCode::NameUnknown);
}

#[tokio::test]
async fn a_tag_is_resolved_by_head() {
    let (fake, digest) = with_app().await;
    assert_eq!(fake.upstream().resolve(&app(), &v1()).await.unwrap(), digest);
    assert_eq!(fake.asked().len(), 1);
    assert_eq!(fake.asked()[0].method, http::Method::HEAD);
}

#[tokio::test]
async fn a_tag_is_resolved_by_get_if_head_has_no_digest() {
    for status in [200, 405, 501] {
        let (fake, digest) = with_app().await;
        fake.hook(move |asked| {
            (asked.method == http::Method::HEAD).then(|| Fault::Respond(respond(status, "")))
        });
        assert_eq!(fake.upstream().resolve(&app(), &v1()).await.unwrap(), digest);
        assert_eq!(fake.asked().len(), 2);
    }
}

#[tokio::test]
async fn a_tag_is_not_resolved_to_an_invalid_digest() {
    let (fake, _) = with_app().await;
    fake.hook(|_| {
        Some(Fault::Respond(with(
            respond(200, ""),
            countersign::oci::headers::DOCKER_CONTENT_DIGEST,
            "sha256:../../x",
        )))
    });
    // The header is only a hint, and the manifest itself is no manifest.
    let error = fake.upstream().resolve(&app(), &v1()).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Protocol(Violation::NoManifest)), "{error}");
}

#[tokio::test]
async fn a_manifest_above_the_size_limit_is_refused() {
    let (fake, _) = with_app().await;
    let large = fake.registry().put_manifest(&app(), "a/b", vec![b' '; MAX_MANIFEST + 1]);
    let reference = Reference::Digest(large);
    let ceiling = MAX_MANIFEST;
    let upstream = fake.upstream();
    let error = upstream.manifest(&app(), &reference).await.unwrap_err();
    let too_long = |error: &UpstreamError| matches!(error, UpstreamError::Protocol(Violation::TooLong { ceiling: at }) if *at == ceiling);
    assert!(too_long(&error), "{error}");
    fake.hook(|_| Some(Fault::Unsized(64 << 10)));
    let error = upstream.manifest(&app(), &reference).await.unwrap_err();
    assert!(too_long(&error), "{error}");
}

#[tokio::test]
async fn an_encoded_answer_is_refused() {
    let error =
        fails_with(|| Fault::Respond(with(respond(200, "{}"), CONTENT_ENCODING, "gzip"))).await;
    assert!(matches!(error, UpstreamError::Protocol(Violation::Encoding(_))), "{error}");
}

#[tokio::test]
async fn an_unexpected_status_is_a_protocol_error() {
    for status in [204, 206, 304, 400, 405, 418] {
        let error = fails_with(move || Fault::Respond(respond(status, ""))).await;
        assert!(matches!(error, UpstreamError::Protocol(Violation::Status(_))), "{error}");
    }
}

#[tokio::test]
async fn a_request_is_retried_twice() {
    let (fake, digest) = with_app().await;
    fake.hook(|asked| (asked.before < 2).then(|| Fault::Respond(respond(503, ""))));
    let answer = fake.upstream().manifest(&app(), &Reference::Digest(digest)).await.unwrap();
    assert_eq!(Digest::of(&answer.bytes), digest);
    assert_eq!(fake.asked().len(), 3);
}

#[tokio::test]
async fn a_server_that_keeps_failing_is_unreachable() {
    let (fake, digest) = with_app().await;
    fake.hook(|_| Some(Fault::Respond(respond(500, ""))));
    let error = fake.upstream().manifest(&app(), &Reference::Digest(digest)).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unreachable(Outage::Status(_))), "{error}");
    assert_eq!(fake.asked().len(), 3);
}

#[tokio::test]
async fn a_dropped_connection_is_reopened() {
    let (fake, digest) = with_app().await;
    fake.hook(|asked| (asked.before < 1).then_some(Fault::Drop));
    fake.upstream().manifest(&app(), &Reference::Digest(digest)).await.unwrap();
    assert_eq!(fake.asked().len(), 2);
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let (fake, digest) = with_app().await;
    let upstream = fake.upstream();
    let address = fake.address();
    drop(fake);
    // The port is free once the aborted task is gone.
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let error = upstream.manifest(&app(), &Reference::Digest(digest)).await.unwrap_err();
    let connect = matches!(
        error,
        UpstreamError::Unreachable(Outage::Net(NetError::Connect { .. } | NetError::Broken { .. }))
    );
    assert!(connect, "{error:?}");
}

#[tokio::test]
async fn a_429_is_passed_on_with_its_retry_after_and_not_retried() {
    let (fake, digest) = with_app().await;
    fake.hook(|_| Some(Fault::Respond(with(respond(429, ""), RETRY_AFTER, "120"))));
    let error = fake.upstream().manifest(&app(), &Reference::Digest(digest)).await.unwrap_err();
    let wait = Some(Duration::from_secs(120));
    assert!(
        matches!(error, UpstreamError::TooManyRequests { retry_after } if retry_after == wait),
        "{error:?}"
    );
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn a_silent_server_times_out() {
    let (fake, digest) = with_app().await;
    fake.hook(|_| Some(Fault::Silence));
    let upstream = upstream_with(&fake, |config| {
        config.timeouts = Timeouts { first_byte: Duration::from_millis(50), ..Timeouts::default() };
    });
    let error = upstream.manifest(&app(), &Reference::Digest(digest)).await.unwrap_err();
    assert!(is_timeout(&error, Stage::FirstByte), "{error:?}");
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn a_stalled_body_is_an_error() {
    let (fake, digest) = with_app().await;
    fake.hook(|_| Some(Fault::Stall(10)));
    let upstream = upstream_with(&fake, |config| {
        config.timeouts = Timeouts { idle: Duration::from_millis(50), ..Timeouts::default() };
    });
    let error = upstream.manifest(&app(), &Reference::Digest(digest)).await.unwrap_err();
    assert!(is_timeout(&error, Stage::Body), "{error:?}");
}

#[tokio::test]
async fn a_truncated_manifest_is_an_error() {
    for unsized_body in [false, true] {
        let error = fails_with(move || match unsized_body {
            false => Fault::Truncate(10),
            true => Fault::TruncateUnsized(10),
        })
        .await;
        let broken =
            matches!(error, UpstreamError::Unreachable(Outage::Net(NetError::Broken { .. })));
        assert!(broken, "{error:?}");
    }
}

#[tokio::test]
async fn concurrent_requests_are_limited_as_configured() {
    let (fake, digest) = with_app().await;
    let upstream = upstream_with(&fake, |config| {
        config.max_requests = 1;
        config.timeouts =
            Timeouts { first_byte: Duration::from_millis(200), ..Timeouts::default() };
    });
    let blob = upstream.blob(&app(), &Digest::of(b"layer"), None).await.unwrap();
    let reference = Reference::Digest(digest);
    let error = upstream.manifest(&app(), &reference).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Busy(Busy::Requests)), "{error:?}");
    assert_eq!(fake.asked().len(), 1);
    drop(blob);
    upstream.manifest(&app(), &reference).await.unwrap();
}

#[tokio::test]
async fn blobs_leave_places_for_manifests() {
    let (fake, digest) = with_app().await;
    let upstream = upstream_with(&fake, |config| {
        config.max_requests = 8;
        config.timeouts =
            Timeouts { first_byte: Duration::from_millis(200), ..Timeouts::default() };
    });
    let mut blobs = Vec::new();
    for _ in 0..7 {
        blobs.push(upstream.blob(&app(), &Digest::of(b"layer"), None).await.unwrap());
    }
    let error = upstream.blob(&app(), &Digest::of(b"layer"), None).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Busy(Busy::Blobs(_))), "{error:?}");
    let error = upstream.blob_length(&app(), &Digest::of(b"layer")).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Busy(Busy::Blobs(_))), "{error:?}");
    upstream.manifest(&app(), &Reference::Digest(digest)).await.unwrap();
}

fn is_timeout(error: &UpstreamError, at: Stage) -> bool {
    matches!(
        error,
        UpstreamError::Unreachable(Outage::Net(NetError::TimedOut { stage, .. })) if *stage == at
    )
}

#[tokio::test]
async fn a_manifest_redirect_to_another_host_is_followed() {
    let (there, digest) = with_app().await;
    let here = FakeRegistry::start().await;
    let place = there.url("localhost");
    here.hook(move |asked| Some(redirect(format!("{place}{}", asked.path))));
    let answer = here.upstream().manifest(&app(), &Reference::Digest(digest)).await.unwrap();
    assert_eq!(Digest::of(&answer.bytes), digest);
    assert_eq!(there.asked()[0].header(ACCEPT), MediaType::ACCEPT);
}

#[tokio::test]
async fn redirects_are_limited() {
    let (fake, digest) = with_app().await;
    fake.hook(|asked| Some(redirect(asked.path.clone())));
    let error = fake.upstream().manifest(&app(), &Reference::Digest(digest)).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Protocol(Violation::Redirects(5))), "{error}");
    assert_eq!(fake.asked().len(), 6);
}

#[tokio::test]
async fn a_redirect_to_a_forbidden_or_missing_location_is_not_followed() {
    for place in [
        "http://169.254.169.254/latest/meta-data/",
        "http://0xa9fea9fe/latest/meta-data/",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "http://user:password@127.0.0.1/",
    ] {
        let error = fails_with(move || redirect(place)).await;
        assert!(matches!(error, UpstreamError::Protocol(Violation::Target(_))), "{place}: {error}");
    }
    let error = fails_with(|| Fault::Respond(respond(307, ""))).await;
    assert!(matches!(error, UpstreamError::Protocol(Violation::Missing("Location"))), "{error}");
    let error = fails_with(|| redirect("http://[not a url")).await;
    assert!(matches!(error, UpstreamError::Protocol(Violation::Header("Location"))), "{error}");
}

#[tokio::test]
async fn a_public_server_cannot_redirect_to_this_machine() {
    let (fake, _) = with_app().await;
    let public = "http://8.8.8.8/".parse().unwrap();
    let client = Client::new(&public, None, 1, Timeouts::default()).unwrap();
    for host in ["127.0.0.1", "localhost", "0x7f.1", "[::ffff:127.0.0.1]", "LOCALHOST"] {
        let url = fake.url(host).parse().unwrap();
        let error = client.send(Method::Get, &url, &HeaderMap::new()).await.unwrap_err();
        assert!(matches!(error, NetError::Forbidden(_)), "{host}: {error:?}");
    }
    assert!(fake.asked().is_empty());
}

#[tokio::test]
async fn a_duplicate_content_type_is_refused() {
    let error = fails_with(|| {
        let mut response = respond(200, "{}");
        for media_type in [MediaType::OciImage, MediaType::OciIndex] {
            response.headers_mut().append(CONTENT_TYPE, media_type.as_str().parse().unwrap());
        }
        Fault::Respond(response)
    })
    .await;
    assert!(matches!(error, UpstreamError::Protocol(Violation::Ambiguous(_))), "{error}");
}

#[tokio::test]
async fn a_blob_length_is_fetched_by_head() {
    let (fake, _) = with_app().await;
    let length = fake.upstream().blob_length(&app(), &Digest::of(b"layer")).await.unwrap();
    assert_eq!(length, Some(5));
    assert_eq!(fake.asked()[0].method, http::Method::HEAD);
    assert_eq!(fake.asked()[0].header(CONTENT_LENGTH), "");
}

#[tokio::test]
async fn requests_are_counted() {
    let (fake, digest) = with_app().await;
    let mut registry = prometheus_client::registry::Registry::default();
    let metrics = Metrics::registered(&mut registry);
    let upstream = Upstream::new(&fake.config(), &metrics).unwrap();
    upstream.manifest(&app(), &Reference::Digest(digest)).await.unwrap();
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let line = r#"countersign_upstream_requests_total{endpoint="manifest",status="200"} 1"#;
    assert!(text.contains(line), "{text}");
}
