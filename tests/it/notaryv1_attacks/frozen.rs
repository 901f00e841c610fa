//! The same attacks on metadata that a real notary 0.7 published: `tests/data/notary-0.7`. Only the rows that need no new
//! signatures.

use std::path::{Path, PathBuf};

use countersign::clock::Timestamp;
use countersign::trust::Reason;
use countersign::trust::notaryv1::{Pin, Pins, Terms};
use countersign::trust::revoked::RevokedSet;
use serde_json::Value;

use super::judge::{Judge, resolved, unresolved};
use crate::notary_repository::{Files, name_in};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/notary-0.7")
}

fn frozen() -> Value {
    serde_json::from_slice(&std::fs::read(folder().join("frozen.json")).unwrap()).unwrap()
}

/// The files of the set `name`, by file name without `.json`.
fn set(name: &str) -> Files {
    fn read(below: &Path, prefix: &str, files: &mut Files) {
        for entry in std::fs::read_dir(below).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_dir() {
                read(&path, &format!("{name}/"), files);
            } else {
                files.insert(
                    name.strip_suffix(".json").unwrap().to_owned(),
                    std::fs::read(path).unwrap(),
                );
            }
        }
    }
    let mut files = Files::new();
    read(&folder().join(name), "", &mut files);
    assert!(files.contains_key("timestamp"), "{name}");
    files
}

/// A judge at the recorded time that pins the root keys of these sets, for the repository of the first.
fn judge_of(names: &[&str]) -> Judge {
    let frozen = frozen();
    let pin = |name: &&str| {
        let id = frozen["sets"][name]["canonical_root_key_ids"][0].as_str().unwrap();
        Pin::parse(id).unwrap()
    };
    let terms = Terms {
        gun: frozen["sets"][names[0]]["gun"].as_str().unwrap().parse().unwrap(),
        pins: Pins::Keys(names.iter().map(pin).collect()),
        signers: Vec::new(),
        wildcard_root_names: false,
        max_timestamp_life: std::time::Duration::from_secs(90 * 24 * 60 * 60),
        revoked: RevokedSet::default(),
    };
    let now = Timestamp::parse_rfc3339(frozen["frozen_at"].as_str().unwrap()).unwrap();
    Judge { terms, now }
}

fn manifest(name: &str) -> String {
    format!("sha256:{}", frozen()["manifests"][name].as_str().unwrap())
}

const ROTATION: [&str; 7] = [
    "rotation/1-initial",
    "rotation/2-targets",
    "rotation/3-snapshot",
    "rotation/4-snapshot-by-server",
    "rotation/5-timestamp",
    "rotation/6-root",
    "rotation/7-root-again",
];

#[test]
fn metadata_of_a_real_notary_verifies_and_resolves() {
    for (name, tags) in [
        ("repository-key", &[("v1", "app-v1")][..]),
        ("repository-key-resigned/1-older", &[("v1", "app-v1")]),
        ("repository-key-resigned/2-newer", &[("v1", "app-v1-rebuilt"), ("v2", "app-v2")]),
        (
            "delegations",
            &[("base", "app-v1"), ("v1", "app-v1"), ("v2", "app-v2"), ("disputed", "app-v2")],
        ),
        ("delegations-resigned/2-newer", &[("v1", "app-v1-rebuilt"), ("v2", "app-v2")]),
        ("signer-removed/1-both", &[("v1", "app-v1"), ("v2", "app-v2")]),
        ("all-signers-removed/1-alice", &[("base", "app-v1"), ("v1", "app-v1")]),
        ("notary-signer", &[("base", "app-v1"), ("v1", "app-v1")]),
        ("other-repository", &[("v1", "other-v1")]),
    ] {
        let judge = judge_of(&[name]);
        let updated = judge.admits(&set(name));
        for (tag, signed) in tags {
            assert_eq!(resolved(&updated, tag).to_string(), manifest(signed), "{name} {tag}");
        }
        assert_eq!(unresolved(&updated, "v0"), Reason::TagNotSigned);
        judge.admits_after(&updated, &set(name));
    }
}

