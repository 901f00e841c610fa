//! R5-R9: root rotation: each root is signed by its predecessor and itself, follows by one version, and the last is pinned.

use countersign::oci::Digest;
use countersign::trust::Reason;

use super::judge::{Answer, Judge, assert_refused, resolved};
use crate::notary_repository::*;

/// A judge that pins each of these root keys.
fn knowing(repository: &NotaryRepository, names: &[&str]) -> Judge {
    let pins: Vec<_> = names.iter().map(|name| Key::named(name).canonical_id()).collect();
    Judge::with(repository, &pins)
}

/// The valid repository with one root for each name, and the published files after each rotation.
fn rotated(names: &[&str]) -> (NotaryRepository, Vec<Files>) {
    let mut repository = NotaryRepository::signed();
    repository.rotate("root", names[0]);
    let mut published = vec![repository.publish()];
    for name in &names[1..] {
        repository.rotate("root", name);
        published.push(repository.publish());
    }
    (repository, published)
}

#[test]
fn r5_an_expired_root_certificate_still_vouches_for_its_successor() {
    let mut repository = NotaryRepository::signed();
    let short = Certificate { until: 5, ..Certificate::named(GUN) };
    *repository.keys_mut("root") = vec![short.of(&Key::named("root"))];
    let judge = knowing(&repository, &["root", "root-2"]);
    let first = repository.publish();
    let before = judge.admits(&first);
    judge.in_days(6).refuses_after(Reason::Expired, &before, &first);
    repository.rotate("root", "root-2");
    let second = repository.publish();
    let after = judge.in_days(6).admits_after(&before, &second);
    assert_eq!(resolved(&after, "v1"), Digest::of(V1));
    judge.in_days(6).admits(&second);
}

/// Docker Official Images could not do this in 2025: clients with the old certificate could not update.
#[test]
fn r5_a_canonical_id_pins_a_root_key_across_renewed_certificates() {
    let mut repository = NotaryRepository::signed();
    let short = Certificate { until: 5, ..Certificate::named(GUN) };
    *repository.keys_mut("root") = vec![short.of(&Key::named("root"))];
    let judge = Judge::pinned_to(&repository);
    let before = judge.admits(&repository.publish());
    *repository.keys_mut("root") = vec![Certificate::named(GUN).of(&Key::named("root"))];
    judge.in_days(6).admits_after(&before, &repository.publish());
}

#[test]
fn r5_an_expired_root_still_vouches_for_its_successor() {
    let mut repository = NotaryRepository::signed();
    repository.role_mut("root").expires = in_days(5);
    let judge = knowing(&repository, &["root", "root-2"]);
    let before = judge.admits(&repository.publish());
    repository.rotate("root", "root-2");
    repository.role_mut("root").version = 2;
    repository.role_mut("root").expires = in_days(3650);
    judge.in_days(6).admits_after(&before, &repository.publish());
}

#[test]
fn r6_a_root_signed_by_its_predecessor_and_itself_is_followed() {
    let (repository, published) = rotated(&["root", "root-2"]);
    let judge = knowing(&repository, &["root", "root-2"]);
    let before = judge.admits(&published[0]);
    let after = judge.admits_after(&before, &published[1]);
    judge.admits_after(&after, &published[1]);
    judge.refuses_after(Reason::Rollback, &after, &published[0]);
}

/// The rotation from `root` to `root-2`, where only the new or only the old key signs the new root.
fn half_signed(new: bool) -> (Judge, Files, Files) {
    let mut repository = NotaryRepository::signed();
    let first = repository.publish();
    let old = repository.role("root").keys[0].clone();
    repository.rotate("root", "root-2");
    let by = if new { repository.role("root").keys[0].clone() } else { old };
    repository.role_mut("root").version = 2;
    repository.role_mut("root").signers = Some(vec![Signer::of(&by)]);
    let judge = knowing(&repository, &["root", "root-2"]);
    (judge, first, repository.publish())
}

#[test]
fn r6_a_root_that_its_predecessor_did_not_sign_is_refused() {
    let (judge, first, second) = half_signed(true);
    let before = judge.admits(&first);
    judge.refuses_after(Reason::SignatureInvalid, &before, &second);
}

#[test]
fn r6_a_root_that_did_not_sign_itself_is_refused() {
    let (judge, first, second) = half_signed(false);
    let before = judge.admits(&first);
    judge.refuses_after(Reason::SignatureInvalid, &before, &second);
    judge.refuses(Reason::SignatureInvalid, &second);
}

#[test]
fn r6_the_threshold_of_the_predecessor_applies() {
    let mut repository = NotaryRepository::signed();
    let two = ["root", "root-b"].map(|name| Certificate::named(GUN).of(&Key::named(name)));
    *repository.keys_mut("root") = two.to_vec();
    repository.role_mut("root").threshold = 2;
    let judge = knowing(&repository, &["root", "root-b", "root-2"]);
    let before = judge.admits(&repository.publish());
    repository.rotate("root", "root-2");
    let new = repository.role("root").keys[0].clone();
    repository.role_mut("root").version = 2;
    repository.role_mut("root").threshold = 1;
    let mut one = repository.clone();
    one.role_mut("root").signers = Some(vec![Signer::of(&new), Signer::of(&two[0])]);
    judge.refuses_after(Reason::SignatureInvalid, &before, &one.publish());
    let all = [&new, &two[0], &two[1]].map(Signer::of).to_vec();
    repository.role_mut("root").signers = Some(all);
    judge.admits_after(&before, &repository.publish());
}

