//! The keys `not_after`, `max_age`, `revoked` and `signed_identity`: they exclude valid signatures, for example after
//! a key was lost.

use serde_json::json;
use sha2::{Digest as _, Sha256};

use countersign::clock::Timestamp;

use crate::sigstore::{
    Certified, HOUR, Key, Kind, Layer, Leaf, NOW, Sigstore, bundle, pae, payload, rfc3339,
    statement,
};

use super::bench::{Bench, SIGN, digest, read};
use crate::twin::twin;

const SIGNER: &str = r#"
    identity = "https://github.com/acme/*/.github/workflows/release.yml@refs/tags/*"
    issuer = "https://token.actions.githubusercontent.com"
"#;

fn signed(key: &Key) -> Layer {
    Layer::signed(&payload(&digest(), json!(null)), key)
}

fn logged(layer: &Layer, verifier: &str, at: i64) -> Layer {
    let log = &Sigstore::shared().rekor;
    layer.clone().logged(&log.hashedrekord(&layer.payload, &layer.signature(), verifier, at))
}

fn at(unix: i64) -> Option<Timestamp> {
    Some(Timestamp::from_unix(unix))
}

#[test]
fn a_signature_that_is_proven_to_be_later_than_not_after_does_not_count() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], &format!("not_after = {}", rfc3339(NOW + 60)));
    let before = bench.takes(&logged(&signed(&key), &key.pem(), NOW + 60));
    assert_eq!((before.proven, before.expires), (at(NOW + 60), None));
    let later = bench.refuses("not_after", &logged(&signed(&key), &key.pem(), NOW + 61));
    assert!(later.found.contains("after `not_after`"), "{later:?}");
    // The owner of the key can claim an earlier time; only a proven one counts.
    let stated = payload(&digest(), json!({ "timestamp": NOW }));
    let stated = Layer::signed(&stated, &key);
    bench.refuses("not_after", &logged(&stated, &key.pem(), NOW + 61));
}

#[test]
fn a_signature_without_a_proven_time_counts_until_not_after_and_no_longer() {
    let key = Key::new(Kind::P256);
    let mut bench = Bench::of_keys(&[&key], &format!("not_after = {}", rfc3339(NOW + 2 * HOUR)));
    assert_eq!(bench.takes(&signed(&key)).expires, at(NOW + 2 * HOUR));
    bench.now = Timestamp::from_unix(NOW + 2 * HOUR + 1);
    bench.refuses("not_after", &signed(&key));
}

#[test]
fn not_after_can_be_a_day_and_then_means_its_end() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "not_after = 2026-01-15");
    let expires = bench.takes(&signed(&key)).expires.unwrap().to_string();
    assert_eq!(expires, "2026-01-15T23:59:59.999999999Z");
}

#[test]
fn a_signature_counts_for_max_age_after_it_was_made_and_only_with_a_proven_time() {
    let key = Key::new(Kind::P256);
    let mut bench = Bench::of_keys(&[&key], "max_age = \"2h\"");
    let stating = |time| Layer::signed(&payload(&digest(), json!({ "timestamp": time })), &key);
    let layer = logged(&stating(NOW), &key.pem(), NOW);
    assert_eq!(bench.takes(&layer).expires, at(NOW + 2 * HOUR));
    bench.refuses("max_age", &stating(NOW));
    bench.now = Timestamp::from_unix(NOW + 2 * HOUR + 1);
    bench.refuses("max_age", &layer);
    // An old signature that states its time is not younger because it is logged today.
    bench.refuses("max_age", &logged(&stating(NOW), &key.pem(), NOW + HOUR));
}

/// A log entry that anybody makes today says nothing of the age of a signature.
#[test]
fn a_key_signature_that_states_no_time_does_not_count_under_max_age() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "max_age = \"2h\"");
    let flaw = bench.refuses("max_age", &logged(&signed(&key), &key.pem(), NOW));
    assert!(flaw.found.contains("states no time"), "{flaw:?}");
    assert!(flaw.wanted.contains("-a timestamp="), "{flaw:?}");
}

#[test]
fn a_revoked_key_does_not_count_and_another_key_of_the_anchor_does() {
    let (lost, kept) = (Key::new(Kind::P256), Key::new(Kind::Ed25519));
    let id = hex::encode(lost.id());
    for revoked in [format!("key:sha256:{id}"), format!("key:{id}"), "key:0.pub".to_owned()] {
        let bench = Bench::of_keys(&[&lost, &kept], &format!("revoked = [{revoked:?}]"));
        let flaw = bench.refuses("revoked", &signed(&lost));
        assert!(flaw.found.contains("`revoked` names the key that signed"), "{flaw:?}");
        assert!(flaw.found.ends_with(&revoked), "{flaw:?}");
        bench.takes(&signed(&kept));
    }
}

fn certified() -> Certified {
    Sigstore::shared().certify(&Leaf::new())
}

