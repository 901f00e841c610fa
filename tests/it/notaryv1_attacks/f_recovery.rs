//! F14, F15, F17: a server that does not answer, removed trust data, and recovery after a lost key: a lower version is
//! accepted only under a newer root with new keys.

use countersign::oci::Digest;
use countersign::trust::Reason;

use super::judge::{Answer, Judge, assert_refused, assert_undecided, resolved};
use crate::notary_repository::*;

#[test]
fn f14_an_unanswered_request_for_any_file_leaves_the_decision_undecided() {
    let mut repository = NotaryRepository::signed();
    let judge = Judge::pinned_to(&repository);
    let first = repository.publish();
    let before = judge.admits(&first);
    for role in ["targets", RELEASES] {
        repository.tag(role, "v2", b"the second manifest");
    }
    let second = repository.publish();
    for silent in ["root", "timestamp", "snapshot.", "targets.", "targets/releases."] {
        let answer = |name: &str| match second.get(name) {
            _ if name.starts_with(silent) => Answer::Silence,
            Some(bytes) => Answer::Found(bytes.clone()),
            None => Answer::Missing,
        };
        assert_undecided(judge.ask(None, answer));
        if silent != "root" {
            assert_undecided(judge.ask(Some(&before.memory), answer));
        }
    }
    assert_undecided(judge.ask(Some(&before.memory), |_| Answer::Silence));
}

#[test]
fn f14_a_missing_timestamp_of_a_known_repository_is_trust_removed() {
    let mut repository = NotaryRepository::signed();
    let judge = Judge::pinned_to(&repository);
    let mut files = repository.publish();
    let before = judge.admits(&files);
    files.remove("timestamp");
    judge.refuses_after(Reason::TrustRemoved, &before, &files);
}

#[test]
fn f15_a_known_repository_that_is_gone_is_trust_removed() {
    let mut repository = NotaryRepository::signed();
    let judge = Judge::pinned_to(&repository);
    let before = judge.admits(&repository.publish());
    judge.refuses_after(Reason::TrustRemoved, &before, &Files::new());
    judge.refuses(Reason::NoTrustData, &Files::new());
}

#[test]
fn f17_a_new_timestamp_key_allows_a_lower_timestamp_version() {
    let mut repository = NotaryRepository::signed();
    let judge = Judge::pinned_to(&repository);
    repository.role_mut("timestamp").version = 1_000_000;
    let before = judge.admits(&repository.publish());
    let mut rolled = repository.clone();
    rolled.role_mut("timestamp").version = 1;
    judge.refuses_after(Reason::Rollback, &before, &rolled.publish());
    repository.rotate("timestamp", "timestamp-2");
    repository.role_mut("timestamp").version = 1;
    judge.admits_after(&before, &repository.publish());
}

#[test]
fn f17_a_new_snapshot_key_allows_a_lower_snapshot_version() {
    let mut repository = NotaryRepository::signed();
    let judge = Judge::pinned_to(&repository);
    repository.role_mut("snapshot").version = 1_000_000;
    let before = judge.admits(&repository.publish());
    repository.rotate("snapshot", "snapshot-2");
    repository.role_mut("snapshot").version = 1;
    judge.admits_after(&before, &repository.publish());
}

#[test]
fn f17_a_new_targets_key_allows_a_lower_targets_version() {
    let mut repository = NotaryRepository::signed();
    let judge = Judge::pinned_to(&repository);
    repository.role_mut("targets").version = 1_000_000;
    let before = judge.admits(&repository.publish());
    repository.rotate("targets", "targets-2");
    repository.role_mut("targets").version = 1;
    let after = judge.admits_after(&before, &repository.publish());
    assert_eq!(resolved(&after, "v1"), Digest::of(V1));
}

#[test]
fn f17_a_newer_root_with_the_same_keys_allows_no_lower_version() {
    for role in ["timestamp", "snapshot", "targets"] {
        let mut repository = NotaryRepository::signed();
        let judge = Judge::pinned_to(&repository);
        repository.role_mut(role).version = 1_000_000;
        let before = judge.admits(&repository.publish());
        repository.role_mut("root").version = 2;
        repository.role_mut(role).version = 1;
        repository.role_mut("timestamp").version += 1;
        if role == "timestamp" {
            repository.role_mut(role).version = 1;
        }
        judge.refuses_after(Reason::Rollback, &before, &repository.publish());
    }
}

#[test]
fn f17_a_refused_update_allows_no_lower_version() {
    let mut repository = NotaryRepository::signed();
    let judge = Judge::pinned_to(&repository);
    repository.role_mut("timestamp").version = 1_000_000;
    let good = repository.publish();
    let before = judge.admits(&good);
    let mut broken = repository.clone();
    broken.rotate("timestamp", "timestamp-2");
    broken.role_mut("timestamp").version = 1;
    broken.role_mut(RELEASES).expires = in_days(-1);
    broken.role_mut(RELEASES).version = 2;
    assert_refused(Reason::Expired, judge.verdict(Some(&before.memory), &broken.publish()));
    judge.admits_after(&before, &good);
}

#[test]
fn f17_a_delegation_with_a_new_key_or_delegated_again_may_have_a_lower_version() {
    let mut repository = NotaryRepository::signed();
    let judge = Judge::pinned_to(&repository);
    repository.role_mut(RELEASES).version = 1_000_000;
    let first = judge.admits(&repository.publish());
    let mut another = repository.clone();
    another.rotate(RELEASES, "releases-2");
    another.role_mut(RELEASES).version = 1;
    judge.admits_after(&first, &another.publish());
    // `targets` decides both, and its own version cannot go back.
    repository.undelegate(RELEASES);
    let second = judge.admits_after(&first, &repository.publish());
    repository.delegate(RELEASES, Key::named(RELEASES)).tag(RELEASES, "v1", V1);
    let third = judge.admits_after(&second, &repository.publish());
    assert_eq!(resolved(&third, "v1"), Digest::of(V1));
}
