//! Connections to a registry that end badly: forgotten by a NAT without a word, or closed by the server after a few requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use countersign::oci::{Reference, Repository};
use countersign::registry_client::{Metrics, Upstream};
use futures_util::future::join_all;
use http::{Response, Version};
use http_body_util::Full;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::fake_registry::FakeRegistry;
use crate::files::file;
use crate::relay::Relay;
use crate::tls_server;

/// The time that clients leave for a decision.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

fn app() -> Repository {
    "library/app".parse().unwrap()
}

async fn is_asked_anew(fake: &FakeRegistry, relay: &Relay, upstream: &Upstream, version: Version) {
    let digest = fake.registry().put_image(&app(), "layer");
    let reference = Reference::Digest(digest);
    upstream.manifest(&app(), &reference).await.unwrap();
    upstream.manifest(&app(), &reference).await.unwrap();
    assert_eq!(relay.connections(), 1);
    relay.forget();
    let started = Instant::now();
    upstream.manifest(&app(), &reference).await.unwrap();
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    assert_eq!(relay.connections(), 2);
    assert!(fake.asked().iter().all(|asked| asked.version == version));
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_connection_costs_a_new_one_and_not_the_request() {
    let fake = FakeRegistry::start().await;
    let relay = Relay::start(fake.address()).await;
    let mut config = fake.config();
    config.url = format!("http://{}", relay.address).parse().unwrap();
    let upstream = Upstream::new(&config, &Metrics::default()).unwrap();
    is_asked_anew(&fake, &relay, &upstream, Version::HTTP_11).await;
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_http2_connection_is_found_by_a_ping() {
    let (acceptor, authority) = tls_server::localhost(&["h2"]);
    let fake = FakeRegistry::start_tls(acceptor).await;
    let relay = Relay::start(fake.address()).await;
    let mut config = fake.config();
    config.url = format!("https://localhost:{}", relay.address.port()).parse().unwrap();
    config.ca = Some(file("ca.pem", &authority));
    let upstream = Upstream::new(&config, &Metrics::default()).unwrap();
    is_asked_anew(&fake, &relay, &upstream, Version::HTTP_2).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_that_is_slow_is_not_doubted() {
    let fake = FakeRegistry::start().await;
    let digest = fake.registry().put_image(&app(), "layer");
    fake.hook(|_| Some(crate::fake_registry::Fault::Silence));
    let started = Instant::now();
    fake.upstream().manifest(&app(), &Reference::Digest(digest)).await.unwrap_err();
    assert!(started.elapsed() >= std::time::Duration::from_secs(30), "{:?}", started.elapsed());
    assert_eq!(fake.asked().len(), 1);
}

/// A registry over HTTP/2 that closes each connection after three requests. Returns its port, its authority, and how many
/// connections it had.
async fn closes_after_three() -> (u16, String, Arc<AtomicUsize>) {
    let (acceptor, authority) = tls_server::localhost(&["h2"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            counter.fetch_add(1, Ordering::SeqCst);
            let (requests, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
            let close = Arc::clone(&enough);
            let service = service_fn(move |_| {
                if requests.fetch_add(1, Ordering::SeqCst) == 2 {
                    enough.notify_one();
                }
                async {
                    let body = Full::new(Bytes::from_static(br#"{"schemaVersion":2,"layers":[]}"#));
                    Ok::<_, std::convert::Infallible>(Response::new(body))
                }
            });
            tokio::spawn(async move {
                let mut server = http2::Builder::new(TokioExecutor::new());
                server.timer(TokioTimer::new());
                let connection = server.serve_connection(TokioIo::new(stream), service);
                tokio::pin!(connection);
                tokio::select! {
                    _ = connection.as_mut() => return,
                    () = close.notified() => connection.as_mut().graceful_shutdown(),
                }
                let _ = connection.await;
            });
        }
    });
    (port, authority, connections)
}

#[tokio::test]
async fn a_burst_over_http2_survives_a_server_that_closes_after_a_few_requests() {
    let (port, authority, connections) = closes_after_three().await;
    let fake = FakeRegistry::start().await;
    let mut config = fake.config();
    config.url = format!("https://localhost:{port}").parse().unwrap();
    config.ca = Some(file("ca.pem", &authority));
    let upstream = Upstream::new(&config, &Metrics::default()).unwrap();
    let app = app();
    let tag: Reference = "v1".parse().unwrap();
    for _ in 0..5 {
        let burst = (0..32).map(|_| upstream.manifest(&app, &tag));
        let failed = join_all(burst).await.into_iter().filter_map(Result::err).next();
        assert!(failed.is_none(), "{failed:?}");
    }
    assert!(connections.load(Ordering::SeqCst) > 5, "{connections:?}");
}
