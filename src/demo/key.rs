//! The keys that sign the demo's images: ECDSA P-256, made at run time and gone with the process.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use thiserror::Error;

/// Why something could not be signed.
#[derive(Debug, Error)]
#[error("cannot sign: {0}")]
pub struct SigningError(pub(super) String);

#[expect(clippy::needless_pass_by_value, reason = "its place is in `map_err`")]
pub(super) fn failed(error: impl ToString) -> SigningError {
    SigningError(error.to_string())
}

/// A key with its private half.
pub(super) struct Key(KeyPair);

impl Key {
    pub(super) fn new() -> Result<Self, SigningError> {
        KeyPair::generate().map(Self).map_err(failed)
    }

    /// As certificates need it.
    pub(super) fn pair(&self) -> &KeyPair {
        &self.0
    }

    /// The public key (SubjectPublicKeyInfo, DER).
    pub(super) fn public(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }

    /// The public key as `cosign.pub` contains it.
    pub(super) fn pem(&self) -> String {
        self.0.public_key_pem().replace("\r\n", "\n")
    }

    /// A signature in DER, with SHA-256: as cosign, logs and certificates have it.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        self.0.sign(message).map_err(failed)
    }

    /// The same as two numbers of fixed length, as JWS has it (ES256).
    pub(super) fn sign_fixed(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        let private = self.0.serialized_der();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private);
        let signature = pair.map_err(failed)?.sign(&SystemRandom::new(), message);
        Ok(signature.map_err(failed)?.as_ref().to_vec())
    }
}
