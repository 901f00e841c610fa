//! Signatures with keys.

use serde_json::json;

use countersign::clock::Timestamp;

use crate::sigstore::{
    DAY, Key, Kind, Layer, NOW, Sigstore, YEAR, bundle, pae, payload, rfc3339, statement,
};

use super::bench::{Bench, PROVENANCE, SIGN, digest};

fn image() -> String {
    payload(&digest(), json!(null))
}

#[test]
fn every_kind_of_key_signs_a_layer() {
    for kind in Kind::ALL {
        let key = Key::new(kind);
        let bench = Bench::of_keys(&[&key], "");
        let vouched = bench.takes(&Layer::signed(&image(), &key));
        assert_eq!(vouched.signer, format!("key sha256:{}", hex::encode(key.id())), "{kind:?}");
        assert_eq!((vouched.signed, vouched.expires), (None, None));
    }
}

#[test]
fn a_wide_hash_is_taken_for_a_wide_curve() {
    for kind in [Kind::P384, Kind::P521] {
        let key = Key::new(kind);
        let bench = Bench::of_keys(&[&key], "");
        bench.takes(&Layer::simple(&image(), &key.sign_wide(image().as_bytes())));
    }
}

#[test]
fn every_kind_of_key_signs_a_bundle_that_no_log_and_no_authority_has_seen() {
    for kind in Kind::ALL {
        let key = Key::new(kind);
        let statement = statement(&digest(), SIGN);
        let signature = key.sign(&pae(&statement));
        Bench::of_keys(&[&key], "").takes(&bundle(&statement, &signature, None, &[], &[]));
    }
}

#[test]
fn any_key_of_the_anchor_will_do() {
    let (first, second) = (Key::new(Kind::P256), Key::new(Kind::Ed25519));
    let bench = Bench::of_keys(&[&first, &second], "");
    let vouched = bench.takes(&Layer::signed(&image(), &second));
    assert_eq!(vouched.signer, format!("key sha256:{}", hex::encode(second.id())));
}

#[test]
fn the_key_of_somebody_else_is_refused() {
    let (mine, other) = (Key::new(Kind::P256), Key::new(Kind::P256));
    let bench = Bench::of_keys(&[&mine], "");
    bench.refuses("signature", &Layer::signed(&image(), &other));
    let statement = statement(&digest(), SIGN);
    let signature = other.sign(&pae(&statement));
    bench.refuses("signature", &bundle(&statement, &signature, None, &[], &[]));
}

#[test]
fn a_payload_that_was_changed_after_signing_is_refused() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "");
    let elsewhere = payload("sha256:00", json!(null));
    let layer = Layer::simple(&image(), &key.sign(elsewhere.as_bytes()));
    bench.refuses("signature", &layer);
}

#[test]
fn a_statement_is_signed_with_its_type_and_not_bare() {
    let key = Key::new(Kind::P256);
    let statement = statement(&digest(), SIGN);
    let bench = Bench::of_keys(&[&key], "");
    let bare = bundle(&statement, &key.sign(statement.as_bytes()), None, &[], &[]);
    bench.refuses("signature", &bare);
}

#[test]
fn rsa_with_pss_is_refused() {
    let key = Key::new(Kind::Rsa2048);
    let bench = Bench::of_keys(&[&key], "");
    bench.refuses("signature", &Layer::simple(&image(), &key.sign_pss(image().as_bytes())));
}

