//! One `[[anchor]]` with `scheme = "cosign"`: whose signatures count, and what they must contain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::oci::{Digest, RepositoryRef};
use crate::toml_reader::Section;
use crate::trust::lifetimes::Lifetimes;
use crate::trust::restrictions::Restrictions;
use crate::trust::signature_repository::signature_repository;
use crate::trust::x509::Hash;

use super::claim::SIGN_PREDICATE;
use super::fits::fits;
use super::identity::Identity;
use super::key::{Key, Padding, Scheme};
use super::keys;
use super::limits::{MAX_ANNOTATIONS, MAX_CHAIN};
use super::restricted;
use super::roots::Roots;
use super::signed_identity::SignedIdentity;

/// The configuration of one anchor.
#[derive(Clone, Debug)]
pub struct Config {
    pub name: Arc<str>,
    pub signers: Signers,
    pub tlog: Tlog,
    /// The trusted authorities for certificates, logs and times.
    pub roots: Arc<Roots>,
    /// The type of the required attestation; `None` for a signature.
    pub predicate_type: Option<String>,
    /// The annotations that the signed content must contain.
    pub annotations: BTreeMap<String, String>,
    /// What the signature must name.
    pub signed_identity: SignedIdentity,
    /// Which valid signatures do not count.
    pub restrictions: Restrictions,
    /// The repository of signatures, if it is not that of the image.
    pub signature_repository: Option<RepositoryRef>,
    /// How long found signatures are used before the next search.
    pub refresh: Duration,
    /// How long they are used while registries do not answer.
    pub max_stale: Duration,
}

/// Whose signatures count.
#[derive(Clone, Debug)]
pub enum Signers {
    /// These keys, any one of them.
    Keys(Vec<Key>),
    /// Anyone with a certificate of the trusted root that has this name and this issuer.
    Keyless { identity: Identity, issuer: String },
    /// Anyone with a certificate below the last one of the chain that has this name.
    Pki { chain: Vec<CertificateDer<'static>>, identity: Identity, issuer: Option<String> },
}

/// Whether a transparency log must contain the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tlog {
    Require,
    Ignore,
}

impl Config {
    /// Reads the section; `name` has been read from it.
    pub fn read(section: &Section<'_>, name: Arc<str>) -> Option<Self> {
        let signers = signers(section);
        let roots = roots(section);
        let keyless = section.has("identity") && !section.has("certificate_chain");
        let tlog = tlog(section, keyless);
        if let (Some(signers), Some(tlog), Some(roots)) = (&signers, tlog, &roots) {
            fits(section, signers, tlog, roots);
        }
        let predicate_type = predicate_type(section);
        let annotations = section.named_texts("annotations").unwrap_or_default();
        if annotations.len() > MAX_ANNOTATIONS {
            section.wrong("annotations", format!("more than {MAX_ANNOTATIONS} of them"));
        }
        for value in annotations.values() {
            no_wildcard(section, "annotations", Some(value));
        }
        let signed_identity = SignedIdentity::read(section);
        let restrictions = restricted::read(section, signers.as_ref(), tlog);
        let signature_repository = signature_repository(section);
        let Lifetimes { refresh, max_stale } = Lifetimes::read(section);
        section.finish();
        Some(Self {
            name,
            signers: signers?,
            tlog: tlog?,
            roots: roots?,
            predicate_type,
            annotations,
            signed_identity,
            restrictions,
            signature_repository,
            refresh,
            max_stale,
        })
    }

    /// A summary of one line, for people.
    pub fn summary(&self) -> String {
        let what = match &self.predicate_type {
            Some(predicate_type) => format!("attestations of type {predicate_type}"),
            None => "signatures".to_owned(),
        };
        let who = match &self.signers {
            Signers::Keys(keys) if keys.len() == 1 => "1 key".to_owned(),
            Signers::Keys(keys) => format!("any of {} keys", keys.len()),
            Signers::Keyless { identity, issuer } => {
                format!("{identity}, confirmed by {issuer}")
            }
            Signers::Pki { identity, .. } => format!("{identity}, in a private PKI"),
        };
        let log = match self.tlog {
            Tlog::Require => ", in a transparency log",
            Tlog::Ignore => "",
        };
        let made_for = match self.signed_identity {
            SignedIdentity::Digest => "",
            SignedIdentity::Repository => ", made for the image's own repository",
        };
        format!("{what} by {who}{log}{made_for}{}", self.restrictions.summary())
    }

