//! Authentication of the registry client: which credentials it sends where, and how often.

use std::sync::Arc;

use countersign::http_client::{Client, Method, Timeouts};
use countersign::oci::{Digest, Reference, Repository};
use countersign::registry_client::{
    Authenticator, Credentials, Endpoint, Metrics, Outage, Upstream, UpstreamError, Violation,
};
use http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue};

use crate::fake_registry::{FakeRegistry, Fault, redirect, respond, with};
use crate::files::file;
use crate::token_server::{ROBOT, TokenServer};

fn app() -> Repository {
    "library/app".parse().unwrap()
}

async fn with_app() -> (FakeRegistry, Reference) {
    let fake = FakeRegistry::start().await;
    let digest = fake.registry().put_image(&app(), "layer");
    (fake, Reference::Digest(digest))
}

/// A registry that requires a token, which it issues itself.
async fn behind_tokens(
    change: impl FnOnce(TokenServer) -> TokenServer,
) -> (FakeRegistry, Reference, TokenServer) {
    let (fake, reference) = with_app().await;
    let tokens = change(TokenServer::new(format!("{}/token", fake.url("127.0.0.1"))));
    let answers = tokens.clone();
    fake.hook(move |asked| answers.answer(asked));
    (fake, reference, tokens)
}

fn as_robot(fake: &FakeRegistry, token_realm: Option<&str>) -> Upstream {
    let mut config = fake.config();
    config.username = Some("robot".to_owned());
    config.password_file = Some(file("password", "open sesame\n"));
    config.token_realm = token_realm.map(str::to_owned);
    Upstream::new(&config, &Metrics::default()).unwrap()
}

fn has_credentials(fake: &FakeRegistry) -> bool {
    fake.asked().iter().any(|asked| asked.header(AUTHORIZATION).starts_with("Basic"))
}

#[tokio::test]
async fn an_anonymous_token_is_fetched_once_and_used_until_it_expires() {
    let (fake, reference, _) = behind_tokens(|tokens| tokens).await;
    let upstream = fake.upstream();
    for _ in 0..3 {
        upstream.manifest(&app(), &reference).await.unwrap();
    }
    assert_eq!(fake.asked_for("/token").len(), 1);
    // The first request is refused; all others have the token from the start.
    assert_eq!(fake.asked().len(), 1 + 1 + 3);
    assert!(!has_credentials(&fake));
}

#[tokio::test]
async fn a_token_is_requested_with_our_scope_whatever_the_server_asks_for() {
    let (fake, reference, _) = behind_tokens(|tokens| tokens).await;
    fake.upstream().manifest(&app(), &reference).await.unwrap();
    let query = &fake.asked_for("/token")[0].query;
    assert_eq!(query, "service=fake&scope=repository%3Alibrary%2Fapp%3Apull");
}

#[tokio::test]
async fn an_expired_token_is_not_used() {
    let (fake, reference, _) = behind_tokens(|tokens| tokens.expires_in(0)).await;
    let upstream = fake.upstream();
    for _ in 0..3 {
        upstream.manifest(&app(), &reference).await.unwrap();
    }
    assert_eq!(fake.asked_for("/token").len(), 3);
}

#[tokio::test]
async fn each_repository_has_its_own_token() {
    let (fake, reference, _) = behind_tokens(|tokens| tokens).await;
    let upstream = fake.upstream();
    upstream.manifest(&app(), &reference).await.unwrap();
    let other = upstream.manifest(&"other".parse().unwrap(), &reference).await;
    assert!(matches!(other, Err(UpstreamError::Absent { .. })));
    assert_eq!(fake.asked_for("/token").len(), 2);
}

#[tokio::test]
async fn a_refused_token_is_fetched_again_once() {
    let (fake, reference, tokens) = behind_tokens(|tokens| tokens).await;
    let upstream = fake.upstream();
    upstream.manifest(&app(), &reference).await.unwrap();
    tokens.revoke();
    upstream.manifest(&app(), &reference).await.unwrap();
    assert_eq!(fake.asked_for("/token").len(), 2);
}

#[tokio::test]
async fn a_server_that_rejects_every_token_counts_as_refusal() {
    let (fake, reference) = with_app().await;
    let realm = format!("{}/token", fake.url("127.0.0.1"));
    let tokens = TokenServer::new(realm);
    fake.hook(move |asked| {
        let answer = tokens.answer(asked);
        tokens.revoke();
        answer
    });
    let upstream = fake.upstream();
    let error = upstream.manifest(&app(), &reference).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Refused { .. }), "{error}");
    assert_eq!(fake.asked().len(), 3);
}

