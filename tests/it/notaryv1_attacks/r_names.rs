//! R1-R4, R9-R11: whose root it is, and which repository it is for.

use countersign::oci::Digest;
use countersign::trust::Reason;
use countersign::trust::notaryv1::Pins;
use serde_json::json;

use super::judge::{Judge, resolved};
use crate::notary_repository::*;

/// The valid repository with this common name in its root certificate.
fn named(common_name: &str) -> (Judge, Files) {
    let mut repository = NotaryRepository::signed();
    let root = Certificate::named(common_name).of(&Key::named("root"));
    *repository.keys_mut("root") = vec![root];
    (Judge::pinned_to(&repository), repository.publish())
}

#[test]
fn r1_a_root_certificate_for_another_name_is_refused() {
    for name in ["registry.example.com/library/other", "registry.example.com", "", "docker.io/x"] {
        let (judge, files) = named(name);
        judge.refuses(Reason::WrongRepository, &files);
    }
}

#[test]
fn r1_a_name_that_is_part_of_the_gun_or_contains_it_is_refused() {
    for name in
        ["library/app", "registry.example.com/library/ap", "Registry.example.com/library/app"]
    {
        let (judge, files) = named(name);
        judge.refuses(Reason::WrongRepository, &files);
    }
    for suffix in ["2", "/x", " ", ":v1", "\0"] {
        let (judge, files) = named(&format!("{GUN}{suffix}"));
        judge.refuses(Reason::WrongRepository, &files);
    }
}

#[test]
fn r1_the_metadata_of_another_repository_with_the_same_root_key_is_refused() {
    let mut repository = NotaryRepository::signed_as("registry.example.com/library/other");
    let judge = Judge::pinned_to(&repository);
    let files = repository.publish();
    judge.admits(&files);
    judge.on(|terms| terms.gun = GUN.parse().unwrap()).refuses(Reason::WrongRepository, &files);
}

#[test]
fn r2_a_wildcard_is_refused_unless_the_anchor_allows_it() {
    for name in ["registry.example.com/*", "registry.example.com/library/*"] {
        let (judge, files) = named(name);
        judge.refuses(Reason::WrongRepository, &files);
        let judge = judge.on(|terms| terms.wildcard_root_names = true);
        judge.admits(&files);
    }
}

#[test]
fn r2_a_wildcard_for_everything_or_for_part_of_a_segment_is_always_refused() {
    for name in [
        "*",
        "**",
        "/*",
        "registry.example.com*",
        "registry.example.com/lib*",
        "registry.example.com/library/a*",
        "registry.example.com/library/app*",
        "registry.example.com/library/app/*",
        "registry.example.com/*/app",
        "registry.example.com/**",
        "*/*",
        "other.example.com/*",
    ] {
        let (judge, files) = named(name);
        judge.on(|terms| terms.wildcard_root_names = true).refuses(Reason::WrongRepository, &files);
    }
}

/// The valid repository with this root key.
fn rooted(root: Key) -> (Judge, Files) {
    let mut repository = NotaryRepository::signed();
    *repository.keys_mut("root") = vec![root];
    (Judge::pinned_to(&repository), repository.publish())
}

#[test]
fn r3_a_root_key_without_a_certificate_is_refused() {
    for kind in [Kind::P256, Kind::Ed25519, Kind::Rsa2048] {
        let (judge, files) = rooted(Key::new(kind, "root"));
        judge.refuses(Reason::Malformed, &files);
    }
}

#[test]
fn r3_a_root_key_in_a_ca_certificate_is_refused() {
    let (judge, files) = rooted(Certificate::authority(GUN).of(&Key::named("root")));
    judge.refuses(Reason::Malformed, &files);
}

