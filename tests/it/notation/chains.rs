//! The requirements on certificates, and the trust store to which they must lead.

use countersign::clock::Timestamp;
use countersign::trust::Flaw;
use countersign::trust::notation::{Anchor, Revocations};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose,
};

use super::site::{COSE, JWS, candidate, config, flawed, judged, subject, trusting, vouched};
use crate::notation_signer::{Certified, DAY, Kind, NOW, Signing, at, authority};

fn verdict(anchor: &Anchor, signer: &Certified) -> Flaw {
    flawed(judged(anchor, JWS, Signing::new(signer, &subject()).jws()))
}

#[test]
fn a_chain_to_an_untrusted_root_is_refused() {
    let anchor = trusting(&Certified::root("root"), "");
    let stranger = Certified::root("stranger");
    assert_eq!(verdict(&anchor, &stranger.signer()).check, "trust_store");
    // One that bears the trusted root's name.
    let impostor = Certified::alone("impostor", Kind::P256, |params| {
        authority(params);
        params.distinguished_name.push(DnType::CommonName, "root");
    });
    assert_eq!(verdict(&anchor, &impostor.signer()).check, "trust_store");
}

#[test]
fn a_signing_authority_is_not_trusted_as_a_ca_nor_the_other_way() {
    let root = Certified::root("root");
    for (store, signing) in [
        ("signingAuthority:root.crt", Signing::new(&root.signer(), &subject())),
        ("ca:root.crt", Signing::by_authority(&root.signer(), &subject())),
    ] {
        let lines =
            format!("trust_store = [{store:?}]\nidentities = [\"*\"]\nrevocation = \"skip\"");
        let anchor = Anchor::new(config(&lines, &[("root.crt", root.pem().as_bytes())]).unwrap());
        for (media_type, bytes) in [(JWS, signing.jws()), (COSE, signing.cose())] {
            assert_eq!(flawed(judged(&anchor, media_type, bytes)).check, "trust_store", "{store}");
        }
    }
}

#[test]
fn the_leafs_whole_identity_must_be_trusted() {
    let root = Certified::root("root");
    let lines =
        |identity: &str| format!("identities = [{:?}]", format!("x509.subject: {identity}"));
    for identity in ["C=US, ST=WA, O=Acme", "C=US, S=WA, O=Acme, CN=signer"] {
        let anchor = trusting(&root, &lines(identity));
        vouched(judged(&anchor, JWS, Signing::new(&root.signer(), &subject()).jws()));
    }
    for identity in
        ["C=US, ST=WA, O=Acme, CN=root", "C=US, ST=WA, O=Acm", "C=US, ST=WA, O=Acme, OU=release"]
    {
        let anchor = trusting(&root, &lines(identity));
        assert_eq!(verdict(&anchor, &root.signer()).check, "identity", "{identity}");
    }
}

#[test]
fn an_authoritys_identity_does_not_stand_for_the_leafs() {
    let root = Certified::root("root");
    let between = root.issue("between", Kind::P256, authority);
    let anchor =
        trusting(&root, "identities = [\"x509.subject: C=US, ST=WA, O=Acme, CN=between\"]");
    assert_eq!(verdict(&anchor, &between.signer()).check, "identity");
}

#[test]
fn an_identity_inside_another_attributes_value_is_not_it() {
    let root = Certified::root("root");
    let anchor =
        trusting(&root, "identities = [\"x509.subject: C=US, ST=WA, O=Acme, CN=release\"]");
    let sly = root.issue("sly", Kind::P256, |params| {
        params.distinguished_name.push(DnType::CommonName, "x, CN=release");
    });
    assert_eq!(verdict(&anchor, &sly).check, "identity");
}

