//! HTTPS: both versions of HTTP, and the certificate files and their changes.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use countersign::access::Handshake;
use countersign::server::{Limits, Tls, TlsError, Versions};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::wire::{Served, rest, serve, soon};

/// A certificate and its key in separate files.
struct Pair {
    cert: PathBuf,
    key: PathBuf,
}

impl Pair {
    /// Writes a new certificate into the folder `name`; also returns it in a client's format.
    fn new(name: &str) -> (Self, CertificateDer<'static>) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tls").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let pair = Self { cert: folder.join("server.crt"), key: folder.join("server.key") };
        let der = pair.renew();
        (pair, der)
    }

    fn renew(&self) -> CertificateDer<'static> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        write(&self.cert, &cert.pem());
        write(&self.key, &signing_key.serialize_pem());
        cert.der().clone()
    }

    fn load(&self) -> Result<Tls, TlsError> {
        Tls::load(&self.cert, &self.key, None, Handshake::Strict)
    }
}

fn write(path: &Path, text: &str) {
    File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

async fn secured(limits: Limits, tls: Arc<Tls>) -> Served {
    serve(limits, Some(tls), |_, request: Request<hyper::body::Incoming>| async move {
        Response::new(Full::<Bytes>::from(format!("{:?}", request.version())))
    })
    .await
}

/// A handshake that trusts only `root` and offers `protocols`.
async fn shake(
    served: &Served,
    root: &CertificateDer<'static>,
    protocols: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    soon(TlsConnector::from(Arc::new(config)).connect(name, served.connect().await)).await
}

fn get() -> Request<Full<Bytes>> {
    Request::get("https://localhost/").body(Full::default()).unwrap()
}

#[tokio::test]
async fn both_versions_of_http_are_negotiated() {
    let (pair, root) = Pair::new("versions");
    let served = secured(Limits::default(), Arc::new(pair.load().unwrap())).await;

    let stream = shake(&served, &root, &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let io = TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let answer = soon(sender.send_request(get())).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "HTTP/2.0");

    for protocols in [&[&b"http/1.1"[..]][..], &[]] {
        let stream = shake(&served, &root, protocols).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), protocols.first().copied());
        let io = TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let answer = soon(sender.send_request(get())).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "HTTP/1.1");
    }
}

#[tokio::test]
async fn http_2_is_not_offered_on_an_http_1_1_listener() {
    let (pair, root) = Pair::new("only-1");
    let limits = Limits { versions: Versions::OnlyHttp1, ..Limits::default() };
    let served = secured(limits, Arc::new(pair.load().unwrap())).await;
    let stream = shake(&served, &root, &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(shake(&served, &root, &[b"h2"]).await.is_err());
}

#[tokio::test]
async fn a_changed_certificate_is_used_by_the_next_connection() {
    let (pair, first) = Pair::new("reload");
    let limits = Limits { tls_poll: Duration::from_millis(5), ..Limits::default() };
    let served = secured(limits, Arc::new(pair.load().unwrap())).await;
    shake(&served, &first, &[]).await.unwrap();
    let second = pair.renew();
    soon(async { while shake(&served, &second, &[]).await.is_err() {} }).await;
    assert!(shake(&served, &first, &[]).await.is_err(), "the old one is still used");
}

#[tokio::test]
async fn an_invalid_certificate_keeps_the_old_one_and_is_logged_once() {
    let (pair, first) = Pair::new("broken");
    let tls = Arc::new(pair.load().unwrap());
    let served = secured(Limits::default(), Arc::clone(&tls)).await;
    assert!(!tls.reload().unwrap(), "there was no change");

    let key = std::fs::read_to_string(&pair.key).unwrap();
    let second = pair.renew();
    let new = std::fs::read_to_string(&pair.key).unwrap();
    write(&pair.key, &key);
    assert!(matches!(tls.reload(), Err(TlsError::Pair { .. })), "only half of the pair changed");
    assert!(!tls.reload().unwrap(), "there was no further change");
    std::fs::remove_file(&pair.key).unwrap();
    assert!(matches!(tls.reload(), Err(TlsError::Read(path, _)) if path == pair.key));
    assert!(!tls.reload().unwrap(), "there was no further change");
    shake(&served, &first, &[]).await.unwrap();

    write(&pair.key, &new);
    assert!(tls.reload().unwrap(), "the other half");
    shake(&served, &second, &[]).await.unwrap();
}

#[tokio::test]
async fn the_error_names_an_unusable_file() {
    let (pair, _) = Pair::new("named");
    let reported = |pair: &Pair| pair.load().unwrap_err().to_string();
    let missing = Pair { cert: pair.cert.with_extension("none"), key: pair.key.clone() };
    assert!(reported(&missing).contains("server.none"), "{}", reported(&missing));
    let swapped = Pair { cert: pair.key.clone(), key: pair.cert.clone() };
    assert!(
        reported(&swapped).contains("server.key contains no PEM certificate"),
        "{}",
        reported(&swapped)
    );
    let keyless = Pair { cert: pair.cert.clone(), key: pair.cert.clone() };
    assert!(
        reported(&keyless).contains("server.crt contains no PEM private key"),
        "{}",
        reported(&keyless)
    );
    write(&pair.key, &"x".repeat((1 << 20) + 1));
    assert!(reported(&pair).contains("server.key has more than"), "{}", reported(&pair));
    write(&pair.cert, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let (other, _) = Pair::new("named-other");
    let odd = Pair { cert: pair.cert.clone(), key: other.key };
    assert!(matches!(odd.load(), Err(TlsError::Pair { .. })));
}

#[tokio::test]
async fn a_client_that_does_not_finish_the_handshake_is_disconnected() {
    let (pair, _) = Pair::new("silent");
    let limits = Limits { handshake_timeout: Duration::from_millis(50), ..Limits::default() };
    let served = secured(limits, Arc::new(pair.load().unwrap())).await;
    let mut silent = served.connect().await;
    assert_eq!(rest(&mut silent).await, "");
    let mut plain = served.connect().await;
    plain.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(!rest(&mut plain).await.contains("HTTP"));
}
