//! Blobs that are relayed from a healthy, slow, broken or hostile registry.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use countersign::http_client::{NetError, Stage, Timeouts};
use countersign::oci::{Algorithm, Digest, Hasher, Repository};
use countersign::pull_through::{BlobError, BlobStream, FetchError, PullThrough};
use countersign::registry_client::{
    ByteRange, ContentRange, Metrics, Part, Upstream, UpstreamError, Violation,
};
use http::Method;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_RANGE, RANGE};
use http_body::Body as _;
use http_body_util::BodyExt;

use crate::fake_registry::{Asked, FakeRegistry, Fault, hosted, redirect, respond, with};

const BLOB: &[u8] = b"The quick brown fox jumps over the lazy dog, and the gate lets it through.";

fn app() -> Repository {
    "library/app".parse().unwrap()
}

/// A registry with [`BLOB`], the pull-through in front of it, and the digest.
async fn with_blob() -> (FakeRegistry, PullThrough, Digest) {
    let fake = FakeRegistry::start().await;
    let digest = fake.registry().put_blob(&app(), BLOB);
    let pull_through = PullThrough::new([fake.upstream()], PullThrough::CACHE);
    (fake, pull_through, digest)
}

/// The same, with that fault in the first answer only.
async fn with_fault(
    fault: impl Fn() -> Fault + Send + Sync + 'static,
) -> (FakeRegistry, BlobStream) {
    let (fake, pull_through, digest) = with_blob().await;
    let first = std::sync::atomic::AtomicBool::new(true);
    fake.hook(move |_| first.swap(false, std::sync::atomic::Ordering::SeqCst).then(&fault));
    let stream = pull_through.blob(&hosted(app()), &digest, None).await.unwrap();
    (fake, stream)
}

/// The bytes that arrived, and how the stream ended.
async fn drain(mut stream: BlobStream) -> (Bytes, Result<(), BlobError>) {
    let mut came = BytesMut::new();
    while let Some(frame) = stream.frame().await {
        match frame {
            Ok(frame) => came.extend_from_slice(&frame.into_data().unwrap()),
            Err(error) => {
                assert!(stream.frame().await.is_none(), "bytes after an error");
                return (came.freeze(), Err(error));
            }
        }
    }
    (came.freeze(), Ok(()))
}

#[tokio::test]
async fn a_blob_is_relayed_unchanged() {
    let (fake, pull_through, digest) = with_blob().await;
    let stream = pull_through.blob(&hosted(app()), &digest, None).await.unwrap();
    assert_eq!(stream.part(), Part::Whole { length: Some(BLOB.len() as u64) });
    assert_eq!(stream.size_hint().exact(), Some(BLOB.len() as u64));
    let (came, end) = drain(stream).await;
    end.unwrap();
    assert_eq!(came, BLOB);
    assert_eq!(fake.asked()[0].header(ACCEPT_ENCODING), "identity");
    let length = pull_through.blob_length(&hosted(app()), &digest).await.unwrap();
    assert_eq!(length, Some(BLOB.len() as u64));
}

#[tokio::test]
async fn a_blob_of_unknown_length_is_relayed_completely() {
    let (_fake, stream) = with_fault(|| Fault::Unsized(7)).await;
    assert_eq!(stream.part(), Part::Whole { length: None });
    let (came, end) = drain(stream).await;
    end.unwrap();
    assert_eq!(came, BLOB);
}

#[tokio::test]
async fn an_empty_blob_is_served() {
    let (fake, pull_through, _) = with_blob().await;
    let empty = fake.registry().put_blob(&app(), "");
    let stream = pull_through.blob(&hosted(app()), &empty, None).await.unwrap();
    let (came, end) = drain(stream).await;
    end.unwrap();
    assert!(came.is_empty());
}

#[tokio::test]
async fn a_blob_with_a_sha512_digest_is_verified() {
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(BLOB);
    let (fake, pull_through, sha256) = with_blob().await;
    let (good, bad) = (hasher.finish(), Hasher::new(Algorithm::Sha512).finish());
    fake.hook(|_| Some(Fault::Respond(respond(200, BLOB))));
    for (digest, is_good) in [(good, true), (sha256, true), (bad, false)] {
        let stream = pull_through.blob(&hosted(app()), &digest, None).await.unwrap();
        assert_eq!(drain(stream).await.1.is_ok(), is_good, "{digest}");
    }
}