fn keyless(certified: &Certified) -> Layer {
    logged(&signed(&certified.key).by(certified), &certified.pem(), NOW)
}

fn revoking(revoked: &str) -> Bench {
    let lines = format!("{SIGNER}\nrevoked = [{revoked:?}]");
    Bench::keyless(&lines, &Sigstore::shared().trusted_root())
}

#[test]
fn a_revoked_certificate_does_not_count_by_its_hash_its_serial_or_its_key() {
    use x509_parser::prelude::{FromDer as _, X509Certificate};
    let (lost, kept) = (certified(), certified());
    let (_, parsed) = X509Certificate::from_der(&lost.der).unwrap();
    // Both have one serial number: it comes from the name and the term.
    revoking(&format!("serial:{}", parsed.raw_serial_as_string()))
        .refuses("revoked", &keyless(&lost));
    revoking("serial:00:3b7a1f").takes(&keyless(&lost));
    for revoked in [
        format!("certificate:sha256:{}", hex::encode(Sha256::digest(&lost.der))),
        format!("key:sha256:{}", hex::encode(Sha256::digest(parsed.public_key().raw))),
    ] {
        let bench = revoking(&revoked);
        bench.refuses("revoked", &keyless(&lost));
        bench.takes(&keyless(&kept));
    }
}

#[test]
fn the_ecdsa_twin_of_a_revoked_certificate_does_not_count() {
    let lost = certified();
    let hash = hex::encode(Sha256::digest(&lost.der));
    let other = Certified { der: twin(&lost.der), ..lost.clone() };
    assert_ne!(other.der, lost.der);
    revoking(&format!("certificate:{}", "0".repeat(64))).takes(&keyless(&other));
    revoking(&format!("certificate:{hash}")).refuses("revoked", &keyless(&other));
    // The operator may have been given the twin.
    let hash = hex::encode(Sha256::digest(&other.der));
    revoking(&format!("certificate:{hash}")).refuses("revoked", &keyless(&lost));
    let root = Sigstore::shared().trusted_root().to_string();
    let lines = format!("{SIGNER}\ntrusted_root = \"r\"\nrevoked = [\"certificate:lost.crt\"]");
    let bench = Bench::new(&lines, &[("r", &root), ("lost.crt", &lost.pem())]);
    for one in [&lost, &other] {
        let flaw = bench.refuses("revoked", &keyless(one));
        assert!(flaw.found.contains("certificate:lost.crt"), "{flaw:?}");
    }
}

/// A bundle carries only the signer's certificate; the trusted root has those above it.
#[test]
fn a_revoked_certificate_of_the_authority_takes_its_signers_with_it() {
    let (one, sigstore) = (certified(), Sigstore::shared());
    let text = statement(&digest(), SIGN);
    let signature = one.key.sign(&pae(&text));
    let entry = sigstore.rekor.dsse(&text, &signature, &one.pem(), NOW);
    let bundled = bundle(&text, &signature, Some(&one), &[entry], &[]);
    revoking("serial:01").takes(&bundled);
    for der in [&sigstore.fulcio.intermediate_der, &sigstore.fulcio.root_der] {
        let flaw = revoking(&format!("certificate:{}", hex::encode(Sha256::digest(der))))
            .refuses("revoked", &bundled);
        assert!(flaw.found.contains("above the signer's"), "{flaw:?}");
    }
}

/// Only the log's promise covers the id of the log and the index. A proof does not.
#[test]
fn a_log_entry_without_a_promise_does_not_evade_its_index() {
    let (one, sigstore) = (certified(), Sigstore::shared());
    let text = statement(&digest(), SIGN);
    let signature = one.key.sign(&pae(&text));
    let entry = sigstore.rekor.dsse(&text, &signature, &one.pem(), NOW);
    let leaf = hex::encode(Sha256::digest([&[0][..], &entry.body].concat()));
    let mut bundled =
        bundle(&text, &signature, Some(&one), &[entry], &[sigstore.tsa.stamp(&signature, NOW)]);
    let id = hex::encode(sigstore.rekor.key.id());
    let evading = &mut bundled["verificationMaterial"]["tlogEntries"][0];
    evading.as_object_mut().unwrap().remove("inclusionPromise");
    evading["logIndex"] = json!("7");
    revoking("serial:01").takes(&bundled);
    let flaw = revoking(&format!("log-entry:{id}/5")).refuses("revoked", &bundled);
    assert!(flaw.wanted.contains("UUID"), "{flaw:?}");
    revoking(&format!("log-entry:{leaf}")).refuses("revoked", &bundled);
}

