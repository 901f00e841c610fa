//! Requests through outgoing proxies: both forms, credentials, exceptions, and proxies that fail.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use countersign::http_client::{Client, Method, NetError, Proxies, Timeouts};
use countersign::oci::{Digest, Reference, Repository};
use countersign::registry_client::{Config, Metrics, Upstream, UpstreamError};
use http::HeaderMap;
use http::header::{HOST, PROXY_AUTHORIZATION};

use crate::fake_registry::{FakeRegistry, REGISTRY, redirect};
use crate::files::file;
use crate::stand_in_proxy::{Behavior, StandInProxy};
use crate::tls_server;
use crate::whole_gate::{DEFAULTS, World};

/// What `robot:open sesame` is in `Proxy-Authorization`.
const ROBOT: &str = "Basic cm9ib3Q6b3BlbiBzZXNhbWU=";
/// Long enough for loopback.
const SHORT: Duration = Duration::from_millis(300);

fn app() -> Repository {
    "library/app".parse().unwrap()
}

fn proxies(url: &str) -> Proxies {
    Proxies::all(url.parse().unwrap())
}

/// A configuration of `url` whose requests go through `proxy`, with short timeouts.
fn through(proxy: &str, url: &str) -> Config {
    let mut config = Config::new(REGISTRY.parse().unwrap(), url.parse().unwrap());
    config.proxy.inherit(&proxies(proxy));
    config.timeouts =
        Timeouts { connect: SHORT, first_byte: SHORT * 2, idle: SHORT, total: SHORT * 30 };
    config
}

async fn manifest(config: &Config, digest: Digest) -> Result<(), UpstreamError> {
    let upstream = Upstream::new(config, &Metrics::default()).unwrap();
    upstream.manifest(&app(), &Reference::Digest(digest)).await.map(drop)
}

/// A registry over HTTPS, the port of its URL, and the file of its authority.
async fn secure(protocols: &[&str]) -> (FakeRegistry, std::path::PathBuf) {
    let (acceptor, authority) = tls_server::localhost(protocols);
    (FakeRegistry::start_tls(acceptor).await, file("ca.pem", &authority))
}

#[tokio::test]
async fn a_request_over_http_is_sent_to_the_proxy_with_the_whole_url() {
    let fake = FakeRegistry::start().await;
    let digest = fake.registry().put_image(&app(), "layer");
    let proxy = StandInProxy::start(fake.address(), Behavior::Forward).await;
    manifest(&through(&proxy.url(), "http://registry.test:5000"), digest).await.unwrap();
    let heads = proxy.heads();
    let begin =
        format!("GET http://registry.test:5000/v2/library/app/manifests/{digest} HTTP/1.1\r\n");
    assert!(heads[0].starts_with(&begin), "{heads:?}");
    let head = heads[0].to_ascii_lowercase();
    assert!(head.contains("\r\nhost: registry.test:5000\r\n"), "{head}");
    assert!(!head.contains("proxy-authorization"), "{head}");
}

#[tokio::test]
async fn a_request_over_https_is_sent_through_a_tunnel() {
    for protocols in [&["h2", "http/1.1"][..], &["http/1.1"]] {
        let (fake, ca) = secure(protocols).await;
        let digest = fake.registry().put_image(&app(), "layer");
        let proxy = StandInProxy::start(fake.address(), Behavior::ForwardFor(ROBOT)).await;
        let with_user = proxy.url().replace("//", "//robot:open%20sesame@");
        let port = fake.address().port();
        let mut config = through(&with_user, &format!("https://localhost:{port}"));
        config.timeouts = Timeouts::default();
        config.ca = Some(ca);
        manifest(&config, digest).await.unwrap();
        let heads = proxy.heads();
        let begin = format!("CONNECT localhost:{port} HTTP/1.1\r\n");
        assert!(heads[0].starts_with(&begin), "{heads:?}");
        // The credentials of the proxy are for the proxy alone.
        assert!(fake.asked().iter().all(|asked| asked.header(PROXY_AUTHORIZATION).is_empty()));
    }
}

#[tokio::test]
async fn the_credentials_of_the_proxy_are_sent_with_each_request_over_http() {
    let fake = FakeRegistry::start().await;
    let digest = fake.registry().put_image(&app(), "layer");
    let proxy = StandInProxy::start(fake.address(), Behavior::ForwardFor(ROBOT)).await;
    let with_user = proxy.url().replace("//", "//robot:open%20sesame@");
    manifest(&through(&with_user, "http://registry.test"), digest).await.unwrap();
}

