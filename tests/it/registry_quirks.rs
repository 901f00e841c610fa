//! Registries, and servers between them and the gate, that behave in unusual ways.

use countersign::oci::headers::DOCKER_CONTENT_DIGEST;
use countersign::oci::{Digest, MediaType, Reference, Repository, Tag};
use countersign::pull_through::{FetchError, PullThrough};
use countersign::registry_client::{Page, Upstream, UpstreamError, Violation};
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LINK, LOCATION, WWW_AUTHENTICATE,
};
use http::{Method, Response};

use crate::fake_registry::{Asked, FakeRegistry, Fault, REGISTRY, hosted, redirect, respond, with};
use crate::token_server::TokenServer;

fn app() -> Repository {
    "library/app".parse().unwrap()
}

fn v1() -> Tag {
    "v1".parse().unwrap()
}

async fn with_app() -> (FakeRegistry, Digest) {
    let fake = FakeRegistry::start().await;
    let digest = fake.registry().put_image(&app(), "layer");
    fake.registry().put_tag(&app(), v1(), digest);
    (fake, digest)
}

fn is_head(asked: &Asked) -> bool {
    asked.method == Method::HEAD
}

/// Answers of portals, proxies and sign-in pages instead of a registry.
fn portals() -> Vec<(&'static str, &'static str)> {
    vec![
        ("text/html; charset=utf-8", "<!DOCTYPE html><title>Sign in</title>"),
        ("text/html", r#"{"schemaVersion":2}"#),
        ("application/json", r#"{"error":"sign in"}"#),
        ("application/json", "{}"),
        (MediaType::OciIndex.as_str(), "<html>"),
    ]
}

#[tokio::test]
async fn a_web_page_of_a_portal_is_never_a_manifest() {
    for (content_type, body) in portals() {
        let (fake, digest) = with_app().await;
        let answer = move || with(respond(200, body), CONTENT_TYPE, content_type);
        fake.hook(move |_| Some(Fault::Respond(answer())));
        let upstream = fake.upstream();
        let is_page = |error: &UpstreamError| {
            matches!(error, UpstreamError::Protocol(Violation::WebPage(_) | Violation::NoManifest))
        };
        for reference in [Reference::Tag(v1()), Reference::Digest(digest)] {
            let error = upstream.manifest(&app(), &reference).await.unwrap_err();
            assert!(is_page(&error), "{body}: {error}");
        }
        let error = upstream.resolve(&app(), &v1()).await.unwrap_err();
        assert!(is_page(&error), "{body}: {error}");
    }
}

#[tokio::test]
async fn a_redirect_to_a_sign_in_page_is_never_a_manifest() {
    let (fake, digest) = with_app().await;
    fake.hook(|asked| match asked.path.as_str() {
        "/login" => Some(Fault::Respond(with(respond(200, "<html>"), CONTENT_TYPE, "text/html"))),
        _ => Some(redirect("/login?next=x")),
    });
    let upstream = fake.upstream();
    let error = upstream.manifest(&app(), &Reference::Digest(digest)).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Protocol(Violation::WebPage(_))), "{error}");
    let error = upstream.blob(&app(), &Digest::of(b"layer"), None).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Protocol(Violation::WebPage(_))), "{error}");
    let error = upstream.blob_length(&app(), &Digest::of(b"layer")).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Protocol(Violation::WebPage(_))), "{error}");
}

