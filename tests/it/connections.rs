//! Slow, silent, too many and abusive clients, and shutdown.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use countersign::server::Limits;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

use crate::wire::{Served, body, rest, serve, soon, status, until};

const SHORT: Duration = Duration::from_millis(50);
const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

type Answer = Response<Full<Bytes>>;

async fn hello(_: SocketAddr, _: Request<Incoming>) -> Answer {
    Response::new(Full::from("hello"))
}

/// Returns data without end, and reports when it is dropped.
struct Endless(mpsc::UnboundedSender<()>);

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 64 << 10])))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// Serves endless bodies; the channel reports those that were dropped.
async fn endless(limits: Limits) -> (Served, mpsc::UnboundedReceiver<()>) {
    let (given_up, heard) = mpsc::unbounded_channel();
    let service = move |_, _| {
        let body = Endless(given_up.clone());
        async { Response::new(body) }
    };
    (serve(limits, None, service).await, heard)
}

/// A body of one piece, once it is released.
pub(crate) fn held(
    release: &Arc<Notify>,
) -> impl Body<Data = Bytes, Error = Infallible> + Unpin + use<> {
    let release = Arc::clone(release);
    let piece = Box::pin(async move {
        release.notified().await;
        Full::new(Bytes::from_static(b"released"))
    });
    Late::Waiting(piece)
}

enum Late<F> {
    Waiting(Pin<Box<F>>),
    Here(Full<Bytes>),
}

