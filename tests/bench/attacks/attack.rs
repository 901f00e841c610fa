//! The attacks: each goes on until it is dropped, which closes its connections.

use std::future::pending;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use countersign::oci::Digest;
use futures_util::future::join_all;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::site::{CONNECTIONS, STORED, Site, UNSTORED};

pub(crate) type Attack = fn(Arc<Site>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

macro_rules! attacks {
    ($($attack:ident),+ $(,)?) => {
        /// Each attack by its name.
        pub(crate) const ALL: &[(&str, Attack)] =
            &[$((stringify!($attack), |site| Box::pin($attack(site)))),+];
    };
}

attacks![
    random_names,
    random_digests,
    unread_lists,
    idle_connections,
    idle_health_checks,
    slow_ranges,
    abandoned_blobs,
    unread_sockets,
    requests_in_progress,
    endless_blobs,
    twenty_on_one_blob,
    large_manifests,
    many_referrers,
    a_million_tags,
    informational_responses,
];

/// No attack.
pub(crate) fn none(_: Arc<Site>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(pending())
}

/// An HTTP/2 connection whose streams have a window of so many bytes. Ends with `tasks`.
async fn http2(tasks: &mut JoinSet<()>, address: SocketAddr, window: u32) -> Sender {
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window);
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (sender, connection) = builder.handshake(stream).await.unwrap();
    tasks.spawn(async move { drop(connection.await) });
    sender
}

type Sender = SendRequest<Full<Bytes>>;

fn get(address: SocketAddr, path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://{address}{path}")).body(Full::default()).unwrap()
}

fn blob(repository: &str, digest: &Digest) -> String {
    format!("/v2/{repository}/blobs/{digest}")
}

fn random(of: usize, n: usize) -> Digest {
    Digest::of(format!("{of}/{n}").as_bytes())
}

/// Requests `paths` over one HTTP/2 connection; cancels most requests after a moment and lets the last ones wait.
async fn ask_and_leave(address: SocketAddr, paths: impl Iterator<Item = String>) {
    let mut tasks = JoinSet::new();
    let mut sender = http2(&mut tasks, address, 1 << 16).await;
    for (n, path) in paths.enumerate() {
        let asked = sender.send_request(get(address, &path));
        if n % 20 == 0 {
            tasks.spawn(async move { drop(asked.await) });
        } else {
            drop(tokio::time::timeout(Duration::from_millis(1), asked).await);
        }
        if sender.ready().await.is_err() {
            sender = http2(&mut tasks, address, 1 << 16).await;
        }
    }
    pending().await
}

/// Requests `paths` over one HTTP/2 connection, and does not read the answers.
async fn unread(address: SocketAddr, window: u32, paths: impl Iterator<Item = String>) {
    let mut tasks = JoinSet::new();
    let mut sender = http2(&mut tasks, address, window).await;
    for path in paths {
        let asked = sender.send_request(get(address, &path));
        tasks.spawn(async move {
            let answer = asked.await;
            pending::<()>().await;
            drop(answer);
        });
    }
    pending().await
}

