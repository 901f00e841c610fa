//! Revocation: the meaning of CRLs and OCSP responses, which checks are required, and which statements are rejected.

use bytes::Bytes;
use countersign::clock::Timestamp;
use countersign::trust::notation::{Anchor, Answer, Judged, Method, RevocationQuery, Revocations};
use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, CrlScope, IsCa, KeyUsagePurpose,
    RevocationReason,
};

use super::site::{JWS, candidate, config, flawed, now, subject, trusting, undecided, vouched};
use crate::notation_authority::{
    Response, Stamp, crl, responder_at, revoked, revoked_status, scope, timestamping,
};
use crate::notation_signer::{Certified, DAY, Kind, NOW, Signing, at, authority};

const CRL: &str = "http://pki.example.com/root.crl";
const OCSP: &str = "http://ocsp.example.com";

pub(super) fn with_crl(params: &mut CertificateParams) {
    params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![CRL.to_owned()] }];
}

pub(super) fn with_ocsp(params: &mut CertificateParams) {
    params.custom_extensions.push(responder_at(OCSP));
}

pub(super) struct Site {
    pub(super) root: Certified,
    anchor: Anchor,
}

pub(super) fn site(lines: &str) -> Site {
    let root = Certified::root("root");
    let anchor = trusting(&root, &format!("revocation = \"check\"\n{lines}"));
    Site { root, anchor }
}

impl Site {
    pub(super) fn signer(&self, change: fn(&mut CertificateParams)) -> Certified {
        self.root.issue("signer", Kind::P256, change)
    }

    fn judge(&self, signer: &Certified, known: &Revocations) -> Judged {
        let candidate = candidate(JWS, Signing::new(signer, &subject()).jws());
        self.anchor.judge(&candidate, &subject(), known, now())
    }

    /// The verdict once every inquiry has been answered, by `answer`.
    pub(super) fn answered(
        &self,
        signer: &Certified,
        answer: impl Fn(&RevocationQuery) -> Answer,
    ) -> Judged {
        let mut known = Revocations::default();
        for _ in 0..4 {
            let Judged::Needs(inquiries) = self.judge(signer, &known) else { break };
            for inquiry in inquiries {
                let answer = answer(&inquiry);
                known.know(inquiry, answer);
            }
        }
        self.judge(signer, &known)
    }
}

pub(super) fn content(der: Vec<u8>) -> Answer {
    Answer::Content(Bytes::from(der))
}

#[test]
fn a_certificate_without_revocation_addresses_is_not_checked() {
    let site = site("");
    vouched(site.judge(&site.signer(|_| {}), &Revocations::default()));
}

#[test]
fn responders_without_a_known_response_are_queried_first() {
    let site = site("");
    let inquiry = RevocationQuery { method: Method::Crl, url: CRL.to_owned() };
    assert_eq!(
        site.judge(&site.signer(with_crl), &Revocations::default()),
        Judged::Needs(vec![inquiry])
    );
    let Judged::Needs(asked) = site.judge(&site.signer(with_ocsp), &Revocations::default()) else {
        panic!("unexpected request");
    };
    assert_eq!(asked[0].method, Method::Ocsp);
    assert!(asked[0].url.starts_with("http://ocsp.example.com/M"), "{asked:?}");
}

#[test]
fn nobody_is_asked_about_an_untrusted_chain() {
    for (level, tolerated) in [("strict", false), ("audit", true)] {
        let site = site(&format!("level = {level:?}"));
        let stranger = Certified::root("stranger").issue("signer", Kind::P256, with_crl);
        let verdict = site.judge(&stranger, &Revocations::default());
        if tolerated {
            let (_, tolerated) = vouched(verdict);
            assert_eq!(
                tolerated.iter().map(|flaw| flaw.check).collect::<Vec<_>>(),
                ["trust_store", "revocation"]
            );
        } else {
            assert_eq!(flawed(verdict).check, "trust_store");
        }
    }
}

#[test]
fn a_certificate_that_no_crl_lists_is_good_until_the_next() {
    let site = site("");
    let signer = site.signer(with_crl);
    let other = site.root.issue("other", Kind::P256, with_crl);
    let list = crl(&site.root, |params| params.revoked_certs = vec![revoked(&other)]);
    let (good, _) = vouched(site.answered(&signer, |_| content(list.clone())));
    assert_eq!(good.expires, Some(Timestamp::from_unix(NOW + DAY)));
}

