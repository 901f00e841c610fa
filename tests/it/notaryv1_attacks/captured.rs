//! Attacks on trust data from an archive: the statement of the exporter replaces the expiry of the timestamp, and nothing
//! else.

use bytes::Bytes;

use countersign::clock::Timestamp;
use countersign::oci::Digest;
use countersign::trust::notaryv1::{
    Capture, Captured, Evidence, Exporters, Memory, NotUpdated, Pins, Updated, Witness,
    update_captured,
};
use countersign::trust::{Reason, Restriction};

use super::judge::{Judge, assert_refused, resolved};
use crate::exporter::{Exporter, artifact, capture, statement};
use crate::notary_repository::*;

/// The days for which an exporter's statement counts.
const MAX_AGE: u64 = 90;

fn judged(
    judge: &Judge,
    memory: Option<&Memory>,
    capture: Capture,
    exporters: Option<&Exporters>,
) -> Result<Updated, NotUpdated> {
    let captured = Captured::verify(capture, &judge.terms.gun, exporters);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(update_captured(&captured, &judge.terms, memory, judge.now))
}

/// A valid repository, its exporter, and the judge who pins both.
struct Case {
    repository: NotaryRepository,
    exporter: Exporter,
    pinned: Exporters,
    judge: Judge,
}

impl Case {
    fn new() -> Self {
        let (repository, exporter) = (NotaryRepository::signed(), Exporter::new());
        let (pinned, judge) = (exporter.pinned(MAX_AGE), Judge::pinned_to(&repository));
        Self { repository, exporter, pinned, judge }
    }

    /// A capture of the present files, as fetched `days` from now.
    fn captured(&mut self, days: i64) -> Capture {
        let files = self.repository.publish();
        self.exporter.capture(&self.repository.gun, &files, &in_days(days))
    }

    fn verdict(
        &self,
        days: i64,
        memory: Option<&Memory>,
        capture: Capture,
    ) -> Result<Updated, NotUpdated> {
        judged(&self.judge.in_days(days), memory, capture, Some(&self.pinned))
    }

    #[track_caller]
    fn admits(&self, days: i64, memory: Option<&Memory>, capture: Capture) -> Updated {
        let verdict = self.verdict(days, memory, capture);
        verdict.map_err(|error| format!("{error:?}")).unwrap()
    }
}

#[test]
fn a_statement_replaces_the_expiry_of_the_timestamp() {
    let mut case = Case::new();
    let capture = case.captured(0);
    for days in [0, 15, 89, 90] {
        let updated = case.admits(days, None, capture.clone());
        assert_eq!(resolved(&updated, "v1"), Digest::of(V1));
        assert_eq!(updated.repository.expires().to_string(), in_days(90), "after {days} days");
        let proof = updated.repository.captured().unwrap();
        assert_eq!(proof.at(), Timestamp::from_unix(NOW));
        let Witness::Exporter { key, .. } = proof.witness() else { panic!("{proof:?}") };
        assert_eq!(*key, hex::encode(case.exporter.key.id()));
    }
}

#[test]
fn a3_a_statement_older_than_max_age_does_not_count() {
    let mut case = Case::new();
    let capture = case.captured(0);
    let refusal = assert_refused(Reason::Expired, case.verdict(91, None, capture));
    assert_eq!(refusal.restriction, Some(Restriction::MaxAge));
    assert!(refusal.because.contains("more than 90d ago (`max_age`)"), "{refusal}");
}

/// Not even while the timestamp itself is valid: `max_age` is the limit that the operator set.
#[test]
fn max_age_also_ends_before_the_timestamp_expires() {
    let mut case = Case::new();
    let capture = case.captured(0);
    case.pinned = case.exporter.pinned(1);
    case.admits(1, None, capture.clone());
    assert_refused(Reason::Expired, case.verdict(2, None, capture));
}

