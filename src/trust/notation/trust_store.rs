//! The trusted certificates, by purpose.

use crate::trust::x509::{Certificate, certificates};

/// The most certificates of one kind.
const MAX_CERTIFICATES: usize = 512;

/// What the certificates of a store are trusted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StoreKind {
    /// To issue signing certificates.
    Ca,
    /// To issue certificates of signing authorities, which also state the time.
    SigningAuthority,
    /// To issue certificates of timestamping authorities.
    Tsa,
}

impl StoreKind {
    pub(super) const ALL: [Self; 3] = [Self::Ca, Self::SigningAuthority, Self::Tsa];

    /// Its name in trust policies and folders.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::SigningAuthority => "signingAuthority",
            Self::Tsa => "tsa",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Trusted certificates, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TrustStore {
    ca: Vec<Certificate>,
    signing_authority: Vec<Certificate>,
    tsa: Vec<Certificate>,
}

impl TrustStore {
    /// Adds the certificates of a file, PEM or DER: CAs or self-signed certificates.
    pub(super) fn add(&mut self, kind: StoreKind, file: &[u8]) -> Result<(), String> {
        let store = match kind {
            StoreKind::Ca => &mut self.ca,
            StoreKind::SigningAuthority => &mut self.signing_authority,
            StoreKind::Tsa => &mut self.tsa,
        };
        for certificate in certificates(file)? {
            let root = certificate.is_self_signed();
            if !root && (kind == StoreKind::Tsa || !certificate.is_ca()) {
                let wanted = match kind {
                    StoreKind::Ca | StoreKind::SigningAuthority => {
                        "neither an authority nor self-signed"
                    }
                    StoreKind::Tsa => "not self-signed",
                };
                return Err(format!("{:?} is {wanted}: a store holds roots", certificate.name()));
            }
            if !store.contains(&certificate) {
                store.push(certificate);
            }
            if store.len() > MAX_CERTIFICATES {
                return Err(format!("more than {MAX_CERTIFICATES} certificates of this kind"));
            }
        }
        Ok(())
    }

    pub(super) fn of(&self, kind: StoreKind) -> &[Certificate] {
        match kind {
            StoreKind::Ca => &self.ca,
            StoreKind::SigningAuthority => &self.signing_authority,
            StoreKind::Tsa => &self.tsa,
        }
    }
}
