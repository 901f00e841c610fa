//! Kernel memory for clients that read slowly or not at all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use countersign::server::Limits;
use http::Response;
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::wire::{Served, serve, soon};

/// The most kernel memory for one client: unsent data, one more segment, and the bookkeeping.
const MAX_KEPT: usize = 768 << 10;

/// Serves endless bodies.
async fn endless(limits: Limits) -> Served {
    serve(limits, None, |_, _| async {
        let piece = Frame::data(Bytes::from_static(&[b'x'; 64 << 10]));
        let pieces = futures_util::stream::repeat_with(move || {
            Ok::<_, std::io::Error>(Frame::data(piece.data_ref().cloned().unwrap_or_default()))
        });
        Response::new(StreamBody::new(pieces))
    })
    .await
}

/// A client with a small receive buffer.
async fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let mut stream = soon(socket.connect(address)).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    stream
}

/// The bytes that the kernel holds for the clients of that port, as it reports them.
fn kept(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!(":{port:04X}");
    let mut kept = 0;
    for line in table.lines().skip(1) {
        let columns: Vec<_> = line.split_whitespace().collect();
        if columns[1].ends_with(&local) {
            let (queued, _) = columns[4].split_once(':').unwrap();
            kept += usize::from_str_radix(queued, 16).unwrap();
        }
    }
    kept
}

/// Before the fix, 300 such clients held 1.2 GB.
#[tokio::test]
async fn clients_that_do_not_read_use_little_kernel_memory() {
    let limits = Limits { write_timeout: Duration::from_secs(2), ..Limits::default() };
    let served = endless(limits).await;
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(connect(served.address).await);
    }
    // Until no more is added.
    let (mut before, mut now) = (0, kept(served.address.port()));
    while now == 0 || now > before {
        tokio::time::sleep(Duration::from_millis(200)).await;
        (before, now) = (now, kept(served.address.port()));
    }
    eprintln!("{} clients that read nothing: {} KiB in the kernel", clients.len(), now >> 10);
    assert!(now <= clients.len() * MAX_KEPT, "{now}");
    // The memory is released with the connections, which are reset.
    soon(async {
        while kept(served.address.port()) > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    drop(clients);
}

/// Before the fix, a client that read 40 kB per second was disconnected after the 30 seconds of `write_timeout`,
/// because the kernel asked for more data only once a third of 4 MB was free. Here everything runs thirty times as
/// fast.
#[tokio::test]
async fn a_client_that_reads_steadily_is_not_disconnected() {
    let limits = Limits { write_timeout: Duration::from_secs(1), ..Limits::default() };
    let served = endless(limits).await;
    let mut client = connect(served.address).await;
    let taken = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let mut buffer = vec![0; 60_000];
    while start.elapsed() < Duration::from_secs(6) {
        soon(client.read_exact(&mut buffer)).await.unwrap();
        taken.fetch_add(buffer.len(), Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let rate = taken.load(Ordering::Relaxed) / 6 / 1000;
    eprintln!("read {rate} kB/s with a write_timeout of 1 s");
}
