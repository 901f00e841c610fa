//! The public keys of an anchor: files of `cosign generate-key-pair`, or of any tool that writes the same PEM. Explains what
//! another file contains. Knows no signature format.

use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::trust::keys::{BadSignature, Method, PublicKey, VerifiedBytes};
use crate::trust::x509::{Hash, SignatureAlgorithm};

/// The fewest bits of an RSA key.
const MIN_RSA: usize = 2048;

/// How the signatures of a key must be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scheme {
    /// `None`: SHA-256, SHA-384 or SHA-512. Ed25519 keys have a hash of their own.
    pub(super) hash: Option<Hash>,
    /// Of RSA keys.
    pub(super) padding: Padding,
}

/// The padding of RSA signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Padding {
    /// PKCS#1 v1.5, which cosign uses.
    #[default]
    Pkcs1,
    /// PSS with a salt as long as the hash.
    Pss,
}

/// A public key whose signatures count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    public: PublicKey,
    spki: Vec<u8>,
    scheme: Scheme,
}

impl Key {
    /// Reads one PEM SubjectPublicKeyInfo.
    pub fn parse(pem: &str) -> Result<Self, String> {
        let labels: Vec<&str> = pem
            .lines()
            .filter_map(|line| line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----"))
            .collect();
        match labels.as_slice() {
            ["PUBLIC KEY"] => {}
            [] => {
                return Err(
                    "is not PEM; name the file `cosign.pub`, which begins with -----BEGIN PUBLIC KEY-----"
                        .to_owned(),
                );
            }
            [label, ..] if label.ends_with("PRIVATE KEY") => {
                return Err(
                    "holds a private key: keep it secret, and name the file with the public key that \
                     `cosign public-key` prints"
                        .to_owned(),
                );
            }
            [label, ..] if label.ends_with("CERTIFICATE") => {
                return Err(
                    "holds a certificate and not a key; for certificates, set `certificate_chain` and \
                     `identity`, or extract the key with `openssl x509 -pubkey -noout`"
                        .to_owned(),
                );
            }
            ["RSA PUBLIC KEY"] => {
                return Err(
                    "holds a PKCS#1 key; convert it with `openssl rsa -RSAPublicKey_in -pubout`"
                        .to_owned(),
                );
            }
            [_] => {
                return Err(format!(
                    "holds {:?} instead of a PUBLIC KEY",
                    labels.first().unwrap_or(&"")
                ));
            }
            [_, _, ..] => {
                return Err("holds several keys; use one file per key".to_owned());
            }
        }
        let spki = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes())
            .map_err(|e| format!("is not PEM: {e}"))?;
        Self::from_spki(spki.as_ref())
    }

    /// Reads a DER SubjectPublicKeyInfo, of a file or of a certificate.
    pub fn from_spki(der: &[u8]) -> Result<Self, String> {
        let public = PublicKey::from_ed25519_spki(der).or_else(|| PublicKey::from_spki(der));
        let public = public.ok_or_else(|| unfit(der))?;
        Ok(Self { public, spki: der.to_vec(), scheme: Scheme::default() })
    }

    /// Reads a bare RSAPublicKey (PKCS#1, DER), as some trusted roots have it.
    pub(super) fn from_pkcs1(der: &[u8]) -> Option<Self> {
        let public = PublicKey::from_pkcs1(der)?;
        Some(Self { spki: public.to_spki(), public, scheme: Scheme::default() })
    }

    /// The same key, whose signatures must be made in this way.
    pub(super) fn with(self, scheme: Scheme) -> Self {
        Self { scheme, ..self }
    }

    pub(super) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The DER SubjectPublicKeyInfo.
    pub(super) fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The SHA-256 of the SubjectPublicKeyInfo: what bundles hint at.
    pub(super) fn hash(&self) -> [u8; 32] {
        Sha256::digest(&self.spki).into()
    }

    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Returns the message if this key made the signature over it. cosign hashes with SHA-256, or as the key's size or
    /// the signer's options demand: without a configured hash, each of the three is tried.
    pub(super) fn verify<'a>(
        &self,
        message: &'a [u8],
        signature: &[u8],
    ) -> Result<VerifiedBytes<'a>, BadSignature> {
        if let PublicKey::Ed25519(_) = &self.public {
            // cosign signs with Ed25519ph by default, and with Ed25519 in some cases.
            let pure = self.public.verify(Method::Ed25519, message, signature);
            return pure
                .or_else(|_| self.public.verify(Method::Ed25519Prehashed, message, signature));
        }
        let algorithm = |hash| match (&self.public, self.scheme.padding) {
            (PublicKey::Rsa { .. }, Padding::Pss) => SignatureAlgorithm::RsaPss(hash),
            (PublicKey::Rsa { .. }, Padding::Pkcs1) => SignatureAlgorithm::RsaPkcs1(hash),
            (PublicKey::Ecdsa { .. } | PublicKey::Ed25519(_), _) => SignatureAlgorithm::Ecdsa(hash),
        };
        let hashes = match &self.scheme.hash {
            Some(hash) => std::slice::from_ref(hash),
            None => &Hash::ALL[..],
        };
        let mut tried =
            hashes.iter().map(|hash| algorithm(*hash).verify(&self.public, message, signature));
        tried.find(Result::is_ok).unwrap_or(Err(BadSignature))
    }
}

/// Why the key cannot be used.
fn unfit(der: &[u8]) -> String {
    let fit = "use ECDSA on P-256, P-384 or P-521, RSA of 2048 to 8192 bits, or Ed25519";
    let parsed = SubjectPublicKeyInfo::from_der(der).ok();
    match parsed.as_ref().and_then(|(_, spki)| spki.parsed().ok()) {
        Some(Parsed::RSA(key)) if key.key_size() < MIN_RSA => {
            format!("holds an RSA key of {} bits, which is too weak; {fit}", key.key_size())
        }
        Some(_) | None => format!("holds a key that cannot be used; {fit}"),
    }
}
