//! The public keys of an anchor: files of `cosign generate-key-pair`, or of any tool that writes the
//! same PEM. Says in plain words what a file is that is none. Knows no signature format.

use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::trust::keys::{BadSignature, Curve, Method, PublicKey, VerifiedBytes};

/// The fewest bits of an RSA key.
const MIN_RSA: usize = 2048;

/// A public key whose signatures count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    public: PublicKey,
    spki: Vec<u8>,
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
                    "holds no PEM; name the file `cosign.pub`, which begins with -----BEGIN PUBLIC KEY-----"
                        .to_owned(),
                );
            }
            [label, ..] if label.ends_with("PRIVATE KEY") => {
                return Err(
                    "holds a private key, which has no business here: keep it secret, and name the \
                     public key that `cosign public-key` prints"
                        .to_owned(),
                );
            }
            [label, ..] if label.ends_with("CERTIFICATE") => {
                return Err(
                    "holds a certificate and no key; certificates count by `certificate_chain` and \
                     `identity`, a key of its own is printed by `openssl x509 -pubkey -noout`"
                        .to_owned(),
                );
            }
            ["RSA PUBLIC KEY"] => {
                return Err(
                    "holds a PKCS#1 key; `openssl rsa -RSAPublicKey_in -pubout` makes a PUBLIC KEY of it"
                        .to_owned(),
                );
            }
            [_] => {
                return Err(format!(
                    "holds {:?} where a PUBLIC KEY is due",
                    labels.first().unwrap_or(&"")
                ));
            }
            [_, _, ..] => {
                return Err("holds several keys; write one a file, and list the files".to_owned());
            }
        }
        let spki = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes())
            .map_err(|e| format!("is no PEM: {e}"))?;
        Self::from_spki(spki.as_ref())
    }

    /// Reads a DER SubjectPublicKeyInfo, of a file or of a certificate.
    pub fn from_spki(der: &[u8]) -> Result<Self, String> {
        let public = PublicKey::from_ed25519_spki(der).or_else(|| PublicKey::from_spki(der));
        let public = public.ok_or_else(|| unfit(der))?;
        Ok(Self { public, spki: der.to_vec() })
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

    /// Whether the library for log entries verifies with it: it has no P-521.
    pub(super) fn can_be_logged(&self) -> bool {
        !matches!(self.public, PublicKey::Ecdsa { curve: Curve::P521, .. })
    }

    /// The message, if the signature over it is this key's. Cosign hashes with SHA-256 whatever the
    /// curve, and since its third version as the curve has it.
    pub(super) fn verify<'a>(
        &self,
        message: &'a [u8],
        signature: &[u8],
    ) -> Result<VerifiedBytes<'a>, BadSignature> {
        let methods: &[Method] = match &self.public {
            PublicKey::Ecdsa { curve: Curve::P256, .. } => &[Method::EcdsaDer],
            PublicKey::Ecdsa { .. } => &[Method::EcdsaDer, Method::EcdsaDerWide],
            PublicKey::Ed25519(_) => &[Method::Ed25519],
            PublicKey::Rsa { .. } => &[Method::RsaPkcs1],
        };
        let mut tried =
            methods.iter().map(|method| self.public.verify(*method, message, signature));
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
