//! A listener on a free port, and clients that send raw bytes to it, including bytes that no client library would
//! send.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use countersign::server::{Limits, Load, Server, Tls};
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The time limit of every wait.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A listener that serves until it is dropped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) ended: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.ended.abort();
    }
}

/// Serves `service` on a free port of loopback.
pub(crate) async fn serve<S, F, B>(limits: Limits, tls: Option<Arc<Tls>>, service: S) -> Served
where
    S: Fn(SocketAddr, Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let load = Load::new(&limits);
    let server = Server::new(listener, tls, limits, load, shutdown.clone(), service);
    let serving = async move {
        tokio::join!(server.clone().accept(), server.clone().watch_certificate(), server.drain());
    };
    Served { address, shutdown, ended: tokio::spawn(serving) }
}

/// The result of `future`, with a time limit.
#[track_caller]
pub(crate) fn soon<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let done = tokio::time::timeout(PATIENCE, future).await;
        done.unwrap_or_else(|_| panic!("{caller}: timeout"))
    }
}

impl Served {
    pub(crate) async fn connect(&self) -> TcpStream {
        soon(TcpStream::connect(self.address)).await.unwrap()
    }

    /// Sends `bytes` and reads until the server closes the connection.
    pub(crate) async fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        // A server may close before it has read everything.
        let _ = stream.write_all(bytes.as_ref()).await;
        rest(&mut stream).await
    }

    /// Sends one request without a body and closes; returns the whole answer as text.
    pub(crate) async fn request(&self, method: &str, target: &str, headers: &str) -> String {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        self.exchange(format!("{head}{headers}\r\n")).await
    }
}

/// Reads until the server closes the connection in any way.
pub(crate) async fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let _ = soon(stream.read_to_end(&mut all)).await;
    String::from_utf8_lossy(&all).into_owned()
}

/// Reads until `end` has arrived, and returns everything.
pub(crate) async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut all = Vec::new();
    while !String::from_utf8_lossy(&all).contains(end) {
        let byte = soon(stream.read_u8()).await.unwrap_or_else(|why| {
            panic!("{why} after {:?}, before {end:?}", String::from_utf8_lossy(&all))
        });
        all.push(byte);
    }
    String::from_utf8(all).unwrap()
}

/// The status of an answer as text.
#[track_caller]
pub(crate) fn status(answer: &str) -> u16 {
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    status.and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"))
}

/// The value of a header of an answer as text.
pub(crate) fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = answer.split_once("\r\n\r\n")?;
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// The body of an answer as text.
pub(crate) fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}