#[tokio::test]
async fn a_range_is_served_exactly() {
    let (fake, pull_through, digest) = with_blob().await;
    let total = BLOB.len() as u64;
    for (range, first, last) in [
        (ByteRange::From { first: 10 }, 10, total - 1),
        (ByteRange::Between { first: 3, last: 7 }, 3, 7),
        (ByteRange::Between { first: 3, last: 700 }, 3, total - 1),
        (ByteRange::Last { length: 5 }, total - 5, total - 1),
        (ByteRange::From { first: 0 }, 0, total - 1),
    ] {
        let stream = pull_through.blob(&hosted(app()), &digest, Some(range)).await.unwrap();
        assert_eq!(stream.part(), Part::Range(ContentRange { first, last, total }));
        assert_eq!(stream.size_hint().exact(), Some(last - first + 1));
        let (came, end) = drain(stream).await;
        end.unwrap();
        assert_eq!(came, BLOB[first as usize..=last as usize]);
        assert_eq!(fake.asked().last().unwrap().header(RANGE), range.to_header());
    }
}

#[tokio::test]
async fn a_range_beyond_the_blob_is_unsatisfiable() {
    let (_fake, pull_through, digest) = with_blob().await;
    let range = Some(ByteRange::From { first: 1000 });
    let error = pull_through.blob(&hosted(app()), &digest, range).await.unwrap_err();
    let size = Some(BLOB.len() as u64);
    assert!(
        matches!(error, FetchError::Upstream(UpstreamError::RangeUnsatisfiable { size: said }) if said == size),
        "{error:?}"
    );
}