#[test]
fn an_incomplete_or_unordered_or_padded_chain_is_refused() {
    let root = Certified::root("root");
    let anchor = trusting(&root, "");
    let between = root.issue("between", Kind::P256, authority);
    let signer = between.signer();
    let whole = signer.chain();
    let stranger = Certified::root("stranger");
    let chains = [
        vec![whole[0].clone()],
        vec![whole[0].clone(), whole[1].clone()],
        vec![whole[0].clone(), whole[2].clone(), whole[1].clone()],
        vec![whole[0].clone(), whole[2].clone()],
        [whole.clone(), vec![root.der.clone()]].concat(),
        [whole.clone(), vec![stranger.der]].concat(),
    ];
    for (at, chain) in chains.into_iter().enumerate() {
        let signing = Signing { chain, ..Signing::new(&signer, &subject()) };
        for (media_type, bytes) in [(JWS, signing.jws()), (COSE, signing.cose())] {
            assert_eq!(
                flawed(judged(&anchor, media_type, bytes)).check,
                "certificate_chain",
                "{at}"
            );
        }
    }
}

#[test]
fn an_end_certificate_that_issues_certificates_is_refused() {
    let root = Certified::root("root");
    let anchor = trusting(&root, "");
    let signer = root.signer();
    let below = signer.issue("below", Kind::P256, |_| {});
    assert_eq!(verdict(&anchor, &below).check, "certificate_chain");
}

#[test]
fn more_authorities_than_a_path_length_allows_are_refused() {
    let root = Certified::alone("narrow", Kind::P256, |params| {
        authority(params);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    });
    let anchor = trusting(&root, "");
    vouched(judged(&anchor, JWS, Signing::new(&root.signer(), &subject()).jws()));
    let between = root.issue("between", Kind::P256, authority);
    assert_eq!(verdict(&anchor, &between.signer()).check, "certificate_chain");
}

#[test]
fn an_authority_without_its_marks_is_refused() {
    let root = Certified::root("root");
    let anchor = trusting(&root, "");
    let changes: [fn(&mut CertificateParams); 3] = [
        |params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign],
        |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::CrlSign];
        },
        |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![];
        },
    ];
    for change in changes {
        let between = root.issue("between", Kind::P256, change);
        assert_eq!(verdict(&anchor, &between.signer()).check, "certificate_chain");
    }
}

#[test]
fn a_leaf_that_cannot_sign_is_refused() {
    let root = Certified::root("root");
    let anchor = trusting(&root, "");
    let usage = |purposes: Vec<KeyUsagePurpose>| {
        root.issue("odd", Kind::P256, |params| params.key_usages = purposes)
    };
    use KeyUsagePurpose as Key;
    let mut leaves = vec![
        usage(vec![]),
        usage(vec![Key::ContentCommitment]),
        root.issue("odd", Kind::P256, |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }),
        // keyUsage, not critical.
        root.issue("odd", Kind::P256, |params| {
            params.key_usages = vec![];
            let usage = CustomExtension::from_oid_content(&[2, 5, 29, 15], vec![3, 2, 7, 0x80]);
            params.custom_extensions = vec![usage];
        }),
    ];
    for also in [
        Key::KeyEncipherment,
        Key::DataEncipherment,
        Key::KeyAgreement,
        Key::KeyCertSign,
        Key::CrlSign,
        Key::EncipherOnly,
        Key::DecipherOnly,
    ] {
        leaves.push(usage(vec![Key::DigitalSignature, also]));
    }
    use ExtendedKeyUsagePurpose as Extended;
    for purpose in [
        Extended::Any,
        Extended::ServerAuth,
        Extended::ClientAuth,
        Extended::EmailProtection,
        Extended::TimeStamping,
        Extended::OcspSigning,
    ] {
        leaves.push(root.issue("odd", Kind::P256, |params| {
            params.extended_key_usages = vec![Extended::CodeSigning, purpose];
        }));
    }
    for (at, leaf) in leaves.iter().enumerate() {
        assert_eq!(verdict(&anchor, leaf).check, "certificate_chain", "{at}");
    }
    let codes = root.issue("odd", Kind::P256, |params| {
        params.key_usages = vec![Key::DigitalSignature, Key::ContentCommitment];
        params.extended_key_usages = vec![Extended::CodeSigning];
    });
    vouched(judged(&anchor, JWS, Signing::new(&codes, &subject()).jws()));
}