    /// The digest of everything that a verdict depends on.
    pub(super) fn fingerprint(&self) -> Digest {
        // Each part follows its length, so that different lists of parts give different texts.
        let mut text = Vec::new();
        let mut part = |bytes: &[u8]| {
            text.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
            text.extend_from_slice(bytes);
        };
        part(concat!("countersign cosign ", env!("CARGO_PKG_VERSION")).as_bytes());
        match &self.signers {
            Signers::Keys(keys) => {
                part(b"keys");
                part(&(keys.len() as u64).to_be_bytes());
                for key in keys {
                    let Scheme { hash, padding } = key.scheme();
                    part(key.spki());
                    part(hash.map_or("", Hash::as_str).as_bytes());
                    part(match padding {
                        Padding::Pkcs1 => b"pkcs1v15",
                        Padding::Pss => b"pss",
                    });
                }
            }
            Signers::Keyless { identity, issuer } => {
                part(b"keyless");
                part(identity.to_string().as_bytes());
                part(issuer.as_bytes());
            }
            Signers::Pki { chain, identity, issuer } => {
                part(b"pki");
                part(&(chain.len() as u64).to_be_bytes());
                chain.iter().for_each(|one| part(one));
                part(identity.to_string().as_bytes());
                part(if issuer.is_some() { b"issuer" } else { b"" });
                part(issuer.as_deref().unwrap_or_default().as_bytes());
            }
        }
        part(match self.tlog {
            Tlog::Require => b"require",
            Tlog::Ignore => b"ignore",
        });
        part(self.roots.fingerprint().to_string().as_bytes());
        part(self.predicate_type.as_deref().unwrap_or(SIGN_PREDICATE).as_bytes());
        part(&(self.annotations.len() as u64).to_be_bytes());
        for (name, value) in &self.annotations {
            part(name.as_bytes());
            part(value.as_bytes());
        }
        part(self.signed_identity.as_str().as_bytes());
        part(self.restrictions.parts().as_bytes());
        if let Some(repository) = &self.signature_repository {
            part(repository.registry.as_str().as_bytes());
            part(repository.name.as_str().as_bytes());
        }
        Digest::of(&text)
    }
}

/// The signers, named in exactly one of the three ways.
fn signers(section: &Section<'_>) -> Option<Signers> {
    let texts = section.texts("keys");
    let scheme = keys::scheme(section);
    let chain = section.text("certificate_chain");
    let identity = section.parsed::<Identity>("identity");
    let issuer = section.text("issuer");
    if issuer.as_deref() == Some("") {
        section.wrong("issuer", "the issuer is empty");
    }
    no_wildcard(section, "issuer", issuer.as_deref());
    if section.has("keys") {
        for other in ["identity", "issuer", "certificate_chain"] {
            if section.has(other) {
                section.wrong(
                    other,
                    "`keys` replaces this key, because a key has no certificate; use another \
                     [[anchor]]",
                );
            }
        }
        return keys::read(section, texts, scheme).map(Signers::Keys);
    }
    keys::refuse(section);
    if section.has("certificate_chain") {
        if !section.has("identity") {
            section.wrong(
                "certificate_chain",
                "name the signers: `identity = \"release@example.com\"`, or \
                 `identity = \"*\"` for all that were issued below this chain",
            );
        }
        let chain = certificates(section, &chain?)?;
        return Some(Signers::Pki { chain, identity: identity?, issuer });
    }
    match (section.has("identity"), section.has("issuer")) {
        (true, true) => Some(Signers::Keyless { identity: identity?, issuer: issuer? }),
        (true, false) => {
            section.wrong(
                "identity",
                "an identity needs the issuer that confirms it: add `issuer`, such as \
                 \"https://token.actions.githubusercontent.com\", or `certificate_chain` for a PKI \
                 of your own",
            );
            None
        }
        (false, true) => {
            section.wrong(
                "issuer",
                "an issuer confirms all its users: add `identity` to name the signer",
            );
            None
        }
        (false, false) => {
            section.wrong(
                "",
                "name the signers: `keys = [\"cosign.pub\"]`, or `identity` and `issuer` \
                 for keyless signatures, or `certificate_chain` and `identity` for a PKI of your own",
            );
            None
        }
    }
}

