//! Trust data from bundles in the trust cache: without a Notary server, and while a server does not answer. The archive is a
//! list of captures in this process; `notaryv1_attacks/captured.rs` attacks the verification itself.

mod memory;
mod survey;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::clock::{Clock, Timestamp};
use countersign::config::Config;
use countersign::oci::Digest;
use countersign::registry_client;
use countersign::toml_reader::Document;
use countersign::trust::notaryv1::{
    Anchor, Archive, ArchiveError, Capture, Exporters, Gun, TrustCache,
};
use countersign::trust::{self, Metrics, Reason, Unendorsed};

use crate::exporter::{Exporter, capture};
use crate::fake_notary::FakeNotary;
use crate::folder::Folder;
use crate::notary_repository::*;

const DAY: Duration = Duration::from_secs(86_400);

/// Contains what the test puts there.
#[derive(Default)]
struct Shelf {
    captures: Mutex<Vec<Capture>>,
    is_broken: Mutex<bool>,
    /// How often the archive was read.
    reads: AtomicUsize,
    /// Runs once, while the archive is read.
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shelf")
    }
}

impl Archive for Shelf {
    fn captures(&self, gun: &Gun, visit: &mut dyn FnMut(Capture)) -> Result<(), ArchiveError> {
        if *self.is_broken.lock().unwrap() {
            return Err(ArchiveError("the disk does not answer".to_owned()));
        }
        self.reads.fetch_add(1, Ordering::Relaxed);
        if let Some(meanwhile) = self.meanwhile.lock().unwrap().take() {
            meanwhile();
        }
        let captures = self.captures.lock().unwrap().clone();
        if gun.as_str() == GUN {
            captures.into_iter().for_each(visit);
        }
        Ok(())
    }

    fn name(&self) -> String {
        "the bundles of this test".to_owned()
    }
}

struct Case {
    repository: NotaryRepository,
    exporter: Exporter,
    shelf: Arc<Shelf>,
    notary: FakeNotary,
    clock: Clock,
    folder: Folder,
    cache: TrustCache,
    anchor: Arc<Anchor>,
    has_server: bool,
}

impl Case {
    async fn new(has_server: bool) -> Self {
        let clock = Clock::manual(Timestamp::from_unix(NOW));
        let (repository, exporter) = (NotaryRepository::signed(), Exporter::new());
        let (notary, folder) = (FakeNotary::start().await, Folder::new("archives"));
        let shelf = Arc::new(Shelf::default());
        let pinned = exporter.pinned(90);
        let anchor = anchor(&repository, &notary, &folder, (has_server, pinned), &shelf);
        let cache = TrustCache::new(clock.clone(), Metrics::default());
        Self { repository, exporter, shelf, notary, clock, folder, cache, anchor, has_server }
    }

    /// A gate that starts again with its trust memory.
    fn restart(&mut self) {
        let terms = (self.has_server, self.exporter.pinned(90));
        self.anchor = anchor(&self.repository, &self.notary, &self.folder, terms, &self.shelf);
        self.cache = TrustCache::new(self.clock.clone(), Metrics::default());
    }

    /// Captures the present files as fetched now.
    fn captured(&mut self) -> Capture {
        let files = self.repository.publish();
        self.exporter.capture(GUN, &files, &self.clock.now().to_string())
    }

    fn put(&self, captures: &[&Capture]) {
        *self.shelf.captures.lock().unwrap() = captures.iter().copied().cloned().collect();
    }

    async fn digest(&self) -> Result<Digest, Unendorsed> {
        let signed = self.cache.signed(&self.anchor, &GUN.parse().unwrap()).await?;
        let found = signed.tag(&"v1".parse().unwrap()).map_err(Unendorsed::Refused)?;
        Ok(found.entry.digest)
    }

    #[track_caller]
    fn refused(found: Result<Digest, Unendorsed>) -> Reason {
        match found {
            Err(Unendorsed::Refused(refusal)) => refusal.reason,
            Ok(_) | Err(Unendorsed::Undecided(_) | Unendorsed::Throttled(_)) => {
                panic!("{found:?}")
            }
        }
    }

    #[track_caller]
    fn undecided(found: Result<Digest, Unendorsed>) -> String {
        match found {
            Err(Unendorsed::Undecided(why)) => why,
            Ok(_) | Err(Unendorsed::Refused(_) | Unendorsed::Throttled(_)) => panic!("{found:?}"),
        }
    }
}

