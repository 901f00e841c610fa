//! What trust data from bundles leaves in the trust memory: it never counts as an answer of the server, never lifts a
//! refusal, and never replaces newer memory.

use std::time::Duration;

use countersign::oci::Digest;
use countersign::trust::notaryv1::{Capture, State, TrustCache};
use countersign::trust::{Metrics, Reason};

use super::{Case, DAY};
use crate::exporter::{Exporter, capture};
use crate::notary_repository::*;

const HOUR: Duration = Duration::from_secs(3_600);

impl Case {
    /// Opens the anchor again, with or without its server, on the same trust memory.
    fn reopen(&mut self, has_server: bool) {
        self.has_server = has_server;
        self.restart();
    }

    /// The gate runs on, with an empty cache of trust data.
    fn forget_the_cache(&mut self) {
        self.cache = TrustCache::new(self.clock.clone(), Metrics::default());
    }

    /// The trust memory, as another process opens it.
    fn memory(&self) -> State {
        State::open(&self.folder.join("store"), "team").unwrap()
    }
}

/// Otherwise a carrier of old files could keep a gate from asking its server.
#[tokio::test]
async fn a_bundle_without_a_statement_is_no_answer_of_the_server() {
    let mut case = Case::new(true).await;
    let unsigned = capture(&case.repository.publish(), None);
    is_no_answer(&mut case, &unsigned).await;
}

/// A statement that no pinned exporter made is none.
#[tokio::test]
async fn a_bundle_of_a_stranger_is_no_answer_of_the_server() {
    let mut case = Case::new(true).await;
    let files = case.repository.publish();
    let of_stranger = Exporter::new().capture(GUN, &files, &in_days(0));
    is_no_answer(&mut case, &of_stranger).await;
}

async fn is_no_answer(case: &mut Case, bundle: &Capture) {
    case.notary.only_says(503);
    case.put(&[bundle]);
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    // It counts as in its bundle: until the timestamp expires.
    case.put(&[]);
    case.clock.advance(13 * DAY);
    case.restart();
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    case.clock.advance(2 * DAY);
    case.restart();
    Case::undecided(case.digest().await);
}

/// After a restart, a recent answer of the server need not be fetched again; a bundle is none.
#[tokio::test]
async fn a_gate_asks_its_server_right_after_an_import() {
    let mut case = Case::new(true).await;
    let unsigned = capture(&case.repository.publish(), None);
    case.put(&[&unsigned]);
    case.has_server = false;
    case.restart();
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    case.repository.tag(RELEASES, "v1", OLD_V1);
    case.notary.publish(GUN, case.repository.publish());
    case.reopen(true);
    assert_eq!(case.digest().await.unwrap(), Digest::of(OLD_V1));
}

#[tokio::test]
async fn a_bundle_without_a_statement_does_not_prolong_max_stale() {
    let mut case = Case::new(true).await;
    case.notary.publish(GUN, case.repository.publish());
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    case.notary.only_says(503);
    case.clock.advance(12 * HOUR);
    // Newer than the answer of the server.
    case.repository.tag(RELEASES, "v1", OLD_V1);
    let unsigned = capture(&case.repository.publish(), None);
    case.put(&[&unsigned]);
    case.forget_the_cache();
    assert_eq!(case.digest().await.unwrap(), Digest::of(OLD_V1));
    case.put(&[]);
    case.clock.advance(11 * HOUR);
    case.restart();
    assert_eq!(case.digest().await.unwrap(), Digest::of(OLD_V1));
    case.clock.advance(2 * HOUR);
    case.restart();
    Case::undecided(case.digest().await);
}

#[tokio::test]
async fn an_older_statement_does_not_shorten_what_the_server_confirmed_later() {
    let mut case = Case::new(true).await;
    let bundle = case.captured();
    case.clock.advance(10 * DAY);
    case.notary.publish(GUN, case.repository.publish());
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    case.notary.only_says(503);
    case.put(&[&bundle]);
    case.forget_the_cache();
    case.clock.advance(HOUR);
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    // Without the bundle and its exporter, the answer of the server still counts for `max_stale`.
    case.put(&[]);
    case.exporter = Exporter::new();
    case.restart();
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    case.clock.advance(DAY);
    case.restart();
    Case::undecided(case.digest().await);
}

