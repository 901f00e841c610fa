//! Keyless signatures: a short-lived certificate, the certificate log, and a proven signing time.

use serde_json::{Value, json};

use countersign::clock::Timestamp;

use crate::sigstore::{
    Authority, Certified, DAY, HOUR, Key, Kind, Layer, Leaf, Log, NOW, Sigstore, Term,
    TimestampAuthority, YEAR, bundle, pae, payload, rfc3339, statement,
};

use super::bench::{Bench, PROVENANCE, SIGN, digest};

const SIGNER: &str = r#"
    identity = "https://github.com/acme/*/.github/workflows/release.yml@refs/tags/*"
    issuer = "https://token.actions.githubusercontent.com"
"#;
const UNLOGGED: &str = "tlog = \"ignore\"";

fn shared() -> &'static Sigstore {
    Sigstore::shared()
}

fn bench() -> Bench {
    Bench::keyless(SIGNER, &shared().trusted_root())
}

fn certified() -> Certified {
    shared().certify(&Leaf::new())
}

fn layer(certified: &Certified) -> Layer {
    Layer::signed(&payload(&digest(), json!(null)), &certified.key).by(certified)
}

fn logged(certified: &Certified, log: &Log, at: i64) -> Layer {
    let layer = layer(certified);
    let entry = log.hashedrekord(&layer.payload, &layer.signature(), &certified.pem(), at);
    layer.logged(&entry)
}

/// A bundle 0.3 of that type, logged, and stamped if at all at these times.
fn attested(certified: &Certified, predicate_type: &str, stamps: &[i64]) -> Value {
    let statement = statement(&digest(), predicate_type);
    let signature = certified.key.sign(&pae(&statement));
    let entry = shared().rekor.dsse(&statement, &signature, &certified.pem(), NOW);
    let stamps: Vec<_> = stamps.iter().map(|at| shared().tsa.stamp(&signature, *at)).collect();
    bundle(&statement, &signature, Some(certified), &[entry], &stamps)
}

/// A bench whose trusted root has `authority` in place of the shared one's.
fn bench_of(authority: &Authority) -> Bench {
    let mut root = shared().trusted_root();
    root["certificateAuthorities"] = json!([authority.trusted()]);
    Bench::keyless(SIGNER, &root)
}

#[test]
fn a_keyless_layer_is_taken() {
    let vouched = bench().takes(&logged(&certified(), &shared().rekor, NOW));
    assert_eq!(vouched.signer, format!("{} ({})", Leaf::IDENTITY, Leaf::ISSUER));
    assert_eq!(vouched.signed, Some(Timestamp::from_unix(NOW)));
    assert_eq!(vouched.expires, None);
}

#[test]
fn a_keyless_bundle_is_taken_in_every_version() {
    let certified = certified();
    let mut bundle = attested(&certified, SIGN, &[NOW + 3]);
    assert_eq!(bench().takes(&bundle).signed, Some(Timestamp::from_unix(NOW)));
    let one = bundle["verificationMaterial"]["certificate"].take();
    bundle["verificationMaterial"].as_object_mut().unwrap().remove("certificate");
    bundle["verificationMaterial"]["x509CertificateChain"] = json!({ "certificates": [one] });
    for version in ["0.1", "0.2"] {
        let version = format!("application/vnd.dev.sigstore.bundle+json;version={version}");
        bundle["mediaType"] = json!(version);
        bench().takes(&bundle);
    }
    // 0.3 has its one certificate alone.
    bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle.v0.3+json");
    bench().refuses("format", &bundle);
}

#[test]
fn a_keyless_attestation_is_taken_where_it_is_asked_for() {
    let lines = format!("{SIGNER}\npredicate_type = {PROVENANCE:?}");
    let bench = Bench::keyless(&lines, &shared().trusted_root());
    bench.takes(&attested(&certified(), PROVENANCE, &[]));
    bench.passes_by("kind", &attested(&certified(), SIGN, &[]));
    let statement = statement(&digest(), PROVENANCE);
    let certified = certified();
    let signature = certified.key.sign(&pae(&statement));
    let entry = shared().rekor.dsse(&statement, &signature, &certified.pem(), NOW);
    let layer = Layer::attestation(&statement, &signature).by(&certified);
    bench.takes(&layer.clone().logged(&entry));
    bench.refuses("transparency_log", &layer);
}

