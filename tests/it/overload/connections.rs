//! Idle and almost idle connections.

use std::time::{Duration, Instant};

use bytes::Bytes;
use countersign::server::Limits;
use http::Response;
use http_body_util::Full;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::bystander;
use crate::whole_gate::World;
use crate::wire::{rest, serve, soon, status, until};

/// Before the fix, as many idle connections as the limit locked out all other clients for a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_do_not_block_other_clients() {
    let limits = Limits { max_connections: 128, ..Limits::default() };
    let served = serve(limits, None, |_, _| async {
        Response::new(Full::new(Bytes::from_static(b"hello")))
    })
    .await;
    let mut idle = Vec::new();
    for n in 0..300 {
        let mut stream = served.connect().await;
        let start: &[u8] = match n % 3 {
            0 => b"",
            1 => b"GET / HTTP/1.1\r\nHo",
            _ => b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        };
        // Some of them were already closed in favor of others.
        let _ = stream.write_all(start).await;
        idle.push(stream);
    }
    let p99 = bystander(served.address, "/", "", 200).await;
    eprintln!("300 idle connections to 128 places: p99 {p99:?}");
}

#[tokio::test]
async fn the_idlest_connection_is_closed_for_a_new_one() {
    let limits = Limits { max_connections: 2, ..Limits::default() };
    let served = serve(limits, None, |_, _| async {
        Response::new(Full::new(Bytes::from_static(b"hello")))
    })
    .await;
    let mut idlest = served.connect().await;
    let mut used = served.connect().await;
    for stream in [&mut idlest, &mut used] {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        until(stream, "hello").await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(status(&served.request("GET", "/", "").await), 200);
    assert_eq!(rest(&mut idlest).await, "");
    used.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    until(&mut used, "hello").await;
}

/// Before the fix, 64 idle connections blocked `/livez` for a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_to_the_admin_listener_do_not_block_health_checks() {
    let world = World::new().await;
    let admin = world.admin();
    let admin = admin.strip_prefix("http://").unwrap().parse().unwrap();
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(soon(TcpStream::connect(admin)).await.unwrap());
    }
    let start = Instant::now();
    let p99 = bystander(admin, "/livez", "", 50).await;
    eprintln!(
        "200 idle connections to the admin listener: p99 {p99:?}, {:?} in all",
        start.elapsed()
    );
}