#[test]
fn r3_an_intermediate_certificate_must_follow_the_leaf() {
    let root = Key::named("root");
    let authority = Certificate::authority("an authority");
    let authority_key = Key::named("authority");
    let leaf = Certificate::named(GUN).issued(&root, &authority, &authority_key);
    let intermediate = authority.self_signed(&authority_key);
    let (judge, files) = rooted(root.in_certificate(format!("{leaf}{intermediate}")));
    judge.admits(&files);
    for bundle in [
        format!("{intermediate}{leaf}"),
        format!("{leaf}{leaf}"),
        format!("{leaf}{intermediate}{}", Certificate::named(GUN).self_signed(&root)),
        format!("{leaf}{intermediate}x"),
        format!("x\n{leaf}"),
        leaf.replace("BEGIN CERTIFICATE", "BEGIN X509 CRL"),
        leaf.replace('\n', "\r\n"),
        intermediate.clone(),
        String::new(),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
    ] {
        let (judge, files) = rooted(root.in_certificate(bundle));
        judge.refuses(Reason::Malformed, &files);
    }
}

#[test]
fn r4_an_expired_root_certificate_is_refused() {
    let certificate = Certificate { until: -1, ..Certificate::named(GUN) };
    let (judge, files) = rooted(certificate.of(&Key::named("root")));
    judge.refuses(Reason::Expired, &files);
}

#[test]
fn r4_a_root_certificate_may_start_at_most_a_day_in_the_future() {
    let certificate = |from| Certificate { from, ..Certificate::named(GUN) };
    let (judge, files) = rooted(certificate(1).of(&Key::named("root")));
    judge.admits(&files);
    let (judge, files) = rooted(certificate(2).of(&Key::named("root")));
    judge.refuses(Reason::Expired, &files);
}

#[test]
fn r9_every_form_of_pin_admits_its_root_and_no_other() {
    let mut repository = NotaryRepository::signed();
    let files = repository.publish();
    let root = repository.role("root").keys[0].clone();
    let certificate = String::from_utf8(root.public.clone()).unwrap();
    for pin in [root.id(), root.canonical_id(), root.public_pem(), certificate] {
        Judge::with(&repository, &[pin]).admits(&files);
    }
    let other = Certificate::named(GUN).of(&Key::named("mallory"));
    let certificate = String::from_utf8(other.public.clone()).unwrap();
    for pin in [other.id(), other.canonical_id(), other.public_pem(), certificate] {
        let refusal = Judge::with(&repository, &[pin]).refuses(Reason::RootNotPinned, &files);
        let found = refusal.unpinned.clone().unwrap();
        assert_eq!((found.canonical_ids, found.same_key), (vec![root.canonical_id()], None));
        assert!(refusal.because.contains(&root.canonical_id()), "{refusal}");
    }
}

#[test]
fn r9_a_pinned_certificate_does_not_pin_another_certificate_of_its_key() {
    let mut repository = NotaryRepository::signed();
    let files = repository.publish();
    let other = Certificate::named(GUN).of(&Key::named("root"));
    let judge = |pin: &str| Judge::with(&repository, &[pin.to_owned()]);
    judge(&other.id()).refuses(Reason::RootNotPinned, &files);
    let certificate = String::from_utf8(other.public.clone()).unwrap();
    let refusal = judge(&certificate).refuses(Reason::RootNotPinned, &files);
    let root = refusal.unpinned.clone().unwrap();
    assert_eq!(root.canonical_ids, [other.canonical_id()]);
    assert_eq!(root.same_key, Some(other.canonical_id()));
    let words = format!("same root key, different certificate: pin {}", other.canonical_id());
    assert!(refusal.because.starts_with(&words), "{refusal}");
    judge(&other.canonical_id()).admits(&files);
}

#[test]
fn r9_a_changed_pin_applies_to_the_remembered_root_too() {
    let mut repository = NotaryRepository::signed();
    let files = repository.publish();
    let before = Judge::pinned_to(&repository).admits(&files);
    let other = Judge::with(&repository, &[Key::named("mallory").canonical_id()]);
    other.refuses_after(Reason::RootNotPinned, &before, &files);
}

