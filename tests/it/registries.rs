//! Two registries with one gate and one store: content of one is not served for the other, and neither requests nor
//! timing reveal what was pulled from the other.

use std::sync::Arc;
use std::time::Duration;

use countersign::clock::{Clock, Timestamp};
use countersign::oci::{Digest, Registry, Repository, RepositoryRef};
use countersign::pull_through::{FetchError, Origin, PullThrough};
use countersign::registry_client::{ByteRange, Config, Metrics, Upstream, UpstreamError};
use countersign::store::{self, Store};
use http::Method;
use tokio::sync::Semaphore;

use crate::blob_site::{app, blob, drain, is_whole, other};
use crate::fake_registry::{Asked, FakeRegistry, Fault, respond};
use crate::folder::Folder;
use crate::notary_repository::NOW;

/// The private registry `a.test`, and `x.test`, whose operator answers HEAD with 200 to everything.
struct Two {
    a: FakeRegistry,
    x: FakeRegistry,
    pull_through: PullThrough,
    digest: Digest,
    _folder: Folder,
}

fn a() -> Registry {
    "a.test".parse().unwrap()
}

fn x() -> Registry {
    "x.test".parse().unwrap()
}

fn on(registry: Registry, name: Repository) -> RepositoryRef {
    RepositoryRef { registry, name }
}

fn upstream(registry: Registry, fake: &FakeRegistry) -> Upstream {
    let url = fake.url("127.0.0.1").parse().unwrap();
    Upstream::new(&Config::new(registry, url), &Metrics::default()).unwrap()
}

impl Two {
    async fn new() -> Self {
        let (fake_a, fake_x) = (FakeRegistry::start().await, FakeRegistry::start().await);
        let digest = fake_a.registry().put_blob(&app(), blob());
        fake_x
            .hook(|asked| (asked.method == Method::HEAD).then(|| Fault::Respond(respond(200, ""))));
        let folder = Folder::new("registries");
        let (path, scrub_every) = (folder.path().to_owned(), Duration::from_secs(3600));
        let config = store::Config { path, max_size: 64 << 20, scrub_every };
        let clock = Clock::manual(Timestamp::from_unix(NOW));
        let store = Store::open(&config, clock, &store::Metrics::default()).unwrap();
        let upstreams = [upstream(a(), &fake_a), upstream(x(), &fake_x)];
        let pull_through = PullThrough::new(upstreams, PullThrough::CACHE)
            .keeping(store, countersign::pull_through::Metrics::default());
        Self { a: fake_a, x: fake_x, pull_through, digest, _folder: folder }
    }

    /// Pulls the private blob from its own registry until it is stored.
    async fn keep(&self) {
        for _ in 0..1000 {
            let stream = self.pull_through.blob(&on(a(), app()), &self.digest, None).await.unwrap();
            if stream.origin() == Origin::Store {
                return;
            }
            is_whole(drain(stream).await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the blob was not stored");
    }

    async fn denied(&self, repository: &Repository, digest: &Digest, range: Option<ByteRange>) {
        let error =
            self.pull_through.blob(&on(x(), repository.clone()), digest, range).await.unwrap_err();
        assert!(matches!(error, FetchError::Upstream(UpstreamError::Absent { .. })), "{error:?}");
    }
}

fn questions(fake: &FakeRegistry) -> Vec<(Method, String)> {
    fake.asked().into_iter().map(|Asked { method, path, .. }| (method, path)).collect()
}

#[tokio::test]
async fn a_registry_that_confirms_every_head_reveals_no_blob_of_another_registry() {
    let two = Two::new().await;
    two.keep().await;
    for repository in [app(), other()] {
        two.denied(&repository, &two.digest, None).await;
        // The operator's statement only affects a length, and opens no content.
        two.pull_through.blob_length(&on(x(), repository.clone()), &two.digest).await.unwrap();
        two.denied(&repository, &two.digest, None).await;
        two.denied(&repository, &two.digest, Some(ByteRange::From { first: 1 })).await;
    }
    two.keep().await;
}

#[tokio::test]
async fn a_registry_serves_shared_content_after_it_delivered_the_bytes_itself() {
    let two = Two::new().await;
    two.keep().await;
    two.x.registry().put_blob(&app(), blob());
    let stream = two.pull_through.blob(&on(x(), app()), &two.digest, None).await.unwrap();
    assert_eq!(stream.origin(), Origin::Upstream);
    is_whole(drain(stream).await);
    for _ in 0..1000 {
        let stream = two.pull_through.blob(&on(x(), app()), &two.digest, None).await.unwrap();
        if stream.origin() == Origin::Store {
            is_whole(drain(stream).await);
            two.keep().await;
            return;
        }
        is_whole(drain(stream).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the blob was not stored");
}

#[tokio::test]
async fn a_known_digest_costs_the_same_requests_as_an_unknown_one() {
    let two = Two::new().await;
    two.keep().await;
    let unknown = Digest::of(b"nobody has this");
    let asked = async |fake: &FakeRegistry, registry: Registry, digest: &Digest| {
        let before = questions(fake).len();
        for range in [None, Some(ByteRange::From { first: 7 })] {
            let error = two.pull_through.blob(&on(registry.clone(), other()), digest, range).await;
            let error = error.unwrap_err();
            assert!(error.to_string().contains("upstream does not have it"), "{error}");
        }
        let questions = questions(fake)[before..].to_vec();
        questions.into_iter().map(|(method, _)| method).collect::<Vec<_>>()
    };
    for (fake, registry) in [(&two.x, x()), (&two.a, a())] {
        let known = asked(fake, registry.clone(), &two.digest).await;
        assert_eq!(known, asked(fake, registry.clone(), &unknown).await, "{registry}");
        assert_eq!(known, [Method::GET, Method::GET], "{registry}");
    }
}

#[tokio::test]
async fn another_repository_of_the_same_registry_is_confirmed_once_and_served_from_the_store() {
    let two = Two::new().await;
    two.keep().await;
    two.a.registry().put_blob(&other(), blob());
    let before = two.a.asked().len();
    for _ in 0..2 {
        let stream = two.pull_through.blob(&on(a(), other()), &two.digest, None).await.unwrap();
        assert_eq!(stream.origin(), Origin::Store);
        is_whole(drain(stream).await);
    }
    assert_eq!(two.a.asked().len(), before + 1);
}

#[tokio::test]
async fn a_failed_download_from_one_registry_does_not_delay_another() {
    let two = Two::new().await;
    two.x.registry().put_blob(&app(), blob());
    two.x.hook(|_| Some(Fault::Corrupt));
    let broken = two.pull_through.blob(&on(x(), app()), &two.digest, None).await.unwrap();
    assert!(drain(broken).await.1.is_err());
    // A blob that recently failed begins only when it is complete; a good one begins with its first piece.
    let gate = Arc::new(Semaphore::new(1));
    let opened = gate.clone();
    two.a.hook(move |_| Some(Fault::Gated(1000, opened.clone())));
    let app = on(a(), app());
    let begun = two.pull_through.steady_blob(&app, &two.digest, None);
    let begun = tokio::time::timeout(Duration::from_secs(5), begun).await;
    assert!(begun.is_ok(), "the client waited for the whole blob");
}
