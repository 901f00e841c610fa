//! Notary Project signers for tests: authorities and certificates created at run time, and envelopes in both formats,
//! valid or with one defect.

#![allow(clippy::unwrap_used, reason = "a rig that fails is a test that fails")]
#![allow(unreachable_pub, reason = "reads the same wherever it is included")]
#![allow(dead_code, reason = "shared by tests that each use a part of it")]

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature as s;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use coset::cbor::value::Value as Cbor;
use coset::{CoseSign1Builder, Header, HeaderBuilder, Label, TaggedCborSerializable as _, iana};
use countersign::trust::Subject;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, RsaKeySize,
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// 2030-01-01T00:00:00Z: the default signing time.
pub const NOW: i64 = 1_893_456_000;
/// One day, in seconds. Certificates are valid for ten years around [`NOW`].
pub const DAY: i64 = 86_400;

const SCHEME: &str = "io.cncf.notary.signingScheme";
const SIGNING_TIME: &str = "io.cncf.notary.signingTime";
const AUTHENTIC: &str = "io.cncf.notary.authenticSigningTime";
const EXPIRY: &str = "io.cncf.notary.expiry";
const TIMESTAMP: &str = "io.cncf.notary.timestampSignature";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    P256,
    P384,
    P521,
    Rsa2048,
    Rsa3072,
    Rsa4096,
}

type Pairs = BTreeMap<(Kind, String), Arc<KeyPair>>;

static PAIRS: LazyLock<Mutex<Pairs>> = LazyLock::new(Mutex::default);

/// The key of that kind and name, the same for the whole test run.
fn pair(kind: Kind, name: &str) -> Arc<KeyPair> {
    let made = || match kind {
        Kind::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
        Kind::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
        Kind::P521 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512),
        Kind::Rsa2048 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
        Kind::Rsa3072 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_3072),
        Kind::Rsa4096 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA512, RsaKeySize::_4096),
    };
    let mut pairs = PAIRS.lock().unwrap();
    let made = || Arc::new(made().unwrap());
    pairs.entry((kind, name.to_owned())).or_insert_with(made).clone()
}

pub fn at(unix: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix).unwrap()
}

/// A certificate with its key, and the certificates above it.
#[derive(Clone)]
pub struct Certified {
    pub der: Vec<u8>,
    pub kind: Kind,
    pub pair: Arc<KeyPair>,
    pub params: CertificateParams,
    pub above: Option<Arc<Certified>>,
}

fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, "US");
    name.push(DnType::StateOrProvinceName, "WA");
    name.push(DnType::OrganizationName, "Acme");
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    params.not_before = at(NOW - 5 * 365 * DAY);
    params.not_after = at(NOW + 5 * 365 * DAY);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

/// Makes a certificate that of an authority.
pub fn authority(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
}

impl Certified {
    /// A root authority with a P-256 key.
    pub fn root(common_name: &str) -> Self {
        Self::alone(common_name, Kind::P256, authority)
    }

    /// A self-signed certificate.
    pub fn alone(
        common_name: &str,
        kind: Kind,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = params(common_name);
        change(&mut params);
        let pair = pair(kind, common_name);
        let der = params.self_signed(&*pair).unwrap().der().to_vec();
        Self { der, kind, pair, params, above: None }
    }

    /// A certificate below this one.
    pub fn issue(
        &self,
        common_name: &str,
        kind: Kind,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = params(common_name);
        change(&mut params);
        let pair = pair(kind, common_name);
        let der = params.signed_by(&*pair, &self.issuer()).unwrap().der().to_vec();
        Self { der, kind, pair, params, above: Some(Arc::new(self.clone())) }
    }

    pub fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &*self.pair)
    }

    /// A signer below this one, with a P-256 key.
    pub fn signer(&self) -> Self {
        self.issue("signer", Kind::P256, |_| {})
    }

    /// Its own certificate first, the root last.
    pub fn chain(&self) -> Vec<Vec<u8>> {
        let mut chain = vec![self.der.clone()];
        chain.extend(self.above.iter().flat_map(|above| above.chain()));
        chain
    }

    /// A signature over `message`, as in an envelope.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let private = self.pair.serialized_der();
        let ecdsa = |algorithm| {
            let pair = s::EcdsaKeyPair::from_pkcs8(algorithm, private).unwrap();
            pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
        };
        let rsa = |padding: &'static s::RsaSignatureEncoding| {
            let pair = s::RsaKeyPair::from_pkcs8(private).unwrap();
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(padding, &SystemRandom::new(), message, &mut signature).unwrap();
            signature
        };
        match self.kind {
            Kind::P256 => ecdsa(&s::ECDSA_P256_SHA256_FIXED_SIGNING),
            Kind::P384 => ecdsa(&s::ECDSA_P384_SHA384_FIXED_SIGNING),
            Kind::P521 => ecdsa(&s::ECDSA_P521_SHA512_FIXED_SIGNING),
            Kind::Rsa2048 => rsa(&s::RSA_PSS_SHA256),
            Kind::Rsa3072 => rsa(&s::RSA_PSS_SHA384),
            Kind::Rsa4096 => rsa(&s::RSA_PSS_SHA512),
        }
    }

    pub fn pem(&self) -> String {
        let text = STANDARD.encode(&self.der);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    }
}

/// An envelope to sign.
#[derive(Clone)]
pub struct Signing {
    pub signer: Certified,
    pub payload: Value,
    pub authority: bool,
    pub signed: i64,
    pub expiry: Option<i64>,
    pub chain: Vec<Vec<u8>>,
}

