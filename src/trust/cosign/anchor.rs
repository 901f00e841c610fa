//! Verifies one candidate for one image at `now`, and returns what it proves.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use crate::clock::Timestamp;
use crate::json;
use crate::oci::Digest;
use crate::trust::keys::VerifiedBytes;
use crate::trust::restrictions::revoked_flaw;
use crate::trust::signature::{Candidate, Flaw, Rejection, VerifiedSignature};
use crate::trust::signer::{SignerId, SignerIds};
use crate::trust::subject::Subject;

use super::certificate::Certificate;
use super::claim::{Claim, Claimed};
use super::config::{Config, Signers, Tlog};
use super::evidence::LEAF;
use super::flaw::{ANNOTATIONS, CERTIFICATE, IDENTITY, ISSUER, SIGNATURE, flaw, flawed};
use super::identity::Identity;
use super::key::Key;
use super::limits::MAX_STATEMENT_VALUES;
use super::path::{self, Broken};
use super::restricted;
use super::signed::Signed;
use super::time;

/// How many copies of a payload exist while it is judged: the parsed bundle, the payload, the signed bytes, and the texts of
/// the parsed statement.
const COPIES: usize = 4;

/// The bytes that a valid signature covers, and who made it.
type Good<'a> = (VerifiedBytes<'a>, VerifiedSignature);

/// An anchor that verifies signatures.
#[derive(Clone, Debug)]
pub struct Anchor {
    config: Config,
    fingerprint: Digest,
}

impl Anchor {
    pub fn new(config: Config) -> Self {
        let fingerprint = config.fingerprint();
        Self { config, fingerprint }
    }

    pub fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Identifies everything that a verdict depends on besides the candidate, the image and the time: keys and options.
    /// Verdicts may be cached under it.
    pub fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// Whether the anchor requires an attestation instead of a signature.
    pub fn wants_attestation(&self) -> bool {
        self.config.predicate_type.is_some()
    }

    /// The most bytes that [`Self::judge`] allocates for a candidate of `length` bytes: copies of its payload, and the JSON of
    /// its statement.
    pub const fn most_memory(length: usize) -> usize {
        COPIES * length + json::most_memory(length, MAX_STATEMENT_VALUES)
    }

    /// Whether the annotations of a signature fit this anchor: made with a key, or with a certificate.
    pub fn is_hinted_by(&self, annotations: &BTreeMap<String, String>) -> bool {
        let by_key = match &self.config.signers {
            Signers::Keys(_) => true,
            Signers::Keyless { .. } | Signers::Pki { .. } => false,
        };
        annotations.get(LEAF).is_none_or(String::is_empty) == by_key
    }

    /// Returns what `candidate` proves about `subject` at `now`. Pure.
    pub fn judge(
        &self,
        candidate: &Candidate,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<VerifiedSignature, Rejection> {
        let signed = Signed::read(&candidate.content)?;
        let kind = self.config.predicate_type.as_deref();
        signed.outline.is_asked_for(kind, &subject.digest)?;
        time::logs_have_come(&signed, now).map_err(Rejection::from)?;
        let (verified, vouched) = match &self.config.signers {
            Signers::Keys(keys) => self.by_key(keys, &signed, now),
            Signers::Keyless { identity, issuer } => self.keyless(identity, issuer, &signed, now),
            Signers::Pki { chain, identity, issuer } => {
                self.by_pki(chain, identity, issuer.as_deref(), &signed, now)
            }
        }
        .map_err(Rejection::from)?;
        let claim = Claim::read(signed.form, verified).map_err(Rejection::from)?;
        let claimed = claim.asked_for(kind, &subject.digest)?;
        time::stated_has_come(claimed, now).map_err(Rejection::from)?;
        annotated(&self.config.annotations, claimed)?;
        self.config.signed_identity.check(claimed, subject).map_err(Rejection::from)?;
        let vouched = time::dated(vouched, claimed, now);
        self.config.restrictions.apply(vouched, now).map_err(Rejection::from)
    }

    fn by_key<'a, 'b>(
        &self,
        keys: &'b [Key],
        signed: &'a Signed,
        now: Timestamp,
    ) -> Result<Good<'a>, Flaw> {
        let by = |key: &'b Key| Some((key, key.verify(&signed.message, &signed.signature).ok()?));
        let (key, verified) = keys.iter().find_map(by).ok_or_else(|| {
            let found = match keys.len() {
                1 => "the signature is not by the key of this anchor".to_owned(),
                more => format!("the signature is not by any of the {more} keys of this anchor"),
            };
            flaw(SIGNATURE, found, format!("a signature by {}", self.config.name))
        })?;
        restricted::key(&self.config.restrictions, key)?;
        let times = self.config.roots.times_of_key(signed, key, self.config.tlog, now)?;
        let signer = format!("key sha256:{}", hex::encode(key.hash()));
        let signer_ids = SignerIds::from([SignerId::of_key(key.public())]);
        let mut vouched = VerifiedSignature::by(verified, signer, signer_ids);
        vouched.proven = times.into_iter().min();
        Ok((verified, vouched))
    }