#[tokio::test]
async fn a_refusal_while_an_archive_is_read_is_not_lifted() {
    let mut case = Case::new(true).await;
    let bundle = case.captured();
    case.notary.publish(GUN, case.repository.publish());
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    case.notary.only_says(503);
    case.clock.advance(2 * DAY);
    case.put(&[&bundle]);
    let memory = case.memory();
    let refuse = move || memory.refused(&GUN.parse().unwrap()).unwrap();
    *case.shelf.meanwhile.lock().unwrap() = Some(Box::new(refuse));
    Case::undecided(case.digest().await);
    case.restart();
    Case::undecided(case.digest().await);
}

#[tokio::test]
async fn an_update_under_an_older_root_does_not_replace_a_newer_root() {
    let mut case = Case::new(false).await;
    let older = case.captured();
    case.repository.rotate("timestamp", "timestamp-2");
    case.repository.rotate("snapshot", "snapshot-2");
    case.repository.rotate("targets", "targets-2");
    case.repository.tag(RELEASES, "v1", OLD_V1);
    let newer = case.captured();
    // Another update remembers the newer files while the older ones are read.
    let mut other = Case::new(false).await;
    (other.repository, other.exporter) = (case.repository.clone(), case.exporter.clone());
    other.restart();
    other.put(&[&newer]);
    assert_eq!(other.digest().await.unwrap(), Digest::of(OLD_V1));
    let from = other.folder.join("store/trust/notaryv1/team");
    let to = case.folder.join("store/trust/notaryv1/team");
    let copied = move || {
        for folder in std::fs::read_dir(from).unwrap() {
            let folder = folder.unwrap();
            let to = to.join(folder.file_name());
            std::fs::create_dir(&to).unwrap();
            for file in std::fs::read_dir(folder.path()).unwrap() {
                let file = file.unwrap();
                std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
    };
    case.put(&[&older]);
    *case.shelf.meanwhile.lock().unwrap() = Some(Box::new(copied));
    Case::undecided(case.digest().await);
    case.clock.advance(Duration::from_secs(11));
    assert_eq!(case.digest().await.unwrap(), Digest::of(OLD_V1));
}

/// An import judges without the server. What the server removed stays removed for a gate that has the server.
#[tokio::test]
async fn an_import_does_not_lift_a_refusal_of_the_server() {
    let mut case = Case::new(true).await;
    let bundle = case.captured();
    case.notary.publish(GUN, case.repository.publish());
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    case.notary.remove(GUN);
    case.clock.advance(HOUR);
    assert_eq!(Case::refused(case.digest().await), Reason::TrustRemoved);
    case.reopen(false);
    case.put(&[&bundle]);
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    case.put(&[]);
    case.notary.only_says(503);
    case.reopen(true);
    Case::undecided(case.digest().await);
    // Without a server in the configuration, the statement of the exporter counts.
    case.reopen(false);
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    // Only the server lifts its refusal.
    case.notary.comes_back();
    case.notary.publish(GUN, case.repository.publish());
    case.reopen(true);
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
}

/// The operator pins the new root of a repository that was initialized again with the key of an old delegation.
#[tokio::test]
async fn a_repository_that_was_initialized_again_is_served_under_its_new_pin() {
    let mut case = Case::new(true).await;
    case.repository.role_mut(RELEASES).version = 7;
    case.notary.publish(GUN, case.repository.publish());
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    let mut repository = NotaryRepository::signed();
    for name in ["root", "targets", "snapshot", "timestamp"] {
        repository.rotate(name, &format!("{name}-2"));
    }
    repository.tag(RELEASES, "v1", OLD_V1);
    case.repository = repository;
    case.notary.publish(GUN, case.repository.publish());
    case.clock.advance(HOUR);
    Case::refused(case.digest().await);
    case.restart();
    assert_eq!(case.digest().await.unwrap(), Digest::of(OLD_V1));
    case.clock.advance(HOUR);
    case.restart();
    assert_eq!(case.digest().await.unwrap(), Digest::of(OLD_V1));
}
