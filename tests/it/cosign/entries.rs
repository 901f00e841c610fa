//! Log entries and timestamps of a signature with a key: if required, they must belong to this signature; otherwise
//! they change nothing.

use std::slice;

use serde_json::{Value, json};

use crate::sigstore::{
    HOUR, Key, Kind, Layer, Log, NOW, Sigstore, TimestampAuthority, YEAR, bundle, pae, payload,
    rfc3339, statement,
};

use super::bench::{Bench, SIGN, digest};

const REQUIRE: &str = "tlog = \"require\"";

fn image() -> String {
    payload(&digest(), json!(null))
}

/// A bench that asks for a log entry, with its key, and the layer that the key signed.
fn required() -> (Bench, Key, Layer) {
    let key = Key::new(Kind::P256);
    let layer = Layer::signed(&image(), &key);
    (Bench::of_keys(&[&key], REQUIRE), key, layer)
}

fn logged(layer: &Layer, key: &Key, log: &Log) -> Layer {
    let entry = log.hashedrekord(&layer.payload, &layer.signature(), &key.pem(), NOW);
    layer.clone().logged(&entry)
}

#[test]
fn a_logged_signature_is_taken_where_a_log_is_asked_for() {
    for kind in Kind::ALL {
        let key = Key::new(kind);
        let layer = logged(&Layer::signed(&image(), &key), &key, &Sigstore::shared().rekor);
        let vouched = Bench::of_keys(&[&key], REQUIRE).takes(&layer);
        assert_eq!(vouched.proven.map(|at| at.unix()), Some(NOW), "{kind:?}");
    }
}

#[test]
fn a_logged_bundle_is_taken_in_every_version() {
    let (bench, key, _) = required();
    let statement = statement(&digest(), SIGN);
    let signature = key.sign(&pae(&statement));
    let log = &Sigstore::shared().rekor;
    for entry in [
        log.dsse(&statement, &signature, &key.pem(), NOW),
        log.hashedrekord(&pae(&statement), &signature, &key.pem(), NOW),
    ] {
        let mut bundle = bundle(&statement, &signature, None, slice::from_ref(&entry), &[]);
        if entry.kind == "hashedrekord" {
            // Rekor v1 logs envelopes as envelopes.
            bench.refuses("transparency_log", &bundle);
            continue;
        }
        for version in ["+json;version=0.1", "+json;version=0.2", "+json;version=0.3", ".v0.3+json"]
        {
            bundle["mediaType"] = json!(format!("application/vnd.dev.sigstore.bundle{version}"));
            bench.takes(&bundle);
        }
    }
}

#[test]
fn an_entry_is_verified_with_the_hash_of_its_signature() {
    let (key, log) = (Key::new(Kind::P384), &Sigstore::shared().rekor);
    let bench = Bench::of_keys(&[&key], REQUIRE);
    let statement = statement(&digest(), SIGN);
    let logged = |signature: &[u8]| {
        let entry = log.dsse(&statement, signature, &key.pem(), NOW);
        bundle(&statement, signature, None, &[entry], &[])
    };
    bench.takes(&logged(&key.sign_wide(&pae(&statement))));
    bench.takes(&logged(&key.sign(&pae(&statement))));
    bench.refuses("signature", &logged(&key.sign(b"another message")));
}

#[test]
fn without_an_entry_a_signature_is_refused_where_a_log_is_asked_for() {
    let (bench, key, layer) = required();
    bench.refuses("transparency_log", &layer);
    bench.refuses(
        "transparency_log",
        &layer.clone().stamped(&Sigstore::shared().tsa.stamp(&layer.signature(), NOW)),
    );
    let statement = statement(&digest(), SIGN);
    let signature = key.sign(&pae(&statement));
    bench.refuses("transparency_log", &bundle(&statement, &signature, None, &[], &[]));
}

#[test]
fn cve_2022_23649_a_promise_for_another_entry_is_not_believed() {
    let (bench, key, layer) = required();
    let log = &Sigstore::shared().rekor;
    let mut entry = log.hashedrekord(&layer.payload, &layer.signature(), &key.pem(), NOW);
    let other = log.hashedrekord(b"another", &key.sign(b"another"), &key.pem(), NOW);
    entry.promise = other.promise;
    bench.refuses("transparency_log", &layer.clone().logged(&entry));
}

