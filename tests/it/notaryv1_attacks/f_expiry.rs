//! F1-F6, F18: expired metadata is refused, and the verifier never falls back to a weaker role.

use countersign::oci::Digest;
use countersign::trust::{Reason, Restriction};

use super::judge::{Judge, resolved, unresolved};
use crate::notary_repository::*;

/// The valid repository, except that `role` expired a day ago.
fn expired(role: &str) -> (Judge, Files) {
    let mut repository = NotaryRepository::signed();
    let judge = Judge::pinned_to(&repository);
    repository.role_mut(role).expires = in_days(-1);
    (judge, repository.publish())
}

#[test]
fn f1_an_expired_root_is_refused() {
    let (judge, files) = expired("root");
    judge.refuses(Reason::Expired, &files);
}

#[test]
fn f2_expired_targets_are_refused() {
    let (judge, files) = expired("targets");
    judge.refuses(Reason::Expired, &files);
}

#[test]
fn f3_an_expired_snapshot_is_refused() {
    let (judge, files) = expired("snapshot");
    judge.refuses(Reason::Expired, &files);
}

#[test]
fn f4_an_expired_timestamp_is_refused() {
    let (judge, files) = expired("timestamp");
    judge.refuses(Reason::Expired, &files);
}

#[test]
fn f4_unchanged_metadata_is_refused_after_it_expires() {
    let mut repository = NotaryRepository::signed();
    let judge = Judge::pinned_to(&repository);
    let files = repository.publish();
    let updated = judge.admits(&files);
    assert_eq!(updated.repository.expires().to_string(), in_days(14));
    judge.in_days(14).admits_after(&updated, &files);
    judge.in_days(15).refuses_after(Reason::Expired, &updated, &files);
    judge.in_days(15).refuses(Reason::Expired, &files);
}

#[test]
fn f4_the_chain_expires_with_its_first_role() {
    for role in ["root", "timestamp", "snapshot", "targets", RELEASES] {
        let mut repository = NotaryRepository::signed();
        let judge = Judge::pinned_to(&repository);
        repository.role_mut(role).expires = in_days(3);
        let files = repository.publish();
        let updated = judge.admits(&files);
        assert_eq!(updated.repository.expires().to_string(), in_days(3), "{role}");
        judge.in_days(4).refuses_after(Reason::Expired, &updated, &files);
    }
}

#[test]
fn f5_an_expired_releases_role_is_refused_and_never_falls_through_to_targets() {
    let (judge, files) = expired(RELEASES);
    judge.refuses(Reason::Expired, &files);
}

#[test]
fn f5_an_under_signed_releases_role_is_refused_and_never_falls_through_to_targets() {
    let mut repository = NotaryRepository::signed();
    let judge = Judge::pinned_to(&repository);
    repository.keys_mut(RELEASES).push(Key::named("releases-2"));
    let releases = repository.role_mut(RELEASES);
    releases.threshold = 2;
    releases.signers = Some(vec![Signer::of(&releases.keys[0])]);
    judge.refuses(Reason::SignatureInvalid, &repository.publish());
}

#[test]
fn f5_a_releases_role_signed_by_another_key_is_refused_and_never_falls_through_to_targets() {
    let mut repository = NotaryRepository::signed();
    let judge = Judge::pinned_to(&repository);
    let releases = repository.role_mut(RELEASES);
    releases.signers = Some(vec![Signer::of(&Key::named("mallory"))]);
    judge.refuses(Reason::SignatureInvalid, &repository.publish());
}

#[test]
fn f6_on_first_use_a_releases_role_that_never_signed_is_ignored() {
    let mut repository = NotaryRepository::signed();
    let judge = Judge::pinned_to(&repository);
    repository.edit_signed("snapshot", |signed| {
        signed["meta"].as_object_mut().unwrap().remove(RELEASES);
    });
    let updated = judge.admits(&repository.publish());
    assert_eq!(resolved(&updated, "base"), Digest::of(BASE));
}

#[test]
fn f6_a_snapshot_that_drops_a_known_releases_role_is_refused() {
    let mut repository = NotaryRepository::signed();
    let judge = Judge::pinned_to(&repository);
    let before = judge.admits(&repository.publish());
    repository.edit_signed("snapshot", |signed| {
        signed["meta"].as_object_mut().unwrap().remove(RELEASES);
    });
    repository.role_mut("snapshot").version = 2;
    judge.refuses_after(Reason::TrustRemoved, &before, &repository.publish());
}

#[test]
fn f6_a_snapshot_may_drop_a_releases_role_that_targets_no_longer_delegates() {
    let mut repository = NotaryRepository::signed();
    let judge = Judge::pinned_to(&repository);
    let before = judge.admits(&repository.publish());
    repository.undelegate(RELEASES);
    let after = judge.admits_after(&before, &repository.publish());
    assert_eq!(resolved(&after, "v1"), Digest::of(OLD_V1));
}

#[test]
fn f5_an_expired_signer_that_is_not_required_is_ignored() {
    let (judge, files) = expired("targets/qa");
    let updated = judge.admits(&files);
    assert_eq!(resolved(&updated, "v1"), Digest::of(V1));
    let judge = judge.requiring(&["qa"]);
    judge.refuses(Reason::Expired, &files);
    assert_eq!(unresolved(&updated, "v9"), Reason::TagNotSigned);
}

/// With a stolen server key, an attacker can sign a timestamp for years and freeze the repository.
#[test]
fn f18_a_timestamp_that_is_valid_for_too_long_is_refused() {
    for (days, refused) in [(90, false), (91, true), (365 * 7_000, true)] {
        let mut repository = NotaryRepository::signed();
        let judge = Judge::pinned_to(&repository);
        repository.role_mut("timestamp").expires = in_days(days);
        let files = repository.publish();
        if refused {
            let refusal = judge.refuses(Reason::Expired, &files);
            assert_eq!(refusal.restriction, Some(Restriction::MaxTimestampLife), "{refusal}");
        } else {
            judge.admits(&files);
        }
        let patient = judge.on(|terms| terms.max_timestamp_life = std::time::Duration::MAX);
        patient.admits(&files);
    }
}
