//! Access control: passwords, certificates, and grants.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use countersign::oci::Digest;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::{problems, reported_at_once};
use crate::fake_registry::REGISTRY;
use crate::notary_repository::GUN;
use crate::whole_gate::{APP, Answer, Setup, World};

fn setup(clients: &str) -> Setup {
    Setup::new(format!(
        "[[anchor]]\nname = \"team\"\nscheme = \"notaryv1\"\nurl = \"NOTARY\"\nroot_keys = [\"PIN\"]\n\
         [[rule]]\nimages = [\"{REGISTRY}/**\"]\nrequire = [\"team\"]\n\
         [clients]\n{clients}"
    ))
}

/// alice, bob and carol; the password of each is the user name.
pub(crate) fn with_passwords(rules: &str) -> Setup {
    let line = |user: &str| format!("{user}:{}\n", bcrypt::hash(user, 4).unwrap());
    let file: String = ["alice", "bob", "carol"].map(line).concat();
    setup(&format!("htpasswd = \"htpasswd\"\n{rules}")).file("htpasswd", file)
}

async fn get(world: &World, user: &str, password: &str, path: &str) -> Answer {
    let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    world.send(Method::GET, path, &[("authorization", &basic)]).await
}

fn code(answer: &Answer) -> (u16, String) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    let code = body["errors"][0]["code"].as_str().unwrap().to_owned();
    (answer.status.as_u16(), code)
}

#[tokio::test]
async fn without_a_password_clients_learn_nothing_and_upstream_gets_no_request() {
    let mut world = World::of(with_passwords("")).await;
    let manifest = world.push_signed("v1", "one");
    let layer = Digest::of(b"one");
    for path in [
        "/v2/".to_owned(),
        "/v2".to_owned(),
        format!("/v2/{APP}/manifests/v1"),
        format!("/v2/{APP}/manifests/{}", Digest::of(&manifest)),
        format!("/v2/{APP}/blobs/{layer}"),
        format!("/v2/{APP}/tags/list"),
        format!("/v2/{APP}/referrers/{}", Digest::of(&manifest)),
        format!("/v2/{GUN}/_trust/tuf/root.json"),
        "/v2/not.configured/a/manifests/v1?ns=not.configured".to_owned(),
        format!("/v2/{APP}/manifests/-no-tag"),
    ] {
        let (answers, method) = (world.get(&path).await, Method::HEAD);
        assert_eq!(code(&answers), (401, "UNAUTHORIZED".to_owned()), "{path}");
        assert_eq!(answers.header("www-authenticate"), "Basic realm=\"countersign\"", "{path}");
        let head = world.send(method, &path, &[]).await;
        assert_eq!((head.status, head.body.len()), (StatusCode::UNAUTHORIZED, 0), "{path}");
        let wrong = get(&world, "alice", "bob", &path).await;
        assert_eq!(code(&wrong), (401, "UNAUTHORIZED".to_owned()), "{path}");
    }
    assert!(world.registry.asked().is_empty() && world.notary.asked().is_empty());
}

#[tokio::test]
async fn docker_login_and_pull_work_with_a_password() {
    let mut world = World::of(with_passwords("")).await;
    let manifest = world.push_signed("v1", "one");
    assert_eq!(get(&world, "alice", "alice", "/v2/").await.status, StatusCode::OK);
    let tag = format!("/v2/{APP}/manifests/v1");
    get(&world, "alice", "alice", &tag).await.serves(&manifest);
    let layer = format!("/v2/{APP}/blobs/{}", Digest::of(b"one"));
    assert_eq!(get(&world, "bob", "bob", &layer).await.body, "one");
    // A user still gets only signed images.
    get(&world, "bob", "bob", &format!("/v2/{APP}/manifests/v2")).await.is_absent("tag_not_signed");
}