    fn keyless<'a>(
        &self,
        identity: &Identity,
        issuer: &str,
        signed: &'a Signed,
        now: Timestamp,
    ) -> Result<Good<'a>, Flaw> {
        signed.has_one_certificate_in_0_3()?;
        let certificate = read(signed)?;
        let name = named(identity, certificate.names.iter())?;
        issued(Some(issuer), &certificate)?;
        restricted::certified(&self.config.restrictions, signed)?;
        let Config { roots, restrictions, tlog, .. } = &self.config;
        let revoked = Some(&restrictions.revoked);
        let times = roots.times_of_certificate(signed, revoked, *tlog, now)?;
        let signer = format!("{name} ({issuer})");
        let (key, verified) = by_certificate(&certificate, signed)?;
        let signer_ids = ids(&certificate, &key, issuer.as_bytes());
        let mut vouched = VerifiedSignature::by(verified, signer, signer_ids);
        vouched.proven = times.into_iter().min();
        vouched.signed = vouched.proven.filter(|_| time::is_short(certificate.life));
        Ok((verified, vouched))
    }

    fn by_pki<'a>(
        &self,
        chain: &[CertificateDer<'static>],
        identity: &Identity,
        issuer: Option<&str>,
        signed: &'a Signed,
        now: Timestamp,
    ) -> Result<Good<'a>, Flaw> {
        let certificate = read(signed)?;
        let names = certificate.names.iter().chain(&certificate.hosts);
        let name = named(identity, names)?;
        issued(issuer, &certificate)?;
        let (key, verified) = by_certificate(&certificate, signed)?;
        restricted::certified(&self.config.restrictions, signed)?;
        let roots = &self.config.roots;
        let times = match self.config.tlog {
            Tlog::Require => roots.times_of_certificate(signed, None, Tlog::Require, now)?,
            Tlog::Ignore if signed.timestamps()?.is_empty() => Vec::new(),
            // Without a proven time, the certificate must be valid now.
            Tlog::Ignore => roots.stamped(signed, now).unwrap_or_default(),
        };
        let at = if times.is_empty() { &[now][..] } else { &times };
        for at in at {
            let revoked = &self.config.restrictions.revoked;
            path::holds(signed.certificates()?, chain, *at, revoked).map_err(|why| match why {
                Broken::Revoked(entry) => revoked_flaw("a certificate above the signer's", &entry),
                Broken::Invalid(why) => flaw(
                    CERTIFICATE,
                    format!("the certificate does not hold at {at}: {why}"),
                    "a certificate below `certificate_chain`, valid when it was used",
                ),
            })?;
        }
        let signer = match &certificate.issuer {
            Some(issuer) => format!("{name} ({issuer})"),
            None => name.to_owned(),
        };
        // With a proven time, nothing expires. Without it, the first certificate to expire ends the verdict.
        let expires = match times.as_slice() {
            [] => path::end(signed.certificates()?, chain, now),
            [..] => None,
        };
        let root = chain.last().map_or(&[][..], |root| root);
        let signer_ids = ids(&certificate, &key, root);
        let mut vouched = VerifiedSignature::by(verified, signer, signer_ids);
        vouched.proven = times.into_iter().min();
        vouched.signed = vouched.proven.filter(|_| time::is_short(certificate.life));
        if let Some(end) = expires {
            vouched.expires_at(end);
        }
        Ok((verified, vouched))
    }
}

/// What identifies the signer: every name of the certificate, each confirmed by `authority`, and its key.
fn ids(certificate: &Certificate, key: &Key, authority: &[u8]) -> SignerIds {
    let names = certificate.names.iter().chain(&certificate.hosts);
    let names = names.map(|name| SignerId::of_name(authority, name.as_bytes()));
    names.chain([SignerId::of_key(key.public())]).collect()
}

/// The bytes that the certificate's key signed, and that key.
fn by_certificate<'a>(
    certificate: &Certificate,
    signed: &'a Signed,
) -> Result<(Key, VerifiedBytes<'a>), Flaw> {
    let wanted = "a signature by the key of its certificate";
    let key = Key::from_spki(&certificate.spki)
        .map_err(|found| flaw(CERTIFICATE, format!("the certificate {found}"), wanted))?;
    let verified = key.verify(&signed.message, &signed.signature);
    let verified = verified
        .map_err(|_| flaw(SIGNATURE, "the signature is not by its certificate's key", wanted))?;
    Ok((key, verified))
}

fn read(signed: &Signed) -> Result<Certificate, Flaw> {
    let leaf = signed.certificates()?.first().map_or(&[][..], Vec::as_slice);
    Certificate::read(leaf)
}

/// The name of the certificate that `identity` matches.
fn named<'a>(
    identity: &Identity,
    names: impl Iterator<Item = &'a String> + Clone,
) -> Result<&'a str, Flaw> {
    if let Some(name) = names.clone().find(|name| identity.matches(name)) {
        return Ok(name);
    }
    let names: Vec<&str> = names.map(String::as_str).collect();
    let found = match names.as_slice() {
        [] => "the certificate contains no name".to_owned(),
        names => format!("the certificate is for {}", names.join(", ")),
    };
    Err(flaw(IDENTITY, found, identity.to_string()))
}

fn issued(wanted: Option<&str>, certificate: &Certificate) -> Result<(), Flaw> {
    match (wanted, certificate.issuer.as_deref()) {
        (None, _) => Ok(()),
        (Some(wanted), Some(issuer)) if wanted == issuer => Ok(()),
        (Some(wanted), Some(issuer)) => {
            Err(flaw(ISSUER, format!("the issuer is {issuer}"), wanted))
        }
        (Some(wanted), None) => Err(flaw(ISSUER, "the certificate names no issuer", wanted)),
    }
}

fn annotated(wanted: &BTreeMap<String, String>, claimed: &Claimed) -> Result<(), Rejection> {
    for (name, text) in wanted {
        let found = match claimed.annotation(name) {
            Some(Some(found)) if found == text => continue,
            Some(Some(found)) => format!("{name} is signed as {found:?}"),
            Some(None) => format!("{name} is signed as something other than a text"),
            None => format!("{name} is not signed"),
        };
        return Err(flawed(ANNOTATIONS, found, format!("{name} = {text:?}")));
    }
    Ok(())
}
