//! Countersignatures of timestamping authorities: what they prove, and how they fail.

use countersign::clock::Timestamp;
use countersign::trust::Flaw;
use countersign::trust::notation::Anchor;
use rcgen::CertificateParams;

use super::site::{COSE, JWS, config, flawed, judged, subject, vouched};
use crate::notation_authority::{Stamp, octets, oid, purpose, sequence, timestamping, tlv};
use crate::notation_signer::{Certified, DAY, Kind, NOW, Signing, at, authority};

struct Site {
    root: Certified,
    tsa_root: Certified,
    tsa: Certified,
    anchor: Anchor,
}

fn trusting(root: &Certified, tsa_root: &Certified, lines: &str) -> Anchor {
    let lines = format!(
        "trust_store = [\"ca:root.crt\"]\ntsa = [\"tsa.crt\"]\nidentities = [\"*\"]\nrevocation = \"skip\"\n{lines}"
    );
    let files = [("root.crt", root.pem()), ("tsa.crt", tsa_root.pem())];
    let files = files.each_ref().map(|(name, pem)| (*name, pem.as_bytes()));
    Anchor::new(config(&lines, &files).unwrap())
}

fn site() -> Site {
    let (root, tsa_root) = (Certified::root("root"), Certified::root("tsa root"));
    let tsa = tsa_root.issue("tsa", Kind::P256, timestamping);
    let anchor = trusting(&root, &tsa_root, "");
    Site { root, tsa_root, tsa, anchor }
}

/// A signer whose certificate ended ten days ago, and began thirty days ago.
fn short(root: &Certified) -> Certified {
    root.issue("short", Kind::P256, |params| {
        params.not_before = at(NOW - 30 * DAY);
        params.not_after = at(NOW - 10 * DAY);
    })
}

impl Site {
    fn stamped(&self, signer: &Certified, stamp: &Stamp) -> countersign::trust::notation::Judged {
        let signing = Signing::new(signer, &subject());
        judged(&self.anchor, JWS, signing.jws_stamped(|signature| stamp.token(signature)))
    }

    fn refused(&self, stamp: &Stamp) -> Flaw {
        flawed(self.stamped(&self.root.signer(), stamp))
    }
}

#[test]
fn a_timestamp_proves_the_time_of_an_expired_signer() {
    let site = site();
    let rsa = site.tsa_root.issue("tsa", Kind::Rsa2048, timestamping);
    for tsa in [&site.tsa, &rsa] {
        let stamp = Stamp::new(tsa).at(NOW - 20 * DAY);
        let signing = Signing::new(&short(&site.root), &subject());
        for (media_type, bytes) in [
            (JWS, signing.jws_stamped(|signature| stamp.token(signature))),
            (COSE, signing.cose_stamped(|signature| stamp.token(signature))),
        ] {
            let (good, tolerated) = vouched(judged(&site.anchor, media_type, bytes));
            assert_eq!(good.signed, Some(Timestamp::from_unix(NOW - 20 * DAY)));
            assert_eq!(good.expires, None);
            assert_eq!(tolerated, []);
        }
    }
}

#[test]
fn a_timestamp_that_was_made_later_does_not_make_a_signature_younger() {
    let site = site();
    let signer = site.root.signer();
    let signing = Signing { signed: NOW - 20 * DAY, ..Signing::new(&signer, &subject()) };
    let stamp = Stamp::new(&site.tsa).at(NOW - DAY);
    let bytes = signing.jws_stamped(|signature| stamp.token(signature));
    let (good, _) = vouched(judged(&site.anchor, JWS, bytes));
    assert_eq!(good.signed, Some(Timestamp::from_unix(NOW - 20 * DAY)));
}

#[test]
fn an_authority_below_others_is_followed_whatever_the_order_of_the_certificates() {
    let site = site();
    let between = site.tsa_root.issue("tsa between", Kind::P256, authority);
    let tsa = between.issue("tsa", Kind::P256, timestamping);
    for certificates in [
        vec![tsa.der.clone(), between.der.clone()],
        vec![site.tsa_root.der.clone(), between.der.clone(), tsa.der.clone()],
        vec![site.root.der.clone(), between.der.clone(), tsa.der.clone()],
    ] {
        let stamp = Stamp { certificates, ..Stamp::new(&tsa) };
        vouched(site.stamped(&site.root.signer(), &stamp));
    }
}

