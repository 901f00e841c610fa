//! Certificates of a private PKI: the operator's own chain, without Sigstore.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use countersign::clock::Timestamp;

use crate::sigstore::{
    Authority, Certified, DAY, HOUR, Key, Kind, Layer, Leaf, NOW, Sigstore, Term,
    TimestampAuthority, YEAR, bundle, pae, payload, statement,
};

use super::bench::{Bench, SIGN, digest};

fn bench(authority: &Authority, lines: &str) -> Bench {
    let root = Sigstore::shared().trusted_root().to_string();
    let lines = format!(
        "certificate_chain = \"chain.pem\"\nidentity = \"sign@acme.test\"\n\
         trusted_root = \"root.json\"\n{lines}"
    );
    Bench::new(&lines, &[("chain.pem", &authority.chain_pem()), ("root.json", &root)])
}

fn leaf() -> Leaf {
    let mut leaf = Leaf::new().email("sign@acme.test");
    leaf.issuer = None;
    leaf.term = Term { from: NOW - DAY, until: NOW + YEAR };
    leaf
}

fn layer(certified: &Certified) -> Layer {
    Layer::signed(&payload(&digest(), json!(null)), &certified.key)
        .annotated("dev.sigstore.cosign/certificate", certified.pem())
}

#[test]
fn a_certificate_below_the_chain_is_taken_while_it_is_valid() {
    let authority = Authority::new("acme", Term::years());
    let mut bench = bench(&authority, "");
    let layer = layer(&authority.certify(&leaf(), None));
    let vouched = bench.takes(&layer);
    assert_eq!(vouched.signer, "sign@acme.test");
    assert_eq!(vouched.expires, Some(Timestamp::from_unix(NOW + YEAR)));
    bench.now = Timestamp::from_unix(NOW + YEAR);
    bench.takes(&layer);
    bench.now = Timestamp::from_unix(NOW + YEAR + 1);
    bench.refuses("certificate", &layer);
}

#[test]
fn an_endorsement_ends_with_its_first_expiring_certificate() {
    let authority = Authority::new("acme", Term { from: NOW - DAY, until: NOW + DAY });
    let vouched = bench(&authority, "").takes(&layer(&authority.certify(&leaf(), None)));
    assert_eq!(vouched.expires, Some(Timestamp::from_unix(NOW + DAY)));
}

#[test]
fn every_kind_of_key_may_be_in_the_certificate_with_or_without_its_purpose() {
    let authority = Authority::new("acme", Term::years());
    for kind in Kind::ALL {
        for code_signing in [true, false] {
            let mut leaf = leaf();
            (leaf.key, leaf.code_signing) = (Key::new(kind), code_signing);
            bench(&authority, "").takes(&layer(&authority.certify(&leaf, None)));
        }
    }
}

#[test]
fn a_bundle_of_a_private_pki_is_taken() {
    let authority = Authority::new("acme", Term::years());
    let certified = authority.certify(&leaf(), None);
    let statement = statement(&digest(), SIGN);
    let signature = certified.key.sign(&pae(&statement));
    bench(&authority, "").takes(&bundle(&statement, &signature, Some(&certified), &[], &[]));
}

/// As cosign 3.1 writes it with `--certificate` and `--certificate-chain`.
#[test]
fn a_bundle_0_3_with_a_certificate_chain_is_accepted_if_the_chain_leads_to_the_root() {
    let (mine, other) =
        (Authority::new("acme", Term::years()), Authority::new("acme", Term::years()));
    let chained = |authority: &Authority| {
        let certified = authority.certify(&leaf(), None);
        let statement = statement(&digest(), SIGN);
        let signature = certified.key.sign(&pae(&statement));
        let mut bundle = bundle(&statement, &signature, None, &[], &[]);
        let material = bundle["verificationMaterial"].as_object_mut().unwrap();
        material.remove("publicKey");
        let one = |der: &Vec<u8>| json!({ "rawBytes": STANDARD.encode(der) });
        let certificates = std::iter::once(&certified.der).chain(&certified.above);
        let certificates: Vec<Value> = certificates.map(one).collect();
        material.insert("x509CertificateChain".into(), json!({ "certificates": certificates }));
        bundle
    };
    let root = crate::sigstore::pem(&mine.root_der);
    let lines = "certificate_chain = \"chain.pem\"\nidentity = \"sign@acme.test\"";
    let of_root = Bench::new(lines, &[("chain.pem", &root)]);
    for bench in [&bench(&mine, ""), &of_root] {
        bench.takes(&chained(&mine));
        bench.refuses("certificate", &chained(&other));
    }
}

#[test]
fn a_certificate_below_another_chain_is_refused() {
    let (mine, other) =
        (Authority::new("acme", Term::years()), Authority::new("acme", Term::years()));
    bench(&mine, "").refuses("certificate", &layer(&other.certify(&leaf(), None)));
    // Bringing its own chain along makes it no more.
    let certified = other.certify(&leaf(), None);
    bench(&mine, "").refuses("certificate", &layer(&certified).by(&certified));
}