#[test]
fn a_certificate_for_another_identity_is_refused() {
    let leaf = Leaf::new();
    for name in [
        "https://github.com/acme-evil/app/.github/workflows/release.yml@refs/tags/v1",
        "https://github.com/acme/app/.github/workflows/test.yml@refs/tags/v1",
        "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main",
        "https://evil.test/https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1",
    ] {
        let mut leaf = leaf.clone();
        leaf.names = vec![rcgen::SanType::URI(name.try_into().unwrap())];
        bench().refuses("identity", &logged(&shared().certify(&leaf), &shared().rekor, NOW));
    }
    let mut nobody = leaf.clone();
    nobody.names.clear();
    bench().refuses("identity", &logged(&shared().certify(&nobody), &shared().rekor, NOW));
    let host = leaf.host("github.com");
    let bench = Bench::keyless(
        &format!("identity = \"github.com\"\nissuer = {:?}", Leaf::ISSUER),
        &shared().trusted_root(),
    );
    bench.refuses("identity", &logged(&shared().certify(&host), &shared().rekor, NOW));
}

#[test]
fn cve_2022_36056_the_right_identity_of_another_issuer_is_refused() {
    let of = |issuer: Option<&str>, bare: Option<&str>| {
        let mut leaf = Leaf::new();
        leaf.issuer = issuer.map(str::to_owned);
        leaf.bare_issuer = bare.map(str::to_owned);
        logged(&shared().certify(&leaf), &shared().rekor, NOW)
    };
    let (good, evil) = (Leaf::ISSUER, "https://token.actions.githubusercontent.com.evil.test");
    bench().takes(&of(Some(good), Some(good)));
    bench().takes(&of(None, Some(good)));
    bench().refuses("issuer", &of(None, None));
    bench().refuses("issuer", &of(Some(evil), None));
    bench().refuses("issuer", &of(None, Some(evil)));
    // The older extension does not count beside the current one.
    bench().refuses("issuer", &of(Some(evil), Some(good)));
}

#[test]
fn email_addresses_and_user_names_are_identities_too() {
    let root = shared().trusted_root();
    let issuer = Leaf::ISSUER;
    for leaf in [Leaf::new().email("me@acme.test"), Leaf::new().user_name("me@acme.test")] {
        let layer = layer(&shared().certify(&leaf));
        let stamped = layer.clone().stamped(&shared().tsa.stamp(&layer.signature(), NOW));
        let bench = |identity: &str| {
            let lines = format!("identity = {identity:?}\nissuer = {issuer:?}\n{UNLOGGED}");
            Bench::keyless(&lines, &root)
        };
        bench("me@acme.test").takes(&stamped);
        bench("*@acme.test").takes(&stamped);
        bench("e@acme.test").refuses("identity", &stamped);
        bench("*@acme").refuses("identity", &stamped);
    }
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let other = Authority::new("fulcio", Term::years());
    let certified = other.certify(&Leaf::new(), Some(&shared().certificates));
    bench().refuses("certificate", &logged(&certified, &shared().rekor, NOW));
}

#[test]
fn a_certificate_that_no_log_has_seen_is_refused() {
    let bare = shared().fulcio.certify(&Leaf::new(), None);
    bench().refuses("certificate", &logged(&bare, &shared().rekor, NOW));
    let stranger = shared().fulcio.certify(&Leaf::new(), Some(&Key::new(Kind::P256)));
    bench().refuses("certificate", &logged(&stranger, &shared().rekor, NOW));
}

#[test]
fn the_proof_of_another_certificate_is_refused() {
    // The same key and serial number, another name: the proof is put where it does not belong.
    let (mine, other) = (certified(), shared().certify(&Leaf::new().email("me@acme.test")));
    let layer = layer(&other).annotated("dev.sigstore.cosign/certificate", mine.pem());
    let entry = shared().rekor.hashedrekord(&layer.payload, &layer.signature(), &mine.pem(), NOW);
    bench().refuses("signature", &layer.logged(&entry));
}

#[test]
fn a_certificate_not_for_signing_code_is_refused() {
    let mut leaf = Leaf::new();
    leaf.code_signing = false;
    bench().refuses("certificate", &logged(&shared().certify(&leaf), &shared().rekor, NOW));
}

#[test]
fn the_certificate_must_hold_when_it_was_used() {
    for at in [NOW - HOUR, NOW + HOUR] {
        bench().refuses("certificate", &logged(&certified(), &shared().rekor, at));
    }
}

#[test]
fn the_certificate_must_hold_at_every_proven_time() {
    for stamp in [NOW - HOUR, NOW + HOUR - 1] {
        bench().refuses("certificate", &attested(&certified(), SIGN, &[NOW, stamp]));
    }
}

