//! K1-K5, K9-K11: whose signatures count, and how often.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign::oci::Digest;
use countersign::trust::revoked::Revoked;
use countersign::trust::{Reason, Restriction};
use rcgen::PublicKeyData as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::judge::{Judge, resolved};
use crate::notary_repository::*;

fn valid() -> (Judge, NotaryRepository) {
    let repository = NotaryRepository::signed();
    (Judge::pinned_to(&repository), repository)
}

/// The valid repository, except that only these signers sign `role`.
fn signed_by(role: &str, signers: Vec<Signer>) -> (Judge, Files) {
    let (judge, mut repository) = valid();
    repository.role_mut(role).signers = Some(signers);
    (judge, repository.publish())
}

#[test]
fn k1_a_role_signed_by_the_key_of_another_role_is_refused() {
    for (role, other) in [
        ("targets", "snapshot"),
        ("targets", "root"),
        ("timestamp", "snapshot"),
        ("snapshot", "timestamp"),
        (RELEASES, "targets"),
        (RELEASES, "targets/alice"),
    ] {
        let (judge, files) = signed_by(role, vec![Signer::of(&Key::named(other))]);
        judge.refuses(Reason::SignatureInvalid, &files);
    }
}

#[test]
fn k1_a_role_signed_by_an_unlisted_key_is_refused_also_under_a_listed_id() {
    let mallory = Key::named("mallory");
    for role in ["root", "timestamp", "snapshot", "targets", RELEASES] {
        let (judge, files) = signed_by(role, vec![Signer::of(&mallory)]);
        judge.refuses(Reason::SignatureInvalid, &files);
        let (judge, mut repository) = valid();
        let id = repository.role(role).keys[0].listed_id();
        repository.role_mut(role).signers = Some(vec![Signer::of(&mallory).under(id)]);
        judge.refuses(Reason::SignatureInvalid, &repository.publish());
    }
}

#[test]
fn k1_targets_signed_by_the_key_before_the_rotation_are_refused() {
    let (judge, mut repository) = valid();
    repository.publish();
    let before = Signer::of(&repository.role("targets").keys[0]);
    repository.rotate("targets", "targets-2");
    repository.role_mut("targets").version = 2;
    repository.role_mut("targets").signers = Some(vec![before]);
    judge.refuses(Reason::SignatureInvalid, &repository.publish());
}

/// The valid repository, except that `role` has these keys and a threshold of two.
fn two_of(role: &str, keys: Vec<Key>, signers: Option<Vec<Signer>>) -> (Judge, Files) {
    let (_, mut repository) = valid();
    *repository.keys_mut(role) = keys;
    let of_role = repository.role_mut(role);
    of_role.threshold = 2;
    of_role.signers = signers;
    (Judge::pinned_to(&repository), repository.publish())
}

#[test]
fn k2_signatures_of_two_keys_meet_a_threshold_of_two() {
    for role in ["timestamp", "snapshot", "targets", RELEASES] {
        let keys = vec![Key::named("one"), Key::named("two"), Key::named("three")];
        let signers = vec![Signer::of(&keys[0]), Signer::of(&keys[2])];
        let (judge, files) = two_of(role, keys, Some(signers));
        judge.admits(&files);
    }
}

#[test]
fn k2_one_signature_does_not_meet_a_threshold_of_two() {
    for role in ["timestamp", "snapshot", "targets", RELEASES] {
        let keys = vec![Key::named("one"), Key::named("two")];
        let signers = vec![Signer::of(&keys[0])];
        let (judge, files) = two_of(role, keys, Some(signers));
        judge.refuses(Reason::SignatureInvalid, &files);
    }
}

#[test]
fn k2_the_same_signature_twice_does_not_meet_a_threshold_of_two() {
    for role in ["timestamp", "snapshot", "targets", RELEASES] {
        let keys = vec![Key::named("one"), Key::named("two")];
        let again = Signer::of(&keys[0]);
        let under_the_other = again.clone().under(keys[1].id());
        for signers in [vec![again.clone(), again.clone()], vec![again, under_the_other]] {
            let (judge, files) = two_of(role, keys.clone(), Some(signers));
            judge.refuses(Reason::SignatureInvalid, &files);
        }
    }
}