#[test]
fn a_signature_without_a_timestamp_is_refused_where_authorities_are_trusted() {
    let site = site();
    let bytes = Signing::new(&site.root.signer(), &subject()).jws();
    assert_eq!(flawed(judged(&site.anchor, JWS, bytes.clone())).check, "timestamp");
    let permissive = trusting(&site.root, &site.tsa_root, "level = \"permissive\"");
    let (good, tolerated) = vouched(judged(&permissive, JWS, bytes));
    assert_eq!(tolerated[0].check, "timestamp");
    assert_eq!(good.signed, Some(Timestamp::from_unix(NOW)));
}

#[test]
fn a_timestamp_over_another_signature_is_refused() {
    let site = site();
    let stamp = Stamp { about: Some(b"another signature".to_vec()), ..Stamp::new(&site.tsa) };
    assert!(site.refused(&stamp).found.contains("something else"));
}

#[test]
fn a_timestamp_by_an_untrusted_authority_is_refused() {
    let site = site();
    let stranger = Certified::root("stranger");
    let tsa = stranger.issue("tsa", Kind::P256, timestamping);
    assert!(site.refused(&Stamp::new(&tsa)).found.contains("no trusted root"));
    // The trusted authority's certificates beside its own change nothing.
    let certificates = [tsa.chain(), site.tsa.chain()].concat();
    let stamp = Stamp { certificates, ..Stamp::new(&tsa) };
    assert!(site.refused(&stamp).found.contains("no trusted root"));
    // Nor does the anchor's own root make timestamping authorities.
    let own = site.root.issue("tsa", Kind::P256, timestamping);
    assert!(site.refused(&Stamp::new(&own)).found.contains("no trusted root"));
}

/// CVE-2026-39984.
#[test]
fn a_certificate_put_in_beside_the_signers_is_not_taken_for_it() {
    let site = site();
    let stranger = Certified::alone("stranger", Kind::P256, timestamping);
    // Signed by a stranger, naming the authority's certificate.
    let stamp = Stamp {
        named: site.tsa.der.clone(),
        certificates: [site.tsa.chain(), vec![stranger.der.clone()]].concat(),
        ..Stamp::new(&stranger)
    };
    assert_eq!(site.refused(&stamp).check, "timestamp");
    // Signed by the authority, naming the stranger's.
    let stamp = Stamp {
        named: stranger.der.clone(),
        certificates: [site.tsa.chain(), vec![stranger.der]].concat(),
        ..Stamp::new(&site.tsa)
    };
    assert_eq!(site.refused(&stamp).check, "timestamp");
}

#[test]
fn a_timestamp_without_signing_certificate_v2_is_refused() {
    let site = site();
    let stamp = Stamp { names: false, ..Stamp::new(&site.tsa) };
    assert!(site.refused(&stamp).found.contains("signing-certificate-v2"));
}

#[test]
fn a_timestamp_whose_parts_do_not_belong_together_is_refused() {
    let site = site();
    let good = Stamp::new(&site.tsa);
    for stamp in [
        Stamp { digested: Some(b"another TSTInfo".to_vec()), ..good.clone() },
        Stamp { content_type: "1.2.840.113549.1.7.1", ..good.clone() },
        Stamp { signers: 0, ..good.clone() },
        Stamp { signers: 2, ..good.clone() },
        Stamp { certificates: vec![], ..good.clone() },
        Stamp { certificates: vec![site.tsa_root.der.clone()], ..good.clone() },
        Stamp { certificates: vec![site.tsa.der.clone(); 17], ..good.clone() },
        Stamp { time: "20300101000000".to_owned(), ..good.clone() },
        Stamp { accuracy: sequence(&[&tlv(0x80, &[&[0x03, 0xe8]])]), ..good.clone() },
        Stamp { more: octets(b"?"), ..good.clone() },
        // A critical extension.
        Stamp {
            more: tlv(0xa1, &[&sequence(&[&oid("1.2.3"), &[1, 1, 0xff], &octets(b"")])]),
            ..good.clone()
        },
    ] {
        assert_eq!(site.refused(&stamp).check, "timestamp");
    }
    let nonce_and_extension =
        [vec![2, 1, 5], tlv(0xa1, &[&sequence(&[&oid("1.2.3"), &octets(b"")])])].concat();
    vouched(site.stamped(&site.root.signer(), &Stamp { more: nonce_and_extension, ..good }));
}

