//! Turns received metadata into verified metadata. One parse yields both the signed bytes and the typed data.
//!
//! Only [`Signed::verify`] returns the typed data, once a threshold of keys has turned the message into
//! [`VerifiedBytes`]. A root lists its own keys, so [`Signed::verify_by_itself`] reads those first.

use sha2::{Digest as _, Sha256, Sha512};

use crate::clock::Timestamp;
use crate::json::{self, Document, Value};
use crate::trust::keys::{Method, VerifiedBytes};
use crate::trust::refusal::{Reason, Refusal};
use crate::trust::signer::{SignerId, SignerIds};

use super::canonical::canonical;
use super::fields::{Fields, malformed};
use super::role::Role;
use super::schema::{Common, Meta, Metadata, RoleKeys, Root};
use super::tuf_key::{KeyId, TufKey};

/// The member that is signed.
const SIGNED: &str = "signed";
/// The most JSON values in one file. 200,000 tags with two hashes each need 1,000,000.
const MAX_VALUES: usize = 1_200_000;
/// The size of the canonical and the typed form together, at most, as a multiple of the file's length.
const COPIES: usize = 4;
/// The most signatures of one file.
const MAX_SIGNATURES: usize = 64;

/// Metadata as received: parsed, with unverified signatures.
pub(super) struct Signed {
    role: Role,
    document: Document,
    message: Vec<u8>,
    signatures: Vec<Signature>,
}

struct Signature {
    key: Option<KeyId>,
    method: Option<Method>,
    bytes: Vec<u8>,
}

/// A message that a threshold of keys has signed, and these keys.
struct Met<'a> {
    message: VerifiedBytes<'a>,
    signers: SignerIds,
}

/// Metadata that a threshold of its role's keys has signed. Only [`Signed::verify`] and [`Signed::verify_by_itself`]
/// create it.
pub(super) struct Verified<T> {
    metadata: T,
    role: Role,
    signers: SignerIds,
}

impl Signed {
    /// The most memory that parsing and verifying `length` bytes allocates, in bytes: the JSON, its canonical form, and the
    /// typed form with an entry for each tag.
    pub(super) const fn most_memory(length: usize) -> usize {
        COPIES * length + json::most_memory(length, MAX_VALUES)
    }

    /// Parses `bytes` as `role`'s metadata.
    pub(super) fn parse(role: Role, bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() as u64 > role.ceiling() {
            return Err(malformed(format!("{role} is longer than {} bytes", role.ceiling())));
        }
        let document = Document::parse_within(bytes, MAX_VALUES)
            .map_err(|e| malformed(format!("{role} is {e}")))?;
        let place = role.to_string();
        let fields = Fields::of(&place, document.root(), &[SIGNED, "signatures"])?;
        let signatures = fields
            .items("signatures", MAX_SIGNATURES)?
            .map(|signature| Signature::read(&place, signature))
            .collect::<Result<Vec<_>, _>>()?;
        if signatures.is_empty() {
            return Err(Refusal::new(Reason::SignatureInvalid, format!("{role} has no signature")));
        }
        let message = canonical(fields.required(SIGNED)?)
            .map_err(|e| malformed(format!("{role} has no canonical form: {e}")))?;
        Ok(Self { role, document, message, signatures })
    }

    /// The metadata, if a threshold of `keys` has signed it.
    pub(super) fn verify<T: Metadata>(&self, keys: &RoleKeys) -> Result<Verified<T>, Refusal> {
        let met = self.met(keys, |_| true)?;
        let metadata = self.claims(met.message)?;
        Ok(Verified { metadata, role: self.role.clone(), signers: met.signers })
    }

    /// The root, if a threshold of its own keys has signed it. Only keys for which `counts` is true count. `named` may refuse
    /// the root by its keys before; `blamed` explains a refusal for too few signatures.
    pub(super) fn verify_by_itself(
        &self,
        named: impl FnOnce(&RoleKeys) -> Result<(), Refusal>,
        counts: impl Fn(&(KeyId, TufKey)) -> bool,
        blamed: impl FnOnce(Refusal, &RoleKeys) -> Refusal,
    ) -> Result<Verified<Root>, Refusal> {
        let listed: Root = self.read()?;
        named(&listed.root)?;
        let met = self.met(&listed.root, counts);
        let met = met.map_err(|refusal| blamed(refusal, &listed.root))?;
        let metadata = self.claims(met.message)?;
        Ok(Verified { metadata, role: self.role.clone(), signers: met.signers })
    }

