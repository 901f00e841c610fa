//! D1-D7: which roles decide for a tag: `targets/releases`, then `targets`, and the required signers.

use std::cell::RefCell;

use countersign::oci::Digest;
use countersign::trust::Reason;
use serde_json::{Value, json};

use super::judge::{Answer, Judge, endorsed, resolved, unresolved};
use crate::notary_repository::*;

fn valid() -> (Judge, NotaryRepository) {
    let repository = NotaryRepository::signed();
    (Judge::pinned_to(&repository), repository)
}

#[test]
fn d1_a_tag_that_only_a_signer_signed_is_not_signed() {
    let (judge, mut repository) = valid();
    repository.tag("targets/alice", "v2", b"the second manifest");
    let updated = judge.admits(&repository.publish());
    assert_eq!(unresolved(&updated, "v2"), Reason::TagNotSigned);
}

#[test]
fn d1_a_tag_that_only_a_delegation_of_releases_signed_is_not_signed() {
    let (judge, mut repository) = valid();
    repository.delegate("targets/releases/nightly", Key::named("nightly"));
    repository.tag("targets/releases/nightly", "v2", b"the second manifest");
    let updated = judge.admits(&repository.publish());
    assert_eq!(unresolved(&updated, "v2"), Reason::TagNotSigned);
    assert_eq!(resolved(&updated, "v1"), Digest::of(V1));
}

#[test]
fn d1_releases_takes_precedence_over_targets_for_the_tags_that_it_signs() {
    let (judge, mut repository) = valid();
    let updated = judge.admits(&repository.publish());
    assert_eq!(resolved(&updated, "v1"), Digest::of(V1));
    assert_eq!(resolved(&updated, "base"), Digest::of(BASE));
}

#[test]
fn d2_targets_decides_for_a_tag_that_no_path_of_releases_covers() {
    for (paths, covered) in [
        (vec![""], true),
        (vec!["v"], true),
        (vec!["x", "v1"], true),
        (vec!["v2"], false),
        (vec!["v1*"], false),
        (vec!["V1"], false),
        (vec!["*"], false),
        (vec![], false),
    ] {
        let (judge, mut repository) = valid();
        repository.role_mut(RELEASES).paths = paths.iter().map(|&path| path.to_owned()).collect();
        let updated = judge.admits(&repository.publish());
        let expected = if covered { V1 } else { OLD_V1 };
        assert_eq!(resolved(&updated, "v1"), Digest::of(expected), "{paths:?}");
        assert_eq!(endorsed(&updated, V1), covered, "{paths:?}");
    }
}

#[test]
fn d2_a_delegation_without_paths_signs_no_tag() {
    let (judge, mut repository) = valid();
    edit_role(&mut repository, RELEASES, |role| {
        role.as_object_mut().unwrap().remove("paths");
    });
    let updated = judge.admits(&repository.publish());
    assert_eq!(resolved(&updated, "v1"), Digest::of(OLD_V1));
}

/// Changes how `targets` lists the delegation `name`.
fn edit_role(repository: &mut NotaryRepository, name: &'static str, edit: fn(&mut Value)) {
    repository.edit_signed("targets", move |signed| {
        let roles = signed["delegations"]["roles"].as_array_mut().unwrap();
        edit(roles.iter_mut().find(|role| role["name"] == name).unwrap());
    });
}

