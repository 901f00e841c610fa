//! Cold blobs that cannot be stored: clients that ask for one at the same time share one request to the upstream,
//! within bounded memory. A slow client delays the others only briefly.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use countersign::clock::{Clock, Timestamp};
use countersign::oci::Digest;
use countersign::pull_through::{self, BlobError, BlobStream, FetchError, Origin, PullThrough};
use countersign::registry_client::{ByteRange, UpstreamError};
use countersign::store::{self, Store};
use futures_util::future::join_all;
use http::header::RANGE;
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use crate::blob_site::{app, drain, drain_all, other, piece};
use crate::fake_registry::{FakeRegistry, Fault, hosted};
use crate::folder::Folder;
use crate::notary_repository::NOW;

const MIB: usize = 1 << 20;
/// More than a window keeps.
const LARGE: usize = 20 * MIB;
/// How long slow readers may delay others, and some time for a busy machine.
const MAX_DELAY: Duration = Duration::from_millis(2500);

struct Site {
    fake: FakeRegistry,
    pull_through: PullThrough,
    store: Option<Store>,
    _folder: Folder,
}

impl Site {
    async fn without_store() -> Self {
        let fake = FakeRegistry::start().await;
        let pull_through = PullThrough::new([fake.upstream()], 0);
        Self { fake, pull_through, store: None, _folder: Folder::new("unstored") }
    }

    /// With a store of so many bytes.
    async fn new(max_size: u64) -> Self {
        let mut site = Self::without_store().await;
        let path = site._folder.path().to_owned();
        let config = store::Config { path, max_size, scrub_every: Duration::from_secs(3600) };
        let clock = Clock::manual(Timestamp::from_unix(NOW));
        let store = Store::open(&config, clock, &store::Metrics::default()).unwrap();
        site.store = Some(store.clone());
        site.pull_through = site.pull_through.keeping(store, pull_through::Metrics::default());
        site
    }