#[test]
fn cve_2022_36056_an_entry_of_another_signature_is_not_believed() {
    let (bench, key, layer) = required();
    let log = &Sigstore::shared().rekor;
    // Another signature by the same key over the same payload; another payload; another key.
    let again = key.sign(&layer.payload);
    let (other, stranger) = (payload("sha256:00", json!(null)), Key::new(Kind::P256));
    for entry in [
        log.hashedrekord(&layer.payload, &again, &key.pem(), NOW),
        log.hashedrekord(other.as_bytes(), &layer.signature(), &key.pem(), NOW),
        log.hashedrekord(&layer.payload, &layer.signature(), &stranger.pem(), NOW),
        log.dsse(&image(), &layer.signature(), &key.pem(), NOW),
    ] {
        bench.refuses("transparency_log", &layer.clone().logged(&entry));
    }
}

#[test]
fn cve_2026_22703_any_valid_entry_of_a_trusted_log_is_not_enough_for_a_bundle() {
    let (bench, key, _) = required();
    let log = &Sigstore::shared().rekor;
    let (mine, other) = (statement(&digest(), SIGN), statement("sha256:00", SIGN));
    let signature = key.sign(&pae(&mine));
    let stranger = Key::new(Kind::P256);
    for entry in [
        log.dsse(&other, &key.sign(&pae(&other)), &key.pem(), NOW),
        log.dsse(&mine, &key.sign(&pae(&mine)), &key.pem(), NOW),
        log.dsse(&other, &signature, &key.pem(), NOW),
        log.dsse(&mine, &signature, &stranger.pem(), NOW),
        log.hashedrekord(b"a file", &key.sign(b"a file"), &key.pem(), NOW),
    ] {
        bench.refuses("transparency_log", &bundle(&mine, &signature, None, &[entry], &[]));
    }
}

#[test]
fn cve_2024_51746_one_right_entry_does_not_excuse_a_wrong_one() {
    let (bench, key, _) = required();
    let log = &Sigstore::shared().rekor;
    let (mine, other) = (statement(&digest(), SIGN), statement("sha256:00", SIGN));
    let signature = key.sign(&pae(&mine));
    let right = log.dsse(&mine, &signature, &key.pem(), NOW);
    let wrong = log.dsse(&other, &key.sign(&pae(&other)), &key.pem(), NOW);
    bench.takes(&bundle(&mine, &signature, None, slice::from_ref(&right), &[]));
    for entries in [[right.clone(), wrong.clone()], [wrong, right]] {
        bench.refuses("transparency_log", &bundle(&mine, &signature, None, &entries, &[]));
    }
}

#[test]
fn an_entry_of_an_untrusted_log_is_refused() {
    let (bench, key, layer) = required();
    bench.refuses("transparency_log", &logged(&layer, &key, &Log::new("rekor.evil")));
}

#[test]
fn a_promise_with_another_time_is_not_believed() {
    let (bench, key, layer) = required();
    let log = &Sigstore::shared().rekor;
    let mut entry = log.hashedrekord(&layer.payload, &layer.signature(), &key.pem(), NOW);
    entry.at -= HOUR;
    bench.refuses("transparency_log", &layer.logged(&entry));
}

#[test]
fn a_proof_that_leads_to_another_tree_is_not_believed() {
    let (bench, key, _) = required();
    let statement = statement(&digest(), SIGN);
    let signature = key.sign(&pae(&statement));
    let entry = Sigstore::shared().rekor.dsse(&statement, &signature, &key.pem(), NOW);
    let good = bundle(&statement, &signature, None, &[entry], &[]);
    let proof = |change: fn(&mut Value)| {
        let mut bundle = good.clone();
        change(&mut bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]);
        bundle
    };
    bench.takes(&proof(|_| {}));
    for changed in [
        proof(|proof| proof["hashes"] = json!([])),
        proof(|proof| proof["hashes"] = json!(["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="])),
        proof(|proof| proof["rootHash"] = json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")),
        proof(|proof| proof["treeSize"] = json!("3")),
        proof(|proof| proof["logIndex"] = json!("0")),
        proof(|proof| proof["checkpoint"] = json!({ "envelope": "" })),
        proof(|proof| *proof = Value::Null),
    ] {
        bench.refuses("transparency_log", &changed);
    }
    let mut forged = good.clone();
    let proof = &mut forged["verificationMaterial"]["tlogEntries"][0]["inclusionProof"];
    let note = proof["checkpoint"]["envelope"].as_str().unwrap().to_owned();
    proof["checkpoint"]["envelope"] = json!(note.replace("rekor.test - 1", "rekor.test - 2"));
    bench.refuses("transparency_log", &forged);
}

