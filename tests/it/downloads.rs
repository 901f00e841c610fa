//! Blobs on their way into the store: one download, however many ask, each at its own pace, and nothing
//! wrong or cut short looks whole or is kept.

use std::sync::atomic::{AtomicBool, Ordering};

use countersign::pull_through::{BlobError, FetchError};
use countersign::registry_client::{ByteRange, UpstreamError};
use futures_util::future::join_all;
use http::header::RANGE;

use crate::blob_site::{
    BlobSite, LENGTH, PIECE, app, blob, drain, drain_all, is_whole, other, piece, registry,
};
use crate::fake_registry::{Fault, respond};

#[tokio::test]
async fn many_at_once_share_one_download_each_at_its_own_pace() {
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
async fn the_first_byte_leaves_when_it_arrives() {
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
async fn a_range_is_served_from_a_download_under_way_as_soon_as_it_is_there() {
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
async fn a_download_goes_on_for_those_who_come_back() {
    let site = BlobSite::new().await;
    let gate = site.gated();
    drop(site.open(&app(), None).await.unwrap());
    gate.add_permits(100);
    site.kept(&app()).await;
    assert_eq!(site.gets().len(), 1);
}

#[tokio::test]
async fn where_upstream_breaks_off_the_download_resumes_and_nobody_notices() {
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
async fn where_it_cannot_be_resumed_all_learn_it_and_nothing_is_kept() {
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
async fn content_of_another_digest_never_looks_whole_and_is_not_kept() {
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
async fn content_that_is_too_long_or_too_short_is_not_kept() {
    for body in [blob()[..LENGTH - 1].to_vec(), [&blob()[..], b"x"].concat()] {
        let site = BlobSite::new().await;
        site.fake.hook(move |_| Some(Fault::Respond(respond(200, body.clone()))));
        let (_, end) = drain(site.open(&app(), None).await.unwrap()).await;
        assert!(end.is_err());
        assert_eq!(site.files(), 0);
    }
}

#[tokio::test]
async fn a_download_under_way_for_one_repository_is_no_gift_to_another() {
    let site = BlobSite::new().await;
    let gate = site.gated();
    let first = site.open(&app(), None).await.unwrap();
    let error = site.open(&other(), None).await.unwrap_err();
    assert!(matches!(error, FetchError::Upstream(UpstreamError::Absent { .. })), "{error:?}");
    let length = site.pull_through.blob_length(&registry(), &other(), &site.digest).await;
    assert!(length.is_err());
    site.fake.registry().put_blob(&other(), blob());
    let second = site.open(&other(), None).await.unwrap();
    gate.add_permits(100);
    is_whole(drain(second).await);
    is_whole(drain(first).await);
    site.kept(&other()).await;
    // The other repository was refused once and confirmed once, in the same words.
    assert_eq!(site.gets().len(), 3);
}

#[tokio::test]
async fn where_room_ends_on_the_way_everyone_goes_on_alone() {
    let site = BlobSite::with_room(LENGTH as u64 / 2).await;
    site.first(|| Fault::Unsized(70_000));
    let streams = site.open_many(3).await;
    drain_all(streams).await.into_iter().for_each(is_whole);
    assert_eq!(site.files(), 0);
    assert!(site.gets().iter().skip(1).all(|asked| asked.header(RANGE).starts_with("bytes=")));
}

#[tokio::test]
async fn the_rest_that_comes_alone_is_held_against_the_digest_too() {
    let site = BlobSite::with_room(LENGTH as u64 / 2).await;
    let first = AtomicBool::new(true);
    site.fake.hook(move |_| {
        Some(match first.swap(false, Ordering::SeqCst) {
            true => Fault::Unsized(70_000),
            false => Fault::Corrupt,
        })
    });
    let (came, end) = drain(site.open(&app(), None).await.unwrap()).await;
    assert!(came.len() < LENGTH);
    assert!(matches!(end, Err(BlobError::Mismatch(_))), "{end:?}");
}

#[tokio::test]
async fn what_upstream_refuses_all_who_wait_are_told_by_one_request() {
    let site = BlobSite::new().await;
    site.fake.hook(|_| Some(Fault::Respond(respond(403, ""))));
    let app = app();
    for stream in join_all((0..10).map(|_| site.open(&app, None))).await {
        let error = stream.unwrap_err();
        assert!(matches!(error, FetchError::Upstream(UpstreamError::Refused { .. })), "{error:?}");
    }
    // One that looked in the store for longer than the answer took asks anew.
    let asked = site.fake.asked().len();
    assert!((1..5).contains(&asked), "{asked}");
}
