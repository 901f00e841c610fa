//! M1-M8: every byte of a file must match its entry in the parent; and which answers of a server are accepted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign::trust::Reason;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::judge::{Judge, endorsed, resolved};
use crate::notary_repository::*;

const HASHED: [&str; 3] = ["snapshot", "targets", RELEASES];

fn valid() -> (Judge, NotaryRepository) {
    let repository = NotaryRepository::signed();
    (Judge::pinned_to(&repository), repository)
}

#[test]
fn m1_a_changed_byte_is_refused_in_each_file() {
    for role in HASHED {
        let (judge, mut repository) = valid();
        let mut files = repository.publish();
        let file = files.get_mut(&name_in(&files.clone(), role)).unwrap();
        *file.last_mut().unwrap() = b' ';
        judge.refuses(Reason::MixAndMatch, &files);
    }
}

#[test]
fn m2_another_signed_file_of_the_same_role_is_refused_under_the_hashed_name() {
    for role in HASHED {
        let (judge, mut repository) = valid();
        let mut files = repository.publish();
        let name = name_in(&files, role);
        let mut other = repository.clone();
        other.role_mut(role).expires = in_days(200);
        other.publish();
        files.insert(name, other.file(role).to_vec());
        judge.refuses(Reason::MixAndMatch, &files);
    }
}

#[test]
fn m3_a_root_that_differs_from_the_snapshots_entry_is_refused() {
    let (judge, mut repository) = valid();
    let mut files = repository.publish();
    repository.role_mut("root").expires = in_days(200);
    let other = repository.publish();
    for name in ["root", "1.root"] {
        files.insert(name.to_owned(), other[name].clone());
    }
    judge.refuses(Reason::MixAndMatch, &files);
}

#[test]
fn m3_mixed_files_of_two_sets_are_refused() {
    let (judge, mut repository) = valid();
    let first = repository.publish();
    for role in ["targets", RELEASES] {
        repository.tag(role, "v2", b"the second manifest");
    }
    let second = repository.publish();
    // The newer snapshot under the file name in the older timestamp, and the same for the roles below it.
    for role in HASHED {
        let mut mixed = first.clone();
        mixed.insert(name_in(&first, role), second[role].clone());
        judge.refuses(Reason::MixAndMatch, &mixed);
    }
}

/// Changes the entry of `role` in its parent.
fn relist(repository: &mut NotaryRepository, role: &'static str, edit: fn(&mut Value)) {
    let parent = if role == "snapshot" { "timestamp" } else { "snapshot" };
    repository.edit_signed(parent, move |signed| edit(&mut signed["meta"][role]));
}

#[test]
fn m4_a_wrong_sha512_beside_a_right_sha256_is_refused() {
    for role in ["root", "snapshot", "targets", RELEASES] {
        let (judge, mut repository) = valid();
        relist(&mut repository, role, |meta| {
            meta["hashes"]["sha512"] = json!(STANDARD.encode([7; 64]));
        });
        judge.refuses(Reason::MixAndMatch, &repository.publish());
    }
}

#[test]
fn m4_a_missing_sha512_and_unknown_hash_algorithms_are_accepted() {
    let (judge, mut repository) = valid();
    for role in ["root", "snapshot", "targets", RELEASES] {
        relist(&mut repository, role, |meta| {
            meta["hashes"].as_object_mut().unwrap().remove("sha512");
            meta["hashes"]["blake3"] = json!("AAAA");
        });
    }
    judge.admits(&repository.publish());
}

/// Hashes without a usable SHA-256.
const USELESS: [fn(&mut Value); 7] = [
    |entry| drop(entry["hashes"].as_object_mut().unwrap().remove("sha256")),
    |entry| entry["hashes"] = json!({ "md5": STANDARD.encode([0; 16]) }),
    |entry| entry["hashes"] = json!({}),
    |entry| entry["hashes"] = json!(null),
    |entry| entry["hashes"]["sha256"] = json!(STANDARD.encode([0; 31])),
    |entry| {
        let raw = STANDARD.decode(entry["hashes"]["sha256"].as_str().unwrap()).unwrap();
        entry["hashes"]["sha256"] = json!(hex::encode(raw));
    },
    |entry| {
        let padded = entry["hashes"]["sha256"].as_str().unwrap().to_owned();
        entry["hashes"]["sha256"] = json!(padded.trim_end_matches('='));
    },
];

