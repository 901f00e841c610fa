//! Stored blobs and manifests: for the repositories that hold them, after a restart, during an outage, and within the
//! size limit.

use countersign::oci::Digest;
use countersign::pull_through::{FetchError, Origin};
use countersign::registry_client::{ByteRange, ContentRange, Part, UpstreamError};
use http::Method;
use http::header::RANGE;

use crate::blob_site::{BlobSite, LENGTH, app, blob, drain, is_whole, other};
use crate::fake_registry::{Fault, hosted, respond};

#[tokio::test]
async fn a_blob_is_fetched_once_and_stored() {
    let mut site = BlobSite::new().await;
    let stream = site.open(&app(), None).await.unwrap();
    assert_eq!(stream.origin(), Origin::Upstream);
    assert_eq!(stream.part(), Part::Whole { length: Some(LENGTH as u64) });
    is_whole(drain(stream).await);
    site.kept(&app()).await;
    site.restart().await;
    for _ in 0..2 {
        let stream = site.open(&app(), None).await.unwrap();
        assert_eq!(stream.origin(), Origin::Store);
        is_whole(drain(stream).await);
    }
    let length = site.pull_through.blob_length(&hosted(app()), &site.digest).await.unwrap();
    assert_eq!((length, site.fake.asked().len()), (Some(LENGTH as u64), 1));
    let metrics = site.metrics();
    assert!(metrics.contains(&format!("countersign_store_bytes {LENGTH}")), "{metrics}");
}

#[tokio::test]
async fn any_range_of_a_stored_blob_is_exactly_that_range() {
    let site = BlobSite::new().await;
    is_whole(drain(site.open(&app(), None).await.unwrap()).await);
    site.kept(&app()).await;
    let total = LENGTH as u64;
    for (range, first, last) in [
        (ByteRange::From { first: 0 }, 0, total - 1),
        (ByteRange::From { first: total - 1 }, total - 1, total - 1),
        (ByteRange::Between { first: 70_000, last: 200_000 }, 70_000, 200_000),
        (ByteRange::Between { first: 5, last: u64::MAX }, 5, total - 1),
        (ByteRange::Last { length: 3 }, total - 3, total - 1),
        (ByteRange::Last { length: u64::MAX }, 0, total - 1),
    ] {
        let stream = site.open(&app(), Some(range)).await.unwrap();
        assert_eq!(stream.part(), Part::Range(ContentRange { first, last, total }));
        let (came, end) = drain(stream).await;
        end.unwrap();
        assert!(came == blob()[first as usize..=last as usize], "{range:?}");
    }
    for range in [ByteRange::From { first: total }, ByteRange::Last { length: 0 }] {
        let error = site.open(&app(), Some(range)).await.unwrap_err();
        let FetchError::Upstream(UpstreamError::RangeUnsatisfiable { size }) = error else {
            panic!("{range:?}: {error:?}")
        };
        assert_eq!(size, Some(total));
    }
    assert_eq!(site.fake.asked().len(), 1);
}

#[tokio::test]
async fn a_blob_of_unknown_length_is_stored() {
    let site = BlobSite::new().await;
    site.first(|| Fault::Unsized(70_000));
    let stream = site.open(&app(), None).await.unwrap();
    assert_eq!(stream.part(), Part::Whole { length: None });
    is_whole(drain(stream).await);
    site.kept(&app()).await;
    assert_eq!(site.gets().len(), 1);
}

#[tokio::test]
async fn an_empty_blob_is_stored_only_under_its_own_digest() {
    let site = BlobSite::new().await;
    let empty = site.fake.registry().put_blob(&app(), "");
    for digest in [empty, site.digest] {
        site.fake.hook(|_| Some(Fault::Respond(respond(200, ""))));
        let stream = site.pull_through.blob(&hosted(app()), &digest, None).await;
        assert_eq!(stream.is_ok(), digest == empty);
        if let Ok(stream) = stream {
            let (came, end) = drain(stream).await;
            end.unwrap();
            assert!(came.is_empty());
        }
    }
}

#[tokio::test]
async fn content_stored_for_one_repository_is_not_served_to_another() {
    let site = BlobSite::new().await;
    is_whole(drain(site.open(&app(), None).await.unwrap()).await);
    site.kept(&app()).await;
    let error = site.open(&other(), None).await.unwrap_err();
    assert!(matches!(error, FetchError::Upstream(UpstreamError::Absent { .. })), "{error:?}");
    site.fake.registry().put_blob(&other(), blob());
    for _ in 0..2 {
        let stream = site.open(&other(), None).await.unwrap();
        assert_eq!(stream.origin(), Origin::Store);
        is_whole(drain(stream).await);
    }
    // In each case, it is requested once, with the same request as for content that is not stored.
    assert_eq!((site.gets().len(), site.asked(&Method::HEAD).len()), (3, 0));
}