impl Signing {
    /// An envelope of `signer` for `subject` at [`NOW`].
    pub fn new(signer: &Certified, subject: &Subject) -> Self {
        let payload = json!({ "targetArtifact": {
            "mediaType": subject.media_type.as_str(),
            "digest": subject.digest.to_string(),
            "size": subject.size,
        }});
        let chain = signer.chain();
        Self { signer: signer.clone(), payload, authority: false, signed: NOW, expiry: None, chain }
    }

    /// The same, as a signing authority.
    pub fn by_authority(signer: &Certified, subject: &Subject) -> Self {
        Self { authority: true, ..Self::new(signer, subject) }
    }

    pub fn expiring(self, expiry: i64) -> Self {
        Self { expiry: Some(expiry), ..self }
    }

    fn times(&self) -> Vec<(&'static str, i64)> {
        let signed = if self.authority { AUTHENTIC } else { SIGNING_TIME };
        let expiry = self.expiry.map(|expiry| (EXPIRY, expiry));
        [(signed, self.signed)].into_iter().chain(expiry).collect()
    }

    fn scheme(&self) -> &'static str {
        if self.authority { "notary.x509.signingAuthority" } else { "notary.x509" }
    }

    fn critical(&self) -> Vec<&'static str> {
        let times = self.times().into_iter().map(|(name, _)| name);
        std::iter::once(SCHEME).chain(times.filter(|name| *name != SIGNING_TIME)).collect()
    }

    fn algorithm(&self) -> (&'static str, iana::Algorithm) {
        match self.signer.kind {
            Kind::P256 => ("ES256", iana::Algorithm::ES256),
            Kind::P384 => ("ES384", iana::Algorithm::ES384),
            Kind::P521 => ("ES512", iana::Algorithm::ES512),
            Kind::Rsa2048 => ("PS256", iana::Algorithm::PS256),
            Kind::Rsa3072 => ("PS384", iana::Algorithm::PS384),
            Kind::Rsa4096 => ("PS512", iana::Algorithm::PS512),
        }
    }

    pub fn jws(&self) -> Vec<u8> {
        self.jws_with(|_| {}, |_| {})
    }

    /// The JWS envelope. The changes apply to its protected header before signing, and to the whole envelope after.
    pub fn jws_with(
        &self,
        protected: impl FnOnce(&mut Value),
        envelope: impl FnOnce(&mut Value),
    ) -> Vec<u8> {
        let mut header = json!({
            "alg": self.algorithm().0,
            "cty": "application/vnd.cncf.notary.payload.v1+json",
            "crit": self.critical(),
            SCHEME: self.scheme(),
        });
        for (name, unix) in self.times() {
            header[name] = json!(at(unix).format(&Rfc3339).unwrap());
        }
        protected(&mut header);
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        let payload = URL_SAFE_NO_PAD.encode(self.payload.to_string());
        let signature = self.signer.sign(format!("{header}.{payload}").as_bytes());
        let x5c: Vec<_> = self.chain.iter().map(|der| STANDARD.encode(der)).collect();
        let mut whole = json!({
            "payload": payload,
            "protected": header,
            "header": { "x5c": x5c, "io.cncf.notary.signingAgent": "rig/1" },
            "signature": URL_SAFE_NO_PAD.encode(signature),
        });
        envelope(&mut whole);
        whole.to_string().into_bytes()
    }

    /// The JWS envelope with the token that `stamp` returns for its signature.
    pub fn jws_stamped(&self, stamp: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
        self.jws_with(
            |_| {},
            |envelope| {
                let signature = envelope["signature"].as_str().unwrap();
                let token = stamp(&URL_SAFE_NO_PAD.decode(signature).unwrap());
                envelope["header"][TIMESTAMP] = json!(STANDARD.encode(token));
            },
        )
    }

    pub fn cose(&self) -> Vec<u8> {
        self.cose_with(|_| {}, |_, _| {})
    }

    /// The COSE envelope. The changes apply to its protected header before signing, and to the unprotected header
    /// after; the latter also gets the signature.
    pub fn cose_with(
        &self,
        protected: impl FnOnce(&mut Header),
        unprotected: impl FnOnce(&mut Header, &[u8]),
    ) -> Vec<u8> {
        let mut header = HeaderBuilder::new()
            .algorithm(self.algorithm().1)
            .content_type("application/vnd.cncf.notary.payload.v1+json".to_owned())
            .text_value(SCHEME.to_owned(), Cbor::Text(self.scheme().to_owned()));
        for name in self.critical() {
            header =
                header.add_critical_label(coset::RegisteredLabelWithPrivate::Text(name.to_owned()));
        }
        for (name, unix) in self.times() {
            header = header.text_value(name.to_owned(), seconds(unix));
        }
        let mut header = header.build();
        protected(&mut header);
        let x5chain = self.chain.iter().map(|der| Cbor::Bytes(der.clone())).collect();
        let open = HeaderBuilder::new().value(33, Cbor::Array(x5chain)).build();
        let mut message = CoseSign1Builder::new()
            .protected(header)
            .unprotected(open)
            .payload(self.payload.to_string().into_bytes())
            .create_signature(b"", |message| self.signer.sign(message))
            .build();
        unprotected(&mut message.unprotected, &message.signature);
        message.to_tagged_vec().unwrap()
    }

    /// The COSE envelope with the token that `stamp` returns for its signature.
    pub fn cose_stamped(&self, stamp: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
        self.cose_with(
            |_| {},
            |header, signature| {
                let label = Label::Text(TIMESTAMP.to_owned());
                header.rest.push((label, Cbor::Bytes(stamp(signature))));
            },
        )
    }
}

/// A time as in COSE envelopes.
pub fn seconds(unix: i64) -> Cbor {
    Cbor::Tag(1, Box::new(Cbor::Integer(unix.into())))
}
