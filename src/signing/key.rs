//! The private key: ECDSA P-256 in PEM, as PKCS#8 or SEC1, without a password. Explains what another file contains and
//! how to convert it.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// The longest key file, in bytes.
const MAX_KEY_FILE: u64 = 64 * 1024;

/// How to create a key that this module reads.
const CREATE: &str =
    "create a key with `openssl ecparam -name prime256v1 -genkey -noout -out key.pem`";
/// How to give cosign the same key.
const IMPORT: &str = "`cosign import-key-pair --key key.pem` makes the same key usable with cosign";

/// Why a file is not a usable private key.
#[derive(Debug, Error)]
pub enum KeyFileError {
    #[error("cannot read the key file {path}: {error}")]
    Read { path: PathBuf, error: std::io::Error },
    #[error("the key file {path} {problem}")]
    Content { path: PathBuf, problem: String },
}

/// The cryptographic library could not sign.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("signing failed")]
pub struct SigningFailed;

/// A private key. Its `Debug` output shows only the public half.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    /// The public key: DER SubjectPublicKeyInfo.
    spki: Vec<u8>,
}

impl SigningKey {
    /// Reads the key in the file at `path`, which may have at most 64 KiB.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let failed = |error| KeyFileError::Read { path: path.to_owned(), error };
        let content = |problem| KeyFileError::Content { path: path.to_owned(), problem };
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(MAX_KEY_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MAX_KEY_FILE {
            return Err(content(format!("has more than {MAX_KEY_FILE} bytes")));
        }
        let text = String::from_utf8(bytes);
        let text = text.map_err(|_| content(format!("is not PEM; {CREATE}")))?;
        Self::parse(&text).map_err(content)
    }

    /// Parses a PEM file with exactly one private key. The error completes the sentence "the key file …".
    pub fn parse(text: &str) -> Result<Self, String> {
        let labels: Vec<&str> = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----"))
            // `openssl ecparam -genkey` writes the name of the curve in front of the key.
            .filter(|label| *label != "EC PARAMETERS")
            .collect();
        let not_pem = |error: pem::Error| format!("is not valid PEM: {error}");
        let pair = match labels.as_slice() {
            [] => return Err(format!("is not PEM; {CREATE}")),
            [_, _, ..] => return Err("holds several keys; use one file per key".to_owned()),
            // aws-lc takes both forms in either function; this way each label means its own form.
            ["PRIVATE KEY"] => {
                let der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(not_pem)?;
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der.secret_pkcs8_der())
            }
            ["EC PRIVATE KEY"] if text.contains("Proc-Type:") => return Err(encrypted_pem()),
            ["EC PRIVATE KEY"] => {
                let der = PrivateSec1KeyDer::from_pem_slice(text.as_bytes()).map_err(not_pem)?;
                let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
                EcdsaKeyPair::from_private_key_der(algorithm, der.secret_sec1_der())
            }
            [label] => return Err(unusable(label)),
        };
        let pair = pair.map_err(|_| format!("does not hold an ECDSA P-256 key; {CREATE}"))?;
        let spki: PublicKeyX509Der<'_> =
            pair.public_key().as_der().map_err(|_| "holds an invalid key".to_owned())?;
        let spki = spki.as_ref().to_vec();
        Ok(Self { pair, spki })
    }

    /// Identifies the key in a bundle, as cosign does: base64 of the SHA-256 of the public key. Verifiers treat it as a
    /// hint.
    pub fn hint(&self) -> String {
        STANDARD.encode(Sha256::digest(&self.spki))
    }

    /// The public key as `cosign.pub` contains it: PEM SubjectPublicKeyInfo.
    #[cfg(feature = "test-support")]
    pub fn public_pem(&self) -> String {
        let text = STANDARD.encode(&self.spki);
        let mut pem = "-----BEGIN PUBLIC KEY-----\n".to_owned();
        for (at, letter) in text.chars().enumerate() {
            if at > 0 && at % 64 == 0 {
                pem.push('\n');
            }
            pem.push(letter);
        }
        pem.push_str("\n-----END PUBLIC KEY-----\n");
        pem
    }

    /// The signature over the SHA-256 of `message`, in DER.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| SigningFailed)?;
        Ok(signature.as_ref().to_vec())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.hint()).finish_non_exhaustive()
    }
}

