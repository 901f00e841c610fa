//! The hashes and signature algorithms of certificates, CRLs, timestamps and SCTs. SHA-1 is not among them.

use aws_lc_rs::digest;
use aws_lc_rs::signature;
use x509_parser::asn1_rs::Oid;
use x509_parser::oid_registry::{
    OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_HASH_SHA256, OID_NIST_HASH_SHA384, OID_NIST_HASH_SHA512,
    OID_PKCS1_RSAENCRYPTION, OID_PKCS1_RSASSAPSS, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA,
    OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384,
    OID_SIG_ECDSA_WITH_SHA512,
};
use x509_parser::signature_algorithm::RsaSsaPssParams;
use x509_parser::x509::AlgorithmIdentifier;

use crate::trust::keys::{BadSignature, Curve, PublicKey, VerifiedBytes, ecdsa, rsa};

/// The hashes that this program accepts in signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::trust) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    pub(in crate::trust) const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    pub(in crate::trust) const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    pub(in crate::trust) fn from_oid(oid: &Oid<'_>) -> Option<Self> {
        [
            (OID_NIST_HASH_SHA256, Self::Sha256),
            (OID_NIST_HASH_SHA384, Self::Sha384),
            (OID_NIST_HASH_SHA512, Self::Sha512),
        ]
        .into_iter()
        .find_map(|(known, hash)| (known == *oid).then_some(hash))
    }

    pub(in crate::trust) fn of(self, content: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, content).as_ref().to_vec()
    }
}

/// The algorithm of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::trust) enum SignatureAlgorithm {
    /// `ECDSA-Sig-Value`, DER.
    Ecdsa(Hash),
    RsaPkcs1(Hash),
    /// PSS, with one hash throughout and a salt as long as it.
    RsaPss(Hash),
}

impl SignatureAlgorithm {
    /// Reads an AlgorithmIdentifier. CMS may name only the kind of key there (RSA, EC): `digest` is then the hash.
    pub(in crate::trust) fn read(
        identifier: &AlgorithmIdentifier<'_>,
        digest: Option<Hash>,
    ) -> Option<Self> {
        let named = [
            (OID_SIG_ECDSA_WITH_SHA256, Self::Ecdsa(Hash::Sha256)),
            (OID_SIG_ECDSA_WITH_SHA384, Self::Ecdsa(Hash::Sha384)),
            (OID_SIG_ECDSA_WITH_SHA512, Self::Ecdsa(Hash::Sha512)),
            (OID_PKCS1_SHA256WITHRSA, Self::RsaPkcs1(Hash::Sha256)),
            (OID_PKCS1_SHA384WITHRSA, Self::RsaPkcs1(Hash::Sha384)),
            (OID_PKCS1_SHA512WITHRSA, Self::RsaPkcs1(Hash::Sha512)),
        ];
        let oid = &identifier.algorithm;
        if let Some((_, made)) = named.into_iter().find(|(known, _)| known == oid) {
            return Some(made);
        }
        if *oid == OID_PKCS1_RSAENCRYPTION {
            return digest.map(Self::RsaPkcs1);
        }
        if *oid == OID_KEY_TYPE_EC_PUBLIC_KEY {
            return digest.map(Self::Ecdsa);
        }
        if *oid == OID_PKCS1_RSASSAPSS {
            let parameters = identifier.parameters.clone()?;
            let parameters = RsaSsaPssParams::try_from(parameters).ok()?;
            return Hash::from_oid(parameters.hash_algorithm_oid()).map(Self::RsaPss);
        }
        None
    }

    /// The hash of the message.
    pub(in crate::trust) const fn hash(self) -> Hash {
        match self {
            Self::Ecdsa(hash) | Self::RsaPkcs1(hash) | Self::RsaPss(hash) => hash,
        }
    }

    /// The message, if `key` made `signature` over it in this way.
    pub(in crate::trust) fn verify<'a>(
        self,
        key: &PublicKey,
        message: &'a [u8],
        signature: &[u8],
    ) -> Result<VerifiedBytes<'a>, BadSignature> {
        match (self, key) {
            (Self::Ecdsa(hash), PublicKey::Ecdsa { curve, point }) => {
                let algorithm = match (curve, hash) {
                    (Curve::P256, Hash::Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
                    (Curve::P256, Hash::Sha384) => &signature::ECDSA_P256_SHA384_ASN1,
                    (Curve::P256, Hash::Sha512) => &signature::ECDSA_P256_SHA512_ASN1,
                    (Curve::P384, Hash::Sha256) => &signature::ECDSA_P384_SHA256_ASN1,
                    (Curve::P384, Hash::Sha384) => &signature::ECDSA_P384_SHA384_ASN1,
                    (Curve::P384, Hash::Sha512) => &signature::ECDSA_P384_SHA512_ASN1,
                    (Curve::P521, Hash::Sha256) => &signature::ECDSA_P521_SHA256_ASN1,
                    (Curve::P521, Hash::Sha384) => &signature::ECDSA_P521_SHA384_ASN1,
                    (Curve::P521, Hash::Sha512) => &signature::ECDSA_P521_SHA512_ASN1,
                };
                ecdsa(algorithm, point, message, signature)
            }
            (Self::RsaPkcs1(hash), PublicKey::Rsa { modulus, exponent }) => {
                let parameters = match hash {
                    Hash::Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    Hash::Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    Hash::Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                };
                rsa(parameters, modulus, exponent, message, signature)
            }
            (Self::RsaPss(hash), PublicKey::Rsa { modulus, exponent }) => {
                let parameters = match hash {
                    Hash::Sha256 => &signature::RSA_PSS_2048_8192_SHA256,
                    Hash::Sha384 => &signature::RSA_PSS_2048_8192_SHA384,
                    Hash::Sha512 => &signature::RSA_PSS_2048_8192_SHA512,
                };
                rsa(parameters, modulus, exponent, message, signature)
            }
            (Self::Ecdsa(_) | Self::RsaPkcs1(_) | Self::RsaPss(_), _) => Err(BadSignature),
        }
    }
}
