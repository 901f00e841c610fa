//! Hostile candidates: all work is bounded, and nothing panics.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use countersign::trust::SignatureContent;
use countersign::trust::cosign::limits::*;

use crate::sigstore::{Key, Kind, Layer, Leaf, NOW, Sigstore, bundle, pae, payload, statement};

use super::bench::{Bench, PROVENANCE, SIGN, digest};

/// A bench that wants a log entry, and a bundle that it takes.
fn logged() -> (Bench, Value) {
    let key = Key::new(Kind::P256);
    let statement = statement(&digest(), SIGN);
    let signature = key.sign(&pae(&statement));
    let entry = Sigstore::shared().rekor.dsse(&statement, &signature, &key.pem(), NOW);
    let bench = Bench::of_keys(&[&key], "tlog = \"require\"");
    let bundle = bundle(&statement, &signature, None, &[entry], &[]);
    bench.takes(&bundle);
    (bench, bundle)
}

#[test]
fn cve_2024_29902_a_long_payload_is_undecided_and_not_read() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "");
    let long = payload(&digest(), json!({ "a": "b".repeat(MAX_PAYLOAD) }));
    bench.cannot_examine(&Layer::signed(&long, &key));
    let envelope = "e".repeat(MAX_ENVELOPE + 1);
    let mut layer = Layer::attestation("", b"");
    layer.payload = envelope.into_bytes();
    bench.cannot_examine(&layer);
    bench.cannot_examine(" ".repeat(MAX_BUNDLE + 1).as_str());
}

#[test]
fn deep_json_is_refused_everywhere() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "");
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let mut attestation = Layer::attestation("", b"");
    attestation.payload = format!("{{\"payload\":{deep}}}").into_bytes();
    bench.refuses("format", &attestation);
    bench.refuses("format", deep.as_str());
    let short = deep.get(80_000..120_000).unwrap_or_default();
    let text = payload(&digest(), json!("deep")).replace("\"deep\"", short);
    bench.refuses("format", &Layer::signed(&text, &key));
    let text =
        statement(&digest(), SIGN).replace("\"predicate\":{}", &format!("\"predicate\":{deep}"));
    bench.refuses("format", &bundle(&text, &key.sign(&pae(&text)), None, &[], &[]));
}

#[test]
fn content_with_more_json_values_than_the_limit_is_undecided() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "");
    let list = |values: usize| format!("[0{}]", ",0".repeat(values));
    let (_, good) = logged();
    bench.cannot_examine(
        good.to_string().replacen('{', &format!("{{\"a\":{},", list(MAX_VALUES)), 1).as_str(),
    );
    let text = statement(&digest(), SIGN).replace("{}", &list(MAX_STATEMENT_VALUES));
    bench.cannot_examine(&bundle(&text, &key.sign(&pae(&text)), None, &[], &[]));
    let text = statement(&digest(), SIGN).replace("{}", &list(MAX_STATEMENT_VALUES / 2));
    bench.takes(&bundle(&text, &key.sign(&pae(&text)), None, &[], &[]));
}