#[test]
fn k2_a_key_listed_twice_counts_once() {
    for role in ["timestamp", "snapshot", "targets", RELEASES] {
        let key = Key::named("one");
        let (judge, files) = two_of(role, vec![key.clone(), key], None);
        judge.refuses(Reason::SignatureInvalid, &files);
    }
}

#[test]
fn k3_one_private_key_under_two_ids_counts_once() {
    let key = Key::named("one");
    let first = Certificate::named("first").of(&key);
    let second = Certificate::named("second").of(&key);
    for role in ["timestamp", "snapshot", "targets", RELEASES] {
        for keys in [vec![key.clone(), first.clone()], vec![first.clone(), second.clone()]] {
            assert_ne!(keys[0].id(), keys[1].id());
            let (judge, files) = two_of(role, keys, None);
            judge.refuses(Reason::SignatureInvalid, &files);
        }
    }
}

#[test]
fn k3_one_private_root_key_in_two_certificates_counts_once() {
    let root = Key::named("root");
    let certificates = [1, 2].map(|_| Certificate::named(GUN).of(&root));
    assert_ne!(certificates[0].id(), certificates[1].id());
    let (judge, files) = two_of("root", certificates.to_vec(), None);
    judge.refuses(Reason::SignatureInvalid, &files);
}

#[test]
fn k4_a_threshold_below_one_is_refused() {
    for role in ["root", "timestamp", "snapshot", "targets", RELEASES] {
        for threshold in [0, -1, i64::MIN] {
            let (judge, mut repository) = valid();
            repository.role_mut(role).threshold = threshold;
            judge.refuses(Reason::Malformed, &repository.publish());
        }
    }
}

#[test]
fn k4_a_threshold_above_the_number_of_keys_is_never_met() {
    for role in ["root", "timestamp", "snapshot", "targets", RELEASES] {
        let (judge, mut repository) = valid();
        repository.role_mut(role).threshold = 2;
        judge.refuses(Reason::SignatureInvalid, &repository.publish());
        repository.keys_mut(role).clear();
        let judge = Judge { terms: judge.terms, now: judge.now };
        repository.role_mut(role).signers = Some(vec![Signer::of(&Key::named(role))]);
        let files = repository.publish();
        match role {
            // A root without a certificate is not valid for any repository.
            "root" => drop(judge.refuses(Reason::Malformed, &files)),
            // A delegation without keys is ignored.
            RELEASES => assert_eq!(resolved(&judge.admits(&files), "v1"), Digest::of(OLD_V1)),
            _ => drop(judge.refuses(Reason::SignatureInvalid, &files)),
        }
    }
}

#[test]
fn k5_a_key_under_an_id_that_is_not_its_own_is_refused() {
    for role in ["root", "timestamp", "snapshot", "targets", RELEASES] {
        let (judge, mut repository) = valid();
        let other = Key::named("mallory").id();
        repository.keys_mut(role)[0].listed_as = Some(other);
        judge.refuses(Reason::Malformed, &repository.publish());
    }
}

#[test]
fn k5_a_key_id_without_a_listed_key_is_refused() {
    let (judge, mut repository) = valid();
    let id = json!(Key::named("targets").id());
    let mallory = json!(Key::named("mallory").id());
    repository.edit_signed("root", move |signed| {
        let ids = &mut signed["roles"]["targets"]["keyids"];
        assert_eq!(ids[0], id);
        *ids = json!([id, mallory]);
    });
    judge.refuses(Reason::Malformed, &repository.publish());
}

#[test]
fn k9_a_key_without_a_private_member_is_accepted_like_one_with_null() {
    let (judge, mut repository) = valid();
    for role in ["timestamp", "snapshot", "targets", RELEASES] {
        repository.keys_mut(role)[0].private = None;
    }
    judge.admits(&repository.publish());
}

#[test]
fn k9_a_key_listed_with_its_private_key_is_refused() {
    for role in ["root", "timestamp", "snapshot", "targets", RELEASES] {
        for private in ["", "AAAA"] {
            let (judge, mut repository) = valid();
            repository.keys_mut(role)[0].private = Some(json!(private));
            judge.refuses(Reason::Malformed, &repository.publish());
        }
    }
}