/// Repeats requests for `paths`, over as many connections.
async fn repeat(address: SocketAddr, paths: Vec<String>) {
    let mut tasks = JoinSet::new();
    for path in paths {
        tasks.spawn(async move {
            loop {
                let mut connection = JoinSet::new();
                let mut sender = http2(&mut connection, address, 1 << 20).await;
                while let Ok(answer) = sender.send_request(get(address, &path)).await {
                    drop(answer.into_body().collect().await);
                }
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

async fn random_names(site: Arc<Site>) {
    let names = |of: usize| (0..4_000).map(move |n| format!("/v2/random/{of}-{n}/manifests/v1"));
    tokio::join!(ask_and_leave(site.public, names(1)), ask_and_leave(site.public, names(2)));
}

async fn random_digests(site: Arc<Site>) {
    let blobs = |of: usize| (0..4_000).map(move |n| blob("library/app", &random(of, n)));
    let manifests =
        |of: usize| (0..4_000).map(move |n| format!("/v2/library/app/manifests/{}", random(of, n)));
    let silent = |of: usize| (0..4_000).map(move |n| blob("open/silent/app", &random(of, n)));
    let address = site.public;
    tokio::join!(
        ask_and_leave(address, blobs(1)),
        ask_and_leave(address, manifests(2)),
        ask_and_leave(address, silent(3)),
    );
}

async fn unread_lists(site: Arc<Site>) {
    let paths = || (0..128).map(|n| format!("/v2/open/app-{n}/tags/list"));
    join_all((0..4).map(|_| unread(site.public, 1, paths()))).await;
}

async fn idle(address: SocketAddr, count: usize) {
    let mut held = Vec::new();
    for n in 0..count {
        let Ok(mut stream) = TcpStream::connect(address).await else { continue };
        let start: &[u8] = match n % 3 {
            0 => b"",
            1 => b"GET / HTTP/1.1\r\nHo",
            _ => b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        };
        let _ = stream.write_all(start).await;
        held.push(stream);
    }
    pending().await
}

async fn idle_connections(site: Arc<Site>) {
    idle(site.public, CONNECTIONS + 300).await;
}

async fn idle_health_checks(site: Arc<Site>) {
    idle(site.admin, 200).await;
}

async fn slow_ranges(site: Arc<Site>) {
    let digest = Digest::of(&vec![b'u'; UNSTORED]);
    let mut attackers = JoinSet::new();
    for of in 0..2_usize {
        let (site, path) = (site.clone(), blob("open/app", &digest));
        attackers.spawn(async move {
            let mut tasks = JoinSet::new();
            let mut sender = http2(&mut tasks, site.public, 1 << 10).await;
            for n in 1..=128_usize {
                let mut request = get(site.public, &path);
                let range = format!("bytes={}-", of * 1000 + n);
                request.headers_mut().insert("range", range.parse().unwrap());
                let asked = sender.send_request(request);
                tasks.spawn(async move {
                    let Ok(answer) = asked.await else { return };
                    let mut body = answer.into_body();
                    while let Some(Ok(_)) = body.frame().await {
                        tokio::time::sleep(Duration::from_millis(500)).await;
                    }
                });
            }
            pending::<()>().await;
        });
    }
    pending().await
}

async fn abandoned_blobs(site: Arc<Site>) {
    let stalls = "open/stalls/app".parse().unwrap();
    let put = |n: usize| site.registry.registry().put_blob(&stalls, n.to_be_bytes().repeat(1000));
    let digests: Vec<Digest> = (0..240).map(put).collect();
    loop {
        let asked = digests.iter().map(|digest| {
            let (address, path) = (site.public, blob("open/stalls/app", digest));
            async move {
                let mut tasks = JoinSet::new();
                let mut sender = http2(&mut tasks, address, 1 << 16).await;
                let answer = sender.send_request(get(address, &path));
                drop(tokio::time::timeout(Duration::from_millis(200), answer).await);
            }
        });
        join_all(asked).await;
    }
}

async fn unread_sockets(site: Arc<Site>) {
    let path = blob("open/app", &Digest::of(&vec![b's'; STORED]));
    let mut held = Vec::new();
    for _ in 0..300 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        let Ok(mut stream) = socket.connect(site.public).await else { continue };
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let _ = stream.write_all(request.as_bytes()).await;
        held.push(stream);
    }
    pending().await
}

async fn requests_in_progress(site: Arc<Site>) {
    let paths = |of: usize| (0..128).map(move |n| blob("open/silent/app", &random(of, n)));
    join_all((0..100).map(|of| unread(site.public, 1 << 16, paths(of)))).await;
}

async fn endless_blobs(site: Arc<Site>) {
    let endless = "open/endless/app".parse().unwrap();
    let digest = site.registry.registry().put_blob(&endless, vec![b'e'; UNSTORED]);
    repeat(site.public, vec![blob("open/endless/app", &digest); 4]).await;
}

/// One of the clients hardly reads.
async fn twenty_on_one_blob(site: Arc<Site>) {
    let path = blob("open/app", &Digest::of(&vec![b'u'; UNSTORED]));
    let mut slow = TcpStream::connect(site.public).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    slow.write_all(request.as_bytes()).await.unwrap();
    let drip = async {
        let mut buffer = vec![0; 32 << 10];
        while slow.read(&mut buffer).await.is_ok_and(|read| read > 0) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        pending::<()>().await;
    };
    tokio::join!(repeat(site.public, vec![path.clone(); 19]), drip);
}

async fn large_manifests(site: Arc<Site>) {
    let paths = (0..24).map(|n| format!("/v2/open/large/app-{n}/manifests/v1"));
    repeat(site.public, paths.collect()).await;
}

async fn many_referrers(site: Arc<Site>) {
    let paths = (0..30).map(|n| format!("/v2/open/app/referrers/{}", random(7, n)));
    repeat(site.public, paths.collect()).await;
}

async fn a_million_tags(site: Arc<Site>) {
    repeat(site.public, vec!["/v2/open/million/app/tags/list".to_owned(); 30]).await;
}

async fn informational_responses(site: Arc<Site>) {
    let paths = (0..30).map(|n| format!("/v2/app-{n}/tags/list?ns=hints.example.com"));
    repeat(site.public, paths.collect()).await;
}
