//! Downloads into the store: one download for any number of clients, each at its own pace. Wrong or truncated content
//! never looks complete and is never stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use countersign::pull_through::{BlobError, FetchError};
use countersign::registry_client::{ByteRange, UpstreamError};
use futures_util::future::join_all;
use http::header::RANGE;
use tokio::sync::Semaphore;

use crate::blob_site::{
    BlobSite, LENGTH, PIECE, app, blob, drain, drain_all, is_whole, other, piece, registry,
};
use crate::fake_registry::{Fault, hosted, respond};

#[tokio::test]
async fn many_clients_share_one_download_each_at_its_own_pace() {
    let site = BlobSite::new().await;
    let gate = site.gated();
    let mut early = site.open(&app(), None).await.unwrap();
    gate.add_permits(3);
    let begun = piece(&mut early).await.len();
    let slow = site.open(&app(), None).await.unwrap();
    let others = tokio::spawn(drain_all(site.open_many(50).await));
    gate.add_permits(100);
    others.await.unwrap().into_iter().for_each(is_whole);
    is_whole(drain(slow).await);
    assert!(drain(early).await.0 == blob()[begun..]);
    assert_eq!(site.fake.asked().len(), 1);
}

#[tokio::test]
async fn the_first_byte_is_sent_when_it_arrives() {
    let site = BlobSite::new().await;
    let gate = site.gated();
    let mut stream = site.open(&app(), None).await.unwrap();
    gate.add_permits(1);
    let mut came = 0;
    while came < PIECE {
        came += piece(&mut stream).await.len();
    }
    assert_eq!(came, PIECE);
    gate.add_permits(100);
    assert_eq!(drain(stream).await.0, blob()[PIECE..]);
}