/// As docker-registry 2.8 answers.
#[tokio::test]
async fn a_suffix_range_of_zero_bytes_is_always_unsatisfiable() {
    let (fake, pull_through, digest) = with_blob().await;
    fake.hook(|asked| {
        let from_the_end_to_before_it = with(respond(206, ""), CONTENT_RANGE, "bytes 75-74/75");
        (asked.method == Method::GET).then_some(Fault::Respond(from_the_end_to_before_it))
    });
    let range = Some(ByteRange::Last { length: 0 });
    let error = pull_through.blob(&hosted(app()), &digest, range).await.unwrap_err();
    let size = Some(BLOB.len() as u64);
    assert!(
        matches!(error, FetchError::Upstream(UpstreamError::RangeUnsatisfiable { size: said }) if said == size),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_registry_without_ranges_sends_the_whole_blob() {
    let (fake, pull_through, digest) = with_blob().await;
    fake.hook(|_| Some(Fault::Respond(respond(200, BLOB))));
    let range = Some(ByteRange::From { first: 10 });
    let stream = pull_through.blob(&hosted(app()), &digest, range).await.unwrap();
    assert!(matches!(stream.part(), Part::Whole { .. }));
    let (came, end) = drain(stream).await;
    end.unwrap();
    assert_eq!(came, BLOB);
}

#[tokio::test]
async fn another_range_than_requested_is_refused() {
    let (fake, pull_through, digest) = with_blob().await;
    let asked = ByteRange::Between { first: 2, last: 4 };
    for content_range in
        ["bytes 0-2/75", "bytes 2-4/*", "bytes 2-5/75", "bytes 4-2/75", "2-4/75", ""]
    {
        fake.hook(move |_| {
            Some(Fault::Respond(with(respond(206, "abc"), CONTENT_RANGE, content_range)))
        });
        let error = pull_through.blob(&hosted(app()), &digest, Some(asked)).await.unwrap_err();
        assert!(is_violation(&error), "{content_range}: {error}");
    }
    fake.hook(|_| Some(Fault::Respond(respond(206, "abc"))));
    for range in [Some(asked), None] {
        let error = pull_through.blob(&hosted(app()), &digest, range).await.unwrap_err();
        assert!(is_violation(&error), "{error}");
    }
}

fn is_violation(error: &FetchError) -> bool {
    matches!(
        error,
        FetchError::Upstream(UpstreamError::Protocol(
            Violation::Range
                | Violation::Header("Content-Range")
                | Violation::Missing("Content-Range")
                | Violation::Status(_)
        ))
    )
}

#[tokio::test]
async fn a_wrong_blob_never_looks_complete() {
    let faults: [fn() -> Fault; 3] =
        [|| Fault::Corrupt, || Fault::CorruptUnsized, || Fault::CorruptUnsizedThenEmpty];
    for fault in faults {
        let (fake, stream) = with_fault(fault).await;
        let (came, end) = drain(stream).await;
        assert!(matches!(end, Err(BlobError::Mismatch(_))), "{end:?}");
        assert!(came.len() < BLOB.len(), "{} bytes came", came.len());
        assert_eq!(fake.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_wrong_blob_never_looks_complete_as_a_range_either() {
    let (fake, pull_through, digest) = with_blob().await;
    fake.hook(|_| Some(Fault::Corrupt));
    let range = Some(ByteRange::From { first: 0 });
    let stream = pull_through.blob(&hosted(app()), &digest, range).await.unwrap();
    let (came, end) = drain(stream).await;
    assert!(matches!(end, Err(BlobError::Mismatch(_))), "{end:?}");
    assert!(came.len() < BLOB.len());
}

#[tokio::test]
async fn a_short_blob_never_looks_complete() {
    let (_fake, stream) = with_fault(|| Fault::Respond(respond(200, &BLOB[..20]))).await;
    let (came, end) = drain(stream).await;
    assert!(matches!(end, Err(BlobError::Mismatch(_))), "{end:?}");
    assert!(came.len() < 20);
}

#[tokio::test]
async fn an_interrupted_blob_resumes_where_it_stopped() {
    let faults: [fn() -> Fault; 2] = [|| Fault::Truncate(20), || Fault::TruncateUnsized(20)];
    for fault in faults {
        let (fake, stream) = with_fault(fault).await;
        let (came, end) = drain(stream).await;
        end.unwrap();
        assert_eq!(came, BLOB);
        let asked = fake.asked();
        assert_eq!(asked.len(), 2);
        assert_eq!(asked[1].header(RANGE), "bytes=20-");
    }
}

#[tokio::test]
async fn a_blob_interrupted_before_its_first_byte_is_requested_again() {
    let (fake, stream) = with_fault(|| Fault::Truncate(0)).await;
    let (came, end) = drain(stream).await;
    end.unwrap();
    assert_eq!(came, BLOB);
    assert_eq!(fake.asked()[1].header(RANGE), "");
}

#[tokio::test]
async fn an_interrupted_range_resumes_up_to_its_end() {
    let (fake, pull_through, digest) = with_blob().await;
    fake.hook(|asked| (asked.before == 0 && is_first_range(asked)).then_some(Fault::Truncate(4)));
    let range = Some(ByteRange::Between { first: 10, last: 19 });
    let stream = pull_through.blob(&hosted(app()), &digest, range).await.unwrap();
    let (came, end) = drain(stream).await;
    end.unwrap();
    assert_eq!(came, BLOB[10..20]);
    assert_eq!(fake.asked()[1].header(RANGE), "bytes=14-19");
}

fn is_first_range(asked: &Asked) -> bool {
    asked.header(RANGE) == "bytes=10-19"
}

#[tokio::test]
async fn retries_of_an_interrupted_blob_are_limited() {
    let (fake, pull_through, digest) = with_blob().await;
    fake.hook(|_| Some(Fault::Truncate(2)));
    let stream = pull_through.blob(&hosted(app()), &digest, None).await.unwrap();
    let (came, end) = drain(stream).await;
    assert!(matches!(end, Err(BlobError::Interrupted(_))), "{end:?}");
    assert_eq!(fake.asked().len(), 6);
    assert!(came.len() <= 12 && BLOB.starts_with(&came));
}

#[tokio::test]
async fn a_blob_is_not_resumed_with_another_part_or_blob() {
    let faults: [fn() -> Fault; 4] = [
        || Fault::Respond(respond(200, &BLOB[1..])),
        || Fault::Respond(with(respond(206, &BLOB[19..]), CONTENT_RANGE, "bytes 19-73/74")),
        || Fault::Respond(with(respond(206, &BLOB[20..]), CONTENT_RANGE, "bytes 20-73/75")),
        || Fault::Respond(with(respond(206, "abc"), CONTENT_RANGE, "bytes 20-22/23")),
    ];
    for fault in faults {
        let (fake, pull_through, digest) = with_blob().await;
        fake.hook(move |asked| match asked.header(RANGE) {
            "" => Some(Fault::Truncate(20)),
            _ => Some(fault()),
        });
        let stream = pull_through.blob(&hosted(app()), &digest, None).await.unwrap();
        let (came, end) = drain(stream).await;
        assert!(matches!(end, Err(BlobError::OtherPart | BlobError::Resume(_))), "{end:?}");
        assert!(came.len() <= 20);
    }
}

#[tokio::test]
async fn a_blob_that_changes_before_a_retry_never_looks_complete() {
    let (fake, pull_through, digest) = with_blob().await;
    fake.hook(|asked| match asked.header(RANGE) {
        "" => Some(Fault::Truncate(20)),
        _ => Some(Fault::Corrupt),
    });
    let stream = pull_through.blob(&hosted(app()), &digest, None).await.unwrap();
    let (came, end) = drain(stream).await;
    assert!(matches!(end, Err(BlobError::Mismatch(_))), "{end:?}");
    assert!(came.len() < BLOB.len());
}

#[tokio::test]
async fn a_blob_that_always_stalls_ends_in_an_error() {
    let (fake, _, digest) = with_blob().await;
    fake.hook(|_| Some(Fault::Stall(0)));
    let mut config = fake.config();
    config.timeouts = Timeouts { idle: Duration::from_millis(50), ..Timeouts::default() };
    let upstream = Upstream::new(&config, &Metrics::default()).unwrap();
    let pull_through = PullThrough::new([upstream], PullThrough::CACHE);
    let stream = pull_through.blob(&hosted(app()), &digest, None).await.unwrap();
    let (_, end) = drain(stream).await;
    let stalled =
        matches!(end, Err(BlobError::Interrupted(NetError::TimedOut { stage: Stage::Body, .. })));
    assert!(stalled, "{end:?}");
    // Each of the five retries stalled, too.
    assert_eq!(fake.asked().len(), 6);
    fake.cancelled().await;
}

#[tokio::test]
async fn a_disconnected_client_cancels_the_upstream_request() {
    let (fake, stream) = with_fault(|| Fault::Stall(20)).await;
    drop(stream);
    fake.cancelled().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_slows_upstream_down() {
    const SIZE: usize = 32 << 20;
    let fake = FakeRegistry::start().await;
    let digest = fake.registry().put_blob(&app(), vec![7; SIZE]);
    fake.hook(|_| Some(Fault::Counted(64 << 10)));
    let pull_through = PullThrough::new([fake.upstream()], PullThrough::CACHE);
    let range = Some(ByteRange::From { first: 1 });
    let mut stream = pull_through.blob(&hosted(app()), &digest, range).await.unwrap();
    stream.frame().await.unwrap().unwrap();
    // The sockets' buffers fill; then no more data moves.
    let mut sent = usize::MAX;
    while sent != fake.sent() {
        sent = fake.sent();
        let all = async {
            while fake.sent() < SIZE - 1 {
                tokio::task::yield_now().await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_millis(50), all).await.is_err());
    }
    assert!(sent < SIZE / 2, "{sent} bytes were sent and one piece was read");
    drain(stream).await.1.unwrap();
    assert_eq!(fake.sent(), SIZE - 1);
}

#[tokio::test]
async fn a_redirected_blob_request_has_its_range_but_no_credentials() {
    let (there, _, digest) = with_blob().await;
    let (here, pull_through, _) = with_blob().await;
    let place = there.url("localhost");
    here.hook(move |asked| Some(redirect(format!("{place}{}", asked.path))));
    let range = ByteRange::From { first: 10 };
    let stream = pull_through.blob(&hosted(app()), &digest, Some(range)).await.unwrap();
    let (came, end) = drain(stream).await;
    end.unwrap();
    assert_eq!(came, BLOB[10..]);
    let asked = &there.asked()[0];
    assert_eq!(asked.header(RANGE), "bytes=10-");
    assert_eq!(asked.header(AUTHORIZATION), "");
}

#[tokio::test]
async fn a_blob_of_an_unconfigured_registry_is_not_requested() {
    let (fake, pull_through, digest) = with_blob().await;
    let other = "other.example.com/library/app".parse().unwrap();
    let error = pull_through.blob(&other, &digest, None).await.unwrap_err();
    assert!(matches!(error, FetchError::NoUpstream(_)));
    assert!(fake.asked().is_empty());
}
