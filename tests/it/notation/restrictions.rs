//! The keys `not_after`, `max_age` and `revoked`: they exclude valid signatures after a key was lost.

use countersign::clock::Timestamp;
use countersign::trust::notation::Anchor;
use sha2::{Digest as _, Sha256};

use super::site::{JWS, config, flawed, judged, subject, trusting, vouched};
use crate::notation_authority::{Stamp, timestamping};
use crate::notation_signer::{Certified, DAY, Kind, NOW, Signing};
use crate::twin::twin;

struct Site {
    root: Certified,
    tsa: Certified,
    anchor: Anchor,
}

/// An anchor that trusts a timestamping authority, with more lines.
fn site(lines: &str) -> Site {
    let (root, tsa_root) = (Certified::root("root"), Certified::root("tsa root"));
    let tsa = tsa_root.issue("tsa", Kind::P256, timestamping);
    let lines = format!(
        "trust_store = [\"ca:root.crt\"]\ntsa = [\"tsa.crt\"]\nidentities = [\"*\"]\n\
         revocation = \"skip\"\n{lines}"
    );
    let files = [("root.crt", root.pem()), ("tsa.crt", tsa_root.pem())];
    let files = files.each_ref().map(|(name, pem)| (*name, pem.as_bytes()));
    let anchor = Anchor::new(config(&lines, &files).unwrap());
    Site { root, tsa, anchor }
}

impl Site {
    fn stamped(&self, at: i64) -> countersign::trust::notation::Judged {
        let signing = Signing { signed: at, ..Signing::new(&self.root.signer(), &subject()) };
        let stamp = Stamp::new(&self.tsa).at(at);
        judged(&self.anchor, JWS, signing.jws_stamped(|signature| stamp.token(signature)))
    }
}

#[test]
fn a_signature_that_is_proven_to_be_later_than_not_after_does_not_count() {
    // 2029-12-22 is NOW - 10 days.
    let site = site("not_after = 2029-12-22");
    vouched(site.stamped(NOW - 11 * DAY));
    assert_eq!(flawed(site.stamped(NOW - 8 * DAY)).check, "not_after");
}

#[test]
fn a_stated_signing_time_is_not_proven() {
    let root = Certified::root("root");
    let early = Signing { signed: NOW - 20 * DAY, ..Signing::new(&root.signer(), &subject()) };
    let over = trusting(&root, "not_after = 2029-12-22");
    assert_eq!(flawed(judged(&over, JWS, early.jws())).check, "not_after");
    let to_come = trusting(&root, "not_after = 2030-01-02T00:00:00Z");
    let (good, _) = vouched(judged(&to_come, JWS, early.jws()));
    assert_eq!(good.expires, Some(Timestamp::from_unix(NOW + DAY)));
    let aged = trusting(&root, "max_age = \"30d\"");
    assert_eq!(flawed(judged(&aged, JWS, early.jws())).check, "max_age");
}

#[test]
fn the_time_of_a_signing_authority_is_proven() {
    let root = Certified::root("root");
    let early =
        Signing { signed: NOW - 20 * DAY, ..Signing::by_authority(&root.signer(), &subject()) };
    vouched(judged(&trusting(&root, "not_after = 2029-12-22"), JWS, early.jws()));
    let (good, _) = vouched(judged(&trusting(&root, "max_age = \"30d\""), JWS, early.jws()));
    assert_eq!(good.expires, Some(Timestamp::from_unix(NOW + 10 * DAY)));
    let aged = trusting(&root, "max_age = \"19d\"");
    assert_eq!(flawed(judged(&aged, JWS, early.jws())).check, "max_age");
}

#[test]
fn a_signature_counts_for_max_age_after_its_timestamp() {
    let site = site("max_age = \"10d\"");
    let (good, _) = vouched(site.stamped(NOW - 9 * DAY));
    assert_eq!(good.expires.map(Timestamp::unix), Some(NOW + DAY));
    assert_eq!(flawed(site.stamped(NOW - 11 * DAY)).check, "max_age");
}

#[test]
fn a_revoked_certificate_does_not_count_at_any_level() {
    let root = Certified::root("root");
    let signer = root.signer();
    let id = hex::encode(Sha256::digest(&signer.der));
    for level in ["strict", "permissive", "audit"] {
        let lines = format!("level = {level:?}\nrevoked = [\"certificate:sha256:{id}\"]");
        let anchor = trusting(&root, &lines);
        let flaw = flawed(judged(&anchor, JWS, Signing::new(&signer, &subject()).jws()));
        assert_eq!(flaw.check, "revoked", "{level}");
        let other = root.issue("other", Kind::P384, |_| {});
        vouched(judged(&anchor, JWS, Signing::new(&other, &subject()).jws()));
    }
}

#[test]
fn the_ecdsa_twin_of_a_revoked_certificate_does_not_count() {
    let root = Certified::root("root");
    let signer = root.signer();
    let other = Certified { der: twin(&signer.der), ..signer.clone() };
    let jws = |signer: &Certified| Signing::new(signer, &subject()).jws();
    let id = hex::encode(Sha256::digest(&signer.der));
    vouched(judged(&trusting(&root, ""), JWS, jws(&other)));
    let anchor = trusting(&root, &format!("revoked = [\"certificate:{id}\"]"));
    for one in [&signer, &other] {
        assert_eq!(flawed(judged(&anchor, JWS, jws(one))).check, "revoked");
    }
}

#[test]
fn a_revoked_timestamping_authority_proves_no_time() {
    let first = site("");
    let id = hex::encode(Sha256::digest(&first.tsa.der));
    vouched(first.stamped(NOW - DAY));
    let lines = format!(
        "trust_store = [\"ca:root.crt\"]\ntsa = [\"tsa.crt\"]\nidentities = [\"*\"]\n\
         revocation = \"skip\"\nrevoked = [\"certificate:{id}\"]"
    );
    let above = first.tsa.above.clone().unwrap();
    let files = [("root.crt", first.root.pem()), ("tsa.crt", above.pem())];
    let files = files.each_ref().map(|(name, pem)| (*name, pem.as_bytes()));
    let revoking = Site { anchor: Anchor::new(config(&lines, &files).unwrap()), ..first };
    assert_eq!(flawed(revoking.stamped(NOW - DAY)).check, "revoked");
}

#[test]
fn what_means_nothing_for_an_anchor_is_reported() {
    let root = Certified::root("root");
    for (line, says) in [
        ("revoked = [\"log-entry:00\"]", "write the id of the log"),
        ("max_timestamp_life = \"90d\"", "notaryv1 only"),
        ("signed_identity = \"repository\"", "cosign only"),
    ] {
        let lines = format!("trust_store = [\"ca:root.crt\"]\nidentities = [\"*\"]\n{line}");
        let problems = config(&lines, &[("root.crt", root.pem().as_bytes())]).unwrap_err();
        assert!(problems.0.iter().any(|one| one.message.contains(says)), "{problems:?}");
    }
}