#[test]
fn k10_invalid_and_unknown_signatures_beside_a_valid_one_are_ignored() {
    for role in ["root", "timestamp", "snapshot", "targets", RELEASES] {
        let (judge, mut repository) = valid();
        let good = Signer::of(&repository.role(role).keys[0]);
        let bad = good.clone().mangled(|mut signature| {
            signature[5] ^= 1;
            signature
        });
        let stranger = Signer::of(&Key::named("stranger"));
        repository.role_mut(role).signers = Some(vec![bad, stranger, good]);
        judge.admits(&repository.publish());
    }
}

#[test]
fn k10_a_file_with_a_signature_that_is_not_base64_is_refused() {
    let (judge, mut repository) = valid();
    repository.edit_envelope("targets", |envelope| {
        let signature = envelope["signatures"][0].clone();
        let raw = STANDARD.decode(signature["sig"].as_str().unwrap()).unwrap();
        envelope["signatures"][0]["sig"] = json!(hex::encode(raw));
    });
    judge.refuses(Reason::SignatureInvalid, &repository.publish());
}

/// The valid repository, and a judge that revokes a key of `role` by its id.
fn without_key_of(role: &str) -> (Judge, NotaryRepository) {
    let repository = NotaryRepository::signed();
    let mut id = [0; 32];
    hex::decode_to_slice(repository.role(role).keys[0].id(), &mut id).unwrap();
    let revoked = [Revoked::Key(id)].into_iter().collect();
    let judge = Judge::pinned_to(&repository).on(|terms| terms.revoked = revoked);
    (judge, repository)
}

#[test]
fn k11_a_role_signed_by_a_revoked_key_is_refused_until_the_key_is_rotated() {
    for role in ["root", "timestamp", "snapshot", "targets", RELEASES] {
        let (judge, mut repository) = without_key_of(role);
        let refusal = judge.refuses(Reason::SignatureInvalid, &repository.publish());
        assert_eq!(refusal.restriction, Some(Restriction::Revoked), "{role}: {refusal}");
    }
    for role in ["timestamp", "targets", RELEASES] {
        let (judge, mut repository) = without_key_of(role);
        repository.rotate(role, "new");
        judge.admits(&repository.publish());
    }
    let (judge, mut repository) = without_key_of("targets/qa");
    judge.admits(&repository.publish());
}

/// Operators revoke a key by the SHA-256 of the public key, as `openssl` prints it, or by a file.
#[test]
fn k11_a_revoked_key_is_found_by_the_hash_of_its_public_key() {
    for role in ["root", "timestamp", "targets", RELEASES] {
        let mut repository = NotaryRepository::signed();
        let spki = repository.role(role).keys[0].pair.subject_public_key_info();
        let revoked = [Revoked::Key(Sha256::digest(spki).into())].into_iter().collect();
        let judge = Judge::pinned_to(&repository).on(|terms| terms.revoked = revoked);
        judge.refuses(Reason::SignatureInvalid, &repository.publish());
    }
    for kind in [Kind::P384, Kind::P521, Kind::Rsa2048, Kind::Ed25519] {
        let mut repository = NotaryRepository::signed();
        let key = Key::new(kind, "timestamp");
        let spki = key.pair.subject_public_key_info();
        *repository.keys_mut("timestamp") = vec![key];
        let revoked = [Revoked::Key(Sha256::digest(spki).into())].into_iter().collect();
        let files = repository.publish();
        Judge::pinned_to(&repository).admits(&files);
        let judge = Judge::pinned_to(&repository).on(|terms| terms.revoked = revoked);
        judge.refuses(Reason::SignatureInvalid, &files);
    }
}

#[test]
fn k11_two_signers_of_one_repository_are_distinct_and_one_signer_counts_once() {
    let mut repository = NotaryRepository::signed();
    let files = repository.publish();
    let ids = |signers: &[&str]| {
        let updated = Judge::pinned_to(&repository).requiring(signers).admits(&files);
        updated.repository.tag(&"v1".parse().unwrap()).unwrap().signers
    };
    let (alice, qa) = (ids(&["alice"]), ids(&["qa"]));
    assert!(!alice.is_empty() && alice.is_disjoint(&qa));
    assert!(!alice.is_disjoint(&ids(&["alice", "qa"])));
    assert_eq!(ids(&[]), ids(&[]));
}
