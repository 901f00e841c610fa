//! Cold blobs under load: slow readers and abandoned downloads give way to others, and no blob takes or pins the
//! whole store.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use countersign::clock::{Clock, Timestamp};
use countersign::oci::Digest;
use countersign::pull_through::{self, BlobError, BlobStream, Inspected, Origin, PullThrough};
use countersign::registry_client::{ByteRange, Config, Metrics, Upstream};
use countersign::requester::Requester;
use countersign::store::{self, Store};
use futures_util::future::join_all;
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use crate::blob_site::{app, drain, piece};
use crate::fake_registry::{FakeRegistry, Fault, hosted};
use crate::folder::Folder;
use crate::notary_repository::NOW;

const MIB: usize = 1 << 20;
/// The longest delay of a cold blob by slow and abandoned ones.
const MAX_DELAY: Duration = Duration::from_secs(2);

struct Site {
    fake: FakeRegistry,
    pull_through: PullThrough,
    _folder: Folder,
}

impl Site {
    async fn new(max_size: u64) -> Self {
        Self::with(max_size, Config::MAX_REQUESTS).await
    }

    /// With this limit of concurrent requests to upstream.
    async fn with(max_size: u64, max_requests: usize) -> Self {
        let fake = FakeRegistry::start().await;
        let folder = Folder::new("turns");
        let (path, scrub_every) = (folder.path().to_owned(), Duration::from_secs(3600));
        let store = store::Config { path, max_size, scrub_every };
        let clock = Clock::manual(Timestamp::from_unix(NOW));
        let store = Store::open(&store, clock, &store::Metrics::default()).unwrap();
        let config = Config { max_requests, ..fake.config() };
        let upstream = Upstream::new(&config, &Metrics::default()).unwrap();
        let pull_through = PullThrough::new([upstream], 0);
        let pull_through = pull_through.keeping(store, pull_through::Metrics::default());
        Self { fake, pull_through, _folder: folder }
    }

    /// A blob of this length; every byte is `n`.
    fn put(&self, n: u8, length: usize) -> Digest {
        self.fake.registry().put_blob(&app(), vec![n; length])
    }

    /// The pull-through on behalf of a client's connection.
    fn of(&self, address: u8, port: u16) -> PullThrough {
        let client = SocketAddr::from(([192, 0, 2, address], port));
        self.pull_through.on_behalf_of(Requester::from(client))
    }

