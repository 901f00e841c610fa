//! Keys of every type that Notary supports, created at run time and kept by name, and their signatures: the valid
//! ones, and the invalid ones of the attack table.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use aws_lc_rs::digest::{Digest, SHA384};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature as s;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::json::canonical;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    P256,
    P384,
    P521,
    Ed25519,
    Rsa2048,
}

type Pairs = BTreeMap<(Kind, String), Arc<KeyPair>>;

static PAIRS: LazyLock<Mutex<Pairs>> = LazyLock::new(Mutex::default);

/// A key as in metadata, and its private half.
#[derive(Clone)]
pub struct Key {
    pub kind: Kind,
    /// `ecdsa`, `rsa`, `ed25519`, `ecdsa-x509`, `rsa-x509`, or any type that a test wants it to claim.
    pub keytype: String,
    /// The content of `keyval.public`, before base64.
    pub public: Vec<u8>,
    /// `keyval.private`; `None` omits the member.
    pub private: Option<Value>,
    /// The id under which it is listed, if that is not its own.
    pub listed_as: Option<String>,
    pub pair: Arc<KeyPair>,
}

impl Key {
    /// The key of that kind and name, the same for the whole test run.
    pub fn new(kind: Kind, name: &str) -> Self {
        let pair = PAIRS
            .lock()
            .unwrap()
            .entry((kind, name.to_owned()))
            .or_insert_with(|| {
                let algorithm = match kind {
                    Kind::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
                    Kind::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
                    Kind::P521 => &rcgen::PKCS_ECDSA_P521_SHA256,
                    Kind::Ed25519 => &rcgen::PKCS_ED25519,
                    Kind::Rsa2048 => &rcgen::PKCS_RSA_SHA256,
                };
                Arc::new(KeyPair::generate_for(algorithm).unwrap())
            })
            .clone();
        let (keytype, public) = match kind {
            Kind::P256 | Kind::P384 | Kind::P521 => ("ecdsa", pair.subject_public_key_info()),
            Kind::Rsa2048 => ("rsa", pair.subject_public_key_info()),
            Kind::Ed25519 => ("ed25519", pair.public_key_raw().to_vec()),
        };
        Self {
            kind,
            keytype: keytype.to_owned(),
            public,
            private: Some(Value::Null),
            listed_as: None,
            pair,
        }
    }

    /// The P-256 key of that name: Notary's default type.
    pub fn named(name: &str) -> Self {
        Self::new(Kind::P256, name)
    }

    /// The same key as Notary lists it in a certificate: `pem` and the matching type.
    pub fn in_certificate(&self, pem: impl Into<String>) -> Self {
        let bare = self.keytype.trim_end_matches("-x509");
        Self { keytype: format!("{bare}-x509"), public: pem.into().into_bytes(), ..self.clone() }
    }

    /// The hash of its own description.
    pub fn id(&self) -> String {
        let public = STANDARD.encode(&self.public);
        key_id(&self.keytype, &public)
    }

    /// The id of the bare public key, which is the name of private key files.
    pub fn canonical_id(&self) -> String {
        Self { public: self.pair.subject_public_key_info(), ..self.clone() }.bare_id()
    }

    fn bare_id(&self) -> String {
        key_id(self.keytype.trim_end_matches("-x509"), &STANDARD.encode(&self.public))
    }

    /// The id under which it is listed.
    pub fn listed_id(&self) -> String {
        self.listed_as.clone().unwrap_or_else(|| self.id())
    }

    /// The entry of a `keys` object.
    pub fn entry(&self) -> Value {
        let mut keyval = json!({ "public": STANDARD.encode(&self.public) });
        if let Some(private) = &self.private {
            keyval["private"] = private.clone();
        }
        json!({ "keytype": self.keytype, "keyval": keyval })
    }

    pub fn public_pem(&self) -> String {
        self.pair.public_key_pem()
    }
}

/// The id of a key with that type and `keyval.public`.
fn key_id(keytype: &str, public: &str) -> String {
    let described = json!({
        "keytype": keytype,
        "keyval": { "private": null, "public": public },
    });
    hex::encode(Sha256::digest(canonical(&described)))
}

/// The computation of a signature. The first four are Notary's four methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Ecdsa,
    Pss,
    Pkcs1,
    Eddsa,
    /// ASN.1 instead of `r||s`.
    EcdsaDer,
    /// P-384 with its usual hash, which Notary does not use.
    EcdsaSha384,
    PssSha512,
}