#[test]
fn a_revoked_certificate_is_refused() {
    let site = site("");
    let signer = site.signer(with_crl);
    let list = crl(&site.root, |params| params.revoked_certs = vec![revoked(&signer)]);
    assert_eq!(flawed(site.answered(&signer, |_| content(list.clone()))).check, "revocation");
    let signer = site.signer(with_ocsp);
    let said = Response { status: revoked_status(), ..Response::good(&site.root, &signer) };
    assert_eq!(flawed(site.answered(&signer, |_| content(said.der()))).check, "revocation");
}

#[test]
fn a_revoked_authority_is_refused_as_well() {
    let site = site("");
    let between = site.root.issue("between", Kind::P256, |params| {
        authority(params);
        with_crl(params);
    });
    let list = crl(&site.root, |params| params.revoked_certs = vec![revoked(&between)]);
    let verdict = site.answered(&between.signer(), |_| content(list.clone()));
    assert_eq!(flawed(verdict).check, "revocation");
}

#[test]
fn an_unreachable_responder_is_undecided_when_strict_and_a_warning_when_permissive() {
    let failed = |_: &RevocationQuery| Answer::Failed("no connection".to_owned());
    for change in [with_crl, with_ocsp] {
        let strict = site("");
        let why = undecided(strict.answered(&strict.signer(change), failed));
        assert!(why.contains("no connection"), "{why}");
        let permissive = site("level = \"permissive\"");
        let (_, tolerated) = vouched(permissive.answered(&permissive.signer(change), failed));
        assert_eq!(tolerated[0].check, "revocation");
    }
}

#[test]
fn a_revoked_certificate_is_only_a_warning_when_permissive() {
    let site = site("level = \"permissive\"");
    let signer = site.signer(with_crl);
    let list = crl(&site.root, |params| params.revoked_certs = vec![revoked(&signer)]);
    let (_, tolerated) = vouched(site.answered(&signer, |_| content(list.clone())));
    assert!(tolerated[0].found.contains("was revoked"));
}

#[test]
fn a_crl_that_proves_nothing_is_undecided() {
    let site = site("");
    let signer = site.signer(with_crl);
    let stranger = Certified::root("stranger");
    let impostor = Certified::alone("impostor", Kind::P256, |params| {
        authority(params);
        params.distinguished_name = site.root.params.distinguished_name.clone();
    });
    let mut broken = crl(&site.root, |_| {});
    let last = broken.len() - 1;
    broken[last] ^= 1;
    let scoped = |url: &str, part: Option<CrlScope>| {
        crl(&site.root, |params| {
            let mut scope = scope(url);
            scope.scope = part;
            params.issuing_distribution_point = Some(scope);
        })
    };
    for (list, reported) in [
        (b"no list".to_vec(), "not a CRL"),
        (crl(&stranger, |_| {}), "another issuer"),
        (crl(&impostor, |_| {}), "signature"),
        (broken, "signature"),
        (crl(&site.root, |params| params.next_update = at(NOW - 1)), "it held until"),
        (crl(&site.root, |params| params.this_update = at(NOW + 3600)), "in the future"),
        (scoped("http://pki.example.com/other.crl", None), "another distribution point"),
        (scoped(CRL, Some(CrlScope::CaCertsOnly)), "other certificates"),
    ] {
        let why = undecided(site.answered(&signer, |_| content(list.clone())));
        assert!(why.contains(reported), "{reported}: {why}");
    }
    for part in [None, Some(CrlScope::UserCertsOnly)] {
        let list = scoped(CRL, part);
        vouched(site.answered(&signer, |_| content(list.clone())));
    }
}

#[test]
fn an_authority_that_may_not_sign_crls_is_not_believed() {
    let root = Certified::alone("no crl", Kind::P256, |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    });
    let anchor = trusting(&root, "revocation = \"check\"");
    let site = Site { root, anchor };
    let signer = site.signer(with_crl);
    let mut pretending = site.root.clone();
    authority(&mut pretending.params);
    let list = crl(&pretending, |_| {});
    assert!(undecided(site.answered(&signer, |_| content(list.clone()))).contains("keyUsage"));
}