    async fn keep(&self, digest: &Digest) {
        for _ in 0..1000 {
            let stream = self.pull_through.blob(&hosted(app()), digest, None).await.unwrap();
            if stream.origin() == Origin::Store {
                return;
            }
            drain(stream).await.1.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the blob was not stored");
    }

    async fn until_kept(&self, digest: &Digest) {
        for _ in 0..1000 {
            if self.is_kept(digest).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the blob was not stored");
    }

    async fn is_kept(&self, digest: &Digest) -> bool {
        self.pull_through.is_kept(&hosted(app()), digest).await
    }
}

/// Everything but so many bytes. Clients of the same range would share one request.
async fn range(client: &PullThrough, digest: &Digest, first: u64) -> BlobStream {
    let range = Some(ByteRange::From { first });
    client.blob(&hosted(app()), digest, range).await.unwrap()
}

/// Starts ranges over one connection without reading them.
async fn unread_ranges(
    client: &PullThrough,
    digest: &Digest,
    firsts: std::ops::Range<u64>,
) -> Vec<BlobStream> {
    let begun = firsts.map(|first| async move {
        let mut stream = range(client, digest, first).await;
        piece(&mut stream).await;
        stream
    });
    join_all(begun).await
}

#[tokio::test(start_paused = true)]
async fn slow_ranges_on_two_connections_delay_no_cold_blob_of_others() {
    let site = Site::new(64 << 20).await;
    let (large, small) = (site.put(1, MIB / 4), site.put(2, 1000));
    // 224 blobs may be in progress, 196 of them for one address.
    let mut held = unread_ranges(&site.of(1, 1), &large, 1..99).await;
    held.extend(unread_ranges(&site.of(1, 2), &large, 101..199).await);
    let more: Vec<_> = [1, 2]
        .map(|port| (site.of(1, port), u64::from(port) * 1000))
        .map(|(client, first)| {
            let firsts = first..first + 30;
            tokio::spawn(async move { unread_ranges(&client, &large, firsts).await.len() })
        })
        .into();
    tokio::task::yield_now().await;
    let begun = Instant::now();
    drain(range(&site.of(2, 1), &small, 1).await).await.1.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(250), "{:?}", begun.elapsed());
    let begun = Instant::now();
    drain(range(&site.of(1, 3), &small, 2).await).await.1.unwrap();
    assert!(begun.elapsed() <= MAX_DELAY, "{:?}", begun.elapsed());
    for more in more {
        assert_eq!(more.await.unwrap(), 30, "a slow reader blocks other clients");
    }
    let mut gave_way = 0;
    for mut stream in held {
        let next = stream.frame().await.unwrap();
        gave_way += usize::from(matches!(next, Err(BlobError::TooSlow)));
    }
    assert!((1..=61).contains(&gave_way), "{gave_way}: more turns were revoked than others need");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_keeps_its_turn_while_no_client_waits() {
    let site = Site::new(64 << 20).await;
    let digest = site.put(1, 16 * MIB);
    let mut stream = range(&site.of(1, 1), &digest, 1).await;
    piece(&mut stream).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    drain(range(&site.of(1, 1), &digest, 2).await).await.1.unwrap();
    assert!(stream.frame().await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn after_240_abandoned_downloads_the_next_blob_starts_at_once() {
    let site = Site::new(64 << 20).await;
    let abandoned: Vec<Digest> = (0..240).map(|n| site.put(n, 16 << 10)).collect();
    let wanted = site.put(250, 1000);
    let path = wanted.to_string();
    site.fake.hook(move |asked| (!asked.path.ends_with(&path)).then_some(Fault::Stall(1000)));
    let client = site.of(1, 1);
    let app = hosted(app());
    let open = abandoned.iter().map(|digest| client.blob(&app, digest, None));
    // Some have a turn, and some are waiting for one.
    let opened = tokio::time::timeout(Duration::from_secs(1), join_all(open)).await;
    drop(opened);
    let begun = Instant::now();
    let stream = client.blob(&app, &wanted, None).await.unwrap();
    drain(stream).await.1.unwrap();
    assert!(begun.elapsed() <= MAX_DELAY, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_endless_blob_evicts_no_more_than_its_share() {
    let site = Site::new(8 << 20).await;
    let kept: Vec<Digest> = (1..6).map(|n| site.put(n, MIB)).collect();
    for digest in &kept {
        site.keep(digest).await;
    }
    let endless = site.put(9, 7 * MIB);
    site.fake.hook(|_| Some(Fault::Unsized(70_000)));
    let stream = site.pull_through.blob(&hosted(app()), &endless, None).await.unwrap();
    let (came, end) = drain(stream).await;
    end.unwrap();
    assert_eq!(came, Bytes::from(vec![9; 7 * MIB]), "the blob is relayed but not stored");
    assert!(!site.is_kept(&endless).await);
    for digest in &kept {
        assert!(site.is_kept(digest).await, "5 MiB are stored, and the share is 2 MiB");
    }
}

#[tokio::test]
async fn three_clients_that_do_not_read_pin_at_most_half_of_the_store() {
    let site = Site::new(8 << 20).await;
    let kept: Vec<Digest> = (1..4).map(|n| site.put(n, 5 * MIB / 2)).collect();
    for digest in &kept {
        site.keep(digest).await;
    }
    let mut unread = Vec::new();
    for digest in &kept {
        let blob = site.pull_through.blob(&hosted(app()), digest, None).await.unwrap();
        assert_eq!(blob.origin(), Origin::Store);
        unread.push(blob);
    }
    let next = site.put(9, 4 * MIB);
    site.keep(&next).await;
    assert!(site.is_kept(&next).await);
    for (n, stream) in (1_u8..).zip(unread) {
        match drain(stream).await {
            (came, Ok(())) => assert_eq!(came, Bytes::from(vec![n; 5 * MIB / 2])),
            (_, Err(error)) => assert!(matches!(error, BlobError::Removed), "{error:?}"),
        }
    }
}

#[tokio::test]
async fn clients_of_cold_blobs_that_do_not_read_pin_nothing() {
    let site = Site::new(8 << 20).await;
    let mut unread = Vec::new();
    for n in 1..4 {
        let digest = site.put(n, 5 * MIB / 2);
        unread.push(site.pull_through.blob(&hosted(app()), &digest, None).await.unwrap());
        site.until_kept(&digest).await;
    }
    let next = site.put(9, 4 * MIB);
    site.keep(&next).await;
    assert!(site.is_kept(&next).await);
    for (n, stream) in (1_u8..).zip(unread) {
        match drain(stream).await {
            (came, Ok(())) => assert_eq!(came, Bytes::from(vec![n; 5 * MIB / 2])),
            (_, Err(error)) => assert!(matches!(error, BlobError::Unreadable(_)), "{error:?}"),
        }
    }
}

/// A range is classified through a request for the whole blob, which needs a turn, too.
#[tokio::test(start_paused = true)]
async fn a_range_of_a_cold_blob_does_not_wait_for_its_own_turn() {
    let site = Site::with(64 << 20, 1).await;
    let large = site.put(1, MIB);
    let range = Some(ByteRange::From { first: 1 });
    let client = site.of(1, 1);
    let inspected = client.inspected_blob(&hosted(app()), &large, range, false).await;
    let Inspected::Blob(stream) = inspected.unwrap() else {
        panic!("the blob counts as a manifest")
    };
    let (read, end) = drain(stream).await;
    end.unwrap();
    assert_eq!(read.len(), MIB - 1);
}