#[test]
fn r7_several_rotations_are_followed_one_after_the_other() {
    let names = ["root", "root-2", "root-3", "root-4", "root-5"];
    let (repository, published) = rotated(&names);
    let judge = knowing(&repository, &names);
    for from in 0..published.len() - 1 {
        let before = judge.admits(&published[from]);
        let after = judge.admits_after(&before, &published[4]);
        assert_eq!(resolved(&after, "v1"), Digest::of(V1));
    }
}

#[test]
fn r7_a_missing_intermediate_root_is_refused() {
    let names = ["root", "root-2", "root-3", "root-4"];
    let (repository, published) = rotated(&names);
    let judge = knowing(&repository, &names);
    let before = judge.admits(&published[0]);
    for missing in ["2.root", "3.root"] {
        let mut files = published[3].clone();
        files.remove(missing);
        judge.refuses_after(Reason::SignatureInvalid, &before, &files);
    }
}

#[test]
fn r7_a_root_whose_version_differs_from_its_file_name_is_refused() {
    let names = ["root", "root-2", "root-3"];
    let (repository, published) = rotated(&names);
    let judge = knowing(&repository, &names);
    let before = judge.admits(&published[0]);
    for (other, reason) in [("1.root", Reason::Rollback), ("3.root", Reason::SignatureInvalid)] {
        let mut files = published[2].clone();
        files.insert("2.root".to_owned(), files[other].clone());
        judge.refuses_after(reason, &before, &files);
    }
    // Even if both roots signed it: 2.root contains version 7.
    let mut repository = NotaryRepository::signed();
    let before = judge.admits(&repository.publish());
    repository.rotate("root", "root-2");
    repository.role_mut("root").version = 7;
    let mut files = repository.publish();
    files.insert("2.root".to_owned(), files["7.root"].clone());
    judge.refuses_after(Reason::MixAndMatch, &before, &files);
}

#[test]
fn r8_a_server_without_versioned_roots_may_skip_versions_if_the_trusted_root_signed() {
    let mut repository = NotaryRepository::signed();
    let judge = knowing(&repository, &["root", "root-2"]);
    let before = judge.admits(&repository.publish());
    repository.rotate("root", "root-2");
    repository.role_mut("root").version = 50;
    let mut files = repository.publish();
    files.retain(|name, _| !name.ends_with(".root"));
    let after = judge.admits_after(&before, &files);
    judge.admits_after(&after, &files);
}

#[test]
fn r8_skipped_versions_are_refused_if_the_trusted_root_did_not_sign() {
    let (repository, published) = rotated(&["root", "root-2", "root-3"]);
    let judge = knowing(&repository, &["root", "root-2", "root-3"]);
    let before = judge.admits(&published[0]);
    let mut files = published[2].clone();
    files.retain(|name, _| !name.ends_with(".root"));
    judge.refuses_after(Reason::SignatureInvalid, &before, &files);
}

#[test]
fn r9_a_rotation_to_a_root_that_is_not_pinned_is_refused() {
    let (repository, published) = rotated(&["root", "root-2"]);
    let judge = knowing(&repository, &["root"]);
    let before = judge.admits(&published[0]);
    judge.refuses_after(Reason::RootNotPinned, &before, &published[1]);
    judge.admits_after(&before, &published[0]);
}

/// An attacker who controls the server must not be able to reset the trust memory with a rotation to an unpinned root.
#[test]
fn r9_a_rotation_to_an_unpinned_root_does_not_reset_the_memory() {
    let mut repository = NotaryRepository::signed();
    let old = repository.publish();
    for role in ["targets", RELEASES] {
        repository.tag(role, "v1", b"the fixed v1");
    }
    let new = repository.publish();
    let judge = knowing(&repository, &["root"]);
    let before = judge.admits(&new);
    repository.rotate("root", "root-2");
    let rotated = repository.publish();
    // `root.json` is missing on the first request and the old one on later requests.
    let asked = std::cell::Cell::new(0);
    let verdict = judge.ask(Some(&before.memory), |name| {
        if name == "2.root" {
            return Answer::Found(rotated["2.root"].clone());
        }
        if name == "root" {
            asked.set(asked.get() + 1);
        }
        match old.get(name) {
            Some(bytes) if name != "root" || asked.get() > 1 => Answer::Found(bytes.clone()),
            Some(_) | None => Answer::Missing,
        }
    });
    assert_refused(Reason::RootNotPinned, verdict);
}

#[test]
fn r9_an_unpinned_intermediate_root_is_accepted_if_the_last_root_is_pinned() {
    let (repository, published) = rotated(&["root", "root-2", "root-3"]);
    let judge = knowing(&repository, &["root", "root-3"]);
    let before = judge.admits(&published[0]);
    judge.admits_after(&before, &published[2]);
}

#[test]
fn r6_a_successor_for_another_repository_is_refused() {
    let mut repository = NotaryRepository::signed();
    let judge = knowing(&repository, &["root", "root-2"]);
    let before = judge.admits(&repository.publish());
    let other = Certificate::named("registry.example.com/library/other").of(&Key::named("root-2"));
    *repository.keys_mut("root") = vec![other];
    judge.refuses_after(Reason::WrongRepository, &before, &repository.publish());
}

#[test]
fn r7_the_number_of_rotations_is_limited() {
    let mut repository = NotaryRepository::signed();
    let judge = Judge::pinned_to(&repository);
    let before = judge.admits(&repository.publish());
    for version in 2..=200 {
        repository.role_mut("root").version = version;
        repository.publish();
    }
    let files = repository.publish();
    let asked = std::cell::RefCell::new(0);
    let verdict = judge.ask(Some(&before.memory), |name| {
        *asked.borrow_mut() += 1;
        files.get(name).cloned().map_or(Answer::Missing, Answer::Found)
    });
    assert!(*asked.borrow() < 200, "{} requests", asked.borrow());
    assert!(verdict.is_err());
}