#[test]
fn m5_a_file_listed_without_a_sha256_of_32_bytes_in_base64_is_refused() {
    for role in ["root", "snapshot", "targets", RELEASES] {
        for useless in USELESS {
            let (judge, mut repository) = valid();
            relist(&mut repository, role, useless);
            judge.refuses(Reason::Malformed, &repository.publish());
        }
    }
}

#[test]
fn m5_a_tag_signed_without_a_sha256_of_32_bytes_in_base64_is_refused() {
    for role in ["targets", RELEASES] {
        for useless in USELESS {
            let (judge, mut repository) = valid();
            repository.edit_signed(role, move |signed| useless(&mut signed["targets"]["v1"]));
            judge.refuses(Reason::Malformed, &repository.publish());
        }
    }
}

#[test]
fn m5_a_sha512_that_is_not_64_bytes_is_refused() {
    for role in ["root", "snapshot", "targets", RELEASES] {
        let (judge, mut repository) = valid();
        relist(&mut repository, role, |meta| meta["hashes"]["sha512"] = json!("AAAA"));
        judge.refuses(Reason::Malformed, &repository.publish());
    }
}

#[test]
fn m6_a_length_that_differs_from_the_file_is_refused() {
    for role in ["root", "snapshot", "targets", RELEASES] {
        for add in [-1_i64, 1, 1000] {
            let (judge, mut repository) = valid();
            let parent = if role == "snapshot" { "timestamp" } else { "snapshot" };
            repository.edit_signed(parent, move |signed| {
                let length = signed["meta"][role]["length"].as_i64().unwrap();
                signed["meta"][role]["length"] = json!(length + add);
            });
            judge.refuses(Reason::MixAndMatch, &repository.publish());
        }
    }
}

#[test]
fn m6_an_impossible_length_is_refused() {
    for role in ["root", "snapshot", "targets", RELEASES] {
        let lengths: [fn(&mut Value); 5] = [
            |meta| meta["length"] = json!(-1),
            |meta| meta["length"] = json!(0),
            |meta| meta["length"] = json!(1_i64 << 40),
            |meta| meta["length"] = json!("528"),
            |meta| drop(meta.as_object_mut().unwrap().remove("length")),
        ];
        for length in lengths {
            let (judge, mut repository) = valid();
            relist(&mut repository, role, length);
            judge.refuses(Reason::Malformed, &repository.publish());
        }
    }
}

#[test]
fn m6_a_tag_with_a_negative_manifest_length_is_refused() {
    for role in ["targets", RELEASES] {
        let (judge, mut repository) = valid();
        repository.edit_signed(role, |signed| signed["targets"]["v1"]["length"] = json!(-1));
        judge.refuses(Reason::Malformed, &repository.publish());
    }
}

#[test]
fn m7_validly_signed_files_beyond_their_size_limits_are_refused() {
    for (role, bytes) in [("root", 1 << 20), ("timestamp", 64 << 10), ("snapshot", 1 << 20)] {
        let (judge, mut repository) = valid();
        repository.edit_signed(role, move |signed| signed["x"] = json!("x".repeat(bytes)));
        judge.refuses(Reason::Malformed, &repository.publish());
    }
}

#[test]
fn m8_an_html_page_an_empty_body_and_other_documents_are_refused() {
    for role in ["root", "timestamp"] {
        for body in ["", " ", "<!doctype html><title>Sign in</title>", "null", "[]", "\"\""] {
            let (judge, mut repository) = valid();
            let mut files = repository.publish();
            files.insert(role.to_owned(), body.into());
            judge.refuses(Reason::Malformed, &files);
        }
        let (judge, mut repository) = valid();
        let mut files = repository.publish();
        files.insert(role.to_owned(), b"{}".to_vec());
        judge.refuses(Reason::SignatureInvalid, &files);
    }
}

#[test]
fn m8_a_missing_file_that_its_parent_lists_is_refused() {
    for role in HASHED {
        let (judge, mut repository) = valid();
        let mut files = repository.publish();
        files.remove(&name_in(&files, role));
        judge.refuses(Reason::MixAndMatch, &files);
    }
}

#[test]
fn a_tag_resolves_to_exactly_the_signed_hash() {
    let (judge, mut repository) = valid();
    let updated = judge.admits(&repository.publish());
    let expected = format!("sha256:{}", hex::encode(Sha256::digest(V1)));
    assert_eq!(resolved(&updated, "v1").to_string(), expected);
    let found = updated.repository.tag(&"v1".parse().unwrap()).unwrap();
    assert_eq!(found.entry.length, V1.len() as u64);
    assert!(endorsed(&updated, V1));
    assert!(!endorsed(&updated, b"unsigned"));
}
