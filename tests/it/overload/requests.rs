//! Requests in progress: their number is limited, and no client can block others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use countersign::oci::Digest;
use countersign::server::{Limits, Objection};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::task::JoinHandle;

use super::{bystander, get, http2};
use crate::fake_registry::Fault;
use crate::whole_gate::{APP, World};
use crate::wire::{serve, soon};

/// Before the fix, 12,800 concurrent requests used 409 MiB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_progress_are_bounded_and_a_new_connection_is_served() {
    let limits = Limits { max_requests: 128, max_streams: 64, ..Limits::default() };
    let (in_progress, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, count_refused) = (Arc::clone(&in_progress), Arc::clone(&refused));
    let served = serve(limits, None, move |_, request: Request<Incoming>| {
        let busy = request.extensions().get::<Objection>() == Some(&Objection::Busy);
        let waits = !busy && request.uri().path() == "/slow";
        count.fetch_add(usize::from(waits), Ordering::SeqCst);
        count_refused.fetch_add(usize::from(busy), Ordering::SeqCst);
        async move {
            if waits {
                std::future::pending::<()>().await;
            }
            let mut answer = Response::new(Full::new(Bytes::from_static(b"hello")));
            if busy {
                *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            answer
        }
    })
    .await;
    let mut attack = Vec::new();
    for _ in 0..10 {
        let (mut sender, connection) = http2(served.address, 1 << 16).await;
        let answers: Vec<_> = (0..64)
            .map(|_| tokio::spawn(sender.send_request(get(served.address, "/slow"))))
            .collect();
        attack.push((sender, connection, answers));
    }
    let counts = || (in_progress.load(Ordering::SeqCst), refused.load(Ordering::SeqCst));
    soon(async {
        while counts().0 + counts().1 < 640 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let (waiting, refused) = counts();
    let p99 = bystander(served.address, "/", "", 100).await;
    eprintln!("640 requests: {waiting} in progress, {refused} refused; p99 {p99:?}");
    assert!(waiting <= 128 + 10, "{waiting}");
    // Refused requests are refused promptly; the others wait.
    let answered = attack.into_iter().flat_map(|(_, _, answers)| answers);
    let answered = answered.filter(JoinHandle::is_finished).count();
    assert_eq!(answered, refused);
}

#[tokio::test]
async fn one_request_too_many_is_a_503_with_retry_after() {
    let mut world = World::new().await;
    world.setup = world.setup.clone().server("max_requests = 1");
    world.restart().await;
    world.registry.hook(|_| Some(Fault::Silence));
    let (mut sender, _connection) = http2(world.public(), 1 << 16).await;
    let path = format!("/v2/{APP}/blobs/{}", Digest::of(b"one"));
    let waits = tokio::spawn(sender.send_request(get(world.public(), &path)));
    soon(async {
        while world.registry.asked().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let answer = soon(sender.send_request(get(world.public(), "/v2/"))).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "5");
    // Another connection has its own place.
    assert_eq!(world.get("/v2/").await.status, StatusCode::OK);
    let metrics = world.metrics().await;
    assert!(metrics.contains("countersign_limit_reached_total{limit=\"requests\"} 1"), "{metrics}");
    waits.abort();
}
