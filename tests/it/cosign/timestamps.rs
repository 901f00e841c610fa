//! Timestamps of authorities of every kind, and forged ones.

use rcgen::ExtendedKeyUsagePurpose as Purpose;
use serde_json::json;

use countersign::clock::Timestamp;

use crate::sigstore::{
    HOUR, Key, Kind, Layer, Leaf, NOW, Sigstore, Term, TimestampAuthority, YEAR, bundle, pae,
    payload, response, statement,
};

use super::bench::{Bench, SIGN, digest, read};

/// A keyless anchor that needs no log, whose trusted root has these authorities.
fn bench(authorities: &[&TimestampAuthority]) -> Bench {
    let lines =
        format!("identity = {:?}\nissuer = {:?}\ntlog = \"ignore\"", Leaf::IDENTITY, Leaf::ISSUER);
    let mut root = Sigstore::shared().trusted_root();
    root["timestampAuthorities"] = authorities.iter().map(|tsa| tsa.trusted()).collect();
    Bench::keyless(&lines, &root)
}

fn layer() -> Layer {
    let certified = Sigstore::shared().certify(&Leaf::new());
    Layer::signed(&payload(&digest(), json!(null)), &certified.key).by(&certified)
}

#[test]
fn authorities_with_every_kind_of_key_prove_the_time() {
    for kind in [Kind::P256, Kind::P384, Kind::P521, Kind::Rsa2048] {
        let tsa = TimestampAuthority::of(kind, Term::years());
        let (bench, layer) = (bench(&[&Sigstore::shared().tsa, &tsa]), layer());
        let stamped = layer.clone().stamped(&tsa.stamp(&layer.signature(), NOW));
        assert_eq!(bench.takes(&stamped).proven, Some(Timestamp::from_unix(NOW)), "{kind:?}");
        // Another authority of the same name and kind, a timestamp over something else, one outside the certificate.
        let stranger = TimestampAuthority::of(kind, Term::years());
        for forged in [
            stranger.stamp(&layer.signature(), NOW),
            stranger.carrying_certificates().stamp(&layer.signature(), NOW),
            tsa.stamp(&layer.payload, NOW),
            tsa.stamp(&layer.signature(), bench.now.unix() + 1),
        ] {
            bench.refuses("time", &layer.clone().stamped(&forged));
        }
        let late = layer.clone().stamped(&tsa.stamp(&layer.signature(), NOW + HOUR));
        bench.refuses("certificate", &late);
    }
}

#[test]
fn a_bundle_of_a_key_has_the_time_of_an_rsa_authority() {
    let (key, tsa) = (Key::new(Kind::P256), TimestampAuthority::of(Kind::Rsa2048, Term::years()));
    let mut root = Sigstore::shared().trusted_root();
    root["timestampAuthorities"] = json!([tsa.trusted()]);
    let files = [("k", key.pem()), ("root.json", root.to_string())];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let bench = Bench::new("keys = [\"k\"]\ntrusted_root = \"root.json\"", &files);
    let statement = statement(&digest(), SIGN);
    let signature = key.sign(&pae(&statement));
    let stamped = |token| bundle(&statement, &signature, None, &[], &[token]);
    let proven = |token| bench.takes(&stamped(token)).proven;
    assert_eq!(proven(tsa.stamp(&signature, NOW)), Some(Timestamp::from_unix(NOW)));
    let stranger = TimestampAuthority::of(Kind::Rsa2048, Term::years());
    assert_eq!(proven(stranger.stamp(&signature, NOW)), None);
}

#[test]
fn a_time_with_a_fraction_of_a_second_counts_to_the_fraction() {
    let tsa = &Sigstore::shared().tsa;
    let (bench, layer) = (bench(&[tsa]), layer());
    // 2026-01-15, as NOW is; the certificate is valid until 540 seconds later.
    let stamped = |time| layer.clone().stamped(&tsa.stamp_at(&layer.signature(), time));
    let proven = bench.takes(&stamped("20260115000000.25Z")).proven.unwrap();
    assert_eq!((proven.unix(), proven.subsec_nanos()), (NOW, 250_000_000));
    bench.takes(&stamped("20260115000900Z"));
    bench.refuses("certificate", &stamped("20260115000900.001Z"));
}