/// Why a PEM section with this label is no usable key.
fn unusable(label: &str) -> String {
    match label {
        // scrypt and NaCl secretbox; no maintained library among the dependencies reads them.
        "ENCRYPTED SIGSTORE PRIVATE KEY" | "ENCRYPTED COSIGN PRIVATE KEY" => format!(
            "holds a key that cosign encrypted, which Countersign does not read; {CREATE}, and {IMPORT}"
        ),
        "ENCRYPTED PRIVATE KEY" => encrypted_pem(),
        "RSA PRIVATE KEY" => {
            format!("holds an RSA key, but an ECDSA P-256 key is required; {CREATE}")
        }
        "PUBLIC KEY" => "holds a public key, but signing requires the private key".to_owned(),
        _ if label.ends_with("CERTIFICATE") => {
            "holds a certificate, but signing requires the private key".to_owned()
        }
        _ => format!("holds {label:?} instead of a PRIVATE KEY; {CREATE}"),
    }
}

fn encrypted_pem() -> String {
    "is protected by a password, which Countersign does not support; remove it with \
     `openssl pkcs8 -topk8 -nocrypt -in key.pem -out plain.pem`, and restrict access to the file"
        .to_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use aws_lc_rs::encoding::EcPrivateKeyRfc5915Der;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING, UnparsedPublicKey,
    };

    use super::*;

    fn section(label: &str, der: &[u8]) -> String {
        let text = STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    }

    fn pkcs8(pair: &EcdsaKeyPair) -> String {
        section("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref())
    }

    /// With the name of the curve in front, as `openssl ecparam -genkey` writes it.
    fn sec1(pair: &EcdsaKeyPair) -> String {
        let der: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().unwrap();
        let curve =
            "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
        format!("{curve}{}", section("EC PRIVATE KEY", der.as_ref()))
    }

    fn pair() -> EcdsaKeyPair {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()
    }

    /// A new key.
    pub(crate) fn key() -> SigningKey {
        SigningKey::parse(&pkcs8(&pair())).unwrap()
    }

    #[test]
    fn both_forms_of_one_key_make_signatures_that_its_public_key_verifies() {
        let pair = pair();
        for pem in [sec1(&pair), pkcs8(&pair)] {
            let key = SigningKey::parse(&pem).unwrap();
            let signature = key.sign(b"message").unwrap();
            let point = pair.public_key().as_ref();
            let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
            public.verify(b"message", &signature).unwrap();
            public.verify(b"Message", &signature).unwrap_err();
        }
    }

    #[test]
    fn the_hint_is_the_hash_of_the_public_key() {
        let key = key();
        let public = key.public_pem();
        assert!(public.lines().all(|line| line.len() <= 64), "{public}");
        let der: String = public.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(der).unwrap();
        assert_eq!(key.hint(), STANDARD.encode(Sha256::digest(der)));
    }

    #[test]
    fn another_file_gets_an_error_that_names_the_fix() {
        let pair = pair();
        let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
        let other = |label| section(label, b"content");
        let locked = sec1(&pair).replace("KEY-----\nM", "KEY-----\nProc-Type: 4,ENCRYPTED\n\nM");
        let wrong = [
            (String::new(), "openssl ecparam"),
            ("no key".to_owned(), "openssl ecparam"),
            (other("ENCRYPTED SIGSTORE PRIVATE KEY"), "cosign import-key-pair"),
            (other("ENCRYPTED COSIGN PRIVATE KEY"), "cosign import-key-pair"),
            (other("ENCRYPTED PRIVATE KEY"), "openssl pkcs8"),
            (locked, "openssl pkcs8"),
            (other("RSA PRIVATE KEY"), "P-256"),
            (other("CERTIFICATE"), "private key"),
            (other("SOMETHING"), "SOMETHING"),
            (other("PRIVATE KEY"), "P-256"),
            (other("EC PRIVATE KEY"), "P-256"),
            (key().public_pem(), "private key"),
            (format!("{}{}", sec1(&pair), pkcs8(&pair)), "one file per key"),
            (pkcs8(&p384), "P-256"),
            (sec1(&p384), "P-256"),
        ];
        for (pem, expected) in wrong {
            let error = SigningKey::parse(&pem).map(|_| ()).unwrap_err();
            assert!(error.contains(expected), "{pem}: {error}");
        }
    }

    #[test]
    fn a_private_key_is_not_in_the_debug_output() {
        let key = key();
        assert_eq!(format!("{key:?}"), format!("SigningKey {{ public: {:?}, .. }}", key.hint()));
    }
}
