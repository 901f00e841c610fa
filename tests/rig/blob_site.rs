//! A registry with one blob, a pull-through with a store, and the clients' view of the blob.

#![allow(clippy::unwrap_used, reason = "a rig that fails is a test that fails")]
#![allow(clippy::cast_possible_truncation, reason = "the blob is small")]
#![allow(unreachable_pub, reason = "reads the same wherever it is included")]

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use countersign::clock::{Clock, Timestamp};
use countersign::oci::{Digest, Registry, Repository};
use countersign::pull_through::{self, BlobError, BlobStream, FetchError, Origin, PullThrough};
use countersign::registry_client::ByteRange;
use countersign::store::{self, Store};
use futures_util::future::join_all;
use http::Method;
use http_body_util::BodyExt;
use prometheus_client::registry::Registry as Counted;
use tokio::sync::Semaphore;

use crate::fake_registry::{Asked, FakeRegistry, Fault, REGISTRY, hosted};
use crate::folder::Folder;
use crate::notary_repository::NOW;

/// The default capacity for content, in bytes.
const ROOM: u64 = 64 << 20;
/// The length of [`blob`], in bytes.
pub const LENGTH: usize = 1_000_000;
/// The length of a piece of a gated answer, in bytes.
pub const PIECE: usize = 100_000;

pub fn registry() -> Registry {
    REGISTRY.parse().unwrap()
}

pub fn app() -> Repository {
    "library/app".parse().unwrap()
}

pub fn other() -> Repository {
    "team/other".parse().unwrap()
}

pub fn blob() -> Bytes {
    (0..LENGTH).map(|at| ((at * at) >> 3) as u8).collect::<Vec<_>>().into()
}

/// A registry that has [`blob`] in [`app`], and the gate's pull-through with a store.
pub struct BlobSite {
    pub fake: FakeRegistry,
    pub pull_through: PullThrough,
    store: Option<Store>,
    pub digest: Digest,
    folder: Folder,
    pub counted: Counted,
}

impl BlobSite {
    pub async fn new() -> Self {
        Self::with_room(ROOM).await
    }

    pub async fn with_room(max_size: u64) -> Self {
        let fake = FakeRegistry::start().await;
        let digest = fake.registry().put_blob(&app(), blob());
        let folder = Folder::new("downloads");
        let (pull_through, store, counted) = opened(&fake, &folder, max_size);
        Self { fake, pull_through, store: Some(store), digest, folder, counted }
    }

    /// The same after a restart on the same store.
    pub async fn restart(&mut self) {
        self.pull_through.close().await;
        (self.pull_through, self.store) = (PullThrough::new([], 0), None);
        let (pull_through, store, counted) = opened(&self.fake, &self.folder, ROOM);
        (self.pull_through, self.store, self.counted) = (pull_through, Some(store), counted);
    }

    pub fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    pub async fn open(
        &self,
        repository: &Repository,
        range: Option<ByteRange>,
    ) -> Result<BlobStream, FetchError> {
        self.pull_through.blob(&hosted(repository.clone()), &self.digest, range).await
    }

    /// Opens the blob of [`app`] for this number of clients at once.
    pub async fn open_many(&self, clients: usize) -> Vec<BlobStream> {
        let app = app();
        let opened = (0..clients).map(|_| self.open(&app, None));
        join_all(opened).await.into_iter().map(Result::unwrap).collect()
    }

    /// Waits until the store serves the blob for `repository`.
    pub async fn kept(&self, repository: &Repository) {
        for _ in 0..1000 {
            if let Ok(stream) = self.open(repository, None).await
                && stream.origin() == Origin::Store
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the blob was not stored");
    }

    /// Sends the first answer with the blob's bytes in pieces, each once the gate has a permit for it.
    pub fn gated(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        let opened = Arc::clone(&gate);
        self.first(move || Fault::Gated(PIECE, Arc::clone(&opened)));
        gate
    }

    /// Applies the fault only to the first answer with the blob's bytes.
    pub fn first(&self, fault: impl Fn() -> Fault + Send + Sync + 'static) {
        let first = AtomicBool::new(true);
        self.fake.hook(move |asked| {
            let is_first = asked.method == Method::GET && first.swap(false, Ordering::SeqCst);
            is_first.then(&fault)
        });
    }

    pub fn gets(&self) -> Vec<Asked> {
        self.asked(&Method::GET)
    }

    pub fn asked(&self, method: &Method) -> Vec<Asked> {
        self.fake.asked().into_iter().filter(|asked| asked.method == *method).collect()
    }

    /// The number of content files in the store, including unfinished ones.
    pub fn files(&self) -> usize {
        self.store().wait_for_removals(Duration::from_secs(30));
        let mut folders = vec![self.folder.join("content"), self.folder.join("incoming")];
        let mut count = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    count += 1;
                }
            }
        }
        count
    }

    /// Overwrites stored content behind the store's back.
    pub fn overwrite(&self, digest: &Digest, content: &[u8]) {
        let hex = digest.hex();
        let path = self.folder.join(&format!("content/sha256/{}/{hex}", &hex[..2]));
        std::fs::remove_file(&path).unwrap();
        std::fs::File::create(path).unwrap().write_all(content).unwrap();
    }

    pub fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.counted).unwrap();
        text
    }
}

fn opened(fake: &FakeRegistry, folder: &Folder, max_size: u64) -> (PullThrough, Store, Counted) {
    let mut counted = Counted::default();
    let (path, scrub_every) = (folder.path().to_owned(), Duration::from_secs(3600));
    let config = store::Config { path, max_size, scrub_every };
    let clock = Clock::manual(Timestamp::from_unix(NOW));
    let store = Store::open(&config, clock, &store::Metrics::registered(&mut counted)).unwrap();
    let metrics = pull_through::Metrics::registered(&mut counted);
    let pull_through = PullThrough::new([fake.upstream()], PullThrough::CACHE);
    (pull_through.keeping(store.clone(), metrics), store, counted)
}

/// The bytes that arrived, and how the stream ended.
pub async fn drain(mut stream: BlobStream) -> (Bytes, Result<(), BlobError>) {
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

/// The same for many streams, concurrently.
pub async fn drain_all(streams: Vec<BlobStream>) -> Vec<(Bytes, Result<(), BlobError>)> {
    let draining: Vec<_> = streams.into_iter().map(|stream| tokio::spawn(drain(stream))).collect();
    join_all(draining).await.into_iter().map(Result::unwrap).collect()
}

#[track_caller]
pub fn is_whole((came, end): (Bytes, Result<(), BlobError>)) {
    end.unwrap();
    assert!(came == blob(), "{} bytes", came.len());
}

/// The next piece, which must be there.
pub async fn piece(stream: &mut BlobStream) -> Bytes {
    stream.frame().await.unwrap().unwrap().into_data().unwrap()
}