    /// Reads the metadata from the verified message.
    fn claims<T: Metadata>(&self, _: VerifiedBytes<'_>) -> Result<T, Refusal> {
        self.read()
    }

    /// Reads the metadata without a check of its signatures.
    fn read<T: Metadata>(&self) -> Result<T, Refusal> {
        let signed = self.document.root().member(SIGNED).unwrap_or(Value::Null);
        T::read(&self.role, signed)
    }

    /// The distinct keys that have signed and for which `counts` is true, if they meet the threshold.
    pub(super) fn threshold(
        &self,
        keys: &RoleKeys,
        counts: impl Fn(&(KeyId, TufKey)) -> bool,
    ) -> Result<SignerIds, Refusal> {
        self.met(keys, counts).map(|met| met.signers)
    }

    fn met(
        &self,
        keys: &RoleKeys,
        counts: impl Fn(&(KeyId, TufKey)) -> bool,
    ) -> Result<Met<'_>, Refusal> {
        let mut signers = SignerIds::new();
        let mut message = None;
        let counted = keys.keys.iter().filter(|key| counts(key));
        for (id, key) in counted.filter_map(|(id, key)| Some((*id, key.public()?))) {
            let own = self.signatures.iter().filter(|signature| signature.key == Some(id));
            let mut verified = own.filter_map(|signature| {
                key.verify(signature.method?, &self.message, &signature.bytes).ok()
            });
            if let Some(bytes) = verified.next() {
                message = Some(bytes);
                signers.insert(SignerId::of_key(key));
            }
        }
        match message {
            Some(message) if signers.len() as u64 >= keys.threshold => Ok(Met { message, signers }),
            Some(_) | None => Err(Refusal::new(
                Reason::SignatureInvalid,
                format!(
                    "{} has {} valid signatures; its threshold is {}",
                    self.role,
                    signers.len(),
                    keys.threshold
                ),
            )),
        }
    }
}

impl Signature {
    fn read(place: &str, value: Value<'_>) -> Result<Self, Refusal> {
        let fields = Fields::of(place, value, &["keyid", "method", "sig"])?;
        let bytes = fields.base64("sig")?;
        let method = fields.optional("method").and_then(Value::as_str).unwrap_or_default();
        Ok(Self {
            key: KeyId::parse(fields.text("keyid")?),
            method: match method.to_ascii_lowercase().as_str() {
                "ecdsa" => Some(Method::EcdsaFixed),
                "eddsa" => Some(Method::Ed25519),
                "rsapkcs1v15" => Some(Method::RsaPkcs1),
                "rsapss" => Some(Method::RsaPss),
                _ => None,
            },
            bytes,
        })
    }
}

impl<T: Metadata> Verified<T> {
    pub(super) fn metadata(&self) -> &T {
        &self.metadata
    }

    pub(super) fn into_metadata(self) -> T {
        self.metadata
    }

    pub(super) fn common(&self) -> Common {
        self.metadata.common()
    }

    /// The keys that signed it.
    pub(super) fn signers(&self) -> &SignerIds {
        &self.signers
    }

    /// Refuses it if it has expired at `now`.
    pub(super) fn unexpired(self, now: Timestamp) -> Result<Self, Refusal> {
        let expires = self.common().expires;
        if expires < now {
            return Err(Refusal::new(
                Reason::Expired,
                format!("{} expired at {expires}", self.role),
            ));
        }
        Ok(self)
    }
}

impl Meta {
    /// A hash over the length and all hashes.
    pub(super) fn identity(&self) -> [u8; 32] {
        let mut hasher = Sha256::new_with_prefix(self.length.to_be_bytes());
        hasher.update(self.sha256);
        hasher.update(self.sha512.as_ref().map_or(&[][..], |sha512| sha512));
        hasher.finalize().into()
    }

    /// Compares `bytes` with the parent's entry: the exact length and every hash.
    pub(super) fn matches(&self, role: &Role, bytes: &[u8]) -> Result<(), Refusal> {
        let differs = |what: &str| {
            Refusal::new(
                Reason::MixAndMatch,
                format!("the {what} of {role} differs from the one that its parent names"),
            )
        };
        if bytes.len() as u64 != self.length {
            return Err(differs("length"));
        }
        if <[u8; 32]>::from(Sha256::digest(bytes)) != self.sha256 {
            return Err(differs("SHA-256"));
        }
        match self.sha512 {
            Some(sha512) if <[u8; 64]>::from(Sha512::digest(bytes)) != sha512 => {
                Err(differs("SHA-512"))
            }
            Some(_) | None => Ok(()),
        }
    }
}