fn anchor(
    repository: &NotaryRepository,
    notary: &FakeNotary,
    folder: &Folder,
    (has_server, exporters): (bool, Exporters),
    shelf: &Arc<Shelf>,
) -> Arc<Anchor> {
    let pin = repository.role("root").keys[0].canonical_id();
    let text = format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        [store]
        path = "store"
        [[upstream]]
        registry = "registry.example.com"
        [[anchor]]
        name = "team"
        scheme = "notaryv1"
        url = "{}"
        root_keys = ["{pin}"]
        [[rule]]
        images = ["registry.example.com/**"]
        require = ["team"]
        "#,
        notary.url()
    );
    let config = Config::read(&Document::from_text(&folder.join("c.toml"), text)).unwrap();
    let trust::Config::NotaryV1(mut config) = config.anchors[0].clone() else { panic!() };
    config.exporters = Some(exporters);
    if !has_server {
        config.url = None;
    }
    let metrics = registry_client::Metrics::default();
    let archive: Arc<dyn Archive> = shelf.clone();
    Arc::new(Anchor::open(config, Some(archive), &folder.join("store"), &metrics).unwrap())
}

#[tokio::test]
async fn a_bundle_replaces_a_server_until_max_age() {
    let mut case = Case::new(false).await;
    let bundle = case.captured();
    case.put(&[&bundle]);
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    case.clock.advance(89 * DAY);
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    case.clock.advance(2 * DAY);
    assert_eq!(Case::refused(case.digest().await), Reason::Expired);
    assert!(case.notary.asked().is_empty());
}

/// The trust memory keeps what the bundle proved: the disk on which it came may be carried away.
#[tokio::test]
async fn trust_data_of_a_removed_bundle_counts_until_it_ends() {
    let mut case = Case::new(false).await;
    let bundle = case.captured();
    case.put(&[&bundle]);
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    case.put(&[]);
    case.clock.advance(60 * DAY);
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    case.restart();
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    case.clock.advance(31 * DAY);
    assert_eq!(Case::refused(case.digest().await), Reason::Expired);
}

/// `countersign bundle import` fills the trust memory of a gate that has no bundles.
#[tokio::test]
async fn imported_trust_data_counts_without_the_bundle() {
    for has_server in [false, true] {
        let mut case = Case::new(has_server).await;
        case.notary.only_says(503);
        let bundle = case.captured();
        case.put(&[&bundle]);
        assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
        let config = case.anchor.config().clone();
        let (store, metrics) = (case.folder.join("store"), registry_client::Metrics::default());
        case.anchor = Arc::new(Anchor::open(config, None, &store, &metrics).unwrap());
        case.cache = TrustCache::new(case.clock.clone(), Metrics::default());
        case.clock.advance(60 * DAY);
        assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
        case.clock.advance(31 * DAY);
        case.digest().await.unwrap_err();
    }
}

/// The statement in the trust memory is verified again each time.
#[tokio::test]
async fn an_exporter_that_is_no_longer_pinned_does_not_count_after_a_restart() {
    let mut case = Case::new(false).await;
    let bundle = case.captured();
    case.put(&[&bundle]);
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    case.put(&[]);
    case.clock.advance(60 * DAY);
    case.exporter = Exporter::new();
    case.restart();
    assert_eq!(Case::refused(case.digest().await), Reason::Expired);
}

#[tokio::test]
async fn a_newer_bundle_is_used_and_an_older_one_changes_nothing() {
    let mut case = Case::new(false).await;
    let older = case.captured();
    case.clock.advance(DAY);
    case.repository.tag(RELEASES, "v1", OLD_V1);
    let newer = case.captured();
    case.put(&[&older]);
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    case.put(&[&older, &newer]);
    case.clock.advance(DAY);
    assert_eq!(case.digest().await.unwrap(), Digest::of(OLD_V1));
    case.put(&[&older]);
    case.clock.advance(DAY);
    assert_eq!(case.digest().await.unwrap(), Digest::of(OLD_V1));
    case.restart();
    assert_eq!(case.digest().await.unwrap(), Digest::of(OLD_V1));
}

#[tokio::test]
async fn a_hostile_bundle_does_not_displace_a_signed_one() {
    let mut case = Case::new(false).await;
    let signed = case.captured();
    let mut files = case.repository.publish();
    files.insert("timestamp".to_owned(), b"{}".to_vec());
    let hostile = capture(&files, None);
    let of_stranger = Exporter::new().capture(GUN, &files, &in_days(1));
    case.put(&[&hostile, &of_stranger, &signed]);
    case.clock.advance(30 * DAY);
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
}

