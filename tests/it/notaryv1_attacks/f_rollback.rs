//! F7-F13, F16: metadata that is older than the last seen version, or has the same version and other content. The memory
//! holds versions and hashes, and does not depend on cached files.

use countersign::oci::Digest;
use countersign::trust::Reason;
use serde_json::json;

use super::judge::{Judge, resolved};
use crate::notary_repository::*;

/// A repository with version 3 of every role except root, and its state at version 2.
struct Two {
    judge: Judge,
    old: NotaryRepository,
    new: NotaryRepository,
}

impl Two {
    fn versions() -> Self {
        let mut old = NotaryRepository::signed();
        old.publish();
        for role in ["targets", RELEASES, "targets/alice", "targets/qa"] {
            old.tag(role, "v2", b"the second manifest");
        }
        old.publish();
        let mut new = old.clone();
        for role in ["targets", RELEASES, "targets/alice", "targets/qa"] {
            new.tag(role, "v3", b"the third manifest");
        }
        new.publish();
        Self { judge: Judge::pinned_to(&old), old, new }
    }

    /// The files of an attacker who has the snapshot and timestamp keys: the old `role` in a newer snapshot and timestamp.
    /// `padding` additional tags make the old file longer than the newer one.
    fn with_old(&mut self, role: &str, padding: usize) -> (Files, usize, usize) {
        let newer = self.new.file(role).len();
        let mut mixed = self.new.clone();
        let old = self.old.role(role).clone();
        *mixed.role_mut(role) = old;
        for number in 0..padding {
            mixed.tag(role, &format!("padding-{number}"), b"padding");
            mixed.role_mut(role).version = 2;
        }
        mixed.role_mut("snapshot").version = 4;
        mixed.role_mut("timestamp").version = 4;
        let files = mixed.publish();
        (files, newer, mixed.file(role).len())
    }
}

#[test]
fn f7_an_older_timestamp_is_refused() {
    let Two { judge, mut old, mut new } = Two::versions();
    let before = judge.admits(&new.publish());
    judge.admits(&old.publish());
    judge.refuses_after(Reason::Rollback, &before, &old.publish());
}

#[test]
fn f8_an_older_root_is_refused_even_if_all_other_roles_are_newer() {
    let mut repository = NotaryRepository::signed();
    let first = repository.publish();
    repository.rotate("root", "root-2");
    let second = repository.publish();
    let pins = [Key::named("root"), Key::named("root-2")].map(|key| key.canonical_id());
    let judge = Judge::with(&repository, &pins);
    let before = judge.admits(&second);
    let mut repository = NotaryRepository::signed();
    repository.role_mut("timestamp").version = 9;
    repository.role_mut("snapshot").version = 9;
    let mut replay = repository.publish();
    judge.admits(&replay);
    replay.insert("2.root".to_owned(), second["2.root"].clone());
    judge.refuses_after(Reason::Rollback, &before, &replay);
    judge.refuses_after(Reason::Rollback, &before, &first);
}

#[test]
fn f9_an_older_snapshot_is_refused() {
    let Two { judge, mut old, mut new } = Two::versions();
    let before = judge.admits(&new.publish());
    old.role_mut("timestamp").version = 9;
    let files = old.publish();
    judge.admits(&files);
    judge.refuses_after(Reason::Rollback, &before, &files);
}

#[test]
fn f10_older_targets_are_refused_if_the_file_is_larger() {
    let mut two = Two::versions();
    let before = two.judge.admits(&two.new.clone().publish());
    let (files, newer, older) = two.with_old("targets", 5);
    assert!(older > newer);
    two.judge.admits(&files);
    two.judge.refuses_after(Reason::Rollback, &before, &files);
}

#[test]
fn f10_older_targets_are_refused_if_the_file_is_smaller() {
    let mut two = Two::versions();
    let before = two.judge.admits(&two.new.clone().publish());
    let (files, newer, older) = two.with_old("targets", 0);
    assert!(older < newer);
    two.judge.admits(&files);
    two.judge.refuses_after(Reason::Rollback, &before, &files);
}