#[test]
fn a_certificate_for_another_identity_is_refused() {
    let authority = Authority::new("acme", Term::years());
    for other in [leaf().email("evil@acme.test"), leaf().host("acme.test")] {
        bench(&authority, "").refuses("identity", &layer(&authority.certify(&other, None)));
    }
    let host = layer(&authority.certify(&leaf().host("sign.acme.test"), None));
    let chain = authority.chain_pem();
    let lines = "certificate_chain = \"chain.pem\"\nidentity = \"sign.*.test\"";
    Bench::new(lines, &[("chain.pem", &chain)]).takes(&host);
}

#[test]
fn an_issuer_that_is_asked_for_must_be_in_the_certificate() {
    let authority = Authority::new("acme", Term::years());
    let bench = bench(&authority, "issuer = \"https://login.acme.test\"");
    bench.refuses("issuer", &layer(&authority.certify(&leaf(), None)));
    let mut leaf = leaf();
    leaf.issuer = Some("https://login.acme.test".to_owned());
    bench.takes(&layer(&authority.certify(&leaf, None)));
}

#[test]
fn the_signature_must_be_by_the_certificates_key() {
    let authority = Authority::new("acme", Term::years());
    let certified = authority.certify(&leaf(), None);
    let stolen = Certified { key: Key::new(Kind::P256), ..certified };
    bench(&authority, "").refuses("signature", &layer(&stolen));
}

#[test]
fn cve_2026_24122_an_authority_that_has_expired_is_refused() {
    let authority = Authority::new("acme", Term::over());
    bench(&authority, "").refuses("certificate", &layer(&authority.certify(&leaf(), None)));
    let authority = Authority::with_root("acme", Term::over(), Term::years());
    bench(&authority, "").refuses("certificate", &layer(&authority.certify(&leaf(), None)));
}

#[test]
fn a_proven_time_holds_the_certificate_at_that_time() {
    let authority = Authority::new("acme", Term::years());
    let mut short = leaf();
    short.term = Term::minutes();
    let layer = layer(&authority.certify(&short, None));
    let tsa = &Sigstore::shared().tsa;
    let bench = bench(&authority, "");
    bench.refuses("certificate", &layer);
    let vouched = bench.takes(&layer.clone().stamped(&tsa.stamp(&layer.signature(), NOW)));
    assert_eq!((vouched.signed, vouched.expires), (Some(Timestamp::from_unix(NOW)), None));
    bench
        .refuses("certificate", &layer.clone().stamped(&tsa.stamp(&layer.signature(), NOW - HOUR)));
    // An entry of a foreign log does not count.
    let stranger = TimestampAuthority::new().stamp(&layer.signature(), NOW);
    bench.refuses("certificate", &layer.stamped(&stranger));
}

#[test]
fn an_entry_that_is_asked_for_must_be_about_this_signature() {
    let authority = Authority::new("acme", Term::years());
    let mut short = leaf();
    short.term = Term::minutes();
    let (certified, other) = (authority.certify(&short, None), authority.certify(&short, None));
    let bench = bench(&authority, "tlog = \"require\"");
    let layer = layer(&certified);
    let log = &Sigstore::shared().rekor;
    let entry = |signature: &[u8], pem: &str, at: i64| {
        layer.clone().logged(&log.hashedrekord(&layer.payload, signature, pem, at))
    };
    bench.refuses("transparency_log", &layer);
    bench.takes(&entry(&layer.signature(), &certified.pem(), NOW));
    let again = certified.key.sign(&layer.payload);
    bench.refuses("transparency_log", &entry(&again, &certified.pem(), NOW));
    bench.refuses("transparency_log", &entry(&layer.signature(), &certified.key.pem(), NOW));
    bench.refuses("transparency_log", &entry(&layer.signature(), &certified.pem(), NOW - HOUR));
    // The very same certificate is made again by the same authority: only its bytes tell.
    if other.der != certified.der {
        bench.refuses("transparency_log", &entry(&layer.signature(), &other.pem(), NOW));
    }
}

#[test]
fn a_certificate_of_an_authority_signs_no_image() {
    let authority = Authority::new("acme", Term::years());
    let certified = authority.certify(&leaf(), None);
    let swapped = Certified { der: authority.intermediate_der.clone(), ..certified };
    bench(&authority, "").refuses("identity", &layer(&swapped));
}

/// A certificate that lives for a year binds no time: its key signs all the year.
#[test]
fn an_old_signature_of_a_long_lived_certificate_that_is_stamped_again_does_not_become_young() {
    let authority = Authority::new("acme", Term::years());
    let (long, mut short) = (leaf(), leaf());
    short.term = Term { from: NOW - HOUR + 60, until: NOW + 60 };
    let (bench, tsa) = (bench(&authority, ""), &Sigstore::shared().tsa);
    let stamped = |layer: &Layer| layer.clone().stamped(&tsa.stamp(&layer.signature(), NOW));
    for (leaf, signed) in [(&long, None), (&short, Some(Timestamp::from_unix(NOW)))] {
        let vouched = bench.takes(&stamped(&layer(&authority.certify(leaf, None))));
        assert_eq!((vouched.proven.map(Timestamp::unix), vouched.signed), (Some(NOW), signed));
    }
    let certified = authority.certify(&long, None);
    let text = payload(&digest(), json!({ "timestamp": NOW - DAY }));
    let stating = Layer::signed(&text, &certified.key)
        .annotated("dev.sigstore.cosign/certificate", certified.pem());
    let stated = bench.takes(&stamped(&stating)).signed;
    assert_eq!(stated, Some(Timestamp::from_unix(NOW - DAY)));
}
