//! Notary servers that require authentication: which credentials the gate sends where, and what happens on failure.

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};

use crate::fake_registry::{Asked, Fault, respond, with};
use crate::files::file;
use crate::notary_repository::GUN;
use crate::token_server::{ROBOT, TokenServer};
use crate::whole_gate::{DEFAULTS, World};

/// The settings of an anchor with credentials.
fn as_robot() -> String {
    let password = file("notary-password", "open sesame\n");
    format!("{DEFAULTS}\nusername = \"robot\"\npassword_file = {password:?}")
}

/// Makes the Notary server require a token, which it issues itself.
fn behind_tokens(world: &World, tokens: impl FnOnce(TokenServer) -> TokenServer) {
    let tokens = tokens(TokenServer::new(format!("{}/token", world.notary.url())));
    world.notary.hook(move |asked| tokens.answer(asked));
}

fn token_requests(world: &World) -> Vec<Asked> {
    world.notary.asked().into_iter().filter(|asked| asked.path == "/token").collect()
}

#[tokio::test]
async fn a_token_is_requested_with_the_complete_gun_as_its_scope() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    behind_tokens(&world, |tokens| tokens);
    world.pull("v1").await.serves(&manifest);
    let [token] = &token_requests(&world)[..] else { panic!("one token is enough") };
    let scope = format!("repository:{GUN}:pull").replace(':', "%3A").replace('/', "%2F");
    assert!(token.query.contains(&format!("scope={scope}")), "{token:?}");
    assert_eq!(token.header(AUTHORIZATION), "");
}

#[tokio::test]
async fn a_token_is_requested_with_the_configured_credentials() {
    let mut world = World::with(&as_robot(), "").await;
    let manifest = world.push_signed("v1", "one");
    behind_tokens(&world, TokenServer::for_robot);
    world.pull("v1").await.serves(&manifest);
    assert_eq!(token_requests(&world)[0].header(AUTHORIZATION), ROBOT);
}

#[tokio::test]
async fn a_basic_challenge_is_answered_with_the_credentials() {
    let mut world = World::with(&as_robot(), "").await;
    let manifest = world.push_signed("v1", "one");
    world.notary.hook(|asked| {
        let refused = || with(respond(401, ""), WWW_AUTHENTICATE, "Basic realm=\"notary\"");
        (asked.header(AUTHORIZATION) != ROBOT).then(|| Fault::Respond(refused()))
    });
    world.pull("v1").await.serves(&manifest);
}

#[tokio::test]
async fn a_server_that_rejects_the_gate_counts_as_unreachable() {
    let mut world = World::new().await;
    world.push_signed("v1", "one");
    behind_tokens(&world, TokenServer::for_robot);
    world.pull("v1").await.is_undecided("trust_unreachable");
}

#[tokio::test]
async fn the_authorization_header_of_a_client_reaches_no_server() {
    let mut world = World::new().await;
    let manifest = world.push_signed("v1", "one");
    let path = "/v2/library/app/manifests/v1";
    world
        .send(http::Method::GET, path, &[("authorization", "Bearer secret")])
        .await
        .serves(&manifest);
    assert!(world.notary.asked().iter().all(|asked| asked.header(AUTHORIZATION).is_empty()));
    assert!(world.registry.asked().iter().all(|asked| asked.header(AUTHORIZATION).is_empty()));
}