#[test]
fn cve_2026_24122_an_authority_that_had_expired_when_it_was_used_is_refused() {
    let fulcio = Authority::new("fulcio", Term::over());
    let certified = fulcio.certify(&Leaf::new(), Some(&shared().certificates));
    let layer = logged(&certified, &shared().rekor, NOW);
    bench_of(&fulcio).refuses("certificate", &layer);
    bench_of(&fulcio.renewed(Term::years())).takes(&layer);
    let old = Authority::with_root("fulcio", Term::over(), Term::years());
    let certified = old.certify(&Leaf::new(), Some(&shared().certificates));
    bench_of(&old).refuses("certificate", &logged(&certified, &shared().rekor, NOW));
}

#[test]
fn an_authority_counts_only_for_the_time_that_the_trusted_root_gives_it() {
    for valid_for in
        [Term::over(), Term { from: NOW + 1, until: NOW + YEAR }, Term { from: NOW, until: NOW }]
    {
        let mut fulcio = shared().fulcio.clone();
        fulcio.valid_for = valid_for;
        let layer = logged(&certified(), &shared().rekor, NOW);
        if valid_for.from == NOW {
            bench_of(&fulcio).takes(&layer);
        } else {
            bench_of(&fulcio).refuses("certificate", &layer);
        }
    }
}

#[test]
fn a_log_of_certificates_counts_only_for_its_own_time() {
    let mut root = shared().trusted_root();
    root["ctlogs"][0]["publicKey"]["validFor"] =
        json!({ "start": rfc3339(NOW - YEAR), "end": rfc3339(NOW - DAY) });
    let bench = Bench::keyless(SIGNER, &root);
    bench.refuses("certificate", &logged(&certified(), &shared().rekor, NOW));
}

#[test]
fn without_a_proven_time_nothing_keyless_is_taken() {
    bench().refuses("transparency_log", &layer(&certified()));
    let unlogged = Bench::keyless(&format!("{SIGNER}{UNLOGGED}"), &shared().trusted_root());
    unlogged.refuses("time", &layer(&certified()));
    // An inclusion proof bears no time.
    let mut bundle = attested(&certified(), SIGN, &[]);
    bundle["verificationMaterial"]["tlogEntries"][0]["inclusionPromise"] = Value::Null;
    bench().refuses("time", &bundle);
    unlogged.refuses("time", &bundle);
}

#[test]
fn a_timestamp_proves_the_time_where_no_log_is_asked_for() {
    let unlogged = Bench::keyless(&format!("{SIGNER}{UNLOGGED}"), &shared().trusted_root());
    let certified = certified();
    let layer = layer(&certified);
    let stamped = |at: i64| layer.clone().stamped(&shared().tsa.stamp(&layer.signature(), at));
    assert_eq!(unlogged.takes(&stamped(NOW)).signed, Some(Timestamp::from_unix(NOW)));
    unlogged.refuses("certificate", &stamped(NOW - HOUR));
    bench().refuses("transparency_log", &stamped(NOW));
    // A wrong entry beside it changes nothing.
    let other = shared().rekor.hashedrekord(b"other", b"other", &certified.pem(), NOW);
    unlogged.takes(&stamped(NOW).logged(&other));
}

#[test]
fn cve_2026_39984_a_timestamp_counts_only_by_the_authority_itself() {
    let unlogged = Bench::keyless(&format!("{SIGNER}{UNLOGGED}"), &shared().trusted_root());
    let layer = layer(&certified());
    let stamped =
        |tsa: &TimestampAuthority, message: &[u8]| layer.clone().stamped(&tsa.stamp(message, NOW));
    unlogged.refuses("time", &stamped(&TimestampAuthority::new(), &layer.signature()));
    // Its certificates carried along make a stranger no authority.
    let stranger = TimestampAuthority::new().carrying_certificates();
    unlogged.refuses("time", &stamped(&stranger, &layer.signature()));
    unlogged.takes(&stamped(&shared().tsa.clone().carrying_certificates(), &layer.signature()));
    // Over something else.
    unlogged.refuses("time", &stamped(&shared().tsa, &layer.payload));
    // Outside the time that the trusted root gives the authority.
    let mut root = shared().trusted_root();
    root["timestampAuthorities"][0]["validFor"] =
        json!({ "start": rfc3339(NOW - YEAR), "end": rfc3339(NOW - 1) });
    let late = Bench::keyless(&format!("{SIGNER}{UNLOGGED}"), &root);
    late.refuses("time", &stamped(&shared().tsa, &layer.signature()));
}