#[test]
fn rsa_signatures_with_a_longer_hash_are_accepted_and_one_hash_can_be_required() {
    let (key, other) = (Key::new(Kind::Rsa2048), Key::new(Kind::Rsa2048));
    let text = image();
    let layers = [
        ("sha256", Layer::simple(&text, &key.sign(text.as_bytes()))),
        ("sha384", Layer::simple(&text, &key.sign_hashed(384, text.as_bytes()))),
        ("sha512", Layer::simple(&text, &key.sign_hashed(512, text.as_bytes()))),
    ];
    for (hash, layer) in &layers {
        Bench::of_keys(&[&key], "").takes(layer);
        Bench::of_keys(&[&other], "").refuses("signature", layer);
        for (required, _) in &layers {
            let bench = Bench::of_keys(&[&key], &format!("hash_algorithm = {required:?}"));
            match required == hash {
                true => drop(bench.takes(layer)),
                false => drop(bench.refuses("signature", layer)),
            }
        }
    }
    // Logged, and of another message.
    let logged = |layer: &Layer| {
        let (signature, pem) = (layer.signature(), key.pem());
        let entry = Sigstore::shared().rekor.hashedrekord(&layer.payload, &signature, &pem, NOW);
        layer.clone().logged(&entry)
    };
    Bench::of_keys(&[&key], "tlog = \"require\"").takes(&logged(&layers[2].1));
    let forged = Layer::simple(&text, &key.sign_hashed(512, b"another payload"));
    Bench::of_keys(&[&key], "").refuses("signature", &forged);
}

#[test]
fn rsa_with_pss_is_accepted_only_where_it_is_configured() {
    let key = Key::new(Kind::Rsa2048);
    let bench = Bench::of_keys(&[&key], "rsa_padding = \"pss\"");
    bench.takes(&Layer::simple(&image(), &key.sign_pss(image().as_bytes())));
    bench.refuses("signature", &Layer::signed(&image(), &key));
    bench.refuses("signature", &Layer::simple(&image(), &key.sign_pss(b"another payload")));
    Bench::of_keys(&[&key], "hash_algorithm = \"sha512\"\nrsa_padding = \"pss\"")
        .refuses("signature", &Layer::simple(&image(), &key.sign_pss(image().as_bytes())));
}

/// As current cosign signs with Ed25519 keys.
#[test]
fn a_prehashed_ed25519_signature_is_accepted() {
    let (key, other) = (Key::new(Kind::Ed25519), Key::new(Kind::Ed25519));
    let layer = Layer::simple(&image(), &key.sign_prehashed(image().as_bytes()));
    Bench::of_keys(&[&key], "").takes(&layer);
    Bench::of_keys(&[&other], "").refuses("signature", &layer);
    let forged = Layer::simple(&image(), &key.sign_prehashed(b"another payload"));
    Bench::of_keys(&[&key], "").refuses("signature", &forged);
}

#[test]
fn a_signature_with_something_after_it_is_refused() {
    for kind in Kind::ALL {
        let key = Key::new(kind);
        let mut signature = key.sign(image().as_bytes());
        signature.push(0);
        Bench::of_keys(&[&key], "").refuses("signature", &Layer::simple(&image(), &signature));
    }
}

#[test]
fn a_layer_without_a_signature_is_refused() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "");
    let signed = Layer::signed(&image(), &key);
    let mut without = signed.clone();
    without.annotations.clear();
    bench.refuses("format", &without);
    bench.refuses("format", &signed.annotated("dev.cosignproject.cosign/signature", "!"));
}

#[test]
fn the_attestation_of_a_key_is_taken_where_it_is_asked_for() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], &format!("predicate_type = {PROVENANCE:?}"));
    assert!(bench.anchor.wants_attestation());
    let statement = statement(&digest(), PROVENANCE);
    let signature = key.sign(&pae(&statement));
    bench.takes(&Layer::attestation(&statement, &signature));
    bench.takes(&bundle(&statement, &signature, None, &[], &[]));
}

