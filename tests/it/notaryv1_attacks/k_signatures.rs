//! K6-K8: the key types and signature methods that count, and those that do not.

use countersign::trust::Reason;
use serde_json::{Value, json};

use super::judge::Judge;
use crate::notary_repository::*;

/// The valid repository, except that `role` has `key` and is signed by `signer`.
fn with(role: &str, key: &Key, signer: Signer) -> (Judge, Files) {
    let mut repository = NotaryRepository::signed();
    *repository.keys_mut(role) = vec![key.clone()];
    repository.role_mut(role).signers = Some(vec![signer]);
    (Judge::pinned_to(&repository), repository.publish())
}

#[track_caller]
fn counts(key: &Key, signer: &Signer) {
    for role in ["targets", RELEASES] {
        let (judge, files) = with(role, key, signer.clone());
        judge.admits(&files);
    }
}

#[track_caller]
fn does_not_count(key: &Key, signer: &Signer) {
    for role in ["targets", RELEASES] {
        let (judge, files) = with(role, key, signer.clone());
        judge.refuses(Reason::SignatureInvalid, &files);
    }
}

const KINDS: [Kind; 5] = [Kind::P256, Kind::P384, Kind::P521, Kind::Ed25519, Kind::Rsa2048];

#[test]
fn k6_every_type_of_key_counts_by_its_own_methods() {
    for kind in KINDS {
        let key = Key::new(kind, "any");
        counts(&key, &Signer::of(&key));
        if kind != Kind::Ed25519 {
            let certified = Certificate::named("whoever").of(&key);
            counts(&certified, &Signer::of(&certified));
        }
    }
    let rsa = Key::new(Kind::Rsa2048, "any");
    counts(&rsa, &Signer::of(&rsa).by(How::Pkcs1, "rsapkcs1v15"));
}

#[test]
fn k6_root_keys_of_each_certified_type_count() {
    for kind in [Kind::P256, Kind::P384, Kind::P521, Kind::Rsa2048] {
        let root = Certificate::named(GUN).of(&Key::new(kind, "root"));
        let (judge, files) = with("root", &root, Signer::of(&root));
        judge.admits(&files);
    }
}

/// A signer's certificate only carries the key. The expiry of the role decides.
#[test]
fn k6_the_certificate_of_a_signer_may_be_expired() {
    let key = Key::named("any");
    let certified = Certificate { until: -1, ..Certificate::named("whoever") }.of(&key);
    counts(&certified, &Signer::of(&certified));
}

#[test]
fn k6_a_method_name_is_not_case_sensitive_as_in_notary() {
    let key = Key::named("any");
    counts(&key, &Signer::of(&key).by(How::Ecdsa, "ECDSA"));
}

#[test]
fn k6_a_method_that_does_not_fit_the_key_is_refused() {
    for (kind, how, method) in [
        (Kind::P256, How::Ecdsa, "rsapss"),
        (Kind::P256, How::Ecdsa, "eddsa"),
        (Kind::Ed25519, How::Eddsa, "ecdsa"),
        (Kind::Ed25519, How::Eddsa, "rsapss"),
        (Kind::Rsa2048, How::Pss, "ecdsa"),
        (Kind::Rsa2048, How::Pss, "rsapkcs1v15"),
        (Kind::Rsa2048, How::Pkcs1, "rsapss"),
    ] {
        let key = Key::new(kind, "any");
        does_not_count(&key, &Signer::of(&key).by(how, method));
    }
}

#[test]
fn k6_an_unknown_method_is_refused() {
    for method in ["", "ed25519", "pyca-crypto", "none", "pycrypto-pkcs#1 pss", "ecdsa "] {
        let key = Key::new(Kind::Ed25519, "any");
        does_not_count(&key, &Signer::of(&key).by(How::Eddsa, method));
        let key = Key::new(Kind::Rsa2048, "any");
        does_not_count(&key, &Signer::of(&key).by(How::Pss, method));
    }
}

#[test]
fn k6_a_signature_without_a_method_is_refused() {
    let key = Key::named("any");
    does_not_count(&key, &Signer { method: Value::Null, ..Signer::of(&key) });
}