#[test]
fn without_a_statement_the_timestamp_expires_as_always() {
    let mut case = Case::new();
    let unsigned = capture(&case.repository.publish(), None);
    let updated = case.admits(13, None, unsigned.clone());
    assert_eq!(updated.repository.expires().to_string(), in_days(14));
    assert_eq!(updated.repository.captured(), None);
    let refusal = assert_refused(Reason::Expired, case.verdict(15, None, unsigned));
    assert!(refusal.because.contains("no exporter signed the bundle"), "{refusal}");
}

#[test]
fn an_anchor_without_exporters_ignores_every_statement() {
    let mut case = Case::new();
    let capture = case.captured(0);
    judged(&case.judge.in_days(13), None, capture.clone(), None).unwrap();
    assert_refused(Reason::Expired, judged(&case.judge.in_days(15), None, capture, None));
}

#[test]
fn a1_an_exporter_that_is_not_pinned_proves_nothing() {
    let mut case = Case::new();
    let capture = case.captured(0);
    case.pinned = Exporter::new().pinned(MAX_AGE);
    let refusal = assert_refused(Reason::Expired, case.verdict(15, None, capture));
    assert!(refusal.because.contains("no pinned exporter"), "{refusal}");
}

#[test]
fn a2_an_exporter_that_postdates_a_capture_is_refused() {
    let mut case = Case::new();
    let capture = case.captured(1);
    let refusal = assert_refused(Reason::Expired, case.verdict(0, None, capture.clone()));
    assert!(refusal.because.contains("in the future"), "{refusal}");
    case.admits(1, None, capture);
}

#[test]
fn a_small_difference_of_clocks_is_accepted() {
    let mut case = Case::new();
    let files = case.repository.publish();
    let at = |seconds| Timestamp::from_unix(NOW + seconds).to_string();
    let capture = |at: &str| case.exporter.capture(&case.repository.gun, &files, at);
    case.admits(0, None, capture(&at(300)));
    assert_refused(Reason::Expired, case.verdict(0, None, capture(&at(301))));
}

/// The time that it states is too early for it: it only shortens its own effect.
#[test]
fn a2_an_exporter_that_backdates_a_capture_gains_nothing() {
    let mut case = Case::new();
    let capture = case.captured(-60);
    let updated = case.admits(0, None, capture.clone());
    assert_eq!(updated.repository.expires().to_string(), in_days(30));
    assert_refused(Reason::Expired, case.verdict(31, None, capture));
    // The timestamp was not yet issued then.
    let capture = case.captured(-89);
    let refusal = assert_refused(Reason::Expired, case.verdict(0, None, capture));
    assert_eq!(refusal.restriction, Some(Restriction::MaxTimestampLife));
}

#[test]
fn a4_a_timestamp_that_was_expired_when_it_was_captured_is_refused() {
    let mut case = Case::new();
    let files = case.repository.publish();
    let capture = case.exporter.capture(&case.repository.gun, &files, &in_days(15));
    let refusal = assert_refused(Reason::Expired, case.verdict(15, None, capture));
    assert!(refusal.because.contains("before it was captured"), "{refusal}");
}

#[test]
fn a_timestamp_without_an_end_is_refused_in_an_archive_too() {
    let mut case = Case::new();
    case.repository.role_mut("timestamp").expires = in_days(365);
    let capture = case.captured(0);
    let refusal = assert_refused(Reason::Expired, case.verdict(0, None, capture));
    assert_eq!(refusal.restriction, Some(Restriction::MaxTimestampLife));
}

#[test]
fn a5_every_other_role_is_judged_now() {
    for role in ["root", "targets", "snapshot", RELEASES] {
        let mut case = Case::new();
        case.repository.role_mut(role).expires = in_days(30);
        let capture = case.captured(0);
        let updated = case.admits(29, None, capture.clone());
        assert_eq!(updated.repository.expires().to_string(), in_days(30), "{role}");
        assert_refused(Reason::Expired, case.verdict(31, None, capture));
    }
}

