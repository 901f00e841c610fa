//! One statement of a trust policy: for which repositories, what must hold. An anchor has one for all
//! repositories, or those of a `trustpolicy.json`.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use crate::oci::Digest;
use crate::trust::subject::Subject;

use super::identity::Identities;
use super::level::{Action, Level};
use super::trust_store::{StoreKind, TrustStore};

/// When a timestamp is required, if timestamp authorities are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VerifyTimestamp {
    Always,
    /// Only once a certificate of the chain has expired.
    AfterCertExpiry,
}

/// The repositories of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scopes {
    All,
    /// `registry/repository`, exactly.
    Repositories(BTreeSet<String>),
}

/// The requirements for signatures in certain repositories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) name: String,
    pub(super) scopes: Scopes,
    pub(super) level: Level,
    pub(super) verify_timestamp: VerifyTimestamp,
    pub(super) store: TrustStore,
    pub(super) identities: Identities,
}

/// The statement for `subject`: the one that names its repository, otherwise the one for all.
pub(super) fn applicable<'a>(
    statements: &'a [Statement],
    subject: &Subject,
) -> Option<&'a Statement> {
    let place = subject.repository.to_string();
    let named = statements.iter().find(|statement| match &statement.scopes {
        Scopes::Repositories(repositories) => repositories.contains(&place),
        Scopes::All => false,
    });
    named.or_else(|| statements.iter().find(|statement| statement.scopes == Scopes::All))
}

/// The digest of everything that a verdict depends on.
pub(super) fn fingerprint(statements: &[Statement], restrictions: &str) -> Digest {
    let mut fingerprint = Fingerprint(Sha256::new());
    fingerprint.text("countersign notation 1");
    fingerprint.count(statements.len());
    for statement in statements {
        fingerprint.statement(statement);
    }
    fingerprint.text(restrictions);
    Digest::from_sha256(fingerprint.0.finalize().into())
}

/// Hashes fields with their lengths, so that different lists of fields give different hashes.
struct Fingerprint(Sha256);

impl Fingerprint {
    fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn count(&mut self, count: usize) {
        self.0.update((count as u64).to_be_bytes());
    }

    fn statement(&mut self, statement: &Statement) {
        match &statement.scopes {
            Scopes::All => self.text("*"),
            Scopes::Repositories(repositories) => {
                self.count(repositories.len());
                repositories.iter().for_each(|repository| self.text(repository));
            }
        }
        let Level { authenticity, authentic_timestamp, expiry, revocation } = statement.level;
        for action in [authenticity, authentic_timestamp, expiry, revocation] {
            self.text(match action {
                Action::Enforce => "enforce",
                Action::Log => "log",
                Action::Skip => "skip",
            });
        }
        self.text(match statement.verify_timestamp {
            VerifyTimestamp::Always => "always",
            VerifyTimestamp::AfterCertExpiry => "afterCertExpiry",
        });
        for kind in StoreKind::ALL {
            let certificates = statement.store.of(kind);
            self.count(certificates.len());
            certificates.iter().for_each(|certificate| self.bytes(&certificate.der));
        }
        let identities = statement.identities.texts();
        self.count(identities.len());
        identities.iter().for_each(|identity| self.text(identity));
    }
}
