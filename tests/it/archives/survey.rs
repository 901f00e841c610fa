//! `trust inspect` and `trust inventory` survey the same trust data as the gate uses, read once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use countersign::oci::Digest;
use countersign::registry_client;
use countersign::trust::notaryv1::{Anchor, CopiedTrust, NotUpdated, Survey};

use super::{Case, DAY};
use crate::exporter::capture;
use crate::notary_repository::*;

impl Case {
    async fn survey(&self) -> Result<Survey, NotUpdated> {
        self.anchor.survey(&GUN.parse().unwrap(), self.clock.now()).await
    }

    async fn copy(&self) -> Result<CopiedTrust, NotUpdated> {
        self.anchor.copy(&GUN.parse().unwrap(), self.clock.now()).await
    }

    /// The same anchor without bundles: only what was imported counts.
    fn without_bundles(&mut self) {
        let (config, metrics) = (self.anchor.config().clone(), registry_client::Metrics::default());
        let opened = Anchor::open(config, None, &self.folder.join("store"), &metrics);
        self.anchor = Arc::new(opened.unwrap());
    }
}

/// The roles that signed `v1` in a survey, and whether it is complete.
#[track_caller]
fn all_roles(survey: Result<Survey, NotUpdated>) {
    let survey = survey.unwrap();
    let roles: Vec<String> = survey.signed.iter().map(|(role, _)| role.to_string()).collect();
    assert_eq!(roles, ["targets", "targets/alice", "targets/qa", RELEASES]);
    let tag = "v1".parse().unwrap();
    let signed: Vec<_> = survey.signed.iter().map(|(_, tags)| tags[&tag]).collect();
    assert_eq!(signed, [OLD_V1, V1, V1, V1].map(Digest::of));
    assert!(survey.left_out.is_empty());
}

#[tokio::test]
async fn a_survey_of_bundles_reads_them_once() {
    let mut case = Case::new(false).await;
    let bundle = case.captured();
    case.put(&[&bundle]);
    case.clock.advance(60 * DAY);
    all_roles(case.survey().await);
    assert_eq!(case.shelf.reads.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_survey_of_imported_trust_data_lists_every_delegation() {
    let mut case = Case::new(false).await;
    let bundle = case.captured();
    case.put(&[&bundle]);
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    case.without_bundles();
    case.clock.advance(60 * DAY);
    let survey = case.survey().await.unwrap();
    // The gate remembers only the delegations that it needs.
    let roles: Vec<String> = survey.signed.iter().map(|(role, _)| role.to_string()).collect();
    assert_eq!(roles, ["targets", RELEASES]);
    let left_out: Vec<&str> = survey.left_out.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(left_out, ["targets/alice", "targets/qa"]);
}

/// As the gate does.
#[tokio::test]
async fn a_survey_uses_bundles_while_the_server_does_not_answer() {
    let mut case = Case::new(true).await;
    let bundle = case.captured();
    case.put(&[&bundle]);
    case.notary.only_says(503);
    all_roles(case.survey().await);
    // What the server refused, no bundle replaces.
    case.notary.comes_back();
    case.notary.publish(GUN, case.repository.publish());
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    case.notary.remove(GUN);
    case.clock.advance(DAY);
    case.digest().await.unwrap_err();
    case.notary.only_says(503);
    let error = case.survey().await.unwrap_err();
    assert!(matches!(error, NotUpdated::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn a_copy_of_bundles_reads_them_once() {
    let mut case = Case::new(false).await;
    for name in ["root-2", "root-3", "root"] {
        case.repository.rotate("root", name);
        case.repository.publish();
    }
    let bundle = case.captured();
    case.put(&[&bundle]);
    let copy = case.copy().await.unwrap();
    for name in ["1.root.json", "2.root.json", "3.root.json"] {
        assert!(copy.files.contains_key(name), "{name}");
    }
    assert_eq!(case.shelf.reads.load(Ordering::Relaxed), 1);
}

/// The trust memory must not stand in for a bundle that is checked.
#[tokio::test]
async fn a_check_of_a_bundle_does_not_use_the_trust_memory() {
    let mut case = Case::new(false).await;
    let bundle = case.captured();
    case.put(&[&bundle]);
    assert_eq!(case.digest().await.unwrap(), Digest::of(V1));
    let mut files = case.repository.publish();
    files.insert("timestamp".to_owned(), b"{}".to_vec());
    case.put(&[&capture(&files, None)]);
    let checked = case.anchor.check(&GUN.parse().unwrap(), case.clock.now()).await;
    assert!(matches!(checked, Err(NotUpdated::Refused(_))), "{checked:?}");
}
