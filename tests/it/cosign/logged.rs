//! Log entries of every kind, each bound to its signature.

use std::slice;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::sigstore::{
    Authority, Certified, Key, Kind, Layer, Leaf, NOW, Sigstore, Term, TimestampAuthority, bundle,
    pae, payload, statement,
};

use super::bench::{Bench, PROVENANCE, SIGN, digest};

const REQUIRE: &str = "tlog = \"require\"";
const OTHER: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

fn shared() -> &'static Sigstore {
    Sigstore::shared()
}

fn attested() -> String {
    format!("{REQUIRE}\npredicate_type = {PROVENANCE:?}")
}

fn by_key(key: &Key) -> Value {
    json!({ "keyDetails": "see the key", "publicKey": { "rawBytes": STANDARD.encode(key.spki()) } })
}

fn by_certificate(certified: &Certified) -> Value {
    json!({ "keyDetails": "see the key", "x509Certificate": { "rawBytes": STANDARD.encode(&certified.der) } })
}

/// The hash and the signature that current cosign makes with such a key.
fn signed(key: &Key, message: &[u8]) -> (&'static str, Vec<u8>, Vec<u8>) {
    let sha256 = || Sha256::digest(message).to_vec();
    match key.kind {
        Kind::P256 | Kind::Rsa2048 => ("SHA2_256", sha256(), key.sign(message)),
        Kind::P384 => ("SHA2_384", Sha384::digest(message).to_vec(), key.sign_wide(message)),
        Kind::P521 => ("SHA2_512", Sha512::digest(message).to_vec(), key.sign_wide(message)),
        Kind::Ed25519 => {
            ("SHA2_512", Sha512::digest(message).to_vec(), key.sign_prehashed(message))
        }
    }
}

#[test]
fn rekor_v2_entries_by_every_kind_of_key_are_accepted() {
    let log = &shared().rekor;
    for kind in Kind::ALL {
        let (key, other) = (Key::new(kind), Key::new(kind));
        let bench = Bench::of_keys(&[&key], REQUIRE);
        let statement = statement(&digest(), SIGN);
        let (name, hash, signature) = signed(&key, &pae(&statement));
        let in_bundle = |entry| bundle(&statement, &signature, None, slice::from_ref(&entry), &[]);
        bench.takes(&in_bundle(log.v2((name, &hash), &signature, &by_key(&key))));
        // Another key, signature, message or hash; a key and a certificate; neither.
        let (_, _, again) = signed(&key, b"another message");
        let mut both = by_key(&key);
        both["x509Certificate"] =
            by_certificate(&shared().certify(&Leaf::new()))["x509Certificate"].clone();
        for forged in [
            log.v2((name, &hash), &signature, &by_key(&other)),
            log.v2((name, &hash), &again, &by_key(&key)),
            log.v2((name, &vec![0; hash.len()]), &signature, &by_key(&key)),
            log.v2(("SHA2_256", &hash[..31]), &signature, &by_key(&key)),
            log.v2(("SHA3_256", &hash), &signature, &by_key(&key)),
            log.v2((name, &hash), &signature, &both),
            log.v2((name, &hash), &signature, &json!({ "keyDetails": "none" })),
        ] {
            bench.refuses("transparency_log", &in_bundle(forged));
        }
        // The entry of another log, and one whose proof is of another entry.
        let foreign = crate::sigstore::Log::new("rekor.evil");
        let entry = foreign.v2((name, &hash), &signature, &by_key(&key));
        bench.refuses("transparency_log", &in_bundle(entry));
        let mut moved = log.v2((name, &hash), &signature, &by_key(&key));
        moved.proof = log.v2((name, &hash), &again, &by_key(&key)).proof;
        bench.refuses("transparency_log", &in_bundle(moved));
    }
}

#[test]
fn a_keyless_entry_of_rekor_v2_with_an_rsa_timestamp_is_accepted() {
    let tsa = TimestampAuthority::of(Kind::Rsa2048, Term::years());
    let mut root = shared().trusted_root();
    root["timestampAuthorities"] = json!([tsa.trusted()]);
    let lines = format!("identity = {:?}\nissuer = {:?}", Leaf::IDENTITY, Leaf::ISSUER);
    let bench = Bench::keyless(&lines, &root);
    for kind in [Kind::P256, Kind::P384, Kind::Rsa2048] {
        let mut leaf = Leaf::new();
        leaf.key = Key::new(kind);
        let (certified, other) = (shared().certify(&leaf), shared().certify(&Leaf::new()));
        let statement = statement(&digest(), SIGN);
        let (name, hash, signature) = signed(&certified.key, &pae(&statement));
        let with = |verifier: &Value, stamps: &[Vec<u8>]| {
            let entry = shared().rekor.v2((name, &hash), &signature, verifier);
            bundle(&statement, &signature, Some(&certified), &[entry], stamps)
        };
        let stamp = [tsa.stamp(&signature, NOW)];
        bench.takes(&with(&by_certificate(&certified), &stamp));
        bench.refuses("time", &with(&by_certificate(&certified), &[]));
        bench.refuses("time", &with(&by_certificate(&certified), &[tsa.stamp(b"", NOW)]));
        bench.refuses("transparency_log", &with(&by_certificate(&other), &stamp));
        bench.refuses("transparency_log", &with(&by_key(&certified.key), &stamp));
    }
}