/// Anybody who can push can have an old signature logged or stamped again.
#[test]
fn an_old_signature_of_a_key_that_is_logged_or_stamped_again_does_not_become_young() {
    let (key, sigstore) = (Key::new(Kind::P256), Sigstore::shared());
    let bench = Bench::of_keys(&[&key], "");
    let again = |layer: &Layer| {
        let (signature, pem) = (layer.signature(), key.pem());
        let entry = sigstore.rekor.hashedrekord(&layer.payload, &signature, &pem, NOW);
        let stamp = sigstore.tsa.stamp(&signature, NOW + 5);
        [(layer.clone().logged(&entry), NOW), (layer.clone().stamped(&stamp), NOW + 5)]
    };
    for (layer, at) in again(&Layer::signed(&image(), &key)) {
        let vouched = bench.takes(&layer);
        assert_eq!((vouched.proven, vouched.signed), (Some(Timestamp::from_unix(at)), None));
    }
    // The key signed this time, so nobody else can change it.
    for stated in [json!(NOW - DAY), json!((NOW - DAY).to_string()), json!(rfc3339(NOW - DAY))] {
        let text = payload(&digest(), json!({ "timestamp": stated }));
        for (layer, _) in again(&Layer::signed(&text, &key)) {
            assert_eq!(bench.takes(&layer).signed, Some(Timestamp::from_unix(NOW - DAY)));
        }
    }
}

/// As `cosign sign -a timestamp=…` writes it into a bundle.
#[test]
fn the_subject_of_a_statement_states_the_time_as_an_annotation() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "");
    let annotated = |value: &str| {
        let text = statement(&digest(), SIGN).replace(
            "\"subject\":[{",
            &format!("\"subject\":[{{\"annotations\":{{\"timestamp\":{value}}},"),
        );
        bundle(&text, &key.sign(&pae(&text)), None, &[], &[])
    };
    let stated = bench.takes(&annotated(&format!("\"{}\"", NOW - DAY)));
    assert_eq!(stated.signed, Some(Timestamp::from_unix(NOW - DAY)));
    assert_eq!(bench.takes(&annotated("\"yesterday\"")).signed, None);
    let ahead = bench.now.unix() + YEAR;
    bench.refuses("time", &annotated(&format!("\"{ahead}\"")));
}

#[test]
fn without_a_proven_time_the_claimed_time_is_shown() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "");
    let vouched =
        bench.takes(&Layer::signed(&payload(&digest(), json!({ "timestamp": NOW })), &key));
    assert_eq!(vouched.signed, Some(Timestamp::from_unix(NOW)));
}

#[test]
fn a_signing_time_that_is_yet_to_come_is_refused() {
    let (key, log) = (Key::new(Kind::P256), &Sigstore::shared().rekor);
    let bench = Bench::of_keys(&[&key], "");
    let now = bench.now.unix();
    let stating = |at| Layer::signed(&payload(&digest(), json!({ "timestamp": at })), &key);
    bench.refuses("time", &stating(now + YEAR));
    bench.refuses("time", &stating(now + 301));
    assert_eq!(bench.takes(&stating(now + 300)).signed, Some(bench.now));
    // Neither does one count that a log states, though none is asked for.
    let layer = Layer::signed(&image(), &key);
    let entry = |at| log.hashedrekord(image().as_bytes(), &layer.signature(), &key.pem(), at);
    bench.refuses("time", &layer.clone().logged(&entry(now + YEAR)));
}

#[test]
fn annotations_that_the_anchor_asks_for_must_be_signed() {
    let key = Key::new(Kind::P256);
    let bench = Bench::of_keys(&[&key], "annotations = { env = \"prod\" }");
    bench.takes(&Layer::signed(&payload(&digest(), json!({ "env": "prod", "a": 1 })), &key));
    for optional in [json!(null), json!({}), json!({ "env": "test" }), json!({ "env": ["prod"] })] {
        bench.refuses("annotations", &Layer::signed(&payload(&digest(), optional), &key));
    }
    // Beside the signature is not under it.
    bench.refuses("annotations", &Layer::signed(&image(), &key).annotated("env", "prod"));
    let statement = statement(&digest(), SIGN);
    let signed = |statement: &str| bundle(statement, &key.sign(&pae(statement)), None, &[], &[]);
    bench.refuses("annotations", &signed(&statement));
    let annotated =
        statement.replace("\"subject\":[{", "\"subject\":[{\"annotations\":{\"env\":\"prod\"},");
    bench.takes(&signed(&annotated));
}