#[test]
fn targets_that_were_expired_when_they_were_captured_are_refused() {
    let mut case = Case::new();
    case.repository.role_mut("targets").expires = in_days(-1);
    let capture = case.captured(-2);
    assert_refused(Reason::Expired, case.verdict(0, None, capture));
}

#[test]
fn a8_an_older_bundle_after_a_newer_one_is_a_rollback() {
    let mut case = Case::new();
    let older = case.captured(0);
    case.repository.tag(RELEASES, "v1", OLD_V1);
    let newer = case.captured(1);
    let updated = case.admits(2, None, newer.clone());
    assert_refused(Reason::Rollback, case.verdict(2, Some(&updated.memory), older));
    case.admits(3, Some(&updated.memory), newer);
}

#[test]
fn an_older_bundle_with_a_newer_statement_is_a_rollback() {
    let mut case = Case::new();
    let (gun, old) = (case.repository.gun.clone(), case.repository.publish());
    case.repository.tag(RELEASES, "v1", OLD_V1);
    let newer = case.captured(1);
    let updated = case.admits(2, None, newer);
    let again = case.exporter.capture(&gun, &old, &in_days(3));
    assert_refused(Reason::Rollback, case.verdict(3, Some(&updated.memory), again));
}

#[test]
fn the_memory_of_a_server_holds_for_a_bundle_and_the_other_way_round() {
    let mut case = Case::new();
    let (old, older) = (case.repository.publish(), case.captured(0));
    case.repository.tag(RELEASES, "v1", OLD_V1);
    let (new, newer) = (case.repository.publish(), case.captured(0));
    let by_server = case.judge.admits(&new);
    assert_refused(Reason::Rollback, case.verdict(0, Some(&by_server.memory), older));
    let by_bundle = case.admits(0, None, newer);
    case.judge.refuses_after(Reason::Rollback, &by_bundle, &old);
}

#[test]
fn a6_a_statement_over_other_bytes_proves_nothing() {
    let mut case = Case::new();
    let (gun, old) = (case.repository.gun.clone(), case.repository.publish());
    let signed = case.exporter.capture(&gun, &old, &in_days(14));
    case.repository.tag(RELEASES, "v1", OLD_V1);
    let new = case.repository.publish();
    let refusal = assert_refused(
        Reason::Expired,
        case.verdict(15, None, capture(&new, signed.evidence.clone())),
    );
    assert!(refusal.because.contains("is not the signed file"), "{refusal}");
    // The artifact lists the new files, but the exporter signed another artifact.
    let Evidence { signatures, .. } = signed.evidence.unwrap();
    let evidence = Evidence { artifact: artifact(&[(&gun, &new)]), signatures };
    let refusal =
        assert_refused(Reason::Expired, case.verdict(15, None, capture(&new, Some(evidence))));
    assert!(refusal.because.contains("is about another bundle"), "{refusal}");
}

#[test]
fn a6_a_file_that_the_artifact_does_not_list_proves_nothing() {
    let mut case = Case::new();
    let (gun, files) = (case.repository.gun.clone(), case.repository.publish());
    let mut fewer = files.clone();
    fewer.retain(|name, _| !name.starts_with("timestamp"));
    let signed = case.exporter.capture(&gun, &fewer, &in_days(14));
    let verdict = case.verdict(15, None, capture(&files, signed.evidence));
    let refusal = assert_refused(Reason::Expired, verdict);
    assert!(refusal.because.contains("does not list timestamp."), "{refusal}");
}