#[test]
fn attestations_that_cosign_2_logged_as_intoto_are_accepted() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], &attested());
    let (mine, log) = (statement(&digest(), PROVENANCE), &shared().rekor);
    let layer = Layer::attestation(&mine, &key.sign(&pae(&mine)));
    let entry = |envelope: &[u8], statement: &str, pem: &str| {
        layer.clone().logged(&log.intoto(envelope, statement, pem, NOW))
    };
    let good = entry(&layer.payload, &mine, &key.pem());
    assert_eq!(bench.takes(&good).proven.map(|at| at.unix()), Some(NOW));
    // The entry records no signature: the hash of the envelope binds it.
    let again = Layer::attestation(&mine, &key.sign(&pae(&mine)));
    let other = statement(OTHER, PROVENANCE);
    let elsewhere = Layer::attestation(&other, &key.sign(&pae(&other)));
    let stranger = Key::new(Kind::P256);
    for forged in [
        entry(&again.payload, &mine, &key.pem()),
        entry(&elsewhere.payload, &other, &key.pem()),
        entry(&elsewhere.payload, &mine, &key.pem()),
        entry(&layer.payload, &other, &key.pem()),
        entry(&layer.payload, &mine, &stranger.pem()),
    ] {
        bench.refuses("transparency_log", &forged);
    }
    // A bundle does not keep the envelope that was logged.
    let entry = log.intoto(&layer.payload, &mine, &key.pem(), NOW);
    let bundle = bundle(&mine, &key.sign(&pae(&mine)), None, &[entry], &[]);
    bench.refuses("transparency_log", &bundle);
}

fn keyless(lines: &str) -> Bench {
    let lines = format!(
        "identity = {:?}\nissuer = {:?}\npredicate_type = {PROVENANCE:?}\n{lines}",
        Leaf::IDENTITY,
        Leaf::ISSUER
    );
    Bench::keyless(&lines, &shared().trusted_root())
}

#[test]
fn a_keyless_attestation_that_was_logged_as_intoto_is_accepted() {
    let (certified, other) = (shared().certify(&Leaf::new()), shared().certify(&Leaf::new()));
    let mine = statement(&digest(), PROVENANCE);
    let layer = Layer::attestation(&mine, &certified.key.sign(&pae(&mine))).by(&certified);
    let entry =
        |pem: &str| layer.clone().logged(&shared().rekor.intoto(&layer.payload, &mine, pem, NOW));
    keyless("").takes(&entry(&certified.pem()));
    keyless("").refuses("transparency_log", &entry(&other.pem()));
    keyless("").refuses("transparency_log", &entry(&certified.key.pem()));
}

/// The timestamp of an attestation in a layer is over the whole envelope.
#[test]
fn a_keyless_attestation_with_only_a_timestamp_is_accepted() {
    let certified = shared().certify(&Leaf::new());
    let mine = statement(&digest(), PROVENANCE);
    let signature = certified.key.sign(&pae(&mine));
    let layer = Layer::attestation(&mine, &signature).by(&certified);
    let bench = keyless("tlog = \"ignore\"");
    let stamped = |message: &[u8]| layer.clone().stamped(&shared().tsa.stamp(message, NOW));
    assert_eq!(bench.takes(&stamped(&layer.payload)).proven.map(|at| at.unix()), Some(NOW));
    // Over the statement, which is older than the signature, and over another envelope.
    let other = Layer::attestation(&mine, &certified.key.sign(&pae(&mine)));
    for message in [mine.as_bytes(), &other.payload, &layer.payload[1..], &[]] {
        bench.refuses("time", &stamped(message));
    }
    let stranger = TimestampAuthority::new().stamp(&layer.payload, NOW);
    bench.refuses("time", &layer.clone().stamped(&stranger));
    keyless("").refuses("transparency_log", &stamped(&layer.payload));
}

/// As `cosign sign --sk` logs it.
#[test]
fn the_certificate_of_a_hardware_token_stands_for_its_key_in_a_log_entry() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], REQUIRE);
    let layer = Layer::signed(&payload(&digest(), json!(null)), &key);
    let of = |key: &Key| {
        let mut leaf = Leaf::new();
        leaf.key = key.clone();
        Authority::new("token", Term::years()).certify(&leaf, None).pem()
    };
    let entry = |pem: &str| {
        let entry = shared().rekor.hashedrekord(&layer.payload, &layer.signature(), pem, NOW);
        layer.clone().logged(&entry)
    };
    let mine = of(&key);
    bench.takes(&entry(&mine).annotated("dev.sigstore.cosign/certificate", mine.as_str()));
    bench.refuses("transparency_log", &entry(&of(&Key::new(Kind::P256))));
    let statement = statement(&digest(), SIGN);
    let signature = key.sign(&pae(&statement));
    let in_bundle = |pem: &str| {
        let entry = shared().rekor.dsse(&statement, &signature, pem, NOW);
        bundle(&statement, &signature, None, &[entry], &[])
    };
    bench.takes(&in_bundle(&mine));
    bench.refuses("transparency_log", &in_bundle(&of(&Key::new(Kind::P256))));
}