/// A signature to create.
#[derive(Clone)]
pub struct Signer {
    pub key: Key,
    pub how: How,
    pub method: Value,
    pub keyid: String,
    /// A change of the signature's bytes.
    pub mangled: fn(Vec<u8>) -> Vec<u8>,
}

impl Signer {
    /// `key` signs like Notary does by default.
    pub fn of(key: &Key) -> Self {
        let (how, method) = match key.kind {
            Kind::P256 | Kind::P384 | Kind::P521 => (How::Ecdsa, "ecdsa"),
            Kind::Rsa2048 => (How::Pss, "rsapss"),
            Kind::Ed25519 => (How::Eddsa, "eddsa"),
        };
        Self {
            key: key.clone(),
            how,
            method: json!(method),
            keyid: key.listed_id(),
            mangled: |signature| signature,
        }
    }

    /// The same, with another computation and method name.
    pub fn by(self, how: How, method: &str) -> Self {
        Self { how, method: json!(method), ..self }
    }

    pub fn under(self, keyid: impl Into<String>) -> Self {
        Self { keyid: keyid.into(), ..self }
    }

    pub fn mangled(self, mangled: fn(Vec<u8>) -> Vec<u8>) -> Self {
        Self { mangled, ..self }
    }

    /// The entry of `signatures` for `message`; a `method` of null omits the member.
    pub fn sign(&self, message: &[u8]) -> Value {
        let signature = (self.mangled)(signature(&self.key.pair, self.key.kind, self.how, message));
        let mut entry = json!({ "keyid": self.keyid, "sig": STANDARD.encode(signature) });
        if !self.method.is_null() {
            entry["method"] = self.method.clone();
        }
        entry
    }
}

fn signature(pair: &KeyPair, kind: Kind, how: How, message: &[u8]) -> Vec<u8> {
    let private = pair.serialized_der();
    let rng = SystemRandom::new();
    let ecdsa = |algorithm| s::EcdsaKeyPair::from_pkcs8(algorithm, private).unwrap();
    let rsa = |encoding: &'static dyn s::RsaEncoding| {
        let rsa = s::RsaKeyPair::from_pkcs8(private).unwrap();
        let mut signature = vec![0; rsa.public_modulus_len()];
        rsa.sign(encoding, &rng, message, &mut signature).unwrap();
        signature
    };
    match (how, kind) {
        (How::Ecdsa, Kind::P384) => {
            // The library does not offer P-384 with SHA-256. ECDSA uses a hash only as a number, and leading zeros do
            // not change it.
            let mut widened = [0; 48];
            widened[16..].copy_from_slice(&Sha256::digest(message));
            let digest = Digest::import_less_safe(&widened, &SHA384).unwrap();
            let pair = ecdsa(&s::ECDSA_P384_SHA384_FIXED_SIGNING);
            pair.sign_digest(&digest).unwrap().as_ref().to_vec()
        }
        (How::Ecdsa, Kind::P521) => {
            let pair = ecdsa(&s::ECDSA_P521_SHA256_FIXED_SIGNING);
            pair.sign(&rng, message).unwrap().as_ref().to_vec()
        }
        (How::Ecdsa, _) => {
            let pair = ecdsa(&s::ECDSA_P256_SHA256_FIXED_SIGNING);
            pair.sign(&rng, message).unwrap().as_ref().to_vec()
        }
        (How::EcdsaDer, _) => {
            let pair = ecdsa(&s::ECDSA_P256_SHA256_ASN1_SIGNING);
            pair.sign(&rng, message).unwrap().as_ref().to_vec()
        }
        (How::EcdsaSha384, _) => {
            let pair = ecdsa(&s::ECDSA_P384_SHA384_FIXED_SIGNING);
            pair.sign(&rng, message).unwrap().as_ref().to_vec()
        }
        (How::Eddsa, _) => {
            let pair = s::Ed25519KeyPair::from_pkcs8(private).unwrap();
            pair.sign(message).as_ref().to_vec()
        }
        (How::Pss, _) => rsa(&s::RSA_PSS_SHA256),
        (How::PssSha512, _) => rsa(&s::RSA_PSS_SHA512),
        (How::Pkcs1, _) => rsa(&s::RSA_PKCS1_SHA256),
    }
}