#[test]
fn a_timestamp_of_any_broken_byte_is_never_a_panic() {
    let site = site();
    let signing = Signing::new(&short(&site.root), &subject());
    let certificates = vec![site.tsa.der.clone()];
    let stamp = Stamp { certificates, ..Stamp::new(&site.tsa) }.at(NOW - 20 * DAY);
    let length = stamp.token(b"").len();
    let mut refused = 0;
    for at in (0..length).step_by(5) {
        let bytes = signing.cose_stamped(|signature| {
            let mut token = stamp.token(signature);
            // One signature is a byte longer than another.
            if let Some(byte) = token.get_mut(at) {
                *byte ^= 0x15;
            }
            token
        });
        let verdict = judged(&site.anchor, COSE, bytes);
        refused += usize::from(!matches!(verdict, countersign::trust::notation::Judged::Proven(_)));
    }
    assert!(refused * 10 > length / 5 * 9, "{refused} of {}", length / 5);
}

#[test]
fn an_authority_without_the_critical_single_purpose_is_refused() {
    let site = site();
    let changes: [fn(&mut CertificateParams); 5] = [
        |_| {},
        |params| params.custom_extensions.push(purpose("1.3.6.1.5.5.7.3.8", false)),
        |params| params.custom_extensions.push(purpose("1.3.6.1.5.5.7.3.3", true)),
        |params| {
            let two = sequence(&[&oid("1.3.6.1.5.5.7.3.8"), &oid("1.3.6.1.5.5.7.3.3")]);
            let mut two = rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 37], two);
            two.set_criticality(true);
            params.custom_extensions.push(two);
        },
        |params| {
            timestamping(params);
            authority(params);
        },
    ];
    for change in changes {
        let tsa = site.tsa_root.issue("tsa", Kind::P256, change);
        assert_eq!(site.refused(&Stamp::new(&tsa)).check, "timestamp");
    }
}

#[test]
fn an_authority_must_be_valid_when_it_stamps_and_need_not_be_now() {
    let site = site();
    let tsa = site.tsa_root.issue("tsa", Kind::P256, |params| {
        timestamping(params);
        params.not_after = at(NOW - DAY);
    });
    let signer = site.root.signer();
    vouched(site.stamped(&signer, &Stamp::new(&tsa).at(NOW - DAY)));
    assert_eq!(site.refused(&Stamp::new(&tsa)).check, "timestamp");
}

#[test]
fn a_timestamp_outside_the_signers_validity_is_refused_to_the_last_fraction() {
    let site = site();
    let signer = short(&site.root);
    let stamp = Stamp::new(&site.tsa);
    let end = NOW - 10 * DAY;
    let judged = |stamp: &Stamp| site.stamped(&signer, stamp);
    vouched(judged(&stamp.clone().at(end)));
    vouched(judged(&stamp.clone().at(NOW - 30 * DAY)));
    for unix in [end + 1, NOW - 30 * DAY - 1] {
        assert_eq!(flawed(judged(&stamp.clone().at(unix))).check, "certificate_validity");
    }
    let mut fraction = stamp.clone().at(end);
    fraction.time = fraction.time.replace('Z', ".001Z");
    assert_eq!(flawed(judged(&fraction)).check, "certificate_validity");
}

#[test]
fn the_accuracy_of_a_timestamp_counts_at_both_ends() {
    let site = site();
    let signer = short(&site.root);
    let (begin, end) = (NOW - 30 * DAY, NOW - 10 * DAY);
    let accuracies = [
        sequence(&[&[2, 1, 1]]),
        sequence(&[&tlv(0x80, &[&[0x01]])]),
        sequence(&[&tlv(0x81, &[&[0x01]])]),
    ];
    for accuracy in accuracies {
        let stamp = Stamp { accuracy, ..Stamp::new(&site.tsa) };
        for unix in [begin, end] {
            let verdict = site.stamped(&signer, &stamp.clone().at(unix));
            assert_eq!(flawed(verdict).check, "certificate_validity");
        }
        vouched(site.stamped(&signer, &stamp.clone().at(end - 1)));
    }
    // The baseline policy implies an accuracy of one second by default.
    let baseline = Stamp { policy: "0.4.0.2023.1.1", ..Stamp::new(&site.tsa) };
    let verdict = site.stamped(&signer, &baseline.clone().at(end));
    assert_eq!(flawed(verdict).check, "certificate_validity");
    vouched(site.stamped(&signer, &baseline.at(end - 1)));
}