#[tokio::test]
async fn a_proxy_that_fails_is_named_and_leaves_the_image_undecided() {
    let (fake, ca) = secure(&["http/1.1"]).await;
    let digest = fake.registry().put_image(&app(), "layer");
    let port = fake.address().port();
    for (behavior, why) in [
        (Behavior::ForwardFor(ROBOT), "the proxy rejects the user name or the password (407)"),
        (
            Behavior::Answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nNo.\n"),
            "the proxy answered 403 Forbidden",
        ),
        (
            Behavior::Answer("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"),
            "the proxy answered 503 Service Unavailable",
        ),
        (Behavior::Answer("HTTP/1.1 204 No Content\r\n\r\n"), "the proxy answered 204 No Content"),
        (
            Behavior::Answer("SSH-2.0-OpenSSH\r\n"),
            "the proxy closed the connection or does not speak HTTP",
        ),
        (Behavior::Close, "the proxy closed the connection or does not speak HTTP"),
        (Behavior::Silence, "no connection in time"),
    ] {
        let proxy = StandInProxy::start(fake.address(), behavior).await;
        let with_user = proxy.url().replace("//", "//robot:wrong@");
        let mut config = through(&with_user, &format!("https://localhost:{port}"));
        config.ca = Some(ca.clone());
        let error = manifest(&config, digest).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Unreachable(_)), "{behavior:?}: {error}");
        let text = error.to_string();
        assert!(text.contains(&format!("localhost through the proxy {}", proxy.url())), "{text}");
        assert!(text.contains(why) && !text.contains("wrong@"), "{behavior:?}: {text}");
        assert!(fake.asked().is_empty(), "{behavior:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_fails_a_request_over_http_is_named() {
    let fake = FakeRegistry::start().await;
    let digest = fake.registry().put_image(&app(), "layer");
    for (behavior, user, why) in [
        (Behavior::ForwardFor(ROBOT), "robot:wrong@", "rejects the user name or the password"),
        (Behavior::ForwardFor(ROBOT), "", "requires a user name and a password"),
        (Behavior::Close, "", "request to registry.test through the proxy"),
        (Behavior::Silence, "", "no answer in time"),
    ] {
        let proxy = StandInProxy::start(fake.address(), behavior).await;
        let with_user = proxy.url().replace("//", &format!("//{user}"));
        let error = manifest(&through(&with_user, "http://registry.test"), digest).await;
        let error = error.unwrap_err();
        assert!(matches!(error, UpstreamError::Unreachable(_)), "{behavior:?}: {error}");
        let text = error.to_string();
        assert!(text.contains(&format!("through the proxy {}", proxy.url())), "{text}");
        assert!(text.contains(why), "{behavior:?}: {text}");
    }
    // No server listens there.
    let gone: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let error = manifest(&through(&format!("http://{gone}"), "http://registry.test"), digest).await;
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains("through the proxy http://127.0.0.1:1: the proxy cannot be reached"),
        "{text}"
    );
}

#[tokio::test]
async fn a_target_in_no_proxy_is_reached_directly() {
    let fake = FakeRegistry::start().await;
    let digest = fake.registry().put_image(&app(), "layer");
    let proxy = StandInProxy::start(fake.address(), Behavior::Silence).await;
    let environment = |no_proxy: &str| {
        let (url, no_proxy) = (proxy.url(), no_proxy.to_owned());
        Proxies::from_environment(move |name| match name {
            "http_proxy" => Some(url.clone()),
            "NO_PROXY" => Some(no_proxy.clone()),
            _ => None,
        })
    };
    // Loopback is an exception of its own.
    let mut config = fake.config();
    config.proxy.inherit(&environment("").unwrap());
    manifest(&config, digest).await.unwrap();
    let mut config = through("http://unused", "http://registry.test");
    config.proxy = countersign::http_client::ProxyConfig::default();
    config.proxy.inherit(&environment("other.test").unwrap());
    let error = manifest(&config, digest).await.unwrap_err().to_string();
    assert!(error.contains("through the proxy"), "{error}");
    config.proxy.inherit(&environment("registry.test").unwrap());
    let error = manifest(&config, digest).await.unwrap_err().to_string();
    assert!(!error.contains("through the proxy"), "{error}");
}