#[tokio::test]
async fn many_hostile_bundles_do_not_displace_a_signed_one() {
    let mut case = Case::new(false).await;
    let signed = case.captured();
    let hostile = capture(&case.repository.publish(), None);
    let mut captures = vec![&hostile; 100];
    captures.push(&signed);
    case.put(&captures);
    case.clock.advance(30 * DAY);
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
}

#[tokio::test]
async fn trust_data_of_a_bundle_without_a_statement_cannot_be_copied() {
    let mut case = Case::new(false).await;
    let unsigned = capture(&case.repository.publish(), None);
    case.put(&[&unsigned]);
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    let (gun, now) = (GUN.parse().unwrap(), case.clock.now());
    let copied = case.anchor.copy(&gun, now).await;
    assert!(format!("{copied:?}").contains("no exporter states when it was fetched"), "{copied:?}");
    assert!(case.anchor.copy_kept(&gun, now).await.unwrap().is_none());
}

#[tokio::test]
async fn a_repository_that_no_bundle_contains_has_no_trust_data() {
    let case = Case::new(false).await;
    assert_eq!(Case::refused(case.digest().await), Reason::NoTrustData);
}

#[tokio::test]
async fn an_archive_that_cannot_be_read_is_undecided() {
    let mut case = Case::new(false).await;
    let bundle = case.captured();
    case.put(&[&bundle]);
    *case.shelf.is_broken.lock().unwrap() = true;
    assert!(Case::undecided(case.digest().await).contains("the disk does not answer"));
    *case.shelf.is_broken.lock().unwrap() = false;
    case.clock.advance(Duration::from_secs(10));
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
}

#[tokio::test]
async fn a_server_that_answers_decides_alone() {
    let mut case = Case::new(true).await;
    let bundle = case.captured();
    case.put(&[&bundle]);
    // The server says that there is nothing.
    assert_eq!(Case::refused(case.digest().await), Reason::NoTrustData);
    case.repository.tag(RELEASES, "v1", OLD_V1);
    case.notary.publish(GUN, case.repository.publish());
    case.clock.advance(Duration::from_secs(11));
    assert_eq!(case.digest().await.unwrap(), Digest::of(OLD_V1));
}

#[tokio::test]
async fn a_bundle_counts_while_the_server_does_not_answer() {
    let mut case = Case::new(true).await;
    let bundle = case.captured();
    case.put(&[&bundle]);
    case.notary.only_says(503);
    case.clock.advance(30 * DAY);
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
}

/// `max_stale` limits what the server confirmed, with an archive as without one.
#[tokio::test]
async fn a_bundle_that_does_not_help_leaves_the_decision_undecided() {
    let mut case = Case::new(true).await;
    let older = case.captured();
    case.repository.tag(RELEASES, "v1", OLD_V1);
    case.notary.publish(GUN, case.repository.publish());
    assert_eq!(case.digest().await.unwrap(), Digest::of(OLD_V1));
    case.put(&[&older]);
    case.notary.only_says(503);
    case.clock.advance(DAY / 2);
    assert_eq!(case.digest().await.unwrap(), Digest::of(OLD_V1));
    case.clock.advance(DAY);
    Case::undecided(case.digest().await);
    // The server's answers still count.
    case.notary.comes_back();
    case.clock.advance(Duration::from_secs(11));
    assert_eq!(case.digest().await.unwrap(), Digest::of(OLD_V1));
}

#[tokio::test]
async fn a_bundle_does_not_revive_what_the_server_removed() {
    let mut case = Case::new(true).await;
    let bundle = case.captured();
    case.notary.publish(GUN, case.repository.publish());
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    case.notary.remove(GUN);
    case.clock.advance(Duration::from_secs(6 * 60));
    assert_eq!(Case::refused(case.digest().await), Reason::TrustRemoved);
    case.put(&[&bundle]);
    case.notary.only_says(503);
    case.clock.advance(Duration::from_secs(11));
    Case::undecided(case.digest().await);
}

/// Nothing is remembered on disk about a repository that was never admitted.
#[tokio::test]
async fn a_bundle_does_not_override_a_refusal_of_an_unknown_repository() {
    let mut case = Case::new(true).await;
    let bundle = case.captured();
    case.notary.remove(GUN);
    assert_eq!(Case::refused(case.digest().await), Reason::NoTrustData);
    case.put(&[&bundle]);
    case.notary.only_says(503);
    for _ in 0..3 {
        case.clock.advance(Duration::from_secs(11));
        Case::undecided(case.digest().await);
    }
}
