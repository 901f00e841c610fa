//! Verifies a statement of any type that one of a few pinned keys signed, in a Sigstore bundle. For statements that are
//! not about images: their reader interprets subject and predicate.

use bytes::Bytes;

use crate::trust::signature::{Flaw, Rejection, SignatureContent};

use super::claim::enveloped;
use super::key::Key;
use super::signed::Signed;

/// An in-toto statement that a pinned key signed. Only [`VerifiedStatement::verify`] creates one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedStatement {
    json: Vec<u8>,
    key: String,
}

impl VerifiedStatement {
    /// Verifies `bundle`, a Sigstore bundle (JSON), with `keys`. The error is a clause for people.
    pub fn verify(bundle: &Bytes, keys: &[Key]) -> Result<Self, String> {
        let content = SignatureContent::Bundle { json: bundle.clone() };
        let signed = Signed::read(&content).map_err(|rejection| why(&rejection))?;
        let verify = |key: &Key| {
            let message = key.verify(&signed.message, &signed.signature).ok()?;
            let json = enveloped(message.as_bytes())?.to_vec();
            Some(Self { json, key: hex::encode(key.hash()) })
        };
        keys.iter().find_map(verify).ok_or_else(|| "no pinned key signed it".to_owned())
    }

    /// The statement, as it was signed.
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// The id of the key that signed it: the SHA-256 of its SubjectPublicKeyInfo, in hex.
    pub fn key(&self) -> &str {
        &self.key
    }
}

fn why(rejection: &Rejection) -> String {
    match rejection {
        Rejection::Beside(Flaw { found, .. }) | Rejection::Flawed(Flaw { found, .. }) => {
            found.clone()
        }
        Rejection::Undecided(why) | Rejection::Unexamined(why) => why.clone(),
    }
}
