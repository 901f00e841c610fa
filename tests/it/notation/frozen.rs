//! Envelopes created by the real `notation` (tests/data/notation). They reveal errors that our own signer and verifier
//! share.

use countersign::clock::Timestamp;
use countersign::oci::{Digest, MediaType};
use countersign::trust::Subject;
use countersign::trust::notation::{Anchor, Judged, Revocations};

use super::site::{COSE, JWS, candidate, config, flawed, vouched};

const MANIFEST: &[u8] = include_bytes!("../../data/notation/manifest.json");
const RSA_JWS: &[u8] = include_bytes!("../../data/notation/rsa-3072-timestamped.jws");
const P256_COSE: &[u8] = include_bytes!("../../data/notation/p256-timestamped.cose");
const P256_JWS: &[u8] = include_bytes!("../../data/notation/p256-expiring.jws");
const RSA_COSE: &[u8] = include_bytes!("../../data/notation/rsa-3072-expiring.cose");

/// 2026-11-23T03:39:00Z, soon after they were made.
const SOON: i64 = 1_795_405_140;
const YEARS: i64 = 3 * 365 * 86_400;

fn subject() -> Subject {
    Subject {
        repository: "registry.example.com/library/app".parse().unwrap(),
        digest: Digest::of(MANIFEST),
        media_type: MediaType::OciImage,
        size: MANIFEST.len() as u64,
    }
}

fn anchor(lines: &str) -> Anchor {
    let plain = "trust_store = [\"ca:root.crt\"]\n\
                 identities = ['x509.subject: C=US, ST=WA, O=Acme\\, Inc., OU=Release']\n";
    let root: &[u8] = include_bytes!("../../data/notation/root.crt");
    let tsa: &[u8] = include_bytes!("../../data/notation/tsa-root.crt");
    let files = [("root.crt", root), ("tsa-root.crt", tsa)];
    Anchor::new(config(&format!("{plain}{lines}"), &files).unwrap())
}

fn judged(anchor: &Anchor, media_type: &str, bytes: &[u8], now: i64) -> Judged {
    let now = Timestamp::from_unix(now);
    let candidate = candidate(media_type, bytes.to_vec());
    anchor.judge(&candidate, &subject(), &Revocations::default(), now)
}

#[test]
fn a_notation_signature_verifies_at_its_signing_time() {
    let anchor = anchor("");
    for (media_type, bytes, signer) in [
        (JWS, RSA_JWS, "CN=rsa signer"),
        (COSE, P256_COSE, "CN=p256 signer"),
        (JWS, P256_JWS, "CN=p256 signer"),
        (COSE, RSA_COSE, "CN=rsa signer"),
    ] {
        let (good, tolerated) = vouched(judged(&anchor, media_type, bytes, SOON));
        assert!(good.signer.contains(signer), "{good:?}");
        assert_eq!(tolerated, []);
    }
}

#[test]
fn a_timestamped_notation_signature_verifies_after_its_certificates_expired() {
    let timestamped = anchor("tsa = [\"tsa-root.crt\"]");
    for (media_type, bytes) in [(JWS, RSA_JWS), (COSE, P256_COSE)] {
        let plain = judged(&anchor(""), media_type, bytes, SOON + YEARS);
        assert_eq!(flawed(plain).check, "certificate_validity");
        let (good, _) = vouched(judged(&timestamped, media_type, bytes, SOON + YEARS));
        assert_eq!(good.expires, None);
        let signed = good.signed.unwrap();
        assert!((SOON - 60..SOON).contains(&signed.unix()), "{signed}");
    }
    for (media_type, bytes) in [(JWS, P256_JWS), (COSE, RSA_COSE)] {
        let without = judged(&timestamped, media_type, bytes, SOON);
        assert_eq!(flawed(without).check, "timestamp");
    }
}

#[test]
fn a_notation_signature_expires_at_its_expiry_time() {
    for (media_type, bytes) in [(JWS, P256_JWS), (COSE, RSA_COSE)] {
        let day = SOON + 86_400;
        assert_eq!(flawed(judged(&anchor(""), media_type, bytes, day)).check, "expiry");
        vouched(judged(&anchor(""), media_type, bytes, day - 60));
    }
}
