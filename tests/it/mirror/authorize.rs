//! Clients that the mirror listener does not authorize: each response keeps them from falling back to another
//! registry, also at the TLS handshake and with an authentication challenge.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use countersign::oci::Digest;
use http::{Method, Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1::SendRequest;
use serde_json::Value;

use super::{FINAL, blobs, manifests};
use crate::clients::{Ca, connect_to, status, with_certificates, with_passwords};
use crate::whole_gate::{Answer, World};

const DOCKER: (&str, &str) =
    ("user-agent", "docker/20.10.24 go/go1.19.8 os/linux UpstreamClient(Docker-Client/20.10.24)");
const PODMAN: (&str, &str) = ("user-agent", "containers/5.24.1 (github.com/containers/image)");

/// docker's response with that password.
async fn docker(world: &World, user: &str, password: &str, path: &str) -> Answer {
    let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    world.as_mirror(Method::GET, path, &[DOCKER, ("authorization", &basic)]).await
}

/// A client's response on its own connection.
async fn get(client: &mut SendRequest<Empty<Bytes>>, path: &str) -> Answer {
    let request = Request::get(path).header("host", "localhost").header("accept", "*/*");
    let request = request.body(Empty::new()).unwrap();
    Answer::of(client.send_request(request).await.unwrap()).await
}

/// The token realm that docker reads in the challenge of `/v2/`.
async fn realm(world: &World) -> String {
    let base = world.as_mirror(Method::GET, "/v2/", &[DOCKER]).await;
    assert_eq!(base.error(), (401, "UNAUTHORIZED".to_owned()));
    let challenge = base.header("www-authenticate").to_owned();
    let url = challenge.strip_prefix("Bearer realm=\"").unwrap().split('"').next().unwrap();
    let at = format!("http://{}", world.mirror_address());
    let path = url.strip_prefix(&at).unwrap_or_else(|| panic!("{challenge}"));
    format!("{path}?service=countersign&scope=repository%3Alibrary%2Fapp%3Apull")
}

fn denies_for_good(answer: &Answer, words: &str) {
    assert_eq!(answer.error(), (403, "DENIED".to_owned()));
    let message = answer.json()["errors"][0]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with(words) && message.ends_with(FINAL), "{message}");
    assert_eq!(answer.reason, message);
    answer.is_never_kept();
}

#[tokio::test]
async fn docker_without_a_password_is_denied_for_good_at_the_token_server() {
    let world = World::of(with_passwords("")).await;
    let realm = realm(&world).await;
    let none = world.as_mirror(Method::GET, &realm, &[DOCKER]).await;
    denies_for_good(&none, "only users of the gate may pull");
    let wrong = docker(&world, "alice", "bob", &realm).await;
    denies_for_good(&wrong, "wrong user name or password");
    for refresh in [Method::POST, Method::PUT] {
        denies_for_good(&world.as_mirror(refresh, &realm, &[DOCKER]).await, "");
    }
    assert!(world.registry.asked().is_empty() && world.notary.asked().is_empty());
}

#[tokio::test]
async fn docker_with_a_password_pulls_with_a_short_lived_token() {
    let mut world = World::of(with_passwords("")).await;
    let manifest = world.push_signed("v1", "one");
    let token = docker(&world, "alice", "alice", &realm(&world).await).await;
    assert_eq!(token.status, StatusCode::OK);
    token.is_never_kept();
    let Value::String(text) = token.json()["token"].clone() else { panic!("{}", token.json()) };
    assert_eq!(
        (&token.json()["access_token"], &token.json()["expires_in"]),
        (&text.clone().into(), &300.into())
    );
    let bearer = format!("Bearer {text}");
    let headers = [DOCKER, ("accept", "*/*"), ("authorization", &bearer)];
    let pull = async |path: &str| world.as_mirror(Method::GET, path, &headers).await;
    assert_eq!(pull("/v2/").await.status, StatusCode::OK);
    pull(&manifests("v1")).await.serves(&manifest);
    assert_eq!(pull(&blobs(Digest::of(b"one"))).await.body, "one");
    // A token admits only signed images.
    assert!(pull(&manifests("v2")).await.final_denial(false).starts_with("remote trust data"));

    world.pass(std::time::Duration::from_secs(361));
    let pull = async |path: &str| world.as_mirror(Method::GET, path, &headers).await;
    assert_eq!(pull("/v2/").await.status, StatusCode::UNAUTHORIZED);
    assert!(pull(&manifests("v1")).await.final_denial(false).starts_with("the token has expired"));
}