/// The trust memory names files by their hash, a bundle by their role.
#[test]
fn a_file_may_be_named_by_its_role_or_by_its_hash() {
    let mut case = Case::new();
    let (gun, files) = (case.repository.gun.clone(), case.repository.publish());
    let is_hashed = |name: &str| name.len() > 64;
    let with = |hashed: bool| -> Files {
        let chosen = |name: &str| match name {
            "root" | "timestamp" => true,
            "1.root" => false,
            _ => is_hashed(name) == hashed,
        };
        files.clone().into_iter().filter(|(name, _)| chosen(name)).collect()
    };
    let (by_role, by_hash) = (with(false), with(true));
    for (listed, kept) in [(&by_role, &by_hash), (&by_hash, &by_role), (&by_role, &by_role)] {
        let signed = case.exporter.capture(&gun, listed, &in_days(0));
        case.admits(15, None, capture(kept, signed.evidence));
    }
}

#[test]
fn a7_the_trust_data_of_another_repository_proves_nothing() {
    let mut case = Case::new();
    let mut other = NotaryRepository::signed_as("registry.example.com/library/other");
    let files = other.publish();
    // Under the name of this repository, signed for the other one.
    let signed = case.exporter.capture(&other.gun, &files, &in_days(14));
    assert_refused(Reason::WrongRepository, case.verdict(15, None, signed));
    // The statement names only the other repository.
    let files = case.repository.publish();
    let artifact = artifact(&[(&case.repository.gun, &files), (&other.gun, &files)]);
    let signature = case.exporter.sign(&statement(&artifact, &[(&other.gun, &in_days(14))]));
    let evidence = Evidence { artifact, signatures: vec![signature] };
    let refusal =
        assert_refused(Reason::Expired, case.verdict(15, None, capture(&files, Some(evidence))));
    assert!(refusal.because.contains("does not name"), "{refusal}");
}

#[test]
fn a_statement_of_another_type_proves_nothing() {
    let mut case = Case::new();
    let (gun, files) = (case.repository.gun.clone(), case.repository.publish());
    let artifact = artifact(&[(&gun, &files)]);
    let mut other = statement(&artifact, &[(&gun, &in_days(14))]);
    other["predicateType"] = "https://slsa.dev/provenance/v1".into();
    let signatures = vec![case.exporter.sign(&other)];
    let evidence = Evidence { artifact, signatures };
    assert_refused(Reason::Expired, case.verdict(15, None, capture(&files, Some(evidence))));
}

#[test]
fn an_artifact_of_another_type_proves_nothing() {
    let mut case = Case::new();
    let (gun, files) = (case.repository.gun.clone(), case.repository.publish());
    let text = String::from_utf8(artifact(&[(&gun, &files)]).to_vec()).unwrap();
    let other: Bytes = text.replace("vnd.countersign.bundle", "vnd.example.other").into();
    let signatures = vec![case.exporter.sign(&statement(&other, &[(&gun, &in_days(14))]))];
    let evidence = Evidence { artifact: other, signatures };
    assert_refused(Reason::Expired, case.verdict(15, None, capture(&files, Some(evidence))));
}

#[test]
fn a9_an_archive_introduces_a_first_root_only_with_the_signature_of_a_pinned_exporter() {
    let mut case = Case::new();
    case.judge = case.judge.on(|terms| terms.pins = Pins::FirstUse);
    let signed = case.captured(0);
    let unsigned = Capture { evidence: None, ..signed.clone() };
    let refusal = assert_refused(Reason::RootNotPinned, case.verdict(0, None, unsigned.clone()));
    assert!(refusal.because.contains("no exporter signed the bundle"), "{refusal}");
    let updated = case.admits(0, None, signed.clone());
    // Later the remembered root decides.
    case.admits(1, Some(&updated.memory), unsigned);
    case.pinned = Exporter::new().pinned(MAX_AGE);
    assert_refused(Reason::RootNotPinned, case.verdict(0, None, signed));
}

#[test]
fn a_root_in_a_bundle_that_is_not_pinned_is_refused_whatever_the_exporter_states() {
    let mut case = Case::new();
    let capture = case.captured(0);
    case.judge = Judge::with(&case.repository, &["0".repeat(64)]);
    assert_refused(Reason::RootNotPinned, case.verdict(0, None, capture));
}