#[test]
fn d3_targets_with_an_invalid_delegation_name_is_refused() {
    for name in [
        "targets/../root",
        "targets/./x",
        "targets/..",
        "targets/X",
        "targets//x",
        "targets/x/",
        "targets/",
        "targets",
        "targets/releases/x",
        "root",
        "snapshot",
        "x",
        "",
        "Targets/x",
        " targets/x",
        "targets/x%2e",
        "targets/x.json",
        "targets/\u{e9}",
        "targets/x\0",
        "/targets/x",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain([format!("targets/{}", "x".repeat(248))])
    {
        let (judge, mut repository) = valid();
        let listed = name.clone();
        repository.edit_signed("targets", move |signed| {
            let roles = signed["delegations"]["roles"].as_array_mut().unwrap();
            let mut role = roles[0].clone();
            role["name"] = json!(listed);
            roles.push(role);
        });
        judge.refuses(Reason::Malformed, &repository.publish());
    }
}

#[test]
fn d3_an_invalid_role_name_in_the_snapshot_is_never_fetched() {
    let (judge, mut repository) = valid();
    repository.edit_signed("snapshot", |signed| {
        let meta = signed["meta"][RELEASES].clone();
        for name in ["targets/../../../etc/passwd", "targets/x?y", "../root", "targets//releases"] {
            signed["meta"][name] = meta.clone();
        }
    });
    let files = repository.publish();
    let names = fetched_files(&judge, &files);
    assert!(names.iter().all(|name| !name.contains("..") && !name.contains("//")), "{names:?}");
}

/// The names of the files that the verifier fetches.
fn fetched_files(judge: &Judge, files: &Files) -> Vec<String> {
    let names = RefCell::new(Vec::new());
    let verdict = judge.ask(None, |name| {
        names.borrow_mut().push(name.to_owned());
        files.get(name).cloned().map_or(Answer::Missing, Answer::Found)
    });
    assert!(verdict.is_ok());
    names.into_inner()
}

#[test]
fn d4_targets_with_two_entries_for_one_delegation_is_refused() {
    for same_keys in [true, false] {
        let (judge, mut repository) = valid();
        repository.edit_signed("targets", move |signed| {
            let mallory = Key::named("mallory");
            signed["delegations"]["keys"][mallory.id()] = mallory.entry();
            let roles = signed["delegations"]["roles"].as_array_mut().unwrap();
            let mut role = roles.iter().find(|role| role["name"] == RELEASES).unwrap().clone();
            if !same_keys {
                role["keyids"] = json!([mallory.id()]);
            }
            roles.insert(0, role);
        });
        judge.refuses(Reason::Malformed, &repository.publish());
    }
}

#[test]
fn d5_a_file_without_signatures_is_refused_in_every_role() {
    for role in ["root", "timestamp", "snapshot", "targets", RELEASES] {
        let (judge, mut repository) = valid();
        repository.role_mut(role).signers = Some(Vec::new());
        judge.refuses(Reason::SignatureInvalid, &repository.publish());
    }
}

#[test]
fn d6_ten_thousand_delegations_or_keys_are_refused() {
    let (judge, mut repository) = valid();
    repository.edit_signed("targets", |signed| {
        let roles = signed["delegations"]["roles"].as_array_mut().unwrap();
        for number in 0..10_000 {
            let mut role = roles[0].clone();
            role["name"] = json!(format!("targets/d{number}"));
            roles.push(role);
        }
    });
    judge.refuses(Reason::Malformed, &repository.publish());
    for role in ["root", "targets"] {
        let (judge, mut repository) = valid();
        repository.edit_signed(role, move |signed| {
            let keys = if role == "root" {
                &mut signed["keys"]
            } else {
                &mut signed["delegations"]["keys"]
            };
            for number in 0..10_000 {
                keys[format!("{number:064x}")] = Key::named("root").entry();
            }
        });
        judge.refuses(Reason::Malformed, &repository.publish());
    }
}

#[test]
fn d6_ten_thousand_signatures_are_refused() {
    for role in ["timestamp", "targets", RELEASES] {
        let (judge, mut repository) = valid();
        repository.edit_envelope(role, |envelope| {
            let signatures = envelope["signatures"].as_array_mut().unwrap();
            let one = signatures[0].clone();
            signatures.extend(std::iter::repeat_n(one, 10_000));
        });
        judge.refuses(Reason::Malformed, &repository.publish());
    }
}

#[test]
fn d6_only_required_roles_are_fetched() {
    let (judge, mut repository) = valid();
    let files = repository.publish();
    let fetched = |judge: &Judge, role: &str| {
        fetched_files(judge, &files).iter().any(|name| name.starts_with(role))
    };
    assert!(fetched(&judge, RELEASES));
    assert!(!fetched(&judge, "targets/alice") && !fetched(&judge, "targets/qa"));
    let judge = judge.requiring(&["alice"]);
    assert!(fetched(&judge, "targets/alice") && !fetched(&judge, "targets/qa"));
}

/// The reason why `v1` is refused if these signers are required, for the repository or for the tag.
#[track_caller]
fn refused_for(signers: &[&str], judge: Judge, files: &Files) -> Reason {
    match judge.requiring(signers).verdict(None, files) {
        Ok(updated) => {
            assert!(!endorsed(&updated, V1));
            unresolved(&updated, "v1")
        }
        Err(countersign::trust::notaryv1::NotUpdated::Refused(refusal)) => refusal.reason,
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn d7_signers_that_all_signed_the_same_digest_are_admitted() {
    let (judge, mut repository) = valid();
    let updated = judge.requiring(&["alice", "qa"]).admits(&repository.publish());
    assert_eq!(resolved(&updated, "v1"), Digest::of(V1));
    assert!(endorsed(&updated, V1));
    // No required signer has signed a tag that only `targets` signs.
    assert_eq!(unresolved(&updated, "base"), Reason::SignerMissing);
    assert!(!endorsed(&updated, BASE));
}

#[test]
fn d7_a_signer_without_a_delegation_is_missing() {
    let (judge, mut repository) = valid();
    assert_eq!(refused_for(&["bob"], judge, &repository.publish()), Reason::SignerMissing);
}

#[test]
fn d7_a_signer_that_never_signed_is_missing() {
    let (judge, mut repository) = valid();
    repository.edit_signed("snapshot", |signed| {
        signed["meta"].as_object_mut().unwrap().remove("targets/qa");
    });
    let files = repository.publish();
    assert_eq!(refused_for(&["alice", "qa"], judge, &files), Reason::SignerMissing);
}

#[test]
fn d7_a_signer_that_did_not_sign_this_tag_is_missing() {
    let (judge, mut repository) = valid();
    repository.role_mut("targets/qa").tags.clear();
    let files = repository.publish();
    assert_eq!(refused_for(&["alice", "qa"], judge, &files), Reason::SignerMissing);
}

#[test]
fn d7_a_signer_whose_paths_do_not_cover_the_tag_is_missing() {
    let (judge, mut repository) = valid();
    repository.role_mut("targets/qa").paths = vec!["w".to_owned()];
    let files = repository.publish();
    assert_eq!(refused_for(&["alice", "qa"], judge, &files), Reason::SignerMissing);
}

#[test]
fn d7_a_signer_that_signed_another_digest_disagrees() {
    let (judge, mut repository) = valid();
    repository.tag("targets/qa", "v1", b"another manifest");
    let files = repository.publish();
    assert_eq!(refused_for(&["alice", "qa"], judge, &files), Reason::SignersDisagree);
}

#[test]
fn d7_a_signature_by_a_removed_key_of_a_signer_does_not_count() {
    let (judge, mut repository) = valid();
    repository.publish();
    let before = repository.role("targets/qa").clone();
    *repository.keys_mut("targets/qa") = vec![Key::named("qa-2")];
    repository.role_mut("targets/qa").signers = Some(vec![Signer::of(&before.keys[0])]);
    let files = repository.publish();
    assert_eq!(refused_for(&["alice", "qa"], judge, &files), Reason::SignatureInvalid);
}
