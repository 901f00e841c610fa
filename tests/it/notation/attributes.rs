//! The signed attributes: schemes, times, and critical attributes.

use coset::cbor::value::Value as Cbor;
use coset::{Label, RegisteredLabelWithPrivate};
use countersign::clock::Timestamp;
use countersign::trust::notation::{Anchor, Revocations};
use serde_json::{Value, json};

use super::site::{COSE, JWS, candidate, flawed, judged, now, subject, trusting, vouched};
use crate::notation_signer::{Certified, DAY, NOW, Signing, seconds};

const EXPIRY: &str = "io.cncf.notary.expiry";
const AUTHENTIC: &str = "io.cncf.notary.authenticSigningTime";
const SIGNED: &str = "io.cncf.notary.signingTime";
const SCHEME: &str = "io.cncf.notary.signingScheme";

fn site() -> (Certified, Anchor) {
    let root = Certified::root("root");
    let anchor = trusting(&root, "");
    (root, anchor)
}

#[test]
fn an_unknown_critical_attribute_is_refused() {
    let (root, anchor) = site();
    let signing = Signing::new(&root.signer(), &subject());
    let jws = signing.jws_with(
        |header| {
            header["com.example.must"] = json!(true);
            header["crit"].as_array_mut().unwrap().push(json!("com.example.must"));
        },
        |_| {},
    );
    assert_eq!(flawed(judged(&anchor, JWS, jws)).check, "critical_attribute");
    for label in [
        RegisteredLabelWithPrivate::Text("com.example.must".to_owned()),
        RegisteredLabelWithPrivate::Assigned(coset::iana::HeaderParameter::Alg),
        RegisteredLabelWithPrivate::PrivateUse(-70_000),
    ] {
        let cose = signing.cose_with(
            |header| {
                header.rest.push((Label::Text("com.example.must".to_owned()), Cbor::Bool(true)));
                header.rest.push((Label::Int(-70_000), Cbor::Bool(true)));
                header.crit.push(label);
            },
            |_, _| {},
        );
        assert_eq!(flawed(judged(&anchor, COSE, cose)).check, "critical_attribute");
    }
}

#[test]
fn an_unknown_attribute_that_is_not_critical_changes_nothing() {
    let (root, anchor) = site();
    let signing = Signing::new(&root.signer(), &subject());
    vouched(judged(
        &anchor,
        JWS,
        signing.jws_with(|header| header["com.example.may"] = json!(1), |_| {}),
    ));
    let label = Label::Text("com.example.may".to_owned());
    let cose = signing.cose_with(|header| header.rest.push((label, Cbor::Bool(true))), |_, _| {});
    vouched(judged(&anchor, COSE, cose));
}

#[test]
fn a_verification_plugin_is_refused_critical_or_not() {
    let (root, anchor) = site();
    let signing = Signing::new(&root.signer(), &subject());
    let name = "io.cncf.notary.verificationPlugin";
    for critical in [true, false] {
        let jws = signing.jws_with(
            |header| {
                header[name] = json!("com.example.plugin");
                if critical {
                    header["crit"].as_array_mut().unwrap().push(json!(name));
                }
            },
            |_| {},
        );
        assert!(flawed(judged(&anchor, JWS, jws)).found.contains("plugin"));
        let cose = signing.cose_with(
            |header| {
                header.rest.push((Label::Text(name.to_owned()), Cbor::Text("x".to_owned())));
                if critical {
                    header.crit.push(RegisteredLabelWithPrivate::Text(name.to_owned()));
                }
            },
            |_, _| {},
        );
        assert!(flawed(judged(&anchor, COSE, cose)).found.contains("plugin"));
    }
}

