//! Attacks on the resources that one client may hold. Each is bounded, uses loopback, and prints its figures.

mod answers;
mod connections;
mod hosts;
mod loops;
mod open_files;
mod requests;
mod sockets;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::wire::{rest, soon, status};

/// The longest wait of a bystander for a stored answer, on a busy machine. On an idle machine, the printed figures are
/// below 25 ms.
const BYSTANDER: Duration = Duration::from_millis(500);

type Sender = SendRequest<Full<Bytes>>;
type Connection = JoinHandle<Result<(), hyper::Error>>;

/// An HTTP/2 connection whose streams have a window of `window` bytes.
async fn http2(address: SocketAddr, window: u32) -> (Sender, Connection) {
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window);
    let stream = TokioIo::new(soon(TcpStream::connect(address)).await.unwrap());
    let (sender, connection) = soon(builder.handshake(stream)).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn get(address: SocketAddr, path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://{address}{path}")).body(Full::default()).unwrap()
}

/// Makes a new connection for each of `count` requests, all of which must be served; returns the 99th percentile of
/// their times.
async fn bystander(address: SocketAddr, path: &str, headers: &str, count: usize) -> Duration {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    let mut took = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        let mut stream = soon(TcpStream::connect(address)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        assert_eq!(status(&answer), 200, "{answer}");
        took.push(start.elapsed());
    }
    took.sort();
    let p99 = took[count * 99 / 100];
    assert!(p99 < BYSTANDER, "{p99:?}");
    p99
}