#[tokio::test]
async fn the_query_of_a_link_is_opaque() {
    let long = format!("cursor=a%2Bb==&last={}", "x".repeat(2_000));
    for query in ["cursor=eyJh%3D%3D", "continuationToken=a+b&n=7", "after=x%2Fy", &long] {
        let (fake, _) = with_app().await;
        let link = format!(r#"</v2/library/app/tags/list?{query}>; rel="next""#);
        fake.hook(move |asked| {
            let list = || with(respond(200, r#"{"tags":["a"]}"#), LINK, &link);
            asked.query.is_empty().then(|| Fault::Respond(list()))
        });
        let upstream = fake.upstream();
        let next = upstream.tags(&app(), &Page::default()).await.unwrap().next.unwrap();
        // As a client sends it back.
        let next = Page::parse(&format!("{}&ns={REGISTRY}", next.to_query()));
        upstream.tags(&app(), &next).await.unwrap();
        assert_eq!(fake.asked()[1].query, query);
    }
}

#[tokio::test]
async fn a_content_encoding_without_effect_is_accepted() {
    for encoding in ["identity", "aws-chunked", "Identity, aws-chunked", ""] {
        let (fake, _) = with_app().await;
        let bytes = fake.upstream().manifest(&app(), &Reference::Tag(v1())).await.unwrap().bytes;
        let answer = move || with(respond(200, bytes.clone()), CONTENT_ENCODING, encoding);
        fake.hook(move |_| Some(Fault::Respond(answer())));
        fake.upstream().manifest(&app(), &Reference::Tag(v1())).await.unwrap();
    }
}

#[tokio::test]
async fn a_header_with_the_same_value_twice_has_that_value() {
    let (fake, digest) = with_app().await;
    fake.hook(move |asked| {
        let mut response = with(respond(200, ""), DOCKER_CONTENT_DIGEST, digest.to_string());
        response.headers_mut().append(DOCKER_CONTENT_DIGEST, digest.to_string().parse().unwrap());
        is_head(asked).then(|| Fault::Respond(response))
    });
    assert_eq!(fake.upstream().resolve(&app(), &v1()).await.unwrap(), digest);
}

#[tokio::test]
async fn a_refused_head_is_only_a_hint() {
    for status in [403, 404, 400, 405] {
        let (fake, digest) = with_app().await;
        fake.hook(move |asked| is_head(asked).then(|| Fault::Respond(respond(status, ""))));
        let upstream = fake.upstream();
        assert_eq!(upstream.resolve(&app(), &v1()).await.unwrap(), digest, "{status}");
        let layer = Digest::of(b"layer");
        assert_eq!(upstream.blob_length(&app(), &layer).await.unwrap(), Some(5), "{status}");
    }
}

#[tokio::test]
async fn a_length_of_zero_by_head_is_only_a_hint() {
    let (fake, _) = with_app().await;
    fake.hook(|asked| {
        is_head(asked).then(|| Fault::Respond(with(respond(200, ""), CONTENT_LENGTH, "0")))
    });
    let length = fake.upstream().blob_length(&app(), &Digest::of(b"layer")).await.unwrap();
    assert_eq!(length, Some(5));
}

#[tokio::test]
async fn a_manifest_known_only_by_tag_is_fetched_by_tag_and_compared() {
    let (fake, digest) = with_app().await;
    let by_digest = format!("/manifests/{digest}");
    fake.hook(move |asked| {
        asked.path.ends_with(&by_digest).then(|| Fault::Respond(respond(404, "")))
    });
    let pull_through = PullThrough::new([fake.upstream()], PullThrough::CACHE);
    let repository = hosted(app());
    let fetch = || pull_through.manifest(&repository, &digest);
    assert!(fetch().await.is_err());
    pull_through.resolve(&repository, &v1()).await.unwrap();
    fake.registry().put_tag(&app(), v1(), fake.registry().put_image(&app(), "another"));
    let error = fetch().await.unwrap_err();
    assert!(matches!(error, FetchError::Upstream(UpstreamError::Absent { .. })), "{error}");
    fake.registry().put_tag(&app(), v1(), digest);
    assert_eq!(*fetch().await.unwrap().digest(), digest);
}

#[tokio::test]
async fn a_manifest_without_a_length_is_complete_if_its_digest_matches() {
    let (fake, digest) = with_app().await;
    let upstream = fake.upstream();
    let length = upstream.manifest(&app(), &Reference::Digest(digest)).await.unwrap().bytes.len();
    fake.hook(move |_| Some(Fault::TruncateUnsized(length)));
    upstream.manifest(&app(), &Reference::Digest(digest)).await.unwrap();
    fake.hook(move |_| Some(Fault::TruncateUnsized(length - 1)));
    assert!(upstream.manifest(&app(), &Reference::Digest(digest)).await.is_err());
}

#[tokio::test]
async fn a_blob_without_a_length_is_complete_if_its_digest_matches() {
    let (fake, _) = with_app().await;
    fake.hook(|asked| {
        (asked.header(http::header::RANGE).is_empty()).then_some(Fault::TruncateUnsized(5))
    });
    let pull_through = PullThrough::new([fake.upstream()], PullThrough::CACHE);
    let mut blob = pull_through.blob(&hosted(app()), &Digest::of(b"layer"), None).await.unwrap();
    let mut whole = Vec::new();
    while let Some(frame) = http_body_util::BodyExt::frame(&mut blob).await {
        whole.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    assert_eq!(whole, b"layer");
}

/// A registry behind `tokens`, and its upstream.
async fn behind(
    answer: impl Fn(&TokenServer, &Asked) -> Option<Fault> + Send + Sync + 'static,
) -> (FakeRegistry, Upstream, Digest, TokenServer) {
    let (fake, digest) = with_app().await;
    let tokens = TokenServer::new(format!("{}/token", fake.url("127.0.0.1")));
    let answers = tokens.clone();
    fake.hook(move |asked| answer(&answers, asked));
    let upstream = fake.upstream();
    (fake, upstream, digest, tokens)
}

fn response(fault: Option<Fault>) -> Option<Response<http_body_util::Full<bytes::Bytes>>> {
    match fault {
        Some(Fault::Respond(response)) => Some(response),
        _ => None,
    }
}

#[tokio::test]
async fn a_refused_token_is_forgotten_whatever_the_new_challenge() {
    let (fake, upstream, digest, tokens) = behind(|tokens, asked| {
        let mut response = match response(tokens.answer(asked)) {
            Some(response) => response,
            None => return None,
        };
        if response.status() == 401 && !asked.header(AUTHORIZATION).is_empty() {
            let challenge = r#"Bearer error="invalid_token""#;
            response = with(response, WWW_AUTHENTICATE, challenge);
        }
        Some(Fault::Respond(response))
    })
    .await;
    let reference = Reference::Digest(digest);
    upstream.manifest(&app(), &reference).await.unwrap();
    tokens.revoke();
    // The challenge names no realm, so this request fails; the next one fetches a new token.
    drop(upstream.manifest(&app(), &reference).await);
    upstream.manifest(&app(), &reference).await.unwrap();
    assert_eq!(fake.asked_for("/token").len(), 2);
}

#[tokio::test]
async fn a_token_endpoint_may_redirect_only_on_its_own_host() {
    let (_fake, upstream, digest, _) = behind(|tokens, asked| match asked.path.as_str() {
        "/token" if !asked.query.contains("moved") => {
            Some(redirect(format!("/token?moved&{}", asked.query)))
        }
        _ => tokens.answer(asked),
    })
    .await;
    upstream.manifest(&app(), &Reference::Digest(digest)).await.unwrap();
    let thief = FakeRegistry::start().await;
    let to = thief.url("127.0.0.1");
    let (_fake, upstream, digest, _) = behind(move |tokens, asked| match asked.path.as_str() {
        "/token" => Some(redirect(format!("{to}/token"))),
        _ => tokens.answer(asked),
    })
    .await;
    assert!(upstream.manifest(&app(), &Reference::Digest(digest)).await.is_err());
    assert!(thief.asked().is_empty());
}

#[tokio::test]
async fn a_registry_may_challenge_only_at_its_base() {
    for status in [401, 403] {
        let (fake, upstream, digest, _) = behind(move |tokens, asked| {
            let answer = tokens.answer(asked);
            match asked.path.as_str() {
                "/v2/" | "/token" => answer,
                _ => answer.map(|_| Fault::Respond(respond(status, ""))),
            }
        })
        .await;
        upstream.manifest(&app(), &Reference::Digest(digest)).await.unwrap();
        assert_eq!(fake.asked_for("/v2/").len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_redirect_to_another_registry_uses_its_anonymous_token() {
    let (other, digest) = with_app().await;
    let realm = format!("{}/token", other.url("127.0.0.1"));
    let tokens = TokenServer::new(realm.clone());
    other.hook(move |asked| {
        let challenge = format!(
            r#"Bearer realm="{realm}",service="other",scope="repository:library/app:pull""#
        );
        match response(tokens.answer(asked)) {
            Some(response) if response.status() == 401 => {
                Some(Fault::Respond(with(response, WWW_AUTHENTICATE, challenge)))
            }
            Some(response) => Some(Fault::Respond(response)),
            None => None,
        }
    });
    let fake = FakeRegistry::start().await;
    let to = other.url("127.0.0.1");
    fake.hook(move |asked| Some(redirect(format!("{to}{}", asked.path))));
    let mut config = fake.config();
    config.username = Some("robot".to_owned());
    config.password_file = Some(crate::files::file("password", "open sesame\n"));
    let upstream = Upstream::new(&config, &Default::default()).unwrap();
    upstream.manifest(&app(), &Reference::Digest(digest)).await.unwrap();
    assert!(other.asked().iter().all(|asked| !asked.header(AUTHORIZATION).starts_with("Basic")));
}

#[tokio::test]
async fn a_presigned_url_is_requested_unchanged() {
    let query = "X-Sig=a%2Fb+c%7E~&name=filename%3D%27a%20b.tar%27&flag&=&&";
    let (fake, digest) = with_app().await;
    let location = format!("/storage/x?{query}");
    fake.hook(move |asked| {
        (!asked.path.starts_with("/storage"))
            .then(|| Fault::Respond(with(respond(307, ""), LOCATION, &location)))
    });
    drop(fake.upstream().manifest(&app(), &Reference::Digest(digest)).await);
    assert_eq!(fake.asked_for("/storage/x")[0].query, query);
}

#[tokio::test]
async fn a_404_with_a_page_for_people_is_not_the_answer_of_a_registry() {
    for (status, body) in [
        (404, "<!DOCTYPE html><title>Not here</title>"),
        (404, "404 page not found\n"),
        (410, "<html>gone</html>"),
    ] {
        let (fake, digest) = with_app().await;
        fake.hook(move |_| Some(Fault::Respond(respond(status, body))));
        let upstream = fake.upstream();
        let is_page =
            |error: &UpstreamError| matches!(error, UpstreamError::Protocol(Violation::WebPage(_)));
        for reference in [Reference::Tag(v1()), Reference::Digest(digest)] {
            let error = upstream.manifest(&app(), &reference).await.unwrap_err();
            assert!(is_page(&error), "{body}: {error}");
        }
        let error = upstream.blob(&app(), &Digest::of(b"layer"), None).await.unwrap_err();
        assert!(is_page(&error), "{body}: {error}");
    }
}

#[tokio::test]
async fn a_head_with_an_unreadable_digest_is_only_a_hint() {
    let (fake, digest) = with_app().await;
    fake.hook(|asked| {
        let answer = with(respond(200, ""), DOCKER_CONTENT_DIGEST, "sha256:0");
        is_head(asked).then(|| Fault::Respond(answer))
    });
    assert_eq!(fake.upstream().resolve(&app(), &v1()).await.unwrap(), digest);
}