#[test]
fn an_expired_crl_still_revokes_but_proves_nothing_else() {
    let site = site("");
    let signer = site.signer(with_crl);
    let list = |reason| {
        crl(&site.root, |params| {
            params.next_update = at(NOW - 1);
            params.revoked_certs = vec![revoked(&signer)];
            params.revoked_certs[0].reason_code = Some(reason);
        })
    };
    let old = list(RevocationReason::KeyCompromise);
    assert_eq!(flawed(site.answered(&signer, |_| content(old.clone()))).check, "revocation");
    let hold = list(RevocationReason::CertificateHold);
    undecided(site.answered(&signer, |_| content(hold.clone())));
}

#[test]
fn a_hold_is_a_revocation_while_it_lasts() {
    let site = site("");
    let signer = site.signer(with_crl);
    let list = crl(&site.root, |params| {
        params.revoked_certs = vec![revoked(&signer)];
        params.revoked_certs[0].reason_code = Some(RevocationReason::CertificateHold);
    });
    assert_eq!(flawed(site.answered(&signer, |_| content(list.clone()))).check, "revocation");
}

#[test]
fn a_key_that_went_bad_after_an_authentic_signing_is_good_and_by_the_signers_word_is_not() {
    let site = site("");
    let signer = site.signer(with_crl);
    let list = crl(&site.root, |params| {
        params.revoked_certs = vec![revoked(&signer)];
        params.revoked_certs[0].invalidity_date = Some(at(NOW - 1800));
    });
    let mut known = Revocations::default();
    known.know(RevocationQuery { method: Method::Crl, url: CRL.to_owned() }, content(list));
    let judge = |signing: &Signing| {
        site.anchor.judge(&candidate(JWS, signing.jws()), &subject(), &known, now())
    };
    let mut authentic = Signing::by_authority(&signer, &subject());
    authentic.signed = NOW - 3000;
    vouched(judge(&authentic));
    authentic.signed = NOW - 1000;
    assert_eq!(flawed(judge(&authentic)).check, "revocation");
    let mut claimed = Signing::new(&signer, &subject());
    claimed.signed = NOW - 3000;
    assert_eq!(flawed(judge(&claimed)).check, "revocation");
}

#[test]
fn only_http_is_asked() {
    let site = site("");
    let signer = site.signer(|params| {
        let uris =
            vec!["ldap://ldap.example.com/cn=crl".to_owned(), "file:///etc/passwd".to_owned()];
        params.crl_distribution_points = vec![CrlDistributionPoint { uris }];
    });
    assert!(undecided(site.judge(&signer, &Revocations::default())).contains("not an http URL"));
}

#[test]
fn skipped_revocation_asks_nobody() {
    let root = Certified::root("root");
    let anchor = trusting(&root, "revocation = \"skip\"");
    let site = Site { root, anchor };
    vouched(site.judge(&site.signer(with_crl), &Revocations::default()));
}

/// CVE-2024-56138.
#[test]
fn a_revoked_timestamping_authority_proves_no_time() {
    let (root, tsa_root) = (Certified::root("root"), Certified::root("tsa root"));
    let tsa = tsa_root.issue("tsa", Kind::P256, |params| {
        timestamping(params);
        with_crl(params);
    });
    let lines = "trust_store = [\"ca:root.crt\"]\ntsa = [\"tsa.crt\"]\nidentities = [\"*\"]";
    let files = [("root.crt", root.pem()), ("tsa.crt", tsa_root.pem())];
    let files = files.each_ref().map(|(name, pem)| (*name, pem.as_bytes()));
    let anchor = Anchor::new(config(lines, &files).unwrap());
    let stamp = Stamp::new(&tsa);
    let bytes =
        Signing::new(&root.signer(), &subject()).jws_stamped(|signature| stamp.token(signature));
    let judge = |known: &Revocations| {
        anchor.judge(&candidate(JWS, bytes.clone()), &subject(), known, now())
    };
    let inquiry = RevocationQuery { method: Method::Crl, url: CRL.to_owned() };
    assert_eq!(judge(&Revocations::default()), Judged::Needs(vec![inquiry.clone()]));
    let mut known = Revocations::default();
    known.know(inquiry.clone(), content(crl(&tsa_root, |_| {})));
    vouched(judge(&known));
    let list = crl(&tsa_root, |params| params.revoked_certs = vec![revoked(&tsa)]);
    known.know(inquiry.clone(), content(list));
    assert_eq!(flawed(judge(&known)).check, "revocation");
    known.know(inquiry, Answer::Failed("no connection".to_owned()));
    undecided(judge(&known));
}
