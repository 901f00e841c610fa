//! An anchor of the Notary Project: its trusted certificates, and the verification of envelopes with them.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::oci::{Digest, RepositoryRef};
use crate::trust::signature::{Candidate, Rejection, SignatureContent};
use crate::trust::subject::Subject;

use super::config::Config;
use super::flaw;
use super::judge::{Judged, Trial};
use super::revocation::Revocations;
use super::statement::{applicable, fingerprint};

/// A verifier for one anchor. It has no state and makes no requests.
#[derive(Clone, Debug)]
pub struct Anchor {
    config: Config,
    fingerprint: Digest,
}

impl Anchor {
    pub fn new(config: Config) -> Self {
        let fingerprint = fingerprint(&config.statements, &config.restrictions.parts());
        Self { config, fingerprint }
    }

    pub fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The repository of signatures, if it is not that of the image.
    #[cfg(feature = "test-support")]
    pub fn signature_repository(&self) -> Option<&RepositoryRef> {
        self.config.signature_repository.as_ref()
    }

    /// Identifies everything that a verdict depends on besides the candidate, the image and the time.
    pub fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// Returns what `candidate` proves about `subject`, with the known revocation data.
    pub fn judge(
        &self,
        candidate: &Candidate,
        subject: &Subject,
        known: &Revocations,
        now: Timestamp,
    ) -> Judged {
        self.judged(candidate, subject, known, now).unwrap_or_else(Judged::Rejected)
    }

    fn judged(
        &self,
        candidate: &Candidate,
        subject: &Subject,
        known: &Revocations,
        now: Timestamp,
    ) -> Result<Judged, Rejection> {
        let SignatureContent::Envelope { media_type, bytes } = &candidate.content else {
            let found = "a signature of another scheme";
            return Err(Rejection::Beside(flaw("envelope", found, "a Notary Project envelope")));
        };
        let Some(statement) = applicable(&self.config.statements, subject) else {
            let found = format!("no statement is for {}", subject.repository);
            let wanted = "a statement whose registryScopes names the repository, or \"*\"";
            return Err(Rejection::Flawed(flaw("trust_policy", found, wanted)));
        };
        Trial::new(statement, &self.config.restrictions, known, now)
            .judge(media_type, bytes, subject)
    }
}