#[tokio::test]
async fn concurrent_requests_share_one_token() {
    let (fake, reference, _) = behind_tokens(|tokens| tokens).await;
    let upstream = Arc::new(fake.upstream());
    let pulls: Vec<_> = (0..20)
        .map(|_| {
            let (upstream, reference) = (Arc::clone(&upstream), reference.clone());
            tokio::spawn(async move { upstream.manifest(&app(), &reference).await })
        })
        .collect();
    for pull in pulls {
        pull.await.unwrap().unwrap();
    }
    assert_eq!(fake.asked_for("/token").len(), 1);
}

#[tokio::test]
async fn a_token_is_requested_with_the_credentials() {
    let (fake, reference, _) = behind_tokens(TokenServer::for_robot).await;
    as_robot(&fake, None).manifest(&app(), &reference).await.unwrap();
    let asked = &fake.asked_for("/token")[0];
    assert_eq!(asked.header(AUTHORIZATION), ROBOT);
    assert!(asked.query.ends_with("&account=robot"));
    let error = fake.upstream().manifest(&app(), &reference).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn basic_credentials_are_sent_without_a_challenge_after_the_first() {
    let (fake, reference) = with_app().await;
    fake.hook(|asked| {
        let refused = || with(respond(401, ""), WWW_AUTHENTICATE, "Basic realm=x");
        (asked.header(AUTHORIZATION) != ROBOT).then(|| Fault::Respond(refused()))
    });
    let upstream = as_robot(&fake, None);
    for _ in 0..2 {
        upstream.manifest(&app(), &reference).await.unwrap();
    }
    assert_eq!(fake.asked().len(), 3);
    let error = fake.upstream().manifest(&app(), &reference).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Refused { .. }), "{error}");
    assert_eq!(fake.asked().len(), 4);
}

#[tokio::test]
async fn wrong_credentials_are_sent_once() {
    let (fake, reference) = with_app().await;
    fake.hook(|_| Some(Fault::Respond(with(respond(401, ""), WWW_AUTHENTICATE, "Basic realm=x"))));
    let error = as_robot(&fake, None).manifest(&app(), &reference).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Refused { .. }), "{error}");
    assert_eq!(fake.asked().len(), 2);
}

#[tokio::test]
async fn credentials_are_not_sent_to_a_realm_on_another_host() {
    let thief = FakeRegistry::start().await;
    let (fake, reference) = with_app().await;
    let tokens = TokenServer::new(format!("{}/token", thief.url("localhost")));
    fake.hook(move |asked| tokens.answer(asked));
    // Over plain http, not even if the operator named the host.
    for token_realm in [None, Some("localhost")] {
        let error = as_robot(&fake, token_realm).manifest(&app(), &reference).await.unwrap_err();
        let foreign = matches!(error, UpstreamError::Protocol(Violation::ForeignRealm { .. }));
        assert!(foreign, "{error}");
    }
    assert!(thief.asked().is_empty());
}

#[tokio::test]
async fn an_anonymous_token_may_come_from_another_host() {
    let (fake, reference) = with_app().await;
    let realm = FakeRegistry::start().await;
    let tokens = TokenServer::new(format!("{}/token", realm.url("localhost")));
    let answers = tokens.clone();
    realm.hook(move |asked| answers.answer(asked));
    fake.hook(move |asked| tokens.answer(asked));
    fake.upstream().manifest(&app(), &reference).await.unwrap();
    assert_eq!(realm.asked().len(), 1);
}

#[tokio::test]
async fn a_realm_at_a_forbidden_address_is_not_asked() {
    for realm in ["http://169.254.169.254/token", "file:///etc/passwd", "/token", "http://a:b@c/"] {
        let (fake, reference) = with_app().await;
        let tokens = TokenServer::new(realm);
        fake.hook(move |asked| tokens.answer(asked));
        let error = fake.upstream().manifest(&app(), &reference).await.unwrap_err();
        assert!(
            matches!(error, UpstreamError::Protocol(Violation::Target(_) | Violation::Realm(_))),
            "{realm}: {error}"
        );
    }
}

#[tokio::test]
async fn credentials_and_tokens_do_not_follow_a_redirect() {
    let there = FakeRegistry::start().await;
    let digest = there.registry().put_image(&app(), "layer");
    let (fake, _, tokens) = behind_tokens(TokenServer::for_robot).await;
    let place = there.url("localhost");
    fake.hook(move |asked| {
        tokens.answer(asked).or_else(|| Some(redirect(format!("{place}{}", asked.path))))
    });
    let upstream = as_robot(&fake, None);
    upstream.manifest(&app(), &Reference::Digest(digest)).await.unwrap();
    upstream.blob(&app(), &Digest::of(b"layer"), None).await.unwrap();
    assert_eq!(there.asked().len(), 2);
    assert!(there.asked().iter().all(|asked| asked.header(AUTHORIZATION).is_empty()));
}