#[test]
fn f11_an_older_delegation_is_refused_if_the_file_is_larger() {
    let mut two = Two::versions();
    let before = two.judge.admits(&two.new.clone().publish());
    let (files, newer, older) = two.with_old(RELEASES, 5);
    assert!(older > newer);
    two.judge.admits(&files);
    two.judge.refuses_after(Reason::Rollback, &before, &files);
}

#[test]
fn f11_an_older_delegation_is_refused_if_the_file_is_smaller() {
    let mut two = Two::versions();
    let before = two.judge.admits(&two.new.clone().publish());
    let (files, newer, older) = two.with_old(RELEASES, 0);
    assert!(older < newer);
    two.judge.admits(&files);
    two.judge.refuses_after(Reason::Rollback, &before, &files);
}

#[test]
fn f11_older_metadata_of_a_required_signer_is_refused() {
    let mut two = Two::versions();
    two.judge = two.judge.requiring(&["alice"]);
    let before = two.judge.admits(&two.new.clone().publish());
    let (files, _, _) = two.with_old("targets/alice", 0);
    two.judge.refuses_after(Reason::Rollback, &before, &files);
}

#[test]
fn f12_an_older_set_is_admitted_with_an_empty_memory_and_refused_with_a_stored_one() {
    let Two { judge, mut old, mut new } = Two::versions();
    let older = old.publish();
    assert_eq!(resolved(&judge.admits(&older), "v2"), Digest::of(b"the second manifest"));
    let before = judge.admits(&new.publish());
    judge.refuses_after(Reason::Rollback, &before, &older);
}

#[test]
fn f13_the_same_version_with_other_content_is_refused_for_each_role() {
    for role in ["root", "timestamp", "snapshot", "targets", RELEASES] {
        let mut repository = NotaryRepository::signed();
        let judge = Judge::pinned_to(&repository);
        let before = judge.admits(&repository.publish());
        for above in ["snapshot", "timestamp"] {
            repository.role_mut(above).version = 2;
        }
        // Signed again, with an additional member.
        repository.edit_signed(role, move |signed| signed["x"] = json!("other"));
        repository.role_mut(role).version = 1;
        if role == "timestamp" {
            // A timestamp differs only if it names another snapshot.
            repository.role_mut("snapshot").expires = in_days(900);
        }
        judge.refuses_after(Reason::Rollback, &before, &repository.publish());
    }
}

#[test]
fn f13_a_timestamp_signed_again_with_the_same_content_is_admitted() {
    let mut repository = NotaryRepository::signed();
    let judge = Judge::pinned_to(&repository);
    let before = judge.admits(&repository.publish());
    repository.role_mut("timestamp").expires = in_days(15);
    let after = judge.admits_after(&before, &repository.publish());
    assert_eq!(after.repository.expires().to_string(), in_days(15));
}

#[test]
fn f16_versions_that_are_not_exact_positive_integers_are_refused() {
    let versions = [
        json!(0),
        json!(-1),
        json!(2.0),
        json!("2"),
        json!(null),
        json!((1_i64 << 53)),
        json!(i64::MAX),
        json!(u64::MAX),
    ];
    for role in ["root", "timestamp", "snapshot", "targets", RELEASES] {
        for version in versions.clone() {
            let mut repository = NotaryRepository::signed();
            let judge = Judge::pinned_to(&repository);
            repository.edit_signed(role, move |signed| signed["version"] = version.clone());
            judge.refuses(Reason::Malformed, &repository.publish());
        }
    }
}

#[test]
fn f16_the_greatest_exact_integer_is_a_valid_version() {
    let mut repository = NotaryRepository::signed();
    let judge = Judge::pinned_to(&repository);
    for role in ["timestamp", "snapshot", "targets", RELEASES] {
        repository.role_mut(role).version = (1 << 53) - 1;
    }
    let files = repository.publish();
    judge.admits_after(&judge.admits(&files), &files);
}