#[test]
fn r9_a_real_root_key_can_be_pinned_by_either_id() {
    let files = set("repository-key");
    let root_key_id =
        frozen()["sets"]["repository-key"]["root_key_ids"][0].as_str().unwrap().to_owned();
    let judge = judge_of(&["repository-key"]);
    let pins = Pins::Keys(vec![Pin::parse(&root_key_id).unwrap()]);
    judge.on(|terms| terms.pins = pins).admits(&files);
    judge_of(&["delegations"]).refuses(Reason::RootNotPinned, &files);
}

#[test]
fn f1_to_f5_real_metadata_is_refused_after_it_expires() {
    let judge = judge_of(&["delegations"]);
    let files = set("delegations");
    let before = judge.admits(&files);
    judge.in_days(13).admits_after(&before, &files);
    for days in [15, 3 * 366, 11 * 366] {
        judge.in_days(days).refuses(Reason::Expired, &files);
        judge.in_days(days).refuses_after(Reason::Expired, &before, &files);
    }
}

#[test]
fn f7_to_f11_an_older_real_set_is_refused_after_a_newer_one() {
    for series in ["repository-key-resigned", "delegations-resigned"] {
        let names = [format!("{series}/1-older"), format!("{series}/2-newer")];
        let judge = judge_of(&[&names[0]]);
        let (older, newer) = (set(&names[0]), set(&names[1]));
        let before = judge.admits(&older);
        let after = judge.admits_after(&before, &newer);
        judge.refuses_after(Reason::Rollback, &after, &older);
        assert_eq!(resolved(&after, "v1").to_string(), manifest("app-v1-rebuilt"));
        assert_eq!(resolved(&before, "v1").to_string(), manifest("app-v1"));
    }
}

#[test]
fn m3_mixed_files_of_two_states_of_one_repository_are_refused() {
    for series in ["repository-key-resigned", "delegations-resigned"] {
        let names = [format!("{series}/1-older"), format!("{series}/2-newer")];
        let judge = judge_of(&[&names[0]]);
        let (older, newer) = (set(&names[0]), set(&names[1]));
        let mut roles = vec!["snapshot"];
        roles.push(if series.starts_with("deleg") { "targets/releases" } else { "targets" });
        for role in roles {
            let mut mixed = newer.clone();
            mixed.insert(name_in(&newer, role), older[role].clone());
            judge.refuses(Reason::MixAndMatch, &mixed);
            mixed.remove(&name_in(&newer, role));
            judge.refuses(Reason::MixAndMatch, &mixed);
        }
        // The newer timestamp with the other files of the older set.
        let mut mixed = older.clone();
        mixed.insert("timestamp".to_owned(), newer["timestamp"].clone());
        judge.refuses(Reason::MixAndMatch, &mixed);
    }
}

#[test]
fn m1_to_m3_a_file_of_another_publisher_is_refused_in_each_role() {
    let judge = judge_of(&["delegations"]);
    let files = set("delegations");
    let other = set("notary-signer");
    for role in ["root", "timestamp", "snapshot", "targets", "targets/releases"] {
        let mut mixed = files.clone();
        let name = match role {
            "root" | "timestamp" => role.to_owned(),
            _ => name_in(&files, role),
        };
        mixed.insert(name, other[role].clone());
        let reason = match role {
            "root" => Reason::RootNotPinned,
            "timestamp" => Reason::SignatureInvalid,
            _ => Reason::MixAndMatch,
        };
        judge.refuses(reason, &mixed);
    }
}

#[test]
fn m1_a_flipped_byte_is_refused_in_every_file() {
    let judge = judge_of(&["delegations"]);
    let files = set("delegations");
    for role in ["root", "timestamp", "snapshot", "targets", "targets/releases"] {
        let name = match role {
            "root" | "timestamp" => role.to_owned(),
            _ => name_in(&files, role),
        };
        let length = files[&name].len();
        for at in (0..length).step_by(length / 15 + 1) {
            let mut broken = files.clone();
            broken.get_mut(&name).unwrap()[at] ^= 0x01;
            assert!(judge.verdict(None, &broken).is_err(), "{role}: byte {at}");
        }
    }
}