#[test]
fn r9_new_pins_admit_a_recreated_repository() {
    let mut first = NotaryRepository::signed();
    first.role_mut("timestamp").version = 9;
    let before = Judge::pinned_to(&first).admits(&first.publish());
    let mut second = NotaryRepository::signed();
    second.rotate("root", "root-anew");
    // With the same timestamp key, a lower timestamp version is still a rollback.
    Judge::pinned_to(&second).refuses_after(Reason::Rollback, &before, &second.publish());
    for role in ["targets", "snapshot", "timestamp"] {
        second.rotate(role, &format!("{role}-anew"));
    }
    let files = second.publish();
    Judge::pinned_to(&first).refuses_after(Reason::SignatureInvalid, &before, &files);
    Judge::pinned_to(&second).admits_after(&before, &files);
}

#[test]
fn r9_without_a_pin_nothing_is_admitted() {
    let mut repository = NotaryRepository::signed();
    let files = repository.publish();
    Judge::with(&repository, &[]).refuses(Reason::RootNotPinned, &files);
}

#[test]
fn r9_a_listed_pinned_key_that_did_not_sign_does_not_count() {
    let mut repository = NotaryRepository::signed();
    let mallory = Certificate::named(GUN).of(&Key::named("mallory"));
    let judge = Judge::pinned_to(&repository);
    repository.keys_mut("root").push(mallory.clone());
    repository.role_mut("root").signers = Some(vec![Signer::of(&mallory)]);
    judge.refuses(Reason::RootNotPinned, &repository.publish());
}

#[test]
fn r10_the_first_root_is_trusted_only_with_trust_on_first_use_and_no_second_one() {
    let mut malicious = NotaryRepository::signed();
    *malicious.keys_mut("root") = vec![Certificate::named(GUN).of(&Key::named("mallory"))];
    let files = malicious.publish();
    let mut honest = NotaryRepository::signed();
    Judge::pinned_to(&honest).refuses(Reason::RootNotPinned, &files);
    let first_use = Judge::pinned_to(&honest).on(|terms| terms.pins = Pins::FirstUse);
    let before = first_use.admits(&honest.publish());
    malicious.role_mut("root").version = 2;
    malicious.role_mut("timestamp").version = 2;
    first_use.refuses_after(Reason::SignatureInvalid, &before, &malicious.publish());
    assert_eq!(resolved(&first_use.admits(&files), "v1"), Digest::of(V1));
}

#[test]
fn r11_metadata_of_another_type_is_refused_in_every_role() {
    let types = ["Root", "Targets", "Snapshot", "Timestamp", "targets", "root", "", "Delegation"];
    for (role, own) in [
        ("root", "Root"),
        ("timestamp", "Timestamp"),
        ("snapshot", "Snapshot"),
        ("targets", "Targets"),
        (RELEASES, "Targets"),
    ] {
        for other in types.into_iter().filter(|other| *other != own) {
            let mut repository = NotaryRepository::signed();
            let judge = Judge::pinned_to(&repository);
            repository.edit_signed(role, move |signed| signed["_type"] = json!(other));
            judge.refuses(Reason::Malformed, &repository.publish());
        }
    }
}

#[test]
fn r11_a_file_of_another_role_is_refused_even_if_the_same_key_signs_both() {
    let mut repository = NotaryRepository::signed();
    for role in ["targets", "snapshot", "timestamp", RELEASES] {
        *repository.keys_mut(role) = vec![Key::named("one for all")];
    }
    let judge = Judge::pinned_to(&repository);
    let files = repository.publish();
    judge.admits(&files);
    for (role, other) in [("timestamp", "snapshot"), ("root", "timestamp")] {
        let mut files = files.clone();
        files.insert(role.to_owned(), files[other].clone());
        judge.refuses(Reason::Malformed, &files);
    }
}