#[test]
fn k6_a_key_with_the_wrong_type_is_refused() {
    for (kind, keytype) in [
        (Kind::P256, "rsa"),
        (Kind::P256, "ed25519"),
        (Kind::P256, "ecdsa-x509"),
        (Kind::P256, "ECDSA"),
        (Kind::P256, "unknown"),
        (Kind::Rsa2048, "ecdsa"),
        (Kind::Ed25519, "ecdsa"),
    ] {
        let key = Key { keytype: keytype.to_owned(), ..Key::new(kind, "any") };
        does_not_count(&key, &Signer::of(&key));
    }
    let certified = Certificate::named("whoever").of(&Key::named("any"));
    for keytype in ["rsa-x509", "ecdsa"] {
        let key = Key { keytype: keytype.to_owned(), ..certified.clone() };
        does_not_count(&key, &Signer::of(&key));
    }
}

#[test]
fn k7_an_asn1_encoded_ecdsa_signature_is_refused() {
    let key = Key::named("any");
    does_not_count(&key, &Signer::of(&key).by(How::EcdsaDer, "ecdsa"));
}

#[test]
fn k7_ecdsa_signatures_that_are_zero_or_of_another_length_are_refused() {
    let mangled: [fn(Vec<u8>) -> Vec<u8>; 7] = [
        |signature| vec![0; signature.len()],
        |_| Vec::new(),
        |mut signature| {
            signature.pop();
            signature
        },
        |mut signature| {
            signature.push(0);
            signature
        },
        |signature| [&[0], &signature[..]].concat(),
        |signature| signature[..signature.len() / 2].to_vec(),
        |signature| vec![0xff; signature.len()],
    ];
    for kind in KINDS {
        let key = Key::new(kind, "any");
        for mangle in mangled {
            does_not_count(&key, &Signer::of(&key).mangled(mangle));
        }
    }
}

#[test]
fn k7_p384_with_sha384_is_refused_because_notary_uses_sha256() {
    let key = Key::new(Kind::P384, "any");
    does_not_count(&key, &Signer::of(&key).by(How::EcdsaSha384, "ecdsa"));
}

#[test]
fn k8_pss_over_sha512_is_refused() {
    let key = Key::new(Kind::Rsa2048, "any");
    does_not_count(&key, &Signer::of(&key).by(How::PssSha512, "rsapss"));
}

/// A signature over [`FROZEN`] by a key that was then deleted. The test libraries cannot create such keys or signatures.
struct Frozen {
    name: &'static str,
    keytype: &'static str,
    method: &'static str,
    public: &'static str,
    signature: &'static str,
}

include!("../../data/weak-signatures/frozen.rs");

/// The valid repository with `FROZEN` as its targets.
fn frozen(of: &Frozen) -> (Judge, Files) {
    use base64::Engine as _;
    let mut key = Key::named("frozen");
    key.keytype = of.keytype.to_owned();
    key.public = base64::engine::general_purpose::STANDARD.decode(of.public).unwrap();
    let mut repository = NotaryRepository::empty(GUN);
    let id = key.id();
    *repository.keys_mut("targets") = vec![key];
    let (method, signature) = (of.method, of.signature);
    repository.edit_envelope("targets", move |envelope| {
        envelope["signed"] = serde_json::from_str(FROZEN).unwrap();
        envelope["signatures"] = json!([{ "keyid": id, "method": method, "sig": signature }]);
    });
    (Judge::pinned_to(&repository), repository.publish())
}

#[test]
fn k8_valid_frozen_signatures_count() {
    for signature in GOOD {
        let (judge, files) = frozen(signature);
        let verdict = judge.verdict(None, &files);
        assert!(verdict.is_ok(), "{}: {:?}", signature.name, verdict.err());
    }
}

#[test]
fn k8_weak_keys_other_salts_and_other_curves_are_refused() {
    for signature in WEAK {
        let (judge, files) = frozen(signature);
        judge.refuses(Reason::SignatureInvalid, &files);
    }
}
