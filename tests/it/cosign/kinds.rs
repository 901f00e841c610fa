//! The claimed kind and image: one kind is never accepted as another.

use bytes::Bytes;
use serde_json::{Value, json};

use countersign::trust::SignatureContent;

use crate::sigstore::{Key, Kind, Layer, bundle, pae, payload, statement};

use super::bench::{Bench, PROVENANCE, SIGN, digest};

const OTHER: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

fn signed(statement: &str, key: &Key) -> Value {
    bundle(statement, &key.sign(&pae(statement)), None, &[], &[])
}

#[test]
fn cve_2022_35929_an_attestation_of_another_type_is_not_taken() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], &format!("predicate_type = {PROVENANCE:?}"));
    let other = statement(&digest(), "https://slsa.dev/provenance/v0.2");
    bench.passes_by("kind", &signed(&other, &key));
    bench.passes_by("kind", &Layer::attestation(&other, &key.sign(&pae(&other))));
}

#[test]
fn cve_2022_35930_an_attestation_is_not_taken_for_a_signature() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "");
    let attestation = statement(&digest(), PROVENANCE);
    bench.passes_by("kind", &signed(&attestation, &key));
    bench.passes_by("kind", &Layer::attestation(&attestation, &key.sign(&pae(&attestation))));
}

#[test]
fn a_signature_is_not_taken_for_an_attestation() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], &format!("predicate_type = {PROVENANCE:?}"));
    bench.passes_by("kind", &Layer::signed(&payload(&digest(), json!(null)), &key));
    bench.passes_by("kind", &signed(&statement(&digest(), SIGN), &key));
}

#[test]
fn cve_2026_39395_a_payload_that_cannot_be_read_is_refused() {
    let key = Key::new(Kind::P256);
    for bench in [
        Bench::of_keys(&[&key], ""),
        Bench::of_keys(&[&key], &format!("predicate_type = {PROVENANCE:?}")),
    ] {
        let good = statement(&digest(), PROVENANCE);
        for bad in [
            String::new(),
            "not json".to_owned(),
            "[]".to_owned(),
            "null".to_owned(),
            good.replace("_type", "type"),
            good.replace("Statement/v1", "Statement/v2"),
            good.replace("predicateType", "predicate_type"),
            good.replace("\"subject\"", "\"subjects\""),
            good.replace(PROVENANCE, ""),
            format!("{good}{good}"),
        ] {
            bench.refuses("format", &signed(&bad, &key));
            bench.refuses("format", &Layer::attestation(&bad, &key.sign(&pae(&bad))));
        }
    }
}

#[test]
fn a_duplicate_predicate_type_is_refused() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], &format!("predicate_type = {PROVENANCE:?}"));
    let good = statement(&digest(), PROVENANCE);
    for other in ["predicateType", "PredicateType", "predicatetype"] {
        let twice = good.replacen('{', &format!("{{\"{other}\":\"https://evil.test\","), 1);
        bench.refuses("format", &signed(&twice, &key));
    }
}

#[test]
fn a_signature_over_another_image_proves_nothing_of_this_one() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "");
    bench.passes_by("subject", &Layer::signed(&payload(OTHER, json!(null)), &key));
    bench.passes_by("subject", &signed(&statement(OTHER, SIGN), &key));
}

#[test]
fn one_of_several_subjects_will_do_and_a_null_among_them_is_nobody() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "");
    let mut several: Value = serde_json::from_str(&statement(&digest(), SIGN)).unwrap();
    let image = several["subject"][0].clone();
    several["subject"] = json!([null, { "name": "a", "digest": { "sha256": "00" } }, image]);
    bench.takes(&signed(&several.to_string(), &key));
    several["subject"] = json!([null]);
    bench.passes_by("subject", &signed(&several.to_string(), &key));
    several["subject"] = json!([{ "name": digest() }]);
    bench.refuses("format", &signed(&several.to_string(), &key));
}

#[test]
fn the_digest_counts_under_its_own_algorithm_only() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "");
    let other = statement(&digest(), SIGN).replace("\"sha256\"", "\"sha512\"");
    bench.passes_by("subject", &signed(&other, &key));
    let upper = statement(&digest(), SIGN).replace("\"sha256\"", "\"SHA256\"");
    bench.passes_by("subject", &signed(&upper, &key));
}

#[test]
fn a_payload_that_two_readers_would_read_differently_is_refused() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "");
    let (good, other) = (payload(&digest(), json!(null)), payload(OTHER, json!(null)));
    let (_, critical) = other.split_once("\"critical\":").unwrap();
    let (critical, _) = critical.split_once(",\"optional\"").unwrap();
    for bad in [
        good.replacen('{', &format!("{{\"critical\":{critical},"), 1),
        good.replacen('{', &format!("{{\"Critical\":{critical},"), 1),
        good.replace(
            "\"image\":{",
            &format!("\"image\":{{\"docker-manifest-digest\":\"{OTHER}\","),
        ),
        good.replace(
            "\"image\":{",
            &format!("\"image\":{{\"Docker-manifest-digest\":\"{OTHER}\","),
        ),
        good.replace("\"image\":{", "\"image\":{},\"image\":{"),
        format!("{good}{other}"),
        good.replace("cosign container image signature", "atomic container signature"),
        good.replace("docker-manifest-digest", "digest"),
        good.replace("\"optional\":null", "\"optional\":[]"),
        "not json".to_owned(),
    ] {
        bench.refuses("format", &Layer::signed(&bad, &key));
    }
}