#[test]
fn an_attribute_that_must_be_critical_and_is_not_is_refused() {
    let (root, anchor) = site();
    let plain = Signing::new(&root.signer(), &subject()).expiring(NOW + DAY);
    let authority = Signing::by_authority(&root.signer(), &subject());
    for (signing, name) in [(&plain, SCHEME), (&plain, EXPIRY), (&authority, AUTHENTIC)] {
        let jws = signing.jws_with(
            |header| header["crit"].as_array_mut().unwrap().retain(|entry| entry != name),
            |_| {},
        );
        assert_eq!(flawed(judged(&anchor, JWS, jws)).check, "critical_attribute", "{name}");
        let label = RegisteredLabelWithPrivate::Text(name.to_owned());
        let cose =
            signing.cose_with(|header| header.crit.retain(|entry| *entry != label), |_, _| {});
        assert_eq!(flawed(judged(&anchor, COSE, cose)).check, "critical_attribute", "{name}");
    }
    let none =
        plain.jws_with(|header| drop(header.as_object_mut().unwrap().remove("crit")), |_| {});
    assert_eq!(flawed(judged(&anchor, JWS, none)).check, "critical_attribute");
}

#[test]
fn a_critical_attribute_that_is_not_there_or_twice_is_refused() {
    let (root, anchor) = site();
    let signing = Signing::new(&root.signer(), &subject());
    for name in [EXPIRY, SCHEME] {
        let push = |header: &mut Value| header["crit"].as_array_mut().unwrap().push(json!(name));
        let jws = signing.jws_with(push, |_| {});
        assert_eq!(flawed(judged(&anchor, JWS, jws)).check, "critical_attribute", "{name}");
        let label = RegisteredLabelWithPrivate::Text(name.to_owned());
        let cose = signing.cose_with(|header| header.crit.push(label), |_, _| {});
        assert_eq!(flawed(judged(&anchor, COSE, cose)).check, "critical_attribute", "{name}");
    }
}

#[test]
fn an_unknown_or_missing_signing_scheme_is_refused() {
    let (root, anchor) = site();
    let signing = Signing::new(&root.signer(), &subject());
    for scheme in [json!("notary.x509.other"), json!("")] {
        let jws = signing.jws_with(|header| header[SCHEME] = scheme, |_| {});
        assert_eq!(flawed(judged(&anchor, JWS, jws)).check, "signing_scheme");
    }
    let gone =
        signing.jws_with(|header| drop(header.as_object_mut().unwrap().remove(SCHEME)), |_| {});
    assert_eq!(flawed(judged(&anchor, JWS, gone)).check, "critical_attribute");
}

#[test]
fn a_time_of_the_other_scheme_or_none_is_refused() {
    let (root, anchor) = site();
    let plain = Signing::new(&root.signer(), &subject());
    let authority = Signing::by_authority(&root.signer(), &subject());
    for (signing, own, other) in [(&plain, SIGNED, AUTHENTIC), (&authority, AUTHENTIC, SIGNED)] {
        let crit = |header: &mut Value| {
            header["crit"] =
                json!(if own == AUTHENTIC { vec![SCHEME, AUTHENTIC] } else { vec![SCHEME] });
        };
        let both = signing.jws_with(
            |header| {
                crit(header);
                header[other] = json!("2030-01-01T00:00:00Z");
                if other == AUTHENTIC {
                    header["crit"] = json!([SCHEME, AUTHENTIC]);
                }
            },
            |_| {},
        );
        assert_eq!(flawed(judged(&anchor, JWS, both)).check, "signing_scheme", "{own}");
        let none = signing.jws_with(
            |header| {
                header["crit"] = json!([SCHEME]);
                drop(header.as_object_mut().unwrap().remove(own));
            },
            |_| {},
        );
        assert_eq!(flawed(judged(&anchor, JWS, none)).check, "signing_scheme", "{own}");
        let label = Label::Text(own.to_owned());
        let cose = signing.cose_with(
            |header| {
                header.rest.retain(|(known, _)| *known != label);
                header.crit.truncate(1);
            },
            |_, _| {},
        );
        assert_eq!(flawed(judged(&anchor, COSE, cose)).check, "signing_scheme", "{own}");
    }
}