#[test]
fn cve_2026_54787_a_log_counts_only_for_its_own_time() {
    let (key, sigstore) = (Key::new(Kind::P256), Sigstore::shared());
    let statement = statement(&digest(), SIGN);
    let signature = key.sign(&pae(&statement));
    let entry = sigstore.rekor.dsse(&statement, &signature, &key.pem(), NOW);
    let stamp = sigstore.tsa.stamp(&signature, NOW);
    let pem = key.pem();
    let mut root = sigstore.trusted_root();
    let window = |root: &Value| {
        let lines = format!("keys = [\"k\"]\ntrusted_root = \"root.json\"\n{REQUIRE}");
        Bench::new(&lines, &[("k", &pem), ("root.json", &root.to_string())])
    };
    for (from, until) in [(NOW - YEAR, NOW - HOUR), (NOW + 60, NOW + YEAR)] {
        root["tlogs"][0]["publicKey"]["validFor"] =
            json!({ "start": rfc3339(from), "end": rfc3339(until) });
        let mut bundle =
            bundle(&statement, &signature, None, slice::from_ref(&entry), slice::from_ref(&stamp));
        window(&root).refuses("transparency_log", &bundle);
        // The same without the promise: the proof alone bears no time, the timestamp does.
        bundle["verificationMaterial"]["tlogEntries"][0]["inclusionPromise"] = Value::Null;
        window(&root).refuses("transparency_log", &bundle);
    }
    root["tlogs"][0]["publicKey"]["validFor"] =
        json!({ "start": rfc3339(NOW), "end": rfc3339(NOW) });
    window(&root).takes(&bundle(&statement, &signature, None, &[entry], &[stamp]));
}

#[test]
fn an_entry_from_the_future_is_refused() {
    let (mut bench, key, layer) = required();
    bench.now = countersign::clock::Timestamp::from_unix(NOW - 1);
    bench.refuses("time", &logged(&layer, &key, &Sigstore::shared().rekor));
}

#[test]
fn where_no_log_is_asked_for_a_wrong_entry_changes_nothing() {
    let key = Key::new(Kind::P256);
    let (bench, log) = (Bench::of_keys(&[&key], ""), &Sigstore::shared().rekor);
    let layer = Layer::signed(&image(), &key);
    let other = log.hashedrekord(b"another", &key.sign(b"another"), &key.pem(), NOW);
    for layer in [
        layer.clone().logged(&other),
        logged(&layer, &key, &Log::new("rekor.evil")),
        layer.clone().annotated("dev.sigstore.cosign/bundle", "not json"),
        layer.clone().annotated("dev.sigstore.cosign/certificate", "no certificate"),
        layer.clone().annotated("dev.sigstore.cosign/rfc3161timestamp", "{}"),
        layer.stamped(&TimestampAuthority::new().stamp(b"", NOW)),
    ] {
        assert_eq!(bench.takes(&layer).proven, None);
    }
    let statement = statement(&digest(), SIGN);
    let signature = key.sign(&pae(&statement));
    let mut bundle = bundle(&statement, &signature, None, &[], &[]);
    bundle["verificationMaterial"]["tlogEntries"] = json!([{ "kindVersion": "unheard of" }]);
    assert_eq!(bench.takes(&bundle).proven, None);
}

#[test]
fn a_timestamp_of_a_stranger_costs_the_time_and_not_the_entry() {
    let (bench, key, layer) = required();
    let stamp = TimestampAuthority::new().stamp(&layer.signature(), NOW - HOUR);
    let layer = logged(&layer, &key, &Sigstore::shared().rekor).stamped(&stamp);
    assert_eq!(bench.takes(&layer).proven.map(|at| at.unix()), Some(NOW));
}