#[tokio::test]
async fn a_token_does_not_permit_other_repositories() {
    let rules = "[[clients.rule]]\nusers = [\"alice\"]\nimages = [\"**\"]\n";
    let mut world = World::of(with_passwords(rules)).await;
    world.push_signed("v1", "one");
    let token = docker(&world, "bob", "bob", &realm(&world).await).await;
    let bearer = format!("Bearer {}", token.json()["token"].as_str().unwrap());
    let headers = [DOCKER, ("accept", "*/*"), ("authorization", &bearer)];
    let denial = world.as_mirror(Method::GET, &manifests("v1"), &headers).await.final_denial(false);
    assert!(denial.starts_with("bob may not pull"), "{denial}");
}

#[tokio::test]
async fn podman_without_a_password_is_asked_for_one_and_denied_at_the_manifest() {
    let world = World::of(with_passwords("")).await;
    let base = world.as_mirror(Method::GET, "/v2/", &[PODMAN]).await;
    assert_eq!(base.error(), (401, "UNAUTHORIZED".to_owned()));
    assert_eq!(base.header("www-authenticate"), "Basic realm=\"countersign\"");
    let headers = [PODMAN, ("authorization", "Basic Og==")];
    let denial = world.as_mirror(Method::GET, &manifests("v1"), &headers).await.final_denial(false);
    assert!(denial.starts_with("only users of the gate may pull"), "{denial}");
}

#[tokio::test]
async fn only_the_mirror_listener_with_passwords_issues_tokens() {
    let world = World::of(with_passwords("")).await;
    assert_eq!(world.get("/token").await.status, StatusCode::NOT_FOUND);
    let base = world.send(Method::GET, "/v2/", &[DOCKER]).await;
    assert_eq!(base.header("www-authenticate"), "Basic realm=\"countersign\"");
    let open = World::new().await;
    assert_eq!(
        open.as_mirror(Method::GET, "/token", &[DOCKER]).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_client_without_a_valid_certificate_is_denied_after_the_handshake() {
    let (servers, own, mut world) = with_certificates("").await;
    let signed = world.push_signed("v1", "one");
    for shown in [None, Some(Ca::new().issue("node-1"))] {
        let mut client = connect_to(world.mirror_address(), &servers, shown).await.unwrap();
        let base = get(&mut client, "/v2/").await;
        // containers/image falls back after any other answer.
        assert_eq!(base.status, StatusCode::OK);
        let denial = get(&mut client, &manifests("v1")).await.final_denial(false);
        assert!(denial.starts_with("only clients with a certificate"), "{denial}");
        let layer = get(&mut client, &blobs(Digest::of(b"one"))).await;
        assert_eq!(layer.error(), (501, "DENIED".to_owned()));
        assert!(layer.reason.ends_with(FINAL), "{}", layer.reason);
    }
    assert!(world.registry.asked().is_empty());
    let node = Some(own.issue("node-1"));
    let mut node = connect_to(world.mirror_address(), &servers, node).await.unwrap();
    get(&mut node, &manifests("v1")).await.serves(&signed);
}

#[tokio::test]
async fn the_handshake_of_the_mirror_stays_lenient_after_a_reload() {
    let (servers, _, mut world) = with_certificates("").await;
    let mut reloader = world.reloader();
    world.configure(world.setup.clone().file("clients.pem", &Ca::new().pem));
    assert!(reloader.reload().await);
    let mut client = connect_to(world.mirror_address(), &servers, None).await.unwrap();
    get(&mut client, &manifests("v1")).await.final_denial(false);
    let public = match connect_to(world.public(), &servers, None).await {
        Ok(mut client) => status(&mut client, "/v2/").await,
        Err(why) => Err(why),
    };
    assert!(public.is_err(), "{public:?}");
}