#[test]
fn an_issuing_authority_needs_no_purpose_of_its_own() {
    for purposes in [vec![], vec![Purpose::TimeStamping], vec![Purpose::CodeSigning]] {
        let tsa = TimestampAuthority::below_issuing(purposes.clone());
        let layer = layer();
        let stamped = layer.clone().stamped(&tsa.stamp(&layer.signature(), NOW));
        // The trusted root names the signer.
        bench(&[&tsa]).takes(&stamped);
        // The trusted root names a CA alone: CAs with another purpose cannot make signers of timestamps.
        let unlisted = tsa.unlisted();
        let stamped = layer.clone().stamped(&unlisted.stamp(&layer.signature(), NOW));
        match purposes.as_slice() {
            [Purpose::CodeSigning] => drop(bench(&[&unlisted]).refuses("time", &stamped)),
            _ => drop(bench(&[&unlisted]).takes(&stamped)),
        }
    }
}

#[test]
fn below_a_trusted_root_only_certificates_for_timestamps_sign_timestamps() {
    let without = TimestampAuthority::with_leaf(|leaf| leaf.extended_key_usages.clear()).unlisted();
    let other = TimestampAuthority::with_leaf(|leaf| {
        leaf.extended_key_usages = vec![Purpose::CodeSigning];
    });
    for tsa in [without, other.unlisted()] {
        let layer = layer();
        let stamped = layer.clone().stamped(&tsa.stamp(&layer.signature(), NOW));
        bench(&[&tsa]).refuses("time", &stamped);
    }
    let stranger = TimestampAuthority::new().unlisted();
    let (trusted, layer) = (TimestampAuthority::new().unlisted(), layer());
    let stamped = layer.clone().stamped(&stranger.stamp(&layer.signature(), NOW));
    bench(&[&trusted]).refuses("time", &stamped);
}

#[test]
fn an_authority_whose_certificate_had_expired_proves_no_time() {
    for kind in [Kind::P256, Kind::Rsa2048] {
        let tsa = TimestampAuthority::of(kind, Term { from: NOW - YEAR, until: NOW - 1 });
        let (bench, layer) = (bench(&[&tsa]), layer());
        bench.refuses("time", &layer.clone().stamped(&tsa.stamp(&layer.signature(), NOW)));
    }
}

#[test]
fn a_response_counts_only_if_it_grants_a_timestamp() {
    let tsa = &Sigstore::shared().tsa;
    let (bench, layer) = (bench(&[tsa]), layer());
    let token = tsa.stamp(&layer.signature(), NOW);
    for (status, granted) in [(0, true), (1, true), (2, false), (3, false)] {
        let stamped = layer.clone().stamped(&response(status, &token));
        match granted {
            true => drop(bench.takes(&stamped)),
            false => drop(bench.refuses("time", &stamped)),
        }
    }
    bench.refuses("time", &layer.clone().stamped(&response(0, &response(0, &token))));
}

#[test]
fn one_good_timestamp_is_enough_beside_a_strangers() {
    let tsa = &Sigstore::shared().tsa;
    let certified = Sigstore::shared().certify(&Leaf::new());
    let statement = statement(&digest(), SIGN);
    let signature = certified.key.sign(&pae(&statement));
    let stranger = TimestampAuthority::new().stamp(&signature, NOW - HOUR);
    let good = tsa.stamp(&signature, NOW);
    let stamps = [stranger, good];
    let bundle = bundle(&statement, &signature, Some(&certified), &[], &stamps);
    assert_eq!(bench(&[tsa]).takes(&bundle).proven, Some(Timestamp::from_unix(NOW)));
}

#[test]
fn an_authority_that_cannot_be_verified_is_a_configuration_error() {
    let problem = |tsa: &TimestampAuthority| {
        let mut root = Sigstore::shared().trusted_root();
        root["timestampAuthorities"] = json!([tsa.trusted()]);
        let lines = format!(
            "identity = {:?}\nissuer = {:?}\ntrusted_root = \"r\"",
            Leaf::IDENTITY,
            Leaf::ISSUER
        );
        read(&lines, &[("r", &root.to_string())]).unwrap_err().join("\n")
    };
    let ed25519 = TimestampAuthority::of(Kind::Ed25519, Term::years());
    let reported = problem(&ed25519);
    assert!(
        reported.contains("timestamp authority \"tsa\" cannot verify timestamps"),
        "{reported}"
    );
    let other = TimestampAuthority::with_leaf(|leaf| leaf.extended_key_usages.clear());
    let reported = problem(&other);
    assert!(reported.contains("which is not for timestamps"), "{reported}");
}
