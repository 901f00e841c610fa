//! What the gate's own commands sign is what a cosign anchor accepts.

use serde_json::json;

use countersign::oci::Digest;
use countersign::signing::{SigningKey, SigstoreBundle, Statement, StatementSubject};

use crate::sigstore::{Key, Kind};

use super::bench::{Bench, IMAGE, PROVENANCE};

fn signed_by(key: &Key, content: &[u8]) -> serde_json::Value {
    let key = SigningKey::parse(&key.pair.serialize_pem()).unwrap();
    let subject =
        StatementSubject { name: "registry.test/app".to_owned(), digest: Digest::of(content) };
    let statement = Statement::new(vec![subject], PROVENANCE, json!({ "a": "b" }));
    let bundle = SigstoreBundle::sign(&statement, &key).unwrap();
    serde_json::from_slice(bundle.as_bytes()).unwrap()
}

#[test]
fn an_anchor_of_the_key_accepts_a_signed_statement_about_the_image_only() {
    let (key, other) = (Key::new(Kind::P256), Key::new(Kind::P256));
    let bench = Bench::of_keys(&[&key], &format!("predicate_type = {PROVENANCE:?}"));
    bench.takes(&signed_by(&key, IMAGE));
    bench.passes_by("subject", &signed_by(&key, b"another image"));
    assert!(bench.judge(&signed_by(&other, IMAGE)).is_err());
}

#[test]
fn a_signed_statement_is_not_accepted_as_a_signature() {
    let key = Key::new(Kind::P256);
    Bench::of_keys(&[&key], "").passes_by("kind", &signed_by(&key, IMAGE));
}

#[test]
fn the_public_key_is_the_one_that_an_anchor_reads() {
    let key = Key::new(Kind::P256);
    let signing = SigningKey::parse(&key.pair.serialize_pem()).unwrap();
    assert_eq!(signing.public_pem(), key.pem());
}