#[test]
fn a_revoked_log_entry_does_not_count_by_its_index_or_its_uuid() {
    let (lost, log) = (certified(), &Sigstore::shared().rekor);
    let layer = signed(&lost.key).by(&lost);
    let entry = log.hashedrekord(&layer.payload, &layer.signature(), &lost.pem(), NOW);
    let leaf = hex::encode(Sha256::digest([&[0][..], &entry.body].concat()));
    let layer = layer.logged(&entry);
    let id = hex::encode(log.key.id());
    for revoked in [
        format!("log-entry:{id}/1"),
        format!("log-entry:{leaf}"),
        format!("log-entry:24296fb24b8ad77a{leaf}"),
    ] {
        revoking(&revoked).refuses("revoked", &layer);
    }
    for other in [format!("log-entry:{id}/2"), format!("log-entry:{}/1", "0".repeat(64))] {
        revoking(&other).takes(&layer);
    }
}

#[test]
fn a_signature_for_another_repository_does_not_count_where_the_identity_must_be_signed() {
    let key = Key::new(Kind::P256);
    let made_for = |name: &str| {
        let text = payload(&digest(), json!(null)).replace("registry.test/app", name);
        Layer::signed(&text, &key)
    };
    let by_digest = Bench::of_keys(&[&key], "signed_identity = \"digest\"");
    by_digest.takes(&made_for("registry.test/dev/playground"));
    let bench = Bench::of_keys(&[&key], "signed_identity = \"repository\"");
    for name in ["registry.test/app", "registry.test/app:v1"] {
        bench.takes(&made_for(name));
    }
    for name in ["registry.test/dev/playground", "registry.test/app2", "other.test/app", "app", ""]
    {
        let flaw = bench.refuses("signed_identity", &made_for(name));
        assert!(flaw.wanted.contains("made for registry.test/app"), "{flaw:?}");
    }
}

#[test]
fn a_statement_names_its_repository_in_its_subject_or_not_at_all() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "signed_identity = \"repository\"");
    let bundled = |text: &str| bundle(text, &key.sign(&pae(text)), None, &[], &[]);
    let unnamed = statement(&digest(), SIGN);
    let flaw = bench.refuses("signed_identity", &bundled(&unnamed));
    assert!(flaw.found.contains("names no repository"), "{flaw:?}");
    let name = |name: &str| {
        unnamed.replace("\"subject\":[{", &format!("\"subject\":[{{\"name\":{name:?},"))
    };
    bench.takes(&bundled(&name("registry.test/app")));
    bench.refuses("signed_identity", &bundled(&name("registry.test/other")));
}

#[test]
fn another_restriction_is_another_fingerprint() {
    let key = Key::new(Kind::P256);
    let lines = [
        "",
        "not_after = 2026-01-15",
        "max_age = \"2h\"",
        "revoked = [\"key:0000000000000000000000000000000000000000000000000000000000000000\"]",
        "signed_identity = \"repository\"",
    ];
    let of = |lines: &&str| Bench::of_keys(&[&key], lines).anchor.fingerprint();
    let all: std::collections::BTreeSet<_> = lines.iter().map(of).collect();
    assert_eq!(all.len(), lines.len());
}

/// What is wrong with an anchor of one key, with one more line.
#[track_caller]
fn wrong(lines: &str, says: &str) {
    let key = Key::new(Kind::P256);
    let problems = read(&format!("keys = [\"k.pub\"]\n{lines}"), &[("k.pub", &key.pem())]);
    let problems = problems.unwrap_err();
    assert!(problems.iter().any(|problem| problem.contains(says)), "{problems:#?}");
}

#[test]
fn what_means_nothing_for_an_anchor_is_reported() {
    wrong("not_after = 2026-01-15T10:00:00", "is not a point in time");
    wrong("not_after = \"2026-01-15\"", "without quotes");
    wrong("max_age = \"0s\"", "max_age");
    wrong("signed_identity = \"tag\"", "neither \"digest\" nor \"repository\"");
    wrong("max_timestamp_life = \"90d\"", "notaryv1 only");
    wrong("revoked = [\"nothing\"]", "say what it is");
    wrong("revoked = [\"person:me\"]", "is none of");
    wrong("revoked = [\"serial:xyz\"]", "hexadecimal");
    wrong("revoked = [\"serial:0x01\"]", "without `0x`");
    wrong("revoked = [\"serial:\"]", "names nothing");
    wrong("revoked = [\"serial:00\"]", "zero");
    wrong("revoked = [\"key:\"]", "names nothing");
    wrong("revoked = [\"certificate:sha256:\"]", "names nothing");
    wrong("revoked = [\"serial:01\"]", "have no certificate");
    wrong("revoked = [\"key:k.pub\"]", "all of `keys` are revoked");
    wrong("revoked = [\"key:nowhere.pub\"]", "taken for a file's name");
    let entry = format!("revoked = [\"log-entry:{}/1\"]", "0".repeat(64));
    wrong(&entry, "anybody can log this signature once more");
    wrong("revoked = [\"log-entry:1\"]", "write the id of the log");
}