#[test]
fn cve_2026_49834_many_entries_timestamps_or_hashes_are_undecided_and_not_verified() {
    let (bench, good) = logged();
    let entry = good["verificationMaterial"]["tlogEntries"][0].clone();
    let mut many = good.clone();
    many["verificationMaterial"]["tlogEntries"] = json!(vec![entry.clone(); MAX_ENTRIES + 1]);
    bench.cannot_examine(&many);
    let mut many = good.clone();
    let hash = entry["inclusionProof"]["hashes"][0].clone();
    many["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["hashes"] =
        json!(vec![hash; MAX_PROOF + 1]);
    bench.cannot_examine(&many);
    let mut many = good.clone();
    let note = entry["inclusionProof"]["checkpoint"]["envelope"].as_str().unwrap();
    let (_, line) = note.split_once("\n\n").unwrap();
    let note = format!("{note}{}", line.repeat(MAX_CHECKPOINT_SIGNATURES));
    many["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["checkpoint"] =
        json!({ "envelope": note });
    bench.cannot_examine(&many);
    let mut many = good;
    let stamp = json!({ "signedTimestamp": "AAAA" });
    many["verificationMaterial"]["timestampVerificationData"] =
        json!({ "rfc3161Timestamps": vec![stamp; MAX_TIMESTAMPS + 1] });
    bench.cannot_examine(&many);
}

#[test]
fn cve_2023_46737_many_subjects_names_or_certificates_are_undecided() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "");
    let mut text: Value = serde_json::from_str(&statement(&digest(), SIGN)).unwrap();
    let subject = text["subject"][0].clone();
    text["subject"] = json!(vec![subject.clone(); 1_024]);
    let most = text.to_string();
    bench.takes(&bundle(&most, &key.sign(&pae(&most)), None, &[], &[]));
    text["subject"] = json!(vec![subject; MAX_SUBJECTS + 1]);
    let other = text.to_string().replace(SIGN, PROVENANCE);
    bench.passes_by("kind", &bundle(&other, &key.sign(&pae(&other)), None, &[], &[]));
    let text = text.to_string();
    bench.cannot_examine(&bundle(&text, &key.sign(&pae(&text)), None, &[], &[]));

    let lines = format!("identity = \"https://**@**\"\nissuer = {:?}", Leaf::ISSUER);
    let keyless = Bench::keyless(&lines, &Sigstore::shared().trusted_root());
    let mut leaf = Leaf::new();
    leaf.names = vec![leaf.names[0].clone(); MAX_NAMES + 1];
    let certified = Sigstore::shared().certify(&leaf);
    let layer = Layer::signed(&payload(&digest(), json!(null)), &certified.key);
    keyless.cannot_examine(&layer.clone().by(&certified));
    let certified = Sigstore::shared().certify(&Leaf::new());
    let chain = "dev.sigstore.cosign/chain";
    let many = layer.by(&certified).annotated(chain, certified.pem().repeat(MAX_CERTIFICATES));
    keyless.cannot_examine(&many.clone().annotated(chain, certified.pem().repeat(1_000)));
    keyless.cannot_examine(&many);
}

/// cosign accepts an SBOM of 17 MiB.
#[test]
fn an_attestation_with_an_sbom_of_17_mib_is_accepted() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], &format!("predicate_type = {PROVENANCE:?}"));
    let package = json!({
        "name": "a-package",
        "versionInfo": "1.2.3-4+deb12u1",
        "licenseDeclared": "Apache-2.0",
        "purl": "pkg:deb/debian/a-package@1.2.3-4+deb12u1?arch=amd64&distro=debian-12",
    })
    .to_string();
    let list = format!("[{package}{}]", format!(",{package}").repeat((17 << 20) / package.len()));
    let text = statement(&digest(), PROVENANCE).replace("{}", &list);
    assert!(text.len() > 17 << 20, "{} bytes", text.len());
    let signature = key.sign(&pae(&text));
    bench.takes(&Layer::attestation(&text, &signature));
    bench.takes(&bundle(&text, &signature, None, &[], &[]));
}

#[test]
fn quotes_of_a_candidate_are_short() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "");
    let long = statement(&digest(), &format!("https://{}", "\u{e4}".repeat(1 << 20)));
    let flaw = bench.passes_by("kind", &bundle(&long, &key.sign(&pae(&long)), None, &[], &[]));
    assert!((MAX_FOUND - 2..MAX_FOUND + 4).contains(&flaw.found.len()), "{}", flaw.found.len());
}