#[tokio::test]
async fn the_clients_password_never_goes_upstream() {
    let mut world = World::of(with_passwords("")).await;
    world.push_signed("v1", "one");
    get(&world, "alice", "alice", &format!("/v2/{APP}/manifests/v1")).await;
    let asked = world.registry.asked().into_iter().chain(world.notary.asked());
    let sent: Vec<String> =
        asked.map(|asked| asked.header(http::header::AUTHORIZATION).to_owned()).collect();
    assert!(!sent.is_empty() && sent.iter().all(String::is_empty), "{sent:?}");
}

#[tokio::test]
async fn a_user_may_pull_only_the_repositories_of_a_rule() {
    let rules = format!(
        "[[clients.rule]]\nusers = [\"alice\"]\nimages = [\"{REGISTRY}/library/*\"]\n\
         [[clients.rule]]\nusers = [\"b*\"]\nimages = [\"{REGISTRY}/other/**\"]\n"
    );
    let mut world = World::of(with_passwords(&rules)).await;
    let manifest = world.push_signed("v1", "one");
    let digest = Digest::of(&manifest);
    get(&world, "alice", "alice", &format!("/v2/{APP}/manifests/v1")).await.serves(&manifest);
    for path in [
        format!("/v2/{APP}/manifests/v1"),
        format!("/v2/{REGISTRY}/{APP}/manifests/v1"),
        format!("/v2/{APP}/manifests/v1?ns={REGISTRY}"),
        format!("/v2/{APP}/manifests/{digest}"),
        format!("/v2/{APP}/blobs/{}", Digest::of(b"one")),
        format!("/v2/{APP}/tags/list"),
        format!("/v2/{APP}/referrers/{digest}"),
        format!("/v2/{GUN}/_trust/tuf/root.json"),
        format!("/v2/{GUN}/_trust/tuf/targets/releases.json"),
    ] {
        for user in ["bob", "carol"] {
            let answer = get(&world, user, user, &path).await;
            assert_eq!(code(&answer), (403, "DENIED".to_owned()), "{user} {path}");
        }
        assert!(get(&world, "alice", "alice", &path).await.status.is_success(), "{path}");
    }
    // A login does not permit pulls.
    assert_eq!(get(&world, "carol", "carol", "/v2/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_user_gets_no_layer_of_another_repository_through_a_permitted_one() {
    let rules = format!(
        "[[clients.rule]]\nusers = [\"bob\"]\nimages = [\"{REGISTRY}/library/open\"]\n\
         [[clients.rule]]\nusers = [\"alice\"]\nimages = [\"**\"]\n"
    );
    let mut world = World::of(with_passwords(&rules)).await;
    world.push_signed("v1", "one");
    let layer = Digest::of(b"one");
    let (own, through) =
        (format!("/v2/{APP}/blobs/{layer}"), format!("/v2/library/open/blobs/{layer}"));
    assert_eq!(get(&world, "alice", "alice", &own).await.body, "one");
    assert_eq!(get(&world, "bob", "bob", &through).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_user_removed_from_the_file_is_rejected_after_a_reload() {
    let mut world = World::of(with_passwords("")).await;
    assert_eq!(get(&world, "alice", "alice", "/v2/").await.status, StatusCode::OK);
    let mut reloader = world.reloader();
    let bob = format!("bob:{}\n", bcrypt::hash("bob", 4).unwrap());
    world.configure(with_passwords("").file("htpasswd", bob));
    assert!(reloader.reload().await);
    assert_eq!(get(&world, "alice", "alice", "/v2/").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&world, "bob", "bob", "/v2/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_reload_cannot_open_a_remote_listener_by_naming_a_local_address() {
    let far = |clients: &str| {
        Setup::new(format!(
            "[[rule]]\nimages = [\"{REGISTRY}/**\"]\nmode = \"allow\"\nreason = \"a test\"\n{clients}"
        ))
    };
    let closed = format!("alice:{}\n", bcrypt::hash("alice", 4).unwrap());
    let closed = far("[clients]\nhtpasswd = \"htpasswd\"\n").file("htpasswd", closed);
    let mut world = World::of(closed.listen("0.0.0.0:0")).await;
    assert_eq!(world.get("/v2/").await.status, StatusCode::UNAUTHORIZED);
    let mut reloader = world.reloader();
    // The configuration is valid, but the listener keeps its address until the next start.
    world.configure(far("").listen("127.0.0.1:0"));
    assert!(!reloader.reload().await);
    assert_eq!(world.get("/v2/").await.status, StatusCode::UNAUTHORIZED);
    world.configure(far("[clients]\nopen = true\n").listen("127.0.0.1:0"));
    assert!(reloader.reload().await);
    assert_eq!(world.get("/v2/").await.status, StatusCode::OK);
}

/// A CA that issues client certificates.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
    der: CertificateDer<'static>,
}

impl Ca {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = params.self_signed(&key).unwrap();
        Self { pem: own.pem(), der: own.der().clone(), issuer: Issuer::new(params, key) }
    }

    /// The certificate of `name` and its key.
    pub(crate) fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }
}

/// The servers' CA, the clients' CA, and a gate with TLS that accepts certificates of the latter.
pub(crate) async fn with_certificates(clients: &str) -> (Ca, Ca, World) {
    let (servers, own) = (Ca::new(), Ca::new());
    let (certificate, key) = servers.issue("localhost");
    let setup = setup(&format!("tls_client_ca = \"clients.pem\"\n{clients}"))
        .server("tls_cert = \"server.crt\"\ntls_key = \"server.key\"")
        .file("server.crt", certificate.pem())
        .file("server.key", key.serialize_pem())
        .file("clients.pem", &own.pem)
        .file("htpasswd", format!("alice:{}", bcrypt::hash("alice", 4).unwrap()));
    (servers, own, World::of(setup).await)
}

/// A connection to the public listener with that client certificate.
async fn connect(
    world: &World,
    servers: &Ca,
    shown: Option<(rcgen::Certificate, KeyPair)>,
) -> Result<SendRequest<Empty<Bytes>>, String> {
    connect_to(world.public(), servers, shown).await
}

/// The same to any listener.
pub(crate) async fn connect_to(
    listener: SocketAddr,
    servers: &Ca,
    shown: Option<(rcgen::Certificate, KeyPair)>,
) -> Result<SendRequest<Empty<Bytes>>, String> {
    let mut roots = RootCertStore::empty();
    roots.add(servers.der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match shown {
        Some((certificate, key)) => {
            let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
            builder.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    let stream = TcpStream::connect(listener).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let stream = TokioIo::new(stream.map_err(|why| why.to_string())?);
    let (sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    Ok(sender)
}

pub(crate) async fn status(
    sender: &mut SendRequest<Empty<Bytes>>,
    path: &str,
) -> Result<u16, String> {
    let request = Request::get(path).header("host", "localhost").body(Empty::new()).unwrap();
    let answer = sender.send_request(request).await.map_err(|why| why.to_string())?;
    let status = answer.status().as_u16();
    answer.into_body().collect().await.map_err(|why| why.to_string())?;
    Ok(status)
}

#[tokio::test]
async fn a_certificate_of_the_configured_ca_authenticates_its_user() {
    let rules =
        format!("[[clients.rule]]\nusers = [\"node-*\"]\nimages = [\"{REGISTRY}/{APP}\"]\n");
    let (servers, own, mut world) = with_certificates(&rules).await;
    world.push_signed("v1", "one");
    let path = format!("/v2/{APP}/manifests/v1");
    let mut node = connect(&world, &servers, Some(own.issue("node-1"))).await.unwrap();
    assert_eq!(status(&mut node, &path).await, Ok(200));
    let mut other = connect(&world, &servers, Some(own.issue("other"))).await.unwrap();
    assert_eq!(status(&mut other, "/v2/").await, Ok(200));
    assert_eq!(status(&mut other, &path).await, Ok(403));
}

#[tokio::test]
async fn without_a_valid_client_certificate_the_handshake_fails() {
    let (servers, _, world) = with_certificates("").await;
    for shown in [None, Some(Ca::new().issue("node-1"))] {
        // With TLS 1.3, the client sees the rejection only when it reads.
        let got = match connect(&world, &servers, shown).await {
            Ok(mut sender) => status(&mut sender, "/v2/").await,
            Err(why) => Err(why),
        };
        assert!(got.is_err(), "{got:?}");
    }
    assert!(world.registry.asked().is_empty());
}

#[tokio::test]
async fn with_both_a_client_without_a_certificate_may_use_a_password() {
    let (servers, own, world) = with_certificates("htpasswd = \"htpasswd\"\n").await;
    let mut none = connect(&world, &servers, None).await.unwrap();
    assert_eq!(status(&mut none, "/v2/").await, Ok(401));
    let mut node = connect(&world, &servers, Some(own.issue("node-1"))).await.unwrap();
    assert_eq!(status(&mut node, "/v2/").await, Ok(200));
}

#[tokio::test]
async fn a_connection_does_not_outlive_its_ca() {
    let (servers, own, mut world) = with_certificates("").await;
    let mut node = connect(&world, &servers, Some(own.issue("node-1"))).await.unwrap();
    assert_eq!(status(&mut node, "/v2/").await, Ok(200));
    let mut reloader = world.reloader();
    let next = Ca::new();
    world.configure(world.setup.clone().file("clients.pem", &next.pem));
    assert!(reloader.reload().await);
    assert_eq!(status(&mut node, "/v2/").await, Ok(403), "the connection is unchanged");
    let mut node = connect(&world, &servers, Some(next.issue("node-1"))).await.unwrap();
    assert_eq!(status(&mut node, "/v2/").await, Ok(200));
}

#[tokio::test]
async fn a_connection_does_not_outlive_its_certificate() {
    let (servers, own, world) = with_certificates("").await;
    let mut node = connect(&world, &servers, Some(own.issue("node-1"))).await.unwrap();
    assert_eq!(status(&mut node, "/v2/").await, Ok(200));
    // rcgen's last day is in the year 4096.
    world.pass(std::time::Duration::from_secs(2_200 * 366 * 86_400));
    assert_eq!(status(&mut node, "/v2/").await, Ok(403));
}

#[test]
fn every_wrong_value_of_clients_is_reported() {
    reported_at_once(
        r#"
[server]
listen = "127.0.0.1:0"
[store]
path = "store"
[[upstream]]
registry = "one.example"

[clients]
open = true #! clients.open: cannot be combined with `htpasswd`
htpasswd = "none" #! clients.htpasswd: cannot be read
tls_client_ca = "none" #! clients.tls_client_ca: cannot be read #! clients.tls_client_ca: needs TLS
user = "x" #! clients.user: unknown key

[[clients.rule]] #! clients.rule.users: needs at least one entry
images = ["one.example/a:v1", "one.example/a b"] #! clients.rule.images: repositories, not tags #! clients.rule.images: a character

[[clients.rule]]
users = ["", "alice"] #! clients.rule.users: the identity is empty
images = [] #! clients.rule.images: needs at least one entry
image = [] #! clients.rule.image: did you mean `images`?
"#,
    );
}

#[test]
fn access_rules_are_required_if_other_machines_can_connect() {
    let with = |listen: &str, clients: &str| {
        let text = format!(
            "[server]\nlisten = \"{listen}\"\n[store]\npath = \"store\"\n\
             [[upstream]]\nregistry = \"one.example\"\n{clients}"
        );
        problems(&text).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for near in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert_eq!(with(near, ""), Vec::<String>::new(), "{near}");
    }
    for far in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "128.0.0.1:1"] {
        let reported = with(far, "").join("\n");
        assert!(
            reported.contains("set who may pull") && reported.contains(far),
            "{far}: {reported}"
        );
        assert_eq!(with(far, "[clients]\nopen = true\n"), Vec::<String>::new(), "{far}");
        let closed = with(far, "[clients]\nopen = false\n").join("\n");
        assert!(closed.contains("set who may pull"), "{closed}");
    }
}
