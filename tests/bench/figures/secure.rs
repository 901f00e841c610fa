//! A client over TLS, with HTTP/1.1 or HTTP/2, that only reads. Uses hyper and rustls with their defaults.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use super::reader::{Answers, Sink};

/// The HTTP/2 windows of Go's client, and so of docker: for one answer, and for all together.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 1 << 30;

/// The TLS configuration for the benchmark's own servers.
pub(crate) struct Secure {
    tls: TlsConnector,
    http2: bool,
}

pub(crate) enum Connection {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

impl Secure {
    pub(crate) fn new(ca: &Path, http2: bool) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
        let mut config =
            ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        Self { tls: TlsConnector::from(Arc::new(config)), http2 }
    }

    pub(crate) async fn open(&self, url: &Url) -> Connection {
        let (host, port) = (url.host_str().unwrap(), url.port_or_known_default().unwrap());
        let stream = TcpStream::connect((host, port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let stream = self.tls.connect(name, stream).await.unwrap();
        let spoken = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        if self.http2 {
            assert_eq!(spoken.as_deref(), Some(&b"h2"[..]), "{url} does not speak HTTP/2");
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW);
            let (sender, driver) = builder.handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(driver);
            Connection::Http2(sender)
        } else {
            let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(driver);
            Connection::Http1(sender)
        }
    }
}

impl Connection {
    /// Requests `url` and reads the whole answer.
    pub(crate) async fn get(&mut self, url: &Url, sink: &mut Sink, answers: &mut Answers) {
        let asked = Instant::now();
        let answer = match self {
            Self::Http1(sender) => {
                let request = Request::get(url.path()).header(header::HOST, url.authority());
                sender.ready().await.unwrap();
                sender.send_request(request.body(Empty::new()).unwrap()).await
            }
            Self::Http2(sender) => {
                sender.send_request(Request::get(url.as_str()).body(Empty::new()).unwrap()).await
            }
        };
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 200, "{url}: {:?}", answer.headers());
        let length = answer.headers().get(header::CONTENT_LENGTH);
        let length = length.expect("a blob has a length").to_str().unwrap();
        let length: usize = length.parse().unwrap();
        let mut body = answer.into_body();
        let (mut read, mut first) = (0, None);
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.unwrap().into_data() {
                first.get_or_insert_with(|| asked.elapsed());
                sink.take(&data);
                read += data.len();
            }
        }
        assert_eq!(read, length, "{url}: the length differs from the announced one");
        answers.add(read, first.unwrap_or_else(|| asked.elapsed()));
    }
}
