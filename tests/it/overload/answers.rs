//! Unread responses on HTTP/2.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use countersign::server::Limits;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use tokio::sync::Notify;

use super::{bystander, get, http2};
use crate::connections::held;
use crate::fake_registry::{Fault, respond};
use crate::whole_gate::{APP, DEFAULTS, World};
use crate::wire::{serve, soon};

const SHORT: Duration = Duration::from_millis(200);

/// Bytes that are counted while they are in memory.
struct Counted(Arc<AtomicUsize>, Vec<u8>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.1
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1.len(), Ordering::SeqCst);
    }
}

#[tokio::test]
async fn an_unread_stream_is_reset_and_the_others_continue() {
    let limits = Limits { write_timeout: SHORT, ..Limits::default() };
    let (release, held_bytes) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let (slow, count) = (Arc::clone(&release), Arc::clone(&held_bytes));
    let served = serve(limits, None, move |_, request: Request<Incoming>| {
        let body = match request.uri().path() {
            "/slow" => Either::Left(held(&slow)),
            _ => {
                count.fetch_add(1 << 20, Ordering::SeqCst);
                let bytes = Counted(Arc::clone(&count), vec![b'x'; 1 << 20]);
                Either::Right(Full::new(Bytes::from_owner(bytes)))
            }
        };
        async { Response::new(body) }
    })
    .await;
    let (mut sender, _connection) = http2(served.address, 1).await;
    let slow = sender.send_request(get(served.address, "/slow")).await.unwrap();
    let mut unread = Vec::new();
    for _ in 0..32 {
        unread.push(sender.send_request(get(served.address, "/large")).await.unwrap());
    }
    soon(async {
        while held_bytes.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(SHORT / 20).await;
        }
    })
    .await;
    for answer in unread {
        assert!(soon(answer.into_body().collect()).await.is_err());
    }
    release.notify_one();
    // With a window of one byte, this one passes byte by byte: the client reads it.
    assert_eq!(soon(slow.into_body().collect()).await.unwrap().to_bytes(), "released");
}

#[tokio::test]
async fn a_stream_that_is_read_byte_by_byte_is_reset() {
    let limits = Limits { write_timeout: SHORT, ..Limits::default() };
    let served = serve(limits, None, |_, _| async {
        Response::new(Full::new(Bytes::from_static(&[b'x'; 1 << 20])))
    })
    .await;
    let (mut sender, _connection) = http2(served.address, 1).await;
    let answer = sender.send_request(get(served.address, "/")).await.unwrap();
    let mut body = answer.into_body();
    let dripping = async {
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return;
            }
            tokio::time::sleep(SHORT / 20).await;
        }
        panic!("the whole response arrived");
    };
    soon(dripping).await;
}

#[tokio::test]
async fn a_small_unread_response_ends_its_connection_despite_requests_in_progress() {
    let limits = Limits { write_timeout: SHORT, ..Limits::default() };
    let served = serve(limits, None, |_, request: Request<Incoming>| {
        let body = match request.uri().path() {
            "/slow" => Either::Left(held(&Arc::new(Notify::new()))),
            _ => Either::Right(Full::new(Bytes::from_static(b"small"))),
        };
        async { Response::new(body) }
    })
    .await;
    let (mut sender, connection) = http2(served.address, 1).await;
    let _slow = sender.send_request(get(served.address, "/slow")).await.unwrap();
    let _small = sender.send_request(get(served.address, "/small")).await.unwrap();
    let _ = soon(connection).await.unwrap();
}

/// Before the fix, four connections with a window of 1 held 1,161 MiB of tag lists.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_lists_take_bounded_memory() {
    let open = r#"[[rule]]
        images = ["registry.example.com/open/**"]
        mode = "allow"
        reason = "a test"
        "#;
    let mut world = World::with(DEFAULTS, open).await;
    world.setup = world.setup.clone().server("max_list_bytes = \"2MiB\"\nwrite_timeout = \"10m\"");
    world.restart().await;
    let manifest = world.push_signed("v1", "one");
    world.pull("v1").await.serves(&manifest);
    let tags: Vec<String> = (0..5000).map(|n| format!("{n:0>100}")).collect();
    let list = serde_json::json!({ "name": "open/app", "tags": tags }).to_string();
    let length = list.len();
    world.registry.hook(move |asked| {
        let tags = asked.path.ends_with("/tags/list");
        tags.then(|| Fault::Respond(respond(200, list.clone())))
    });
    let path = "/v2/open/app/tags/list?ns=registry.example.com";
    let (mut given, mut busy) = (0, 0);
    let mut attack = Vec::new();
    for _ in 0..4 {
        let (mut sender, connection) = http2(world.public(), 1).await;
        let mut answers = Vec::new();
        for _ in 0..8 {
            let answer = soon(sender.send_request(get(world.public(), path))).await.unwrap();
            match answer.status() {
                StatusCode::OK => given += 1,
                StatusCode::SERVICE_UNAVAILABLE => {
                    assert_eq!(answer.headers()["retry-after"], "5");
                    busy += 1;
                }
                other => panic!("{other}"),
            }
            answers.push(answer);
        }
        attack.push((sender, connection, answers));
    }
    let p99 = bystander(world.public(), &format!("/v2/{APP}/manifests/v1"), ACCEPT, 100).await;
    eprintln!(
        "32 unread lists: {given} given ({} KiB), {busy} refused; p99 {p99:?}",
        (given * length) >> 10
    );
    assert!((1..=4).contains(&given) && given * length <= 2 << 20, "{given} of {length} bytes");
    // Once the clients are gone, there is room again.
    for (sender, connection, answers) in attack {
        drop((sender, answers));
        connection.abort();
    }
    soon(async {
        while world.get(path).await.status != StatusCode::OK {
            tokio::time::sleep(SHORT / 10).await;
        }
    })
    .await;
}

const ACCEPT: &str = "Accept: application/vnd.oci.image.manifest.v1+json\r\n";
