//! Envelopes of both formats: valid ones, and those with a wrong form or signature.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign::clock::Timestamp;
use countersign::oci::Digest;
use countersign::trust::notation::{Judged, MAX_ENVELOPE, Revocations};
use countersign::trust::{Candidate, SignatureContent};
use serde_json::{Value, json};

use super::site::{COSE, JWS, beside, flawed, judged, now, subject, trusting, undecided, vouched};
use crate::notation_signer::{Certified, Kind, NOW, Signing};

fn root() -> Certified {
    Certified::root("root")
}

/// `signing` in both formats.
fn both(signing: &Signing) -> [(&'static str, Vec<u8>); 2] {
    [(JWS, signing.jws()), (COSE, signing.cose())]
}

#[test]
fn a_good_envelope_vouches_with_every_kind_of_key() {
    let root = root();
    let anchor = trusting(&root, "");
    let kinds = [Kind::P256, Kind::P384, Kind::P521, Kind::Rsa2048, Kind::Rsa3072, Kind::Rsa4096];
    for kind in kinds {
        let signer = root.issue("signer", kind, |_| {});
        for (media_type, bytes) in both(&Signing::new(&signer, &subject())) {
            let (vouched, tolerated) = vouched(judged(&anchor, media_type, bytes));
            assert!(vouched.signer.contains("CN=signer"), "{kind:?} {media_type}: {vouched:?}");
            assert_eq!(vouched.signed, Some(now()));
            assert_eq!(vouched.expires, Some(Timestamp::from_unix(NOW + 5 * 365 * 86_400)));
            assert_eq!(tolerated, []);
        }
    }
}

#[test]
fn an_authority_between_signer_and_root_is_followed() {
    let root = root();
    let between = root.issue("between", Kind::P384, crate::notation_signer::authority);
    let anchor = trusting(&root, "");
    for (media_type, bytes) in both(&Signing::new(&between.signer(), &subject())) {
        vouched(judged(&anchor, media_type, bytes));
    }
}

#[test]
fn an_envelope_about_another_image_is_beside_the_point() {
    let root = root();
    let anchor = trusting(&root, "");
    let mut other = subject();
    other.digest = Digest::of(b"another image");
    for (media_type, bytes) in both(&Signing::new(&root.signer(), &other)) {
        assert_eq!(beside(judged(&anchor, media_type, bytes)).check, "target_artifact");
    }
}

#[test]
fn a_media_type_or_size_that_is_not_the_images_is_refused() {
    let root = root();
    let anchor = trusting(&root, "");
    for (member, value) in [
        ("mediaType", json!("application/vnd.oci.image.index.v1+json")),
        ("size", json!(10)),
        ("size", json!(-9)),
        ("size", json!("9")),
        ("digest", json!("sha256:00")),
        ("digest", Value::Null),
        ("Digest", json!(subject().digest.to_string())),
    ] {
        let mut signing = Signing::new(&root.signer(), &subject());
        signing.payload["targetArtifact"][member] = value;
        for (media_type, bytes) in both(&signing) {
            assert_eq!(
                flawed(judged(&anchor, media_type, bytes)).check,
                "target_artifact",
                "{member}"
            );
        }
    }
}

#[test]
fn annotations_of_the_payload_change_nothing() {
    let root = root();
    let mut signing = Signing::new(&root.signer(), &subject());
    signing.payload["targetArtifact"]["annotations"] = json!({ "io.example.build": "1" });
    for (media_type, bytes) in both(&signing) {
        vouched(judged(&trusting(&root, ""), media_type, bytes));
    }
}

#[test]
fn another_schemes_signature_is_beside_the_point() {
    let anchor = trusting(&root(), "");
    let content = SignatureContent::Bundle { json: "{}".into() };
    let candidate = Candidate { place: String::new(), source: Digest::of(b""), content };
    beside(anchor.judge(&candidate, &subject(), &Revocations::default(), now()));
    beside(judged(&anchor, "application/vnd.dev.cosign.simplesigning.v1+json", b"{}".to_vec()));
}

#[test]
fn a_changed_byte_of_what_was_signed_is_refused() {
    let root = root();
    let anchor = trusting(&root, "");
    let signing = Signing::new(&root.signer(), &subject());
    for part in ["payload", "protected"] {
        let bytes = signing.jws_with(
            |_| {},
            |envelope| {
                let text = URL_SAFE_NO_PAD.decode(envelope[part].as_str().unwrap()).unwrap();
                let spaced = [&text[..], b" "].concat();
                envelope[part] = json!(URL_SAFE_NO_PAD.encode(spaced));
            },
        );
        assert_eq!(flawed(judged(&anchor, JWS, bytes)).check, "signature", "{part}");
    }
    let cose = signing.cose();
    let at = cose.windows(4).position(|window| window == b"size").unwrap();
    let mut changed = cose;
    changed[at - 2] ^= 0x20;
    assert_eq!(flawed(judged(&anchor, COSE, changed)).check, "signature");
}

#[test]
fn a_signature_by_another_key_than_the_first_certificates_is_refused() {
    let root = root();
    let anchor = trusting(&root, "");
    let mut signing = Signing::new(&root.signer(), &subject());
    signing.chain = root.issue("victim", Kind::P256, |_| {}).chain();
    for (media_type, bytes) in both(&signing) {
        assert_eq!(flawed(judged(&anchor, media_type, bytes)).check, "signature");
    }
}

#[test]
fn an_algorithm_that_the_key_does_not_have_is_refused() {
    let root = root();
    let anchor = trusting(&root, "");
    let signing = Signing::new(&root.signer(), &subject());
    for name in ["none", "HS256", "RS256", "ES384", "PS256", "es256", ""] {
        let bytes = signing.jws_with(|header| header["alg"] = json!(name), |_| {});
        assert_eq!(flawed(judged(&anchor, JWS, bytes)).check, "algorithm", "{name}");
    }
    use coset::iana::Algorithm;
    for algorithm in [Algorithm::ES384, Algorithm::PS256, Algorithm::HMAC_256_256, Algorithm::EdDSA]
    {
        let named = coset::RegisteredLabelWithPrivate::Assigned(algorithm);
        let bytes = signing.cose_with(|header| header.alg = Some(named), |_, _| {});
        assert_eq!(flawed(judged(&anchor, COSE, bytes)).check, "algorithm", "{algorithm:?}");
    }
    let bytes = signing.cose_with(|header| header.alg = None, |_, _| {});
    assert_eq!(flawed(judged(&anchor, COSE, bytes)).check, "algorithm");
}

#[test]
fn another_content_type_is_refused() {
    let root = root();
    let anchor = trusting(&root, "");
    let signing = Signing::new(&root.signer(), &subject());
    let bytes = signing.jws_with(|header| header["cty"] = json!("application/json"), |_| {});
    assert_eq!(flawed(judged(&anchor, JWS, bytes)).check, "content_type");
    let other = coset::ContentType::Text("application/json".to_owned());
    let bytes = signing.cose_with(|header| header.content_type = Some(other), |_, _| {});
    assert_eq!(flawed(judged(&anchor, COSE, bytes)).check, "content_type");
}

#[test]
fn a_jws_that_is_not_flattened_and_strict_is_refused() {
    let root = root();
    let anchor = trusting(&root, "");
    let signing = Signing::new(&root.signer(), &subject());
    let changes: [fn(&mut Value); 12] = [
        |envelope| envelope["signatures"] = json!([]),
        |envelope| envelope["Payload"] = json!(""),
        |envelope| envelope["more"] = json!(1),
        |envelope| envelope["header"]["alg"] = json!("ES256"),
        |envelope| envelope["header"]["X5C"] = json!([]),
        |envelope| envelope["header"]["io.cncf.notary.expiry"] = json!("2031-01-01T00:00:00Z"),
        |envelope| envelope["header"] = json!({}),
        |envelope| envelope["header"]["x5c"] = json!([]),
        |envelope| envelope["header"]["x5c"][0] = json!("!"),
        |envelope| envelope["header"] = Value::Null,
        |envelope| envelope["signature"] = json!(""),
        |envelope| {
            let padded = format!("{}=", envelope["payload"].as_str().unwrap());
            envelope["payload"] = json!(padded);
        },
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let flaw = flawed(judged(&anchor, JWS, signing.jws_with(|_| {}, change)));
        assert!(
            ["envelope", "certificate_chain", "signature"].contains(&flaw.check),
            "{at}: {flaw:?}"
        );
    }
    for text in ["", "{}", "[]", "a.b.c", "null"] {
        assert_eq!(flawed(judged(&anchor, JWS, text.into())).check, "envelope", "{text}");
    }
}

#[test]
fn a_repeated_member_is_refused() {
    let root = root();
    let anchor = trusting(&root, "");
    let text = String::from_utf8(Signing::new(&root.signer(), &subject()).jws()).unwrap();
    let twice = text.replacen('{', "{\"payload\":\"e30\",", 1);
    assert!(flawed(judged(&anchor, JWS, twice.into_bytes())).found.contains("occurs twice"));
    // In the protected header, which is signed as it stands.
    let signing = Signing::new(&root.signer(), &subject());
    let bytes = signing.jws_with(
        |_| {},
        |envelope| {
            let header = URL_SAFE_NO_PAD.decode(envelope["protected"].as_str().unwrap()).unwrap();
            let header = String::from_utf8(header).unwrap().replacen('{', "{\"alg\":\"ES256\",", 1);
            let header = URL_SAFE_NO_PAD.encode(header);
            let message = format!("{header}.{}", envelope["payload"].as_str().unwrap());
            let signature = signing.signer.sign(message.as_bytes());
            envelope["signature"] = json!(URL_SAFE_NO_PAD.encode(signature));
            envelope["protected"] = json!(header);
        },
    );
    assert!(flawed(judged(&anchor, JWS, bytes)).found.contains("occurs twice"));
}

#[test]
fn an_ecdsa_signature_in_der_is_refused() {
    let root = root();
    let signing = Signing::new(&root.signer(), &subject());
    let bytes = signing.jws_with(
        |_| {},
        |envelope| {
            let text = envelope["protected"].as_str().unwrap().to_owned()
                + "."
                + envelope["payload"].as_str().unwrap();
            let pair = aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(
                &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING,
                signing.signer.pair.serialized_der(),
            )
            .unwrap();
            let random = aws_lc_rs::rand::SystemRandom::new();
            let signature = pair.sign(&random, text.as_bytes()).unwrap();
            envelope["signature"] = json!(URL_SAFE_NO_PAD.encode(signature));
        },
    );
    assert_eq!(flawed(judged(&trusting(&root, ""), JWS, bytes)).check, "signature");
}

#[test]
fn a_cose_envelope_that_is_not_single_tagged_and_definite_is_refused() {
    let root = root();
    let anchor = trusting(&root, "");
    let good = Signing::new(&root.signer(), &subject()).cose();
    let mut texts: Vec<Vec<u8>> = vec![
        vec![],
        good[1..].to_vec(),
        [&[0xd1][..], &good[1..]].concat(),
        [&good[..], &[0]].concat(),
        good[..good.len() - 1].to_vec(),
        vec![0x81; 4096],
        vec![0x9f; 4096],
        vec![0xd2; 4096],
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        b"\x5b\x00\x00\x00\x7f\xff\xff\xff\xff".to_vec(),
    ];
    texts.extend((0..good.len()).step_by(7).map(|end| good[..end].to_vec()));
    for text in texts {
        assert_eq!(flawed(judged(&anchor, COSE, text)).check, "envelope");
    }
}

#[test]
fn a_detached_cose_payload_is_refused() {
    use coset::TaggedCborSerializable as _;
    let root = root();
    let good = Signing::new(&root.signer(), &subject()).cose();
    let mut message = coset::CoseSign1::from_tagged_slice(&good).unwrap();
    message.payload = None;
    let bytes = message.to_tagged_vec().unwrap();
    assert_eq!(flawed(judged(&trusting(&root, ""), COSE, bytes)).check, "envelope");
}

/// CVE-2023-25656, CVE-2023-33957, CVE-2023-33958: a registry decides how much work there is.
#[test]
fn a_chain_an_envelope_or_a_header_over_its_limit_is_undecided() {
    let root = root();
    let anchor = trusting(&root, "");
    let mut signing = Signing::new(&root.signer(), &subject());
    signing.chain = vec![signing.chain[0].clone(); 9];
    for (media_type, bytes) in both(&signing) {
        let why = undecided(judged(&anchor, media_type, bytes));
        assert_eq!(why, "not examined: 9 certificates (at most 8)");
    }
    for media_type in [JWS, COSE] {
        let why = undecided(judged(&anchor, media_type, vec![b' '; MAX_ENVELOPE + 1]));
        assert!(why.starts_with("not examined: ") && why.contains(&MAX_ENVELOPE.to_string()));
    }
    let long = STANDARD.encode(vec![0; 100 << 10]);
    let bytes = Signing::new(&root.signer(), &subject())
        .jws_with(|header| header["long"] = json!(long), |_| {});
    assert!(undecided(judged(&anchor, JWS, bytes)).starts_with("not examined: "));
}

#[test]
fn an_envelope_with_any_byte_changed_proves_nothing() {
    let root = root();
    let anchor = trusting(&root, "");
    let signing = Signing::new(&root.signer(), &subject());
    let jws = signing.jws_with(
        |_| {},
        |envelope| {
            drop(envelope["header"].as_object_mut().unwrap().remove("io.cncf.notary.signingAgent"))
        },
    );
    for (media_type, good) in [(JWS, jws), (COSE, signing.cose())] {
        vouched(judged(&anchor, media_type, good.clone()));
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 1;
            let verdict = judged(&anchor, media_type, changed);
            assert!(!matches!(verdict, Judged::Proven(_)), "{media_type}, byte {at}");
        }
    }
}