#[tokio::test]
async fn a_redirect_back_to_the_server_gets_no_credentials() {
    let (fake, reference, tokens) = behind_tokens(TokenServer::for_robot).await;
    let there = FakeRegistry::start().await;
    let back = fake.url("127.0.0.1");
    there.hook(move |_| Some(redirect(format!("{back}/v2/private/app/manifests/latest"))));
    let place = there.url("localhost");
    fake.hook(move |asked| {
        let app = asked.path.starts_with("/v2/library/app/");
        tokens.answer(asked).or_else(|| app.then(|| redirect(&place)))
    });
    let error = as_robot(&fake, None).manifest(&app(), &reference).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Refused { .. }), "{error}");
    assert!(fake.asked_for("/latest")[0].header(AUTHORIZATION).is_empty());
}

#[tokio::test]
async fn a_broken_token_server_is_reported_with_its_error() {
    type Check = fn(&UpstreamError) -> bool;
    let cases: [(fn() -> Fault, Check); 6] = [
        (
            || Fault::Respond(respond(503, "")),
            |error| matches!(error, UpstreamError::Unreachable(Outage::Status(_))),
        ),
        (
            || Fault::Respond(with(respond(429, ""), RETRY_AFTER, "60")),
            |error| matches!(error, UpstreamError::TooManyRequests { retry_after: Some(_) }),
        ),
        (
            || Fault::Respond(respond(403, "")),
            |error| matches!(error, UpstreamError::Refused { .. }),
        ),
        (
            || Fault::Respond(respond(200, "{}")),
            |error| matches!(error, UpstreamError::Protocol(Violation::Missing("token"))),
        ),
        (
            || Fault::Respond(respond(200, vec![b' '; 1 << 20])),
            |error| matches!(error, UpstreamError::Protocol(Violation::TooLong { .. })),
        ),
        (
            || redirect("http://elsewhere.example/token"),
            |error| matches!(error, UpstreamError::Protocol(Violation::Status(_))),
        ),
    ];
    for (fault, is_expected) in cases {
        let (fake, reference, tokens) = behind_tokens(|tokens| tokens).await;
        fake.hook(move |asked| match asked.path.as_str() {
            "/token" => Some(fault()),
            _ => tokens.answer(asked),
        });
        let error = fake.upstream().manifest(&app(), &reference).await.unwrap_err();
        assert!(is_expected(&error), "{error:?}");
    }
}

#[tokio::test]
async fn a_failed_token_server_is_asked_again_by_the_next_request() {
    let (fake, reference, tokens) = behind_tokens(|tokens| tokens).await;
    fake.hook(move |asked| match (asked.path.as_str(), asked.before) {
        ("/token", 0) => Some(Fault::Respond(respond(403, ""))),
        _ => tokens.answer(asked),
    });
    let upstream = fake.upstream();
    assert!(upstream.manifest(&app(), &reference).await.is_err());
    upstream.manifest(&app(), &reference).await.unwrap();
}

#[tokio::test]
async fn a_401_with_an_unknown_challenge_is_a_refusal() {
    for challenge in ["", "Negotiate", "Bearer", "Basic"] {
        let (fake, reference) = with_app().await;
        fake.hook(move |_| {
            Some(Fault::Respond(with(respond(401, ""), WWW_AUTHENTICATE, challenge)))
        });
        let error = fake.upstream().manifest(&app(), &reference).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Refused { .. }), "{error}");
        assert_eq!(fake.asked().len(), 1);
    }
}

#[tokio::test]
async fn the_authenticator_sends_credentials_only_to_their_realm() {
    let (fake, _) = with_app().await;
    let thief = FakeRegistry::start().await;
    thief.hook(|_| Some(Fault::Respond(with(respond(401, ""), WWW_AUTHENTICATE, "Basic realm=x"))));
    let base = fake.config().url;
    let client = Client::new(&base, None, 1, Timeouts::default()).unwrap();
    let robot = Credentials::new("robot", "open sesame").unwrap();
    let server = Authenticator::new(client, Some(robot), None, Metrics::default());
    for host in ["127.0.0.1", "localhost"] {
        let url = thief.url(host).parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static(ROBOT));
        let answer =
            server.send(Endpoint::Notary, Method::Get, &url, &headers, "repository:a:pull");
        assert_eq!(answer.await.unwrap().status(), 401);
    }
    assert_eq!(thief.asked().len(), 2);
    assert!(!has_credentials(&thief));
}