#[test]
fn an_invalid_time_is_refused() {
    let (root, anchor) = site();
    let signing = Signing::new(&root.signer(), &subject());
    for time in [json!("2030-01-01"), json!(1), json!("2030-01-01 00:00:00Z"), Value::Null] {
        let jws = signing.jws_with(|header| header[SIGNED] = time, |_| {});
        assert_eq!(flawed(judged(&anchor, JWS, jws)).check, "envelope");
    }
    let tagged = |tag, value| Cbor::Tag(tag, Box::new(value));
    for time in [
        Cbor::Integer(NOW.into()),
        tagged(0, Cbor::Text("2030-01-01T00:00:00Z".to_owned())),
        tagged(1, Cbor::Text("2030-01-01T00:00:00Z".to_owned())),
        tagged(1, Cbor::Float(1e300)),
        tagged(1, Cbor::Integer(i64::MAX.into())),
        tagged(1, Cbor::Integer((-1).into())),
    ] {
        let label = Label::Text(SIGNED.to_owned());
        let cose = signing.cose_with(
            |header| {
                header.rest.retain(|(known, _)| *known != label);
                header.rest.push((label.clone(), time));
            },
            |_, _| {},
        );
        assert_eq!(flawed(judged(&anchor, COSE, cose)).check, "envelope");
    }
}

#[test]
fn a_protected_attribute_in_the_open_header_is_refused() {
    let (root, anchor) = site();
    let signing = Signing::new(&root.signer(), &subject());
    for name in [EXPIRY, SCHEME] {
        let label = Label::Text(name.to_owned());
        let cose =
            signing.cose_with(|_| {}, |header, _| header.rest.push((label, seconds(NOW + DAY))));
        assert_eq!(flawed(judged(&anchor, COSE, cose)).check, "envelope", "{name}");
    }
}

#[test]
fn an_expired_signature_is_refused_where_expiry_is_enforced() {
    let root = Certified::root("root");
    let signing = Signing::new(&root.signer(), &subject()).expiring(NOW + DAY);
    for (media_type, bytes) in [(JWS, signing.jws()), (COSE, signing.cose())] {
        let candidate = candidate(media_type, bytes);
        let last = Timestamp::from_unix(NOW + DAY - 1);
        let strict = trusting(&root, "");
        let (good, _) =
            vouched(strict.judge(&candidate, &subject(), &Revocations::default(), last));
        assert_eq!(good.expires, Some(Timestamp::from_unix(NOW + DAY)));
        let over = Timestamp::from_unix(NOW + DAY);
        assert_eq!(
            flawed(strict.judge(&candidate, &subject(), &Revocations::default(), over)).check,
            "expiry"
        );
        let permissive = trusting(&root, "level = \"permissive\"");
        let (_, tolerated) =
            vouched(permissive.judge(&candidate, &subject(), &Revocations::default(), over));
        assert_eq!(tolerated[0].check, "expiry");
    }
}

#[test]
fn an_expiry_before_the_signing_is_refused_at_every_level() {
    let root = Certified::root("root");
    let anchor = trusting(&root, "level = \"audit\"");
    for expiry in [NOW, NOW - 1] {
        let signing = Signing::new(&root.signer(), &subject()).expiring(expiry);
        for (media_type, bytes) in [(JWS, signing.jws()), (COSE, signing.cose())] {
            assert_eq!(flawed(judged(&anchor, media_type, bytes)).check, "expiry");
        }
    }
}

#[test]
fn a_signing_authoritys_time_is_held_against_the_whole_chain() {
    let root = Certified::root("root");
    let anchor = trusting(&root, "");
    let ended = |params: &mut rcgen::CertificateParams| {
        params.not_after = crate::notation_signer::at(NOW - DAY);
    };
    let signer = root.issue("short", crate::notation_signer::Kind::P256, ended);
    let mut signing = Signing::by_authority(&signer, &subject());
    assert_eq!(flawed(judged(&anchor, COSE, signing.cose())).check, "certificate_validity");
    signing.signed = NOW - 2 * DAY;
    let (good, _) = vouched(judged(&anchor, COSE, signing.cose()));
    assert_eq!(good.signed, Some(Timestamp::from_unix(NOW - 2 * DAY)));
    assert_eq!(good.expires, None);
    assert!(good.signed < Some(now()));
}