#[test]
fn a_long_signature_is_undecided() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "");
    let long = Layer::simple(&payload(&digest(), json!(null)), &vec![0; MAX_SIGNATURE + 1]);
    bench.cannot_examine(&long);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// One byte of a bundle is changed: it is refused, or says the same, or what was changed was the
    /// name of the promise, and the proof alone has no time. Nobody else's word, and no other time.
    #[test]
    fn a_changed_bundle_is_refused_or_says_no_more(at in 0usize..10_000, byte in any::<u8>()) {
        static GOOD: std::sync::LazyLock<(Bench, String)> = std::sync::LazyLock::new(|| {
            let (bench, bundle) = logged();
            (bench, bundle.to_string())
        });
        let (bench, good) = &*GOOD;
        let mut text = good.clone().into_bytes();
        let at = at % text.len();
        text[at] = byte;
        let Ok(text) = String::from_utf8(text) else { return Ok(()) };
        if let Ok(vouched) = bench.judge(text.as_str()) {
            let good = bench.takes(good.as_str());
            prop_assert!(vouched.signed.is_none() || vouched.signed == good.signed);
            prop_assert_eq!(vouched.signer, good.signer);
        }
    }

    #[test]
    fn no_annotation_and_no_payload_makes_the_judge_panic(
        payload in proptest::collection::vec(any::<u8>(), 0..200),
        values in proptest::collection::vec(".{0,60}", 5),
    ) {
        static BENCHES: std::sync::LazyLock<[Bench; 2]> = std::sync::LazyLock::new(|| {
            let lines = format!("identity = \"https://**@**\"\nissuer = {:?}", Leaf::ISSUER);
            [
                Bench::of_keys(&[&Key::new(Kind::P256)], "tlog = \"require\""),
                Bench::keyless(&lines, &Sigstore::shared().trusted_root()),
            ]
        });
        let mut layer = Layer::simple(&crate::sigstore::payload(&digest(), json!(null)), &payload);
        let names = ["certificate", "chain", "bundle", "rfc3161timestamp"];
        for (name, value) in names.iter().zip(&values) {
            layer = layer.annotated(&format!("dev.sigstore.cosign/{name}"), value.as_str());
        }
        let mut raw = layer.clone();
        raw.payload = payload.clone();
        let mut attested = Layer::attestation(&values[4], &payload);
        attested.annotations.extend(layer.annotations.clone());
        let bundled = json!({ "raw": STANDARD.encode(&payload) }).to_string();
        for bench in &*BENCHES {
            prop_assert!(bench.judge(&layer).is_err());
            prop_assert!(bench.judge(&raw).is_err());
            prop_assert!(bench.judge(&attested).is_err());
            prop_assert!(bench.judge(bundled.as_str()).is_err());
        }
    }
}

/// How many attestations are judged at once. More take longer in a test, and no more memory beside their texts.
const ATTESTATIONS: usize = 16;

/// Anyone who can push can attach any number of such attestations.
#[test]
fn judging_a_large_attestation_without_a_known_signature_stays_within_its_bound() {
    let grown = crate::loads::growth("cosign::bounds::large_unsigned_attestations");
    let most = ATTESTATIONS * (7 << 20) + countersign::parsing::MAX_MEMORY;
    assert!(grown <= most, "{} MiB of {} MiB", grown >> 20, most >> 20);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in a process of its own, which the test above starts"]
async fn large_unsigned_attestations() {
    let (key, stranger) = (Key::new(Kind::P256), Key::new(Kind::P256));
    let bench = std::sync::Arc::new(Bench::of_keys(&[&key], ""));
    let list = format!("[0{}]", ",{}".repeat(MAX_STATEMENT_VALUES - 100));
    let long = format!("{{\"list\":{list},\"text\":\"{}\"}}", "a".repeat(1_600_000));
    let text = statement(&digest(), SIGN).replace("{}", &long);
    let bundle = bundle(&text, &stranger.sign(&pae(&text)), None, &[], &[]).to_string();
    assert!((5 << 20..=7 << 20).contains(&bundle.len()), "{} bytes", bundle.len());
    let bundle = bytes::Bytes::from(bundle);
    let before = crate::loads::figure("VmRSS");
    let judgements = (0..ATTESTATIONS).map(|_| {
        let (bench, json) = (bench.clone(), bytes::Bytes::copy_from_slice(&bundle));
        let memory = countersign::trust::cosign::Anchor::most_memory(json.len());
        tokio::spawn(countersign::parsing::run(json.len(), memory, move || {
            bench.refuses("signature", SignatureContent::Bundle { json });
        }))
    });
    for judged in futures_util::future::join_all(judgements).await {
        judged.unwrap();
    }
    crate::loads::grew_from(before);
}