/// cosign decodes payloads and attestations in layers with Go's `encoding/json`, and bundles with protobuf's JSON.
#[test]
fn names_in_another_case_are_accepted_where_cosign_accepts_them() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "");
    let good = payload(&digest(), json!({ "timestamp": 1_700_000_000 }));
    for (name, other) in [
        ("docker-manifest-digest", "Docker-manifest-digest"),
        ("critical", "Critical"),
        ("identity", "IDENTITY"),
        ("image", "Image"),
        ("type", "Type"),
        ("optional", "Optional"),
        ("docker-reference", "Docker-Reference"),
        ("critical", "critica\u{6c}"),
        ("docker-manifest-digest", "doc\u{212a}er-manife\u{17f}t-digest"),
    ] {
        let text = good.replace(&format!("{name:?}"), &format!("{other:?}"));
        let text = text.replace("\\u{212a}", "\u{212a}").replace("\\u{17f}", "\u{17f}");
        let vouched = bench.takes(&Layer::signed(&text, &key));
        assert!(vouched.signed.is_some(), "{other}");
        // Of another image it is not, in any case.
        let text = text.replace(&digest(), OTHER);
        bench.passes_by("subject", &Layer::signed(&text, &key));
    }
    let bench = Bench::of_keys(&[&key], &format!("predicate_type = {PROVENANCE:?}"));
    let good = statement(&digest(), PROVENANCE);
    for (name, other) in [
        ("_type", "_Type"),
        ("predicateType", "predicatetype"),
        ("subject", "Subject"),
        ("digest", "Digest"),
    ] {
        let text = good.replace(&format!("{name:?}"), &format!("{other:?}"));
        bench.takes(&Layer::attestation(&text, &key.sign(&pae(&text))));
        bench.refuses("format", &signed(&text, &key));
    }
    // Twice, it is ambiguous.
    let twice = good.replacen('{', "{\"PREDICATETYPE\":\"https://evil.test\",", 1);
    bench.refuses("format", &Layer::attestation(&twice, &key.sign(&pae(&twice))));
    let twice = good.replace("\"subject\"", "\"Subject\"").replacen('{', "{\"SUBJECT\":[],", 1);
    bench.refuses("format", &Layer::attestation(&twice, &key.sign(&pae(&twice))));
}

#[test]
fn an_envelope_of_another_payload_type_is_refused() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "");
    let mut other = signed(&statement(&digest(), SIGN), &key);
    other["dsseEnvelope"]["payloadType"] = json!("application/json");
    bench.refuses("format", &other);
}

#[test]
fn an_envelope_with_two_signatures_or_none_is_refused() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "");
    let mut other = signed(&statement(&digest(), SIGN), &key);
    let one = other["dsseEnvelope"]["signatures"][0].clone();
    other["dsseEnvelope"]["signatures"] = json!([one, one]);
    bench.refuses("format", &other);
    other["dsseEnvelope"]["signatures"] = json!([]);
    bench.refuses("format", &other);
}

#[test]
fn content_that_is_not_a_cosign_signature_is_skipped() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "");
    let mut layer = Layer::signed(&payload(&digest(), json!(null)), &key);
    layer.media_type = "application/vnd.oci.image.layer.v1.tar".to_owned();
    bench.passes_by("kind", &layer);
    let bytes = Bytes::from_static(b"{}");
    let media_type = "application/jose+json".to_owned();
    bench.passes_by("kind", SignatureContent::Envelope { media_type, bytes });
    let mut file = signed(&statement(&digest(), SIGN), &key);
    file.as_object_mut().unwrap().remove("dsseEnvelope");
    file["messageSignature"] = json!({
        "messageDigest": { "algorithm": "SHA2_256", "digest": "AAAA" }, "signature": "AAAA",
    });
    bench.passes_by("kind", &file);
}

#[test]
fn a_bundle_of_two_kinds_or_two_signers_is_refused() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "");
    let good = signed(&statement(&digest(), SIGN), &key);
    bench.takes(&good);
    let mut both = good.clone();
    both["messageSignature"] = json!({ "signature": "AAAA" });
    bench.refuses("format", &both);
    let mut both = good.clone();
    both["verificationMaterial"]["certificate"] = json!({ "rawBytes": "AAAA" });
    bench.refuses("format", &both);
    for version in [json!(null), json!("application/vnd.dev.sigstore.bundle.v0.4+json")] {
        let mut other = good.clone();
        other["mediaType"] = version;
        bench.refuses("format", &other);
    }
}