/// Reports a `*` in a value that is compared literally.
fn no_wildcard(section: &Section<'_>, key: &'static str, value: Option<&str>) {
    if let Some(value) = value.filter(|value| value.contains('*')) {
        let message = format!("{value:?}: this key does not accept `*`; write the whole value");
        section.wrong(key, message);
    }
}

/// The certificates above a signer's, the root last.
fn certificates(section: &Section<'_>, file: &str) -> Option<Vec<CertificateDer<'static>>> {
    let key = "certificate_chain";
    let pem = section.named_file(key, file)?;
    let wrong = |message: String| section.wrong(key, format!("{file:?} {message}"));
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let chain = read.map_err(|e| wrong(format!("is not PEM: {e}"))).ok()?;
    if chain.is_empty() || chain.len() > MAX_CHAIN {
        wrong(format!(
            "holds {} certificates; write the signer's issuer first and the root last, {MAX_CHAIN} at most",
            chain.len()
        ));
        return None;
    }
    for (at, one) in chain.iter().enumerate() {
        let parsed = X509Certificate::from_der(one);
        match parsed.map(|(_, parsed)| parsed.is_ca()) {
            Ok(true) => {}
            Ok(false) => {
                wrong(format!(
                    "contains, as number {}, a certificate that is not a CA; remove the signer's own \
                     certificate, which comes with each signature",
                    at + 1
                ));
                return None;
            }
            Err(e) => {
                wrong(format!("contains, as number {}, an unreadable certificate: {e}", at + 1));
                return None;
            }
        }
    }
    Some(chain)
}

fn roots(section: &Section<'_>) -> Option<Arc<Roots>> {
    let key = "trusted_root";
    let (roots, what) = match section.text(key) {
        Some(file) => {
            let json = section.named_file(key, &file)?;
            (Roots::parse(&json), format!("{file:?}"))
        }
        None if section.has(key) => return None,
        None => (Roots::public_good(), "the embedded trusted root".to_owned()),
    };
    roots.map_err(|e| section.wrong(key, format!("{what} {e}"))).ok().map(Arc::new)
}

fn tlog(section: &Section<'_>, keyless: bool) -> Option<Tlog> {
    match section.text("tlog").as_deref() {
        Some("require") => Some(Tlog::Require),
        Some("ignore") => Some(Tlog::Ignore),
        Some(other) => {
            section.wrong("tlog", format!("{other:?} is neither \"require\" nor \"ignore\""));
            None
        }
        None if section.has("tlog") => None,
        None => Some(if keyless { Tlog::Require } else { Tlog::Ignore }),
    }
}

fn predicate_type(section: &Section<'_>) -> Option<String> {
    let predicate_type = section.text("predicate_type")?;
    no_wildcard(section, "predicate_type", Some(&predicate_type));
    if predicate_type == SIGN_PREDICATE {
        section.wrong(
            "predicate_type",
            "this is the type of plain signatures; leave the key out to ask for one",
        );
    }
    if !predicate_type.contains(':') {
        section.wrong(
            "predicate_type",
            format!(
                "{predicate_type:?} is not a URI; write the whole type, such as \
                 \"https://slsa.dev/provenance/v1\""
            ),
        );
    }
    Some(predicate_type)
}