    async fn open(
        &self,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<BlobStream, FetchError> {
        self.pull_through.blob(&hosted(app()), digest, range).await
    }

    async fn open_many(&self, digest: &Digest, range: Option<ByteRange>) -> Vec<BlobStream> {
        let opened = join_all((0..20).map(|_| self.open(digest, range))).await;
        opened.into_iter().map(Result::unwrap).collect()
    }

    fn put(&self, content: &Bytes) -> Digest {
        self.fake.registry().put_blob(&app(), content.clone())
    }

    /// Twenty clients get all of the blob, and the upstream gets one request.
    async fn twenty_share_one_request(&self, content: &Bytes) {
        let digest = self.put(content);
        let before = self.fake.asked().len();
        for (came, end) in drain_all(self.open_many(&digest, None).await).await {
            end.unwrap();
            assert!(came == content, "{} bytes", came.len());
        }
        assert_eq!(self.fake.asked().len() - before, 1);
    }
}

/// So many bytes, no two pieces alike.
fn content(length: usize) -> Bytes {
    (0..length).map(|at| ((at * 31) >> 7) as u8 ^ at as u8).collect::<Vec<_>>().into()
}

#[tokio::test]
async fn twenty_clients_of_a_blob_larger_than_the_store_cause_one_request() {
    Site::new(8 << 20).await.twenty_share_one_request(&content(LARGE)).await;
}

#[tokio::test]
async fn twenty_clients_of_a_blob_without_a_store_cause_one_request() {
    Site::without_store().await.twenty_share_one_request(&content(LARGE)).await;
}

#[tokio::test]
async fn twenty_clients_of_an_endless_blob_cause_one_request() {
    let site = Site::new(8 << 20).await;
    site.fake.hook(|_| Some(Fault::Unsized(70_000)));
    site.twenty_share_one_request(&content(LARGE)).await;
}

#[tokio::test]
async fn twenty_clients_cause_one_request_while_the_store_is_full_of_pinned_content() {
    let site = Site::new(8 << 20).await;
    let mut pinned = Vec::new();
    for n in 1..4_u8 {
        let digest = site.put(&vec![n; 5 * MIB / 2].into());
        loop {
            let stream = site.open(&digest, None).await.unwrap();
            if stream.origin() == Origin::Store {
                pinned.push(stream);
                break;
            }
            drain(stream).await.1.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    site.twenty_share_one_request(&content(4 * MIB)).await;
}

#[tokio::test]
async fn twenty_clients_cause_one_request_while_the_disk_fails() {
    let site = Site::new(64 << 20).await;
    std::fs::remove_dir_all(site._folder.join("incoming")).unwrap();
    site._folder.write("incoming", "no folder");
    site.twenty_share_one_request(&content(4 * MIB)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_clients_cause_one_request_while_the_disk_hangs() {
    let site = Site::new(64 << 20).await;
    let (answer, answers) = std::sync::mpsc::channel::<()>();
    let answers = std::sync::Mutex::new(answers);
    site.store.as_ref().unwrap().before_each_write(move || {
        let _ = answers.lock().unwrap().recv();
    });
    site.twenty_share_one_request(&content(4 * MIB)).await;
    drop(answer);
}

#[tokio::test]
async fn twenty_clients_of_the_same_range_cause_one_request() {
    let site = Site::new(8 << 20).await;
    let content = content(LARGE);
    let digest = site.put(&content);
    let range = ByteRange::Between { first: 5 << 20, last: (15 << 20) - 1 };
    for (came, end) in drain_all(site.open_many(&digest, Some(range)).await).await {
        end.unwrap();
        assert!(came == content[5 * MIB..15 * MIB], "{} bytes", came.len());
    }
    assert_eq!(site.fake.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_delays_others_briefly_and_then_continues_by_itself() {
    let site = Site::new(8 << 20).await;
    let content = content(LARGE);
    let digest = site.put(&content);
    let mut slow = site.open(&digest, None).await.unwrap();
    let read = piece(&mut slow).await.len();
    let others = site.open_many(&digest, None).await;
    let begun = Instant::now();
    for (came, end) in drain_all(others).await {
        end.unwrap();
        assert!(came == content);
    }
    assert!(begun.elapsed() <= MAX_DELAY, "{:?}", begun.elapsed());
    assert_eq!(site.fake.asked().len(), 1);
    let (came, end) = drain(slow).await;
    end.unwrap();
    assert!(came == content[read..], "{} bytes", came.len());
    let asked = site.fake.asked();
    assert_eq!(asked.len(), 2);
    assert!(asked[1].header(RANGE).starts_with("bytes="), "only the rest");
}

#[tokio::test(start_paused = true)]
async fn many_clients_that_stop_one_after_another_delay_others_no_longer_than_one() {
    let site = Site::new(8 << 20).await;
    let content = content(LARGE);
    let digest = site.put(&content);
    let slow = site.open_many(&digest, None).await;
    let other = site.open(&digest, None).await.unwrap();
    let begun = Instant::now();
    // The first stops at once, and each other one a MiB later than the one before.
    let stop = |(n, mut stream): (usize, BlobStream)| async move {
        let mut read = 0;
        while read < n * MIB {
            read += piece(&mut stream).await.len();
        }
        stream
    };
    let stopped = join_all(slow.into_iter().enumerate().map(stop).map(tokio::spawn));
    let (stopped, (came, end)) = tokio::join!(stopped, drain(other));
    end.unwrap();
    assert!(came == content);
    assert!(begun.elapsed() <= MAX_DELAY, "{:?}", begun.elapsed());
    drop(stopped);
}

#[tokio::test]
async fn clients_that_come_too_late_share_one_more_request() {
    let site = Site::new(8 << 20).await;
    let content = content(LARGE);
    let digest = site.put(&content);
    let mut first = site.open(&digest, None).await.unwrap();
    let mut read = 0;
    while read < 10 * MIB {
        read += piece(&mut first).await.len();
    }
    for (came, end) in drain_all(site.open_many(&digest, None).await).await {
        end.unwrap();
        assert!(came == content);
    }
    let (came, end) = drain(first).await;
    end.unwrap();
    assert!(came == content[read..]);
    assert_eq!(site.fake.asked().len(), 2);
}

#[tokio::test]
async fn content_of_another_digest_is_completed_for_none_of_the_clients() {
    for fault in [|| Fault::Corrupt, || Fault::CorruptUnsized, || Fault::CorruptUnsizedThenEmpty] {
        let site = Site::new(8 << 20).await;
        let content = content(LARGE);
        let digest = site.put(&content);
        site.fake.hook(move |_| Some(fault()));
        for (came, end) in drain_all(site.open_many(&digest, None).await).await {
            assert!(came.len() < content.len());
            assert!(matches!(end, Err(BlobError::Mismatch(_))), "{end:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_rest_for_a_slow_client_is_verified_too() {
    let site = Site::new(8 << 20).await;
    let content = content(LARGE);
    let digest = site.put(&content);
    let mut slow = site.open(&digest, None).await.unwrap();
    piece(&mut slow).await;
    let (came, end) = drain(site.open(&digest, None).await.unwrap()).await;
    end.unwrap();
    assert!(came == content);
    site.fake.hook(|_| Some(Fault::Corrupt));
    let (came, end) = drain(slow).await;
    assert!(came.len() < content.len());
    assert!(matches!(end, Err(BlobError::Mismatch(_))), "{end:?}");
}

#[tokio::test]
async fn a_refusal_answers_all_clients_of_a_range_at_once() {
    let site = Site::without_store().await;
    let digest = Digest::of(b"absent");
    let range = Some(ByteRange::From { first: 7 });
    for stream in join_all((0..20).map(|_| site.open(&digest, range))).await {
        let error = stream.unwrap_err();
        assert!(matches!(error, FetchError::Upstream(UpstreamError::Absent { .. })), "{error:?}");
    }
    assert_eq!(site.fake.asked().len(), 1);
}

#[tokio::test]
async fn another_repository_does_not_share_an_unstored_download() {
    let site = Site::new(8 << 20).await;
    let digest = site.put(&content(LARGE));
    let mut first = site.open(&digest, None).await.unwrap();
    piece(&mut first).await;
    let error = site.pull_through.blob(&hosted(other()), &digest, None).await.unwrap_err();
    assert!(matches!(error, FetchError::Upstream(UpstreamError::Absent { .. })), "{error:?}");
}

#[tokio::test]
async fn when_all_clients_leave_the_download_ends() {
    let site = Site::new(8 << 20).await;
    let digest = site.put(&content(LARGE));
    site.fake.hook(|_| Some(Fault::Stall(MIB)));
    let mut streams = site.open_many(&digest, None).await;
    for stream in &mut streams {
        piece(stream).await;
    }
    assert_eq!(site.fake.asked().len(), 1);
    drop(streams);
    tokio::time::timeout(Duration::from_secs(10), site.fake.cancelled()).await.unwrap();
}

/// A registry may send single bytes, and clients may read none of them.
#[tokio::test(start_paused = true)]
async fn unread_downloads_take_a_bounded_number_of_bytes() {
    let site = Site::new(8 << 20).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let mut streams = Vec::new();
    for n in 0..40_u8 {
        let digest = site.put(&vec![n; 16 * MIB].into());
        // One client does not read, and one reads as much as it can.
        streams.push(site.open(&digest, None).await.unwrap());
        let mut reads = site.open(&digest, None).await.unwrap();
        let sent = sent.clone();
        let read = async move {
            while let Some(Ok(frame)) = reads.frame().await {
                sent.fetch_add(frame.into_data().unwrap().len(), Ordering::Relaxed);
            }
        };
        // Shorter than the delay that a slow reader may cause.
        let _ = tokio::time::timeout(Duration::from_secs(1), read).await;
    }
    let read = sent.load(Ordering::Relaxed);
    assert!(read >= 60 * MIB, "the memory is used: {read}");
    assert!(read <= 64 * MIB + 40 * 2 * MIB, "{read}");
}