#[test]
fn r1_a_repository_of_another_name_is_refused() {
    let judge = judge_of(&["other-repository"]);
    let judge = judge.on(|terms| terms.gun = "registry.example.com/library/app".parse().unwrap());
    judge.refuses(Reason::WrongRepository, &set("other-repository"));
}

#[test]
fn r6_rotations_of_a_real_notary_are_followed_one_by_one_and_all_at_once() {
    let judge = judge_of(&ROTATION);
    let mut before = judge.admits(&set(ROTATION[0]));
    for name in &ROTATION[1..] {
        let after = judge.admits_after(&before, &set(name));
        assert_eq!(resolved(&after, "v1").to_string(), manifest("app-v1"), "{name}");
        judge.refuses_after(Reason::Rollback, &after, &set(ROTATION[0]));
        before = after;
    }
    for (from, name) in ROTATION.iter().enumerate() {
        for later in &ROTATION[from..] {
            judge.admits_after(&judge.admits(&set(name)), &set(later));
        }
    }
}

#[test]
fn r9_a_real_rotation_to_a_root_that_is_not_pinned_is_refused() {
    let judge = judge_of(&ROTATION[..1]);
    let before = judge.admits(&set(ROTATION[0]));
    judge.admits_after(&before, &set(ROTATION[4]));
    judge.refuses_after(Reason::RootNotPinned, &before, &set(ROTATION[5]));
    judge.refuses(Reason::RootNotPinned, &set(ROTATION[6]));
}

#[test]
fn r7_a_missing_root_in_a_real_rotation_is_refused() {
    let judge = judge_of(&ROTATION);
    let before = judge.admits(&set(ROTATION[0]));
    let mut files = set(ROTATION[6]);
    files.remove("6.root");
    judge.refuses_after(Reason::SignatureInvalid, &before, &files);
}

#[test]
fn d7_signers_of_a_real_notary_are_required_by_name() {
    let files = set("delegations");
    let alice = judge_of(&["delegations"]).requiring(&["alice"]).admits(&files);
    assert_eq!(resolved(&alice, "disputed").to_string(), manifest("app-v2"));
    assert_eq!(unresolved(&alice, "base"), Reason::SignerMissing);
    let both = judge_of(&["delegations"]).requiring(&["alice", "bob"]).admits(&files);
    assert_eq!(resolved(&both, "v2").to_string(), manifest("app-v2"));
    assert_eq!(unresolved(&both, "v1"), Reason::SignerMissing);
    assert_eq!(unresolved(&both, "disputed"), Reason::SignersDisagree);
}

#[test]
fn d7_a_removed_signer_is_missing() {
    let judge = judge_of(&["signer-removed/1-both"]);
    let before = judge.admits(&set("signer-removed/1-both"));
    let after = judge.admits_after(&before, &set("signer-removed/2-without-bob"));
    assert_eq!(resolved(&after, "v1").to_string(), manifest("app-v1"));
    let asking = judge.requiring(&["bob"]);
    let after = asking.admits_after(&before, &set("signer-removed/2-without-bob"));
    assert_eq!(unresolved(&after, "v2"), Reason::SignerMissing);
}

/// A releases role without a signature by a current key is refused, although `targets` is valid: the server could have
/// brought back an older file.
#[test]
fn f5_a_releases_role_last_signed_by_a_removed_signer_is_refused() {
    let judge = judge_of(&["last-signer-removed/1-both"]);
    let before = judge.admits(&set("last-signer-removed/1-both"));
    let files = set("last-signer-removed/2-without-bob");
    judge.refuses_after(Reason::SignatureInvalid, &before, &files);
    judge.refuses(Reason::SignatureInvalid, &files);
}

/// If `targets` lists no keys for releases, only `targets` signs.
#[test]
fn d1_a_releases_role_without_keys_is_ignored() {
    let judge = judge_of(&["all-signers-removed/1-alice"]);
    let before = judge.admits(&set("all-signers-removed/1-alice"));
    let after = judge.admits_after(&before, &set("all-signers-removed/2-nobody"));
    assert_eq!(resolved(&after, "base").to_string(), manifest("app-v1"));
    assert_eq!(unresolved(&after, "v1"), Reason::TagNotSigned);
}
