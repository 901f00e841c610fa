//! The requirements for the certificates of a chain (signature-specification, "Certificate Requirements"). Trust in the
//! chain is checked elsewhere.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::trust::signature::Flaw;

use super::algorithm::Algorithm;
use super::flaw;
use crate::trust::x509::Certificate;

/// The most certificates of one chain.
pub(super) const MAX_CHAIN: usize = 8;

const CHECK: &str = "certificate_chain";

/// What the first certificate of a chain is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    CodeSigning,
    TimeStamping,
}

/// An ordered chain that meets the requirements: the signing certificate first, the root last.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    leaf: Certificate,
    authorities: Vec<Certificate>,
}

impl Chain {
    pub(super) fn new(certificates: Vec<Certificate>, purpose: Purpose) -> Result<Self, Flaw> {
        if certificates.len() > MAX_CHAIN {
            return Err(wrong(format!("{} certificates", certificates.len()), "at most 8"));
        }
        let mut certificates = certificates.into_iter();
        let Some(leaf) = certificates.next() else {
            return Err(wrong("no certificate", "the chain from the signer to a root"));
        };
        let chain = Self { leaf, authorities: certificates.collect() };
        chain.check(purpose)?;
        Ok(chain)
    }

    pub(super) fn leaf(&self) -> &Certificate {
        &self.leaf
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Certificate> + Clone {
        std::iter::once(&self.leaf).chain(&self.authorities)
    }

    /// Each certificate except the root, with its issuer. To revoke a root, remove it from the trust store.
    pub(super) fn issued(&self) -> impl Iterator<Item = (&Certificate, &Certificate)> {
        self.iter().zip(&self.authorities)
    }

    /// The first certificate that is not valid for all of `time` ± `accuracy`.
    pub(super) fn invalid_around(
        &self,
        time: Timestamp,
        accuracy: Duration,
    ) -> Option<&Certificate> {
        self.iter()
            .find(|one| one.not_before.plus(accuracy) > time || one.not_after < time.plus(accuracy))
    }

    /// The earliest end of a certificate's validity.
    pub(super) fn ends(&self) -> Timestamp {
        self.iter().map(|one| one.not_after).min().unwrap_or(self.leaf.not_after)
    }

    fn check(&self, purpose: Purpose) -> Result<(), Flaw> {
        for one in self.iter() {
            if !one.is_made_well() {
                let found = format!("{:?} is signed with SHA-1 or something as weak", one.name());
                return Err(wrong(found, "SHA-256, SHA-384 or SHA-512 with RSA or ECDSA"));
            }
        }
        check_leaf(&self.leaf, purpose)?;
        for (depth, authority) in self.authorities.iter().enumerate() {
            check_authority(authority, depth, purpose)?;
        }
        for (one, issuer) in self.issued() {
            if one.is_self_signed() {
                let found = format!("{:?} is self-signed, and others follow it", one.name());
                return Err(wrong(found, "only the last certificate is self-signed"));
            }
            if !one.is_issued_by(issuer) {
                let found = format!("{:?} was not issued by {:?}", one.name(), issuer.name());
                return Err(wrong(found, "each certificate is signed by the next one"));
            }
        }
        let root = self.authorities.last().unwrap_or(&self.leaf);
        if !root.is_self_signed() {
            let found = format!("it ends with {:?}, which is not self-signed", root.name());
            return Err(wrong(found, "the whole chain, up to a root"));
        }
        Ok(())
    }
}

fn wrong(found: impl Into<String>, wanted: &str) -> Flaw {
    flaw(CHECK, found, wanted)
}

fn check_authority(authority: &Certificate, depth: usize, purpose: Purpose) -> Result<(), Flaw> {
    let name = authority.name();
    let constraints = authority.basic_constraints;
    if !constraints.is_some_and(|constraints| constraints.critical && constraints.ca) {
        let found = format!("{name:?} is not a CA by its basicConstraints");
        return Err(wrong(found, "basicConstraints, critical, with cA"));
    }
    let path_len = constraints.and_then(|constraints| constraints.path_len);
    if path_len.is_some_and(|most| usize::try_from(most).is_ok_and(|most| most < depth)) {
        let found = format!("{name:?} has {depth} authorities below it, more than its pathLen");
        return Err(wrong(found, "no more authorities than pathLen allows"));
    }
    let usage = authority.key_usage;
    let critical = purpose == Purpose::TimeStamping || usage.is_some_and(|usage| usage.critical);
    if !critical || !usage.is_some_and(|usage| usage.cert_sign) {
        let found = format!("{name:?} may not sign certificates by its keyUsage");
        return Err(wrong(found, "keyUsage, critical, with keyCertSign"));
    }
    Ok(())
}

fn check_leaf(leaf: &Certificate, purpose: Purpose) -> Result<(), Flaw> {
    let name = leaf.name();
    if leaf.is_ca() {
        return Err(wrong(format!("{name:?} signed, and is an authority"), "cA false"));
    }
    let holds = leaf.key_usage.is_some_and(|usage| {
        (usage.critical || purpose == Purpose::TimeStamping)
            && usage.digital_signature
            && !usage.cert_sign
            && !usage.crl_sign
            && !usage.encipherment
    });
    if !holds {
        let found = format!("the keyUsage of {name:?} is not that of a signer");
        return Err(wrong(
            found,
            "keyUsage, critical, digitalSignature and perhaps nonRepudiation",
        ));
    }
    let extended = leaf.extended_key_usage;
    match purpose {
        Purpose::CodeSigning => {
            let other = extended.is_some_and(|purposes| {
                purposes.otherwise || purposes.time_stamping || purposes.ocsp_signing
            });
            if other {
                let found = format!("the extendedKeyUsage of {name:?} is for something else");
                return Err(wrong(found, "none, or codeSigning"));
            }
        }
        Purpose::TimeStamping => {
            let only = extended.is_some_and(|purposes| {
                purposes.critical && purposes.time_stamping && purposes.count == 1
            });
            if !only {
                let found = format!("the extendedKeyUsage of {name:?} is not timeStamping alone");
                return Err(wrong(
                    found,
                    "extendedKeyUsage, critical, timeStamping and nothing else",
                ));
            }
        }
    }
    // The key of a timestamp authority selects no algorithm, and every readable key is long enough.
    if purpose == Purpose::CodeSigning && Algorithm::of(&leaf.key).is_none() {
        let found = format!("the key of {name:?} has a size that nothing signs with");
        return Err(wrong(found, "RSA 2048, 3072 or 4096, or P-256, P-384 or P-521"));
    }
    Ok(())
}