#[tokio::test]
async fn during_an_outage_stored_content_is_served_and_other_content_is_undecided() {
    let site = BlobSite::new().await;
    is_whole(drain(site.open(&app(), None).await.unwrap()).await);
    site.kept(&app()).await;
    site.fake.hook(|_| Some(Fault::Drop));
    is_whole(drain(site.open(&app(), None).await.unwrap()).await);
    let error = site.open(&other(), None).await.unwrap_err();
    assert!(matches!(error, FetchError::Upstream(UpstreamError::Unreachable(_))), "{error:?}");
    let never = Digest::of(b"never seen");
    let error = site.pull_through.blob(&hosted(app()), &never, None).await.unwrap_err();
    assert!(matches!(error, FetchError::Upstream(UpstreamError::Unreachable(_))), "{error:?}");
}

#[tokio::test]
async fn content_that_does_not_fit_the_store_is_relayed() {
    let site = BlobSite::with_room(LENGTH as u64 - 1).await;
    for _ in 0..2 {
        let stream = site.open(&app(), None).await.unwrap();
        assert_eq!(stream.origin(), Origin::Upstream);
        is_whole(drain(stream).await);
    }
    assert_eq!((site.gets().len(), site.files()), (2, 0));
}

#[tokio::test]
async fn only_a_range_from_the_first_byte_stores_the_whole_blob() {
    let site = BlobSite::new().await;
    let tail = site.open(&app(), Some(ByteRange::Last { length: 10 })).await.unwrap();
    assert_eq!(drain(tail).await.0, blob()[LENGTH - 10..]);
    assert_eq!(site.gets()[0].header(RANGE), "bytes=-10");
    let probe = site.open(&app(), Some(ByteRange::Between { first: 0, last: 1 })).await.unwrap();
    assert_eq!(drain(probe).await.0, blob()[..2]);
    let all = site.open(&app(), Some(ByteRange::From { first: 0 })).await.unwrap();
    let range = ContentRange { first: 0, last: LENGTH as u64 - 1, total: LENGTH as u64 };
    assert_eq!(all.part(), Part::Range(range));
    is_whole(drain(all).await);
    site.kept(&app()).await;
    assert_eq!(site.gets()[2].header(RANGE), "");
}

#[tokio::test]
async fn concurrent_ranges_store_the_whole_blob() {
    let site = BlobSite::new().await;
    let first = ByteRange::Between { first: 0, last: (2 << 20) - 1 };
    is_whole(drain(site.open(&app(), Some(first)).await.unwrap()).await);
    site.kept(&app()).await;
    assert_eq!(site.gets().len(), 1);
}

#[tokio::test]
async fn a_manifest_survives_a_restart() {
    let mut site = BlobSite::new().await;
    let digest = site.fake.registry().put_image(&app(), "layer");
    let before = site.pull_through.manifest(&hosted(app()), &digest).await.unwrap();
    site.pull_through.keep(&hosted(app()), &before);
    site.restart().await;
    let after = site.pull_through.manifest(&hosted(app()), &digest).await.unwrap();
    assert_eq!(before.bytes(), after.bytes());
    assert_eq!(before.manifest().media_type(), after.manifest().media_type());
    assert!(site.pull_through.is_manifest(&hosted(app()), &digest));
    assert_eq!(site.fake.asked().len(), 1);
    assert!(site.pull_through.manifest(&hosted(other()), &digest).await.is_err());
}

#[tokio::test]
async fn a_corrupted_manifest_is_quarantined_and_fetched_again() {
    let mut site = BlobSite::new().await;
    let digest = site.fake.registry().put_image(&app(), "layer");
    let before = site.pull_through.manifest(&hosted(app()), &digest).await.unwrap();
    site.pull_through.keep(&hosted(app()), &before);
    site.restart().await;
    let mut rotten = before.bytes().to_vec();
    rotten[0] ^= 1;
    site.overwrite(&digest, &rotten);
    let after = site.pull_through.manifest(&hosted(app()), &digest).await.unwrap();
    assert_eq!(before.bytes(), after.bytes());
    assert_eq!(site.fake.asked().len(), 2);
    let metrics = site.metrics();
    assert!(metrics.contains("countersign_store_bytes 0"), "{metrics}");
}