#[tokio::test]
async fn a_range_is_served_from_a_running_download_once_it_has_arrived() {
    let site = BlobSite::new().await;
    let gate = site.gated();
    let first = site.open(&app(), None).await.unwrap();
    gate.add_permits(3);
    let range = ByteRange::Between { first: 150_000, last: 250_000 };
    let stream = site.open(&app(), Some(range)).await.unwrap();
    let (came, end) = drain(stream).await;
    end.unwrap();
    assert!(came == blob()[150_000..=250_000]);
    let late = site.open(&app(), Some(ByteRange::Last { length: 10 })).await.unwrap();
    gate.add_permits(100);
    assert_eq!(drain(late).await.0, blob()[LENGTH - 10..]);
    is_whole(drain(first).await);
    assert_eq!(site.fake.asked().len(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_does_not_stop_the_download() {
    let site = BlobSite::new().await;
    let gate = site.gated();
    let mut first = site.open(&app(), None).await.unwrap();
    let second = site.open(&app(), None).await.unwrap();
    gate.add_permits(1);
    piece(&mut first).await;
    drop(first);
    gate.add_permits(100);
    is_whole(drain(second).await);
    assert_eq!(site.gets().len(), 1);
}

#[tokio::test]
async fn a_download_continues_for_returning_clients() {
    let site = BlobSite::new().await;
    let gate = site.gated();
    drop(site.open(&app(), None).await.unwrap());
    gate.add_permits(100);
    site.kept(&app()).await;
    assert_eq!(site.gets().len(), 1);
}

#[tokio::test]
async fn an_interrupted_download_resumes_without_client_errors() {
    let site = BlobSite::new().await;
    site.first(|| Fault::Truncate(345_678));
    let streams = site.open_many(5).await;
    drain_all(streams).await.into_iter().for_each(is_whole);
    site.kept(&app()).await;
    let gets = site.gets();
    assert_eq!(gets.len(), 2);
    assert_eq!(gets[1].header(RANGE), "bytes=345678-");
}

#[tokio::test(start_paused = true)]
async fn if_a_download_cannot_resume_all_clients_fail_and_nothing_is_stored() {
    let site = BlobSite::new().await;
    site.fake.hook(|asked| match asked.header(RANGE) {
        "" => Some(Fault::Truncate(345_678)),
        _ => Some(Fault::Respond(respond(500, ""))),
    });
    let streams = site.open_many(5).await;
    for (came, end) in drain_all(streams).await {
        assert!(came.len() < LENGTH && end.is_err(), "{end:?}");
    }
    assert_eq!(site.files(), 0);
    let metrics = site.metrics();
    let line = r#"countersign_blobs_broken_total{reason="interrupted"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn content_of_another_digest_is_never_completed_or_stored() {
    for fault in [|| Fault::Corrupt, || Fault::CorruptUnsized, || Fault::CorruptUnsizedThenEmpty] {
        let site = BlobSite::new().await;
        site.first(fault);
        let streams = site.open_many(3).await;
        for (came, end) in drain_all(streams).await {
            assert!(came.len() < LENGTH);
            assert!(matches!(end, Err(BlobError::Mismatch(_))), "{end:?}");
        }
        assert_eq!(site.files(), 0);
        let metrics = site.metrics();
        let line = r#"countersign_blobs_broken_total{reason="mismatch"} 1"#;
        assert!(metrics.contains(line), "{metrics}");
        is_whole(drain(site.open(&app(), None).await.unwrap()).await);
    }
}

#[tokio::test]
async fn content_of_the_wrong_length_is_not_stored() {
    for body in [blob()[..LENGTH - 1].to_vec(), [&blob()[..], b"x"].concat()] {
        let site = BlobSite::new().await;
        site.fake.hook(move |_| Some(Fault::Respond(respond(200, body.clone()))));
        let (_, end) = drain(site.open(&app(), None).await.unwrap()).await;
        assert!(end.is_err());
        assert_eq!(site.files(), 0);
    }
}

#[tokio::test]
async fn a_running_download_is_not_shared_with_another_repository() {
    let site = BlobSite::new().await;
    let gate = site.gated();
    let first = site.open(&app(), None).await.unwrap();
    let error = site.open(&other(), None).await.unwrap_err();
    assert!(matches!(error, FetchError::Upstream(UpstreamError::Absent { .. })), "{error:?}");
    let length = site.pull_through.blob_length(&hosted(other()), &site.digest).await;
    assert!(length.is_err());
    site.fake.registry().put_blob(&other(), blob());
    let second = site.open(&other(), None).await.unwrap();
    gate.add_permits(100);
    is_whole(drain(second).await);
    is_whole(drain(first).await);
    site.kept(&other()).await;
    // The other repository was refused when it was opened, and again for its length: a refused `HEAD` is only a hint,
    // so a `GET` follows. The last request confirmed its copy.
    assert_eq!(site.gets().len(), 4);
}

#[tokio::test]
async fn if_the_store_fills_up_all_clients_share_the_rest() {
    let site = BlobSite::with_room(LENGTH as u64 / 2).await;
    site.first(|| Fault::Unsized(70_000));
    let streams = site.open_many(3).await;
    drain_all(streams).await.into_iter().for_each(is_whole);
    assert_eq!(site.files(), 0);
    assert_eq!(site.gets().len(), 1);
}

#[tokio::test]
async fn a_separately_fetched_rest_is_checked_against_the_digest() {
    let site = BlobSite::with_room(LENGTH as u64 / 2).await;
    let first = AtomicBool::new(true);
    site.fake.hook(move |_| {
        Some(match first.swap(false, Ordering::SeqCst) {
            true => Fault::TruncateUnsized(345_678),
            false => Fault::Corrupt,
        })
    });
    let (came, end) = drain(site.open(&app(), None).await.unwrap()).await;
    assert!(came.len() < LENGTH);
    assert!(matches!(end, Err(BlobError::Mismatch(_))), "{end:?}");
}

#[tokio::test]
async fn one_upstream_refusal_answers_all_waiting_clients() {
    let site = BlobSite::new().await;
    let gate = Arc::new(Semaphore::new(0));
    let refusal = Arc::clone(&gate);
    site.fake.hook(move |_| Some(Fault::RespondGated(respond(403, ""), Arc::clone(&refusal))));
    let app = app();
    let clients = join_all((0..10).map(|_| site.open(&app, None)));
    let refused_together = async {
        while site.pull_through.waiting(&registry(), &site.digest) < 10 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(10);
    };
    let (streams, ()) = tokio::join!(clients, refused_together);
    for stream in streams {
        let error = stream.unwrap_err();
        assert!(matches!(error, FetchError::Upstream(UpstreamError::Refused { .. })), "{error:?}");
    }
    let asked = site.fake.asked();
    assert_eq!(asked.iter().filter(|asked| asked.path.contains("/blobs/")).count(), 1);
}
