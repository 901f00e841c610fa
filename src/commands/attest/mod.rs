//! Attests that the gate admits an image now: a SLSA Verification Summary Attestation (VSA, version 1), signed with the
//! operator's key. Only an image that anchors endorse is attested: an exemption, an allow rule or an audit rule verifies
//! nothing. Reads what `why` reads; writes and uploads nothing.

mod summary;

use thiserror::Error;

use crate::clock::Timestamp;
use crate::gate::{Denial, Gate};
use crate::oci::{ImageRef, Repository};
use crate::registry_client::{Listed, PublishError, RegistryWriter};
use crate::signing::{
    ReferrerManifest, SigningFailed, SigningKey, SigstoreBundle, Statement, StatementSubject,
    SubjectManifest,
};
use crate::trust::Scheme;

pub use summary::{PREDICATE_TYPE, Summary};

/// The default of `verifier.id`.
pub const VERIFIER_ID: &str = "https://countersign.dev/attest/v1";

/// Who attests.
#[derive(Debug)]
pub struct Attester {
    pub key: SigningKey,
    /// The URI that identifies the verifier. It should stand for one gate and its operators.
    pub verifier_id: String,
}

/// The signed attestation of one image.
#[derive(Clone, Debug)]
pub struct Attestation {
    /// The manifest that the gate admits.
    pub subject: SubjectManifest,
    pub bundle: SigstoreBundle,
    /// What `inputAttestations` does not list.
    pub missing: Option<&'static str>,
    created: Timestamp,
}

/// Why an image is not attested.
#[derive(Debug, Error)]
pub enum NotAttested {
    #[error("{0}")]
    Denied(Box<Denial>),
    #[error(
        "{image} is served without a verified signature ({why}), so there is nothing to attest"
    )]
    Unverified { image: ImageRef, why: &'static str },
    #[error(transparent)]
    Signing(#[from] SigningFailed),
}

impl NotAttested {
    /// Whether the gate could not decide.
    pub fn is_undecided(&self) -> bool {
        match self {
            Self::Denied(denial) => denial.is_undecided(),
            Self::Unverified { .. } | Self::Signing(_) => false,
        }
    }
}

/// Judges `image` with `gate`, and attests that it is admitted.
pub async fn attest(
    gate: &Gate,
    image: &ImageRef,
    by: &Attester,
) -> Result<Attestation, NotAttested> {
    let decided = match gate.upstream(&image.repository.registry) {
        Some(_) => gate.admit(image).await,
        None => Err(Denial::no_upstream(image.clone())),
    };
    let admitted = decided.map_err(|denial| NotAttested::Denied(Box::new(denial)))?;
    if admitted.endorsements().is_empty() {
        let why = match (admitted.remark(), admitted.dry_run_denial()) {
            (_, Some(_)) => "an audit rule serves it",
            (Some(_), None) => "an exemption",
            (None, None) => "an allow rule",
        };
        return Err(NotAttested::Unverified { image: image.clone(), why });
    }
    let now = gate.clock().now();
    let summary = Summary::of(gate, image, &admitted, &by.verifier_id, now);
    let digest = admitted.digest();
    let name = image.repository.to_string();
    let subjects = vec![StatementSubject { name, digest }];
    let statement = Statement::new(subjects, PREDICATE_TYPE, summary.to_json());
    let notary = admitted.endorsements().iter().any(|it| it.says().scheme == Scheme::NotaryV1);
    Ok(Attestation {
        subject: SubjectManifest {
            media_type: admitted.media_type(),
            digest,
            size: admitted.bytes().len() as u64,
        },
        bundle: SigstoreBundle::sign(&statement, &by.key)?,
        missing: notary.then_some("the Notary v1 timestamp, which its server replaces often"),
        created: now,
    })
}

impl Attestation {
    /// Uploads it to `repository` as a referrer of its subject.
    pub async fn publish(
        &self,
        publisher: &RegistryWriter,
        repository: &Repository,
    ) -> Result<Listed, PublishError> {
        let referrer = ReferrerManifest::new(&self.subject, &self.bundle, Some(self.created));
        publisher.publish(repository, &self.subject.digest, &referrer).await
    }
}
