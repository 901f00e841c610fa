//! Keys of every kind that cosign signs with, and their signatures.

use std::sync::Arc;

use aws_lc_rs::digest::{Digest, SHA384};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature as s;
use rcgen::{KeyPair, PublicKeyData as _};
use sha2::{Digest as _, Sha256};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    P256,
    P384,
    P521,
    Ed25519,
    Rsa2048,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::P256, Self::P384, Self::P521, Self::Ed25519, Self::Rsa2048];
}

/// A key with its private half.
#[derive(Clone)]
pub struct Key {
    pub kind: Kind,
    pub pair: Arc<KeyPair>,
}

impl Key {
    pub fn new(kind: Kind) -> Self {
        let algorithm = match kind {
            Kind::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Kind::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Kind::P521 => &rcgen::PKCS_ECDSA_P521_SHA256,
            Kind::Ed25519 => &rcgen::PKCS_ED25519,
            Kind::Rsa2048 => &rcgen::PKCS_RSA_SHA256,
        };
        Self { kind, pair: Arc::new(KeyPair::generate_for(algorithm).unwrap()) }
    }

    pub fn spki(&self) -> Vec<u8> {
        self.pair.subject_public_key_info()
    }

    /// The content of `cosign.pub`.
    pub fn pem(&self) -> String {
        self.pair.public_key_pem().replace("\r\n", "\n")
    }

    /// The SHA-256 of the public key, which identifies logs.
    pub fn id(&self) -> [u8; 32] {
        Sha256::digest(self.spki()).into()
    }

    /// Signs like cosign: DER, and SHA-256 for every curve; PKCS#1 v1.5.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let (private, rng) = (self.pair.serialized_der(), SystemRandom::new());
        let ecdsa = |algorithm| s::EcdsaKeyPair::from_pkcs8(algorithm, private).unwrap();
        match self.kind {
            Kind::P256 => {
                let pair = ecdsa(&s::ECDSA_P256_SHA256_ASN1_SIGNING);
                pair.sign(&rng, message).unwrap().as_ref().to_vec()
            }
            Kind::P384 => {
                // The library does not offer P-384 with SHA-256. ECDSA uses a hash only as a number, and leading zeros
                // do not change it.
                let mut widened = [0; 48];
                widened[16..].copy_from_slice(&Sha256::digest(message));
                let digest = Digest::import_less_safe(&widened, &SHA384).unwrap();
                let pair = ecdsa(&s::ECDSA_P384_SHA384_ASN1_SIGNING);
                pair.sign_digest(&digest).unwrap().as_ref().to_vec()
            }
            Kind::P521 => {
                let pair = ecdsa(&s::ECDSA_P521_SHA256_ASN1_SIGNING);
                pair.sign(&rng, message).unwrap().as_ref().to_vec()
            }
            Kind::Ed25519 => {
                let pair = s::Ed25519KeyPair::from_pkcs8(private).unwrap();
                pair.sign(message).as_ref().to_vec()
            }
            Kind::Rsa2048 => self.rsa(&s::RSA_PKCS1_SHA256, message),
        }
    }

    /// Hashes with the width of the curve, as newer cosign versions do.
    pub fn sign_wide(&self, message: &[u8]) -> Vec<u8> {
        let algorithm = match self.kind {
            Kind::P384 => &s::ECDSA_P384_SHA384_ASN1_SIGNING,
            Kind::P521 => &s::ECDSA_P521_SHA512_ASN1_SIGNING,
            Kind::P256 | Kind::Ed25519 | Kind::Rsa2048 => return self.sign(message),
        };
        let pair = s::EcdsaKeyPair::from_pkcs8(algorithm, self.pair.serialized_der()).unwrap();
        pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }

    /// RSA, PKCS#1 v1.5, with a hash of 384 or 512 bits.
    pub fn sign_hashed(&self, bits: usize, message: &[u8]) -> Vec<u8> {
        match (self.kind, bits) {
            (Kind::Rsa2048, 384) => self.rsa(&s::RSA_PKCS1_SHA384, message),
            (Kind::Rsa2048, 512) => self.rsa(&s::RSA_PKCS1_SHA512, message),
            other => panic!("{other:?}"),
        }
    }

    /// Ed25519ph, as current cosign signs with Ed25519 keys.
    pub fn sign_prehashed(&self, message: &[u8]) -> Vec<u8> {
        // The seed is the last part of PKCS#8 version 1, and before the public key in version 2.
        let private = self.pair.serialized_der();
        let at = private.windows(4).position(|window| window == [4, 34, 4, 32]).unwrap() + 4;
        let seed: [u8; 32] = private[at..at + 32].try_into().unwrap();
        let key = ed25519_dalek::SigningKey::from_bytes(&seed);
        let digest = sha2::Sha512::new_with_prefix(message);
        key.sign_prehashed(digest, None).unwrap().to_bytes().to_vec()
    }

    /// Signs with PSS, which cosign does not use.
    pub fn sign_pss(&self, message: &[u8]) -> Vec<u8> {
        self.rsa(&s::RSA_PSS_SHA256, message)
    }

    fn rsa(&self, encoding: &'static dyn s::RsaEncoding, message: &[u8]) -> Vec<u8> {
        let pair = s::RsaKeyPair::from_pkcs8(self.pair.serialized_der()).unwrap();
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    }
}