#[tokio::test]
async fn a_server_cannot_send_the_gate_through_the_proxy_to_a_private_address() {
    let fake = FakeRegistry::start().await;
    let proxy = StandInProxy::start(fake.address(), Behavior::Forward).await;
    let base = "http://registry.test".parse().unwrap();
    let timeouts = Timeouts::default();
    let client = Client::through(&proxies(&proxy.url()), &base, None, 1, timeouts).unwrap();
    for host in
        ["169.254.169.254", "127.0.0.1", "10.0.0.1", "[::1]", "localhost", "a.localhost", "0x7f.1"]
    {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}/").parse().unwrap();
            let error = client.send(Method::Get, &url, &HeaderMap::new()).await.unwrap_err();
            assert!(matches!(error, NetError::Forbidden(_)), "{host}: {error:?}");
        }
    }
    assert!(proxy.heads().is_empty(), "{:?}", proxy.heads());
}

#[tokio::test]
async fn a_blob_elsewhere_is_fetched_through_the_proxy() {
    let fake = FakeRegistry::start().await;
    fake.registry().put_image(&app(), "layer");
    let digest = Digest::of(b"layer");
    fake.hook(|asked| {
        (asked.header(HOST) == "registry.test")
            .then(|| redirect("http://blobs.test/v2/library/app/blobs/x"))
    });
    let proxy = StandInProxy::start(fake.address(), Behavior::Forward).await;
    let config = through(&proxy.url(), "http://registry.test");
    let upstream = Upstream::new(&config, &Metrics::default()).unwrap();
    drop(upstream.blob(&app(), &digest, None).await);
    let heads = proxy.heads();
    assert!(heads[1].starts_with("GET http://blobs.test/"), "{heads:?}");
}

#[tokio::test]
async fn the_notary_server_of_an_anchor_is_reached_through_its_proxy() {
    let mut world = World::new().await;
    let manifest = world.push_signed("1", "signed");
    let notary: SocketAddr = world.notary.url().trim_start_matches("http://").parse().unwrap();
    let proxy = StandInProxy::start(notary, Behavior::Forward).await;
    let proxied = |proxy: &StandInProxy| {
        let mut setup = world.setup.clone();
        setup.tables =
            setup.tables.replace(DEFAULTS, &format!("{DEFAULTS}\nproxy = \"{}\"", proxy.url()));
        setup
    };
    let setup = proxied(&proxy);
    let refusing = StandInProxy::start(
        notary,
        Behavior::Answer("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"),
    )
    .await;
    let refused = proxied(&refusing);
    world.restart_with(setup).await;
    world.pull("1").await.serves(&manifest);
    assert!(proxy.heads()[0].starts_with("GET http://127.0.0.1:"), "{:?}", proxy.heads());
    world.setup = refused;
    world.restart_afresh().await;
    let answer = world.pull("1").await;
    answer.is_undecided("trust_unreachable");
    let message = String::from_utf8_lossy(&answer.body);
    assert!(message.contains(&format!("through the proxy {}", refusing.url())), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_uses_the_proxies_of_its_environment() {
    let fake = FakeRegistry::start().await;
    let digest = fake.registry().put_image(&app(), "layer");
    fake.registry().put_tag(&app(), "v1".parse().unwrap(), digest);
    let proxy = StandInProxy::start(fake.address(), Behavior::Forward).await;
    let config = "[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"store\"\n\
                  [[upstream]]\nregistry = \"registry.test\"\nurl = \"http://registry.test\"\n\
                  [[rule]]\nimages = [\"registry.test/**\"]\nmode = \"allow\"\nreason = \"a test\"\n";
    let config = file("countersign.toml", config);
    let run = async |variable: &'static str, value: String| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        for name in
            ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"]
        {
            command.env_remove(name);
        }
        command.args(["why", "registry.test/library/app:v1", "--config"]).arg(&config);
        command.env(variable, value);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    };
    let output = run("HTTP_PROXY", proxy.url()).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(proxy.heads()[0].contains(" http://registry.test/v2/"), "{:?}", proxy.heads());
    let output = run("HTTPS_PROXY", "socks5://user:secret@p".to_owned()).await;
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("HTTPS_PROXY is not an HTTP proxy") && !text.contains("secret"),
        "{text}"
    );
}