#[test]
fn a_timestamp_that_is_yet_to_come_is_refused() {
    let site = site();
    assert_eq!(site.refused(&Stamp::new(&site.tsa).at(NOW + DAY)).check, "timestamp");
}

#[test]
fn a_stated_signing_time_that_is_yet_to_come_is_refused_at_every_level() {
    let root = Certified::root("root");
    for level in ["strict", "permissive", "audit"] {
        let anchor = super::site::trusting(&root, &format!("level = {level:?}"));
        let signings = [
            Signing::new(&root.signer(), &subject()),
            Signing::by_authority(&root.signer(), &subject()),
        ];
        for signing in signings {
            let at = |signed| Signing { signed, ..signing.clone() }.jws();
            assert_eq!(flawed(judged(&anchor, JWS, at(NOW + 301))).check, "signing_time");
            let (good, _) = vouched(judged(&anchor, JWS, at(NOW + 300)));
            assert_eq!(good.signed, Some(Timestamp::from_unix(NOW)), "it is not yet {level}");
        }
    }
}

#[test]
fn a_timestamp_does_not_replace_a_signing_authoritys_time() {
    let site = site();
    let lines = "trust_store = [\"ca:root.crt\", \"signingAuthority:root.crt\"]\ntsa = [\"tsa.crt\"]\n\
                 identities = [\"*\"]\nrevocation = \"skip\"";
    let files = [("root.crt", site.root.pem()), ("tsa.crt", site.tsa_root.pem())];
    let files = files.each_ref().map(|(name, pem)| (*name, pem.as_bytes()));
    let anchor = Anchor::new(config(lines, &files).unwrap());
    let stamp = Stamp::new(&site.tsa).at(NOW - 20 * DAY);
    let signing = Signing::by_authority(&short(&site.root), &subject());
    let bytes = signing.jws_stamped(|signature| stamp.token(signature));
    assert_eq!(flawed(judged(&anchor, JWS, bytes)).check, "certificate_validity");
}

#[test]
fn after_cert_expiry_a_timestamp_is_asked_for_and_not_before() {
    let site = site();
    let policy = "{\"version\":\"1.0\",\"trustPolicies\":[{\"name\":\"a\",\"registryScopes\":[\"*\"],\
         \"signatureVerification\":{\"level\":\"strict\",\"override\":{\"revocation\":\"skip\"},\
         \"verifyTimestamp\":\"afterCertExpiry\"},\"trustStores\":[\"ca:a\",\"tsa:a\"],\
         \"trustedIdentities\":[\"*\"]}]}";
    let (root, tsa) = (site.root.pem(), site.tsa_root.pem());
    let files: &[(&str, &[u8])] = &[
        ("policy.json", policy.as_bytes()),
        ("store/x509/ca/a/a.pem", root.as_bytes()),
        ("store/x509/tsa/a/a.pem", tsa.as_bytes()),
    ];
    let lines = "trust_policy = \"policy.json\"\ntrust_store_dir = \"store\"";
    let anchor = Anchor::new(config(lines, files).unwrap());
    let fresh = Signing::new(&site.root.signer(), &subject());
    let (good, _) = vouched(judged(&anchor, JWS, fresh.jws()));
    assert_eq!(good.expires, Some(Timestamp::from_unix(NOW + 5 * 365 * DAY)));
    let old = Signing::new(&short(&site.root), &subject());
    assert_eq!(flawed(judged(&anchor, JWS, old.jws())).check, "timestamp");
    let stamp = Stamp::new(&site.tsa).at(NOW - 20 * DAY);
    vouched(judged(&anchor, JWS, old.jws_stamped(|signature| stamp.token(signature))));
}