impl<F: Future<Output = Full<Bytes>>> Body for Late<F> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            match &mut *self {
                Self::Here(body) => return Pin::new(body).poll_frame(cx),
                Self::Waiting(piece) => {
                    let piece = std::task::ready!(piece.as_mut().poll(cx));
                    *self = Self::Here(piece);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_headers_is_disconnected() {
    let limits = Limits { header_timeout: SHORT, ..Limits::default() };
    let served = serve(limits, None, hello).await;
    for start in ["", "G", "GET / HTTP/1.1\r\nHo", "PRI * HTTP/2.0\r\n\r\nSM\r\n"] {
        assert_eq!(served.exchange(start).await, "", "{start:?}");
    }
    // A client that sends a little now and then gets no more time.
    let mut stream = served.connect().await;
    let drip = async {
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let mut tick = tokio::time::interval(SHORT / 5);
        loop {
            tick.tick().await;
            if stream.write_all(b"a: b\r\n").await.is_err() {
                break;
            }
        }
    };
    soon(drip).await;
    // Nor after a first request.
    let mut stream = served.connect().await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    until(&mut stream, "hello").await;
    stream.write_all(b"GET").await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_a_complete_answer() {
    let limits = Limits { idle_timeout: SHORT, ..Limits::default() };
    let served = serve(limits, None, hello).await;
    let mut stream = served.connect().await;
    for _ in 0..3 {
        stream.write_all(GET.as_bytes()).await.unwrap();
        until(&mut stream, "hello").await;
    }
    assert_eq!(rest(&mut stream).await, "");
    // HTTP/2 sends GOAWAY.
    let (mut sender, connection) = http2(&served, |_| {}).await;
    let answer = sender.send_request(get()).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
    soon(connection).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected() {
    let limits = Limits { write_timeout: SHORT, ..Limits::default() };
    let (served, mut given_up) = endless(limits).await;
    let mut stream = served.connect().await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    soon(given_up.recv()).await.unwrap();
    // HTTP/2: the client's window stays closed, although it answers pings.
    let (mut sender, connection) = http2(&served, |_| {}).await;
    let answer = sender.send_request(get()).await.unwrap();
    soon(given_up.recv()).await.unwrap();
    drop(answer);
    let _ = soon(connection).await.unwrap();
}

#[tokio::test]
async fn a_disconnected_client_ends_its_answer() {
    let (served, mut given_up) = endless(Limits::default()).await;
    let mut stream = served.connect().await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    until(&mut stream, "xxx").await;
    drop(stream);
    soon(given_up.recv()).await.unwrap();
}

#[tokio::test]
async fn a_slow_answer_does_not_disconnect_the_client() {
    let limits = Limits {
        write_timeout: SHORT / 5,
        idle_timeout: SHORT / 5,
        header_timeout: SHORT / 5,
        ..Limits::default()
    };
    let release = Arc::new(Notify::new());
    let slow = Arc::clone(&release);
    let served = serve(limits, None, move |_, _| {
        let body = held(&slow);
        async { Response::new(body) }
    })
    .await;
    let mut stream = served.connect().await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    until(&mut stream, "\r\n\r\n").await;
    // Longer than every time limit for the client.
    tokio::time::sleep(SHORT).await;
    release.notify_one();
    until(&mut stream, "released").await;
}

#[tokio::test]
async fn concurrent_connections_are_limited() {
    let limits = Limits { max_connections: 2, ..Limits::default() };
    let release = Arc::new(Notify::new());
    let slow = Arc::clone(&release);
    let served = serve(limits, None, move |_, _| {
        let body = held(&slow);
        async { Response::new(body) }
    })
    .await;
    let mut first = served.connect().await;
    let mut second = served.connect().await;
    for stream in [&mut first, &mut second] {
        stream.write_all(GET.as_bytes()).await.unwrap();
        until(stream, "\r\n\r\n").await;
    }
    // Both are busy; a third one from the same address does not close them.
    assert_eq!(served.exchange(GET).await, "");
    release.notify_waiters();
    for stream in [&mut first, &mut second] {
        until(stream, "released").await;
    }
}

#[tokio::test]
async fn too_large_requests_get_a_clear_error() {
    let served = serve(Limits::default(), None, hello).await;
    let long = "x".repeat(33 << 10);
    let many = "a: b\r\n".repeat(101);
    for (request, expected) in [
        (format!("GET / HTTP/1.1\r\nHost: x\r\nLong: {long}\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n"), 431),
        (format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"), 431),
        ("GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n".to_owned(), 400),
        ("GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400),
        ("\u{0}\u{1}\u{2}nonsense\r\n\r\n".to_owned(), 400),
    ] {
        let answer = served.exchange(&request).await;
        assert_eq!(status(&answer), expected, "{:?}", &request[..40]);
    }
    let (mut sender, _connection) = http2(&served, |_| {}).await;
    let large = Request::get("http://x/").header("long", &long).body(Full::default()).unwrap();
    assert_eq!(sender.send_request(large).await.unwrap().status(), 431);
    assert!(sender.send_request(get()).await.unwrap().status().is_success());
}

#[tokio::test]
async fn the_gate_does_not_wait_for_a_request_body() {
    let served = serve(Limits::default(), None, hello).await;
    let mut stream = served.connect().await;
    stream
        .write_all(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(body(&rest(&mut stream).await), "hello");
}

#[tokio::test]
async fn shutdown_finishes_requests_in_progress() {
    let release = Arc::new(Notify::new());
    let slow = Arc::clone(&release);
    let served = serve(Limits::default(), None, move |_, request: Request<Incoming>| {
        let body = match request.uri().path() {
            "/slow" => Either::Left(held(&slow)),
            _ => Either::Right(Full::new(Bytes::from_static(b"hello"))),
        };
        async { Response::new(body) }
    })
    .await;
    let mut idle = served.connect().await;
    idle.write_all(GET.as_bytes()).await.unwrap();
    until(&mut idle, "hello").await;
    let mut busy = served.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    until(&mut busy, "\r\n\r\n").await;
    let (mut sender, connection) = http2(&served, |_| {}).await;
    let slow = Request::get("http://x/slow").body(Full::default()).unwrap();
    let streamed = sender.send_request(slow).await.unwrap();

    served.shutdown.cancel();
    // An idle connection is closed at once, and new ones are refused.
    assert_eq!(rest(&mut idle).await, "");
    soon(async { while TcpStream::connect(served.address).await.is_ok() {} }).await;
    assert!(!served.ended.is_finished());
    release.notify_waiters();
    assert!(rest(&mut busy).await.contains("released"));
    assert_eq!(streamed.into_body().collect().await.unwrap().to_bytes(), "released");
    let _ = soon(connection).await.unwrap();
    ended(served).await;
}

#[tokio::test]
async fn shutdown_ends_requests_that_take_too_long() {
    let limits = Limits { drain_timeout: SHORT, ..Limits::default() };
    let (served, mut given_up) = endless(limits).await;
    let mut stream = served.connect().await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    until(&mut stream, "xxx").await;
    served.shutdown.cancel();
    soon(given_up.recv()).await.unwrap();
    ended(served).await;
}

async fn ended(mut served: Served) {
    soon(&mut served.ended).await.unwrap();
}

fn get() -> Request<Full<Bytes>> {
    Request::get("http://x/").body(Full::default()).unwrap()
}

type Sender = hyper::client::conn::http2::SendRequest<Full<Bytes>>;
type Connection = tokio::task::JoinHandle<Result<(), hyper::Error>>;

/// An HTTP/2 connection with prior knowledge.
async fn http2(
    served: &Served,
    configure: impl FnOnce(&mut hyper::client::conn::http2::Builder<TokioExecutor>),
) -> (Sender, Connection) {
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    configure(&mut builder);
    let stream = TokioIo::new(served.connect().await);
    let (sender, connection) = soon(builder.handshake(stream)).await.unwrap();
    (sender, tokio::spawn(connection))
}
