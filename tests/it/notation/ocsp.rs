//! OCSP: which responders are trusted, for which certificates.

use countersign::clock::Timestamp;
use countersign::trust::notation::{Answer, Method, RevocationQuery};
use rcgen::{CertificateParams, CustomExtension};

use super::revocation::{content, site, with_crl, with_ocsp};
use super::site::{flawed, undecided, vouched};
use crate::notation_authority::{Response, UNKNOWN, crl, purpose, revoked};
use crate::notation_signer::{Certified, DAY, Kind, NOW, at};

#[test]
fn an_ocsp_response_by_the_issuer_or_its_delegate_is_believed() {
    let site = site("");
    let signer = site.signer(with_ocsp);
    let own = Response::good(&site.root, &signer);
    let (good, _) = vouched(site.answered(&signer, |_| content(own.der())));
    assert_eq!(good.expires, Some(Timestamp::from_unix(NOW + DAY)));
    let delegate = site.root.issue("responder", Kind::P256, |params| {
        params.custom_extensions.push(purpose("1.3.6.1.5.5.7.3.9", false));
    });
    let certificates = vec![delegate.der.clone()];
    let said = Response { responder: delegate, certificates, ..own };
    vouched(site.answered(&signer, |_| content(said.der())));
}

#[test]
fn a_delegate_is_asked_about_by_crl_unless_its_issuer_says_that_it_need_not_be() {
    let site = site("");
    let signer = site.signer(with_ocsp);
    let plain = site.root.issue("responder", Kind::P256, |params| {
        params.custom_extensions.push(purpose("1.3.6.1.5.5.7.3.9", false));
        with_crl(params);
    });
    let said = |delegate: &Certified| Response {
        responder: delegate.clone(),
        certificates: vec![delegate.der.clone()],
        ..Response::good(&site.root, &signer)
    };
    let list = crl(&site.root, |params| params.revoked_certs = vec![revoked(&plain)]);
    let answer = |inquiry: &RevocationQuery| match inquiry.method {
        Method::Ocsp => content(said(&plain).der()),
        Method::Crl => content(list.clone()),
    };
    assert!(undecided(site.answered(&signer, answer)).contains("its responder"));
    let unchecked = site.root.issue("responder", Kind::P256, |params| {
        params.custom_extensions.push(purpose("1.3.6.1.5.5.7.3.9", false));
        let no_check =
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 48, 1, 5], vec![5, 0]);
        params.custom_extensions.push(no_check);
        with_crl(params);
    });
    let response = said(&unchecked).der();
    vouched(site.answered(&signer, |_| content(response.clone())));
}

#[test]
fn an_ocsp_response_that_proves_nothing_is_undecided() {
    let site = site("");
    let signer = site.signer(with_ocsp);
    let other = site.root.issue("other", Kind::P256, with_ocsp);
    let stranger = Certified::root("stranger");
    let good = Response::good(&site.root, &signer);
    let by = |responder: &Certified| Response {
        responder: responder.clone(),
        certificates: vec![responder.der.clone()],
        ..good.clone()
    };
    let for_ocsp = |params: &mut CertificateParams| {
        params.custom_extensions.push(purpose("1.3.6.1.5.5.7.3.9", false));
    };
    let old = site.root.issue("responder", Kind::P256, |params| {
        for_ocsp(params);
        params.not_after = at(NOW - 1);
    });
    let mut broken = good.der();
    let last = broken.len() - 1;
    broken[last] ^= 1;
    for (der, reported) in [
        (b"no response".to_vec(), "not an OCSP response"),
        (vec![0x30, 3, 10, 1, 3], "TryLater"),
        (broken, "signature"),
        (Response { about: other.clone(), ..good.clone() }.der(), "other certificates"),
        (Response { issuer: stranger.clone(), ..good.clone() }.der(), "other certificates"),
        (Response { status: UNKNOWN.to_vec(), ..good.clone() }.der(), "does not know"),
        (Response { until: None, ..good.clone() }.der(), "until when"),
        (Response { until: Some(NOW - 1), ..good.clone() }.der(), "it held until"),
        (Response { made: NOW + 3600, ..good.clone() }.der(), "in the future"),
        (by(&stranger).der(), "no certificate for OCSP"),
        (by(&other).der(), "no certificate for OCSP"),
        (by(&stranger.issue("responder", Kind::P256, for_ocsp)).der(), "not one of the issuer's"),
        (by(&old).der(), "not one of the issuer's"),
        (Response { certificates: vec![], ..by(&stranger) }.der(), "not known"),
    ] {
        let why = undecided(site.answered(&signer, |_| content(der.clone())));
        assert!(why.contains(reported), "{reported}: {why}");
    }
}

#[test]
fn where_ocsp_fails_the_crl_decides() {
    let site = site("");
    let signer = site.signer(|params| {
        with_crl(params);
        with_ocsp(params);
    });
    let answer = |list: Vec<u8>| {
        move |inquiry: &RevocationQuery| match inquiry.method {
            Method::Ocsp => Answer::Failed("no connection".to_owned()),
            Method::Crl => content(list.clone()),
        }
    };
    vouched(site.answered(&signer, answer(crl(&site.root, |_| {}))));
    let list = crl(&site.root, |params| params.revoked_certs = vec![revoked(&signer)]);
    assert_eq!(flawed(site.answered(&signer, answer(list))).check, "revocation");
}