#[test]
fn a_certificate_that_signed_itself_is_a_signer_if_it_is_the_trusted_one() {
    let alone = Certified::alone("alone", Kind::P256, |_| {});
    let anchor = trusting(&alone, "");
    vouched(judged(&anchor, JWS, Signing::new(&alone, &subject()).jws()));
    let other = Certified::alone("other", Kind::P256, |_| {});
    assert_eq!(verdict(&anchor, &other).check, "trust_store");
    let root = Certified::root("root");
    assert_eq!(verdict(&trusting(&root, ""), &root).check, "certificate_chain");
}

#[test]
fn a_certificate_signed_with_sha1_is_refused() {
    let root = Certified::alone("weak", Kind::Rsa2048, authority);
    let signer = root.signer();
    let anchor = trusting(&root, "");
    let mut signing = Signing::new(&signer, &subject());
    let sha256 = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
    let leaf = &mut signing.chain[0];
    for at in 0..leaf.len() - sha256.len() {
        if leaf[at..at + sha256.len()] == sha256 {
            leaf[at + sha256.len() - 1] = 5;
        }
    }
    assert!(flawed(judged(&anchor, JWS, signing.jws())).found.contains("SHA-1"));
}

#[test]
fn an_expired_certificate_is_refused_anywhere_in_the_chain() {
    let ended = |params: &mut CertificateParams| params.not_after = at(NOW - 1);
    let coming = |params: &mut CertificateParams| params.not_before = at(NOW + 1);
    let root = Certified::root("root");
    let anchor = trusting(&root, "");
    let old_authority = root.issue("between", Kind::P256, |params| {
        authority(params);
        ended(params);
    });
    let old_root = Certified::alone("old root", Kind::P256, |params| {
        authority(params);
        ended(params);
    });
    for signer in [
        root.issue("ended", Kind::P256, ended),
        root.issue("coming", Kind::P256, coming),
        old_authority.signer(),
    ] {
        assert_eq!(verdict(&anchor, &signer).check, "certificate_validity");
    }
    let flaw = verdict(&trusting(&old_root, ""), &old_root.signer());
    assert_eq!(flaw.check, "certificate_validity");
}

#[test]
fn a_verdict_ends_with_the_first_certificate_that_ends() {
    let root = Certified::root("root");
    let between = root.issue("between", Kind::P256, |params| {
        authority(params);
        params.not_after = at(NOW + DAY);
    });
    let bytes = Signing::new(&between.signer(), &subject()).jws();
    let (good, _) = vouched(judged(&trusting(&root, ""), JWS, bytes.clone()));
    assert_eq!(good.expires, Some(Timestamp::from_unix(NOW + DAY)));
    let after = Timestamp::from_unix(NOW + DAY + 1);
    let verdict = trusting(&root, "").judge(
        &candidate(JWS, bytes),
        &subject(),
        &Revocations::default(),
        after,
    );
    assert_eq!(flawed(verdict).check, "certificate_validity");
}

#[test]
fn the_levels_enforce_their_checks() {
    let trusted = Certified::root("root");
    let stranger = Certified::root("stranger");
    let ended = |params: &mut CertificateParams| params.not_after = at(NOW - 1);
    let old = trusted.issue("ended", Kind::P256, ended);
    let permissive = trusting(&trusted, "level = \"permissive\"");
    let audit = trusting(&trusted, "level = \"audit\"");
    let signed = |signer: &Certified| Signing::new(signer, &subject()).cose();
    let (_, tolerated) = vouched(judged(&permissive, COSE, signed(&old)));
    assert_eq!(tolerated[0].check, "certificate_validity");
    let refused = flawed(judged(&permissive, COSE, signed(&stranger.signer())));
    assert_eq!(refused.check, "trust_store");
    let (_, tolerated) = vouched(judged(&audit, COSE, signed(&stranger.signer())));
    assert_eq!(tolerated[0].check, "trust_store");
    let mut broken = signed(&stranger.signer());
    let last = broken.len() - 1;
    broken[last] ^= 1;
    assert_eq!(flawed(judged(&audit, COSE, broken)).check, "signature");
}