#[test]
fn a_timestamp_of_a_stranger_takes_nothing_from_a_good_entry() {
    let certified = certified();
    let logged = logged(&certified, &shared().rekor, NOW);
    let stranger = TimestampAuthority::new();
    let stamped = logged.clone().stamped(&stranger.stamp(&logged.signature(), NOW - HOUR));
    let unlogged = Bench::keyless(&format!("{SIGNER}{UNLOGGED}"), &shared().trusted_root());
    for bench in [bench(), unlogged] {
        assert_eq!(bench.takes(&stamped).signed, Some(Timestamp::from_unix(NOW)));
        // A good one that contradicts it does.
        let early = shared().tsa.stamp(&logged.signature(), NOW - HOUR);
        bench.refuses("certificate", &logged.clone().stamped(&early));
    }
}

#[test]
fn a_signature_from_the_future_is_refused() {
    let mut bench = bench();
    bench.now = Timestamp::from_unix(NOW - 1);
    bench.refuses("time", &logged(&certified(), &shared().rekor, NOW));
}

#[test]
fn an_entry_of_another_certificate_or_signature_is_refused() {
    let (mine, other) = (certified(), certified());
    let (layer, log) = (layer(&mine), &shared().rekor);
    for entry in [
        log.hashedrekord(&layer.payload, &layer.signature(), &other.pem(), NOW),
        log.hashedrekord(&layer.payload, &mine.key.sign(&layer.payload), &mine.pem(), NOW),
        log.hashedrekord(b"another", &layer.signature(), &mine.pem(), NOW),
        log.hashedrekord(&layer.payload, &layer.signature(), &mine.key.pem(), NOW),
    ] {
        bench().refuses("transparency_log", &layer.clone().logged(&entry));
    }
    bench().refuses("transparency_log", &logged(&mine, &Log::new("rekor.evil"), NOW));
}

#[test]
fn the_signature_must_be_by_the_certificates_key() {
    let certified = certified();
    let layer =
        Layer::signed(&payload(&digest(), json!(null)), &Key::new(Kind::P256)).by(&certified);
    let entry =
        shared().rekor.hashedrekord(&layer.payload, &layer.signature(), &certified.pem(), NOW);
    bench().refuses("signature", &layer.logged(&entry));
}

#[test]
fn a_signature_with_a_key_bears_no_identity() {
    let key = Key::new(Kind::P256);
    let layer = Layer::signed(&payload(&digest(), json!(null)), &key);
    bench().refuses("certificate", &layer);
    // A chain without a signer's certificate is nobody's.
    let chain = certified().chain_pem();
    bench().refuses("certificate", &layer.annotated("dev.sigstore.cosign/chain", chain));
}

#[test]
fn authorities_with_the_same_name_are_distinguished_by_their_keys() {
    let twin = Authority::new("fulcio", Term::years());
    let mut root = shared().trusted_root();
    root["certificateAuthorities"] = json!([twin.trusted(), shared().fulcio.trusted()]);
    let bench = Bench::keyless(SIGNER, &root);
    bench.takes(&logged(&certified(), &shared().rekor, NOW));
    let below_twin = twin.certify(&Leaf::new(), Some(&shared().certificates));
    bench.takes(&logged(&below_twin, &shared().rekor, NOW));
}

#[test]
fn a_certificate_with_two_names_is_one_signer_under_two_patterns() {
    let mut leaf = Leaf::new().email("release@acme.test");
    leaf.names.extend(Leaf::new().email("qa@acme.test").names);
    let layer = logged(&shared().certify(&leaf), &shared().rekor, NOW);
    let ids = |identity: &str| {
        let lines = format!("identity = {identity:?}\nissuer = {:?}", Leaf::ISSUER);
        Bench::keyless(&lines, &shared().trusted_root()).takes(&layer).signer_ids
    };
    assert!(!ids("release@acme.test").is_disjoint(&ids("qa@acme.test")));
}

/// A certificate that lives for a day can be logged again all that day.
#[test]
fn the_time_of_a_log_is_that_of_the_signature_only_under_a_short_lived_certificate() {
    for (life, signed) in [(HOUR, Some(Timestamp::from_unix(NOW))), (HOUR + 1, None)] {
        let mut leaf = Leaf::new();
        leaf.term = Term { from: NOW - 60, until: NOW - 60 + life };
        let vouched = bench().takes(&logged(&shared().certify(&leaf), &shared().rekor, NOW));
        assert_eq!((vouched.proven, vouched.signed), (Some(Timestamp::from_unix(NOW)), signed));
    }
}
