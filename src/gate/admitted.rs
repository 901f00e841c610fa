//! The proof that a manifest may be served. Its constructors are the check.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use sha2::{Digest as _, Sha512};

use crate::clock::Timestamp;
use crate::exemptions::Exemption;
use crate::oci::headers::ContentName;
use crate::oci::{Descriptor, Digest, Manifest, MediaType, RepositoryRef};
use crate::policy::{Artifacts, Caveat, Permit};
use crate::pull_through::Fetched;
use crate::trust::{Endorsement, Reason, Refusal, Scheme};

use super::artifact_config::{MAX_ARTIFACT_CONFIG, runs_nothing};
use super::denial::Denial;
use super::kinds::{self, Suffix};
use super::outside::Outside;
use super::tagged::{self, Tagged};

/// A manifest that may be served, and the permit for it.
///
/// Fields are private and the constructors are visible to `gate` alone, so nothing else can serve a
/// manifest:
///
/// ```compile_fail,E0624
/// use countersign::clock::Timestamp;
/// use countersign::gate::{Admitted, Denial, MatchedRule};
/// use countersign::policy::Permit;
/// use countersign::pull_through::Fetched;
/// fn forge(fetched: Fetched, permit: Permit<Denial>, place: &MatchedRule<'_>, now: Timestamp) {
///     let _ = Admitted::new(fetched, permit, place, &Default::default(), now);
/// }
/// ```
///
/// ```compile_fail,E0451
/// use countersign::gate::{Admitted, Denial};
/// use countersign::policy::Permit;
/// use countersign::pull_through::Fetched;
/// fn forge(fetched: Fetched, permit: Permit<Denial>) -> Admitted {
///     Admitted { fetched, permit, remark: None }
/// }
/// ```
///
/// ```compile_fail,E0624
/// use countersign::gate::Admitted;
/// use countersign::pull_through::Fetched;
/// fn list(index: &Admitted, child: Fetched) {
///     let _ = Admitted::through(index, child, &Default::default());
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Admitted {
    fetched: Fetched,
    /// The permit for this manifest, or for the index or subject through which it is admitted.
    permit: Permit<Denial>,
    remark: Option<Remark>,
}

/// A circumstance of an admission that operators should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// The tag moved to an unsigned digest, and the gate serves the digest that it admitted before.
    Held { moved_to: Option<Digest>, because: String },
    /// The tag moved to a digest that was signed earlier than the newest admitted one, or whose signing time is
    /// unknown.
    RolledBack { signed: Option<Timestamp>, newest: Timestamp },
    /// No anchor endorses it, but it, an index that lists it, or its subject is exempted.
    Exempted { exemption: Exemption, because: String },
}

impl Remark {
    /// The word for it in the audit record.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Held { .. } => "held",
            Self::RolledBack { .. } => "rolled_back",
            Self::Exempted { .. } => "exempted",
        }
    }
}

/// The repository of an image, and the pattern of the rule that decides about the image.
#[derive(Clone, Copy, Debug)]
pub struct MatchedRule<'a> {
    pub repository: &'a RepositoryRef,
    pub rule: &'a Arc<str>,
}

impl Admitted {
    /// Checks the manifest against the permit, which must be for this digest, repository and length, and in force at
    /// `now`. Each manifest that it points at outside `manifests` must be admitted, unless the rule serves anything.
    pub(super) fn new(
        fetched: Fetched,
        permit: Permit<Denial>,
        place: &MatchedRule<'_>,
        outside: &Outside,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        if permit.digest() != *fetched.digest() {
            return Err(mismatch("digest", &fetched));
        }
        for endorsement in permit.endorsements() {
            holds(&fetched, endorsement, place, now)?;
        }
        if let Some(exemption) = permit.exemption() {
            is_exempted(&fetched, exemption, place, now)?;
        }
        check_outside(&permit, &fetched, outside)?;
        Ok(Self { fetched, permit, remark: None })
    }

    /// Admits a manifest that the admitted index `parent` lists with this digest and size.
    pub(super) fn through(
        parent: &Self,
        fetched: Fetched,
        outside: &Outside,
    ) -> Result<Self, Refusal> {
        let listed = parent.fetched.manifest().children().iter().any(|child| {
            child.digest == *fetched.digest() && child.size == fetched.bytes().len() as u64
        });
        if !listed {
            let because = format!("the index {} does not list it", parent.digest());
            return Err(Refusal::new(Reason::DigestNotSigned, because));
        }
        check_outside(&parent.permit, &fetched, outside)?;
        Ok(parent.beside(fetched))
    }

    /// Admits a referrer of the admitted manifest `subject`: a signature, an attestation or an SBOM of a listed form
    /// ([`kinds`]) with a config that runs nothing, or another artifact that the rule permits. `config` is the content
    /// of [`Self::config_to_read`].
    pub(super) fn about(
        subject: &Self,
        fetched: Fetched,
        config: Option<&Bytes>,
    ) -> Result<Self, Refusal> {
        let manifest = fetched.manifest();
        let (of, about) = (manifest.media_type(), subject.descriptor());
        kinds::form(manifest)
            .and_then(|form| {
                kinds::check_referrer(of, form, &about, subject.artifacts())?;
                let widened = subject.artifacts() == Artifacts::All;
                match widened || runs_nothing(form, config) {
                    true => Ok(()),
                    false => Err("its config is neither `{}` nor what cosign writes".to_owned()),
                }
            })
            .map_err(|why| no_artifact(&about, &why))?;
        Outside::default().check(&fetched)?;
        Ok(subject.beside(fetched))
    }

    /// The config of `fetched`, if [`Self::about`] must read it to decide.
    pub(super) fn config_to_read<'a>(
        subject: &Self,
        fetched: &'a Fetched,
    ) -> Option<&'a Descriptor> {
        let manifest = fetched.manifest();
        let (form, config) = (manifest.form()?, manifest.blobs().first()?);
        let about = subject.descriptor();
        let listed = || {
            kinds::check_referrer(manifest.media_type(), form, &about, subject.artifacts()).is_ok()
        };
        let decides = subject.artifacts() == Artifacts::Listed && !form.config.is_empty_object();
        (decides && config.size <= MAX_ARTIFACT_CONFIG as u64 && listed()).then_some(config)
    }

    /// Admits an artifact of the admitted manifest `subject` under a cosign tag that ends in `suffix`. Its form must be
    /// listed, its layers must be text, which no engine can unpack, and its config must run nothing.
    pub(super) fn tagged_for(
        subject: &Self,
        fetched: Fetched,
        suffix: Suffix,
        content: &Tagged,
    ) -> Result<Self, Refusal> {
        let about = subject.descriptor();
        tagged::check(fetched.manifest(), &about, suffix, content)
            .map_err(|why| no_artifact(&about, &why))?;
        Outside::default().check(&fetched)?;
        Ok(subject.beside(fetched))
    }

    /// `fetched`, admitted by the permit of this manifest.
    fn beside(&self, fetched: Fetched) -> Self {
        Self { fetched, permit: self.permit.clone(), remark: None }
    }

    /// The descriptor of this manifest.
    pub(super) fn descriptor(&self) -> Descriptor {
        Descriptor {
            digest: self.digest(),
            size: self.bytes().len() as u64,
            media_type: Some(self.media_type()),
        }
    }

    /// Whether the manifests that it points at outside `manifests` need an admission of their own.
    pub(super) fn asks_outside(&self) -> bool {
        !self.permit.serves_anything()
    }

    /// Which referrers of it may be served.
    pub(super) fn artifacts(&self) -> Artifacts {
        self.permit.artifacts()
    }

    /// This admission with a remark.
    pub(super) fn remarked(self, remark: Option<Remark>) -> Self {
        Self { remark, ..self }
    }

    /// The denial that enforcement would have given, if an audit rule admitted it.
    pub fn dry_run_denial(&self) -> Option<&Arc<Denial>> {
        self.permit.dry_run_denial()
    }

    /// What a client should know about the permit that admits it.
    pub fn caveats(&self, now: Timestamp) -> impl Iterator<Item = Caveat<'_, Denial>> {
        self.permit.caveats(now)
    }

    /// The remark, if there is one.
    pub fn remark(&self) -> Option<&Remark> {
        self.remark.as_ref()
    }

    pub fn digest(&self) -> Digest {
        *self.fetched.digest()
    }

    pub fn media_type(&self) -> MediaType {
        self.fetched.manifest().media_type()
    }

    /// The headers that name it.
    pub fn name(&self) -> &ContentName {
        self.fetched.name()
    }

    /// The response headers of [`Self::bytes`].
    pub fn headers(&self) -> &HeaderMap {
        self.fetched.headers()
    }

    /// The manifest, byte for byte.
    pub fn bytes(&self) -> &Bytes {
        self.fetched.bytes()
    }

    /// The parsed manifest.
    pub fn manifest(&self) -> &Manifest {
        self.fetched.manifest()
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.fetched.bytes().clone()
    }

    pub(super) fn fetched(&self) -> &Fetched {
        &self.fetched
    }

    /// The pattern of the rule that admitted it.
    pub fn rule(&self) -> &str {
        self.permit.rule()
    }

    /// The pattern of the rule that admitted it, for callers that keep it.
    pub fn pattern(&self) -> &Arc<str> {
        self.permit.rule()
    }

    /// The anchors that endorse it; none if the rule requires none.
    pub fn anchors(&self) -> Vec<&str> {
        self.endorsements().iter().map(|endorsement| &*endorsement.says().anchor).collect()
    }

    pub fn scheme(&self) -> Option<Scheme> {
        Some(self.endorsements().first()?.says().scheme)
    }

    pub fn endorsements(&self) -> &[Endorsement] {
        self.permit.endorsements()
    }

    /// Whether only Notary v1 anchors endorse it.
    pub fn is_by_notaryv1_alone(&self) -> bool {
        let mut schemes = self.endorsements().iter().map(|endorsement| endorsement.says().scheme);
        !self.endorsements().is_empty() && schemes.all(|scheme| scheme == Scheme::NotaryV1)
    }
}

/// Checks the manifests that `fetched` points at outside `manifests`, unless the rule serves anything.
fn check_outside(
    permit: &Permit<Denial>,
    fetched: &Fetched,
    outside: &Outside,
) -> Result<(), Refusal> {
    if permit.serves_anything() { Ok(()) } else { outside.check(fetched) }
}

fn no_artifact(subject: &Descriptor, why: &str) -> Refusal {
    let because = format!("it is not a permitted artifact of {}: {why}", subject.digest);
    Refusal::new(Reason::DigestNotSigned, because)
}

/// Checks that `fetched` is the manifest that `endorsement` is about, and that the endorsement is in force.
pub(super) fn holds(
    fetched: &Fetched,
    endorsement: &Endorsement,
    place: &MatchedRule<'_>,
    now: Timestamp,
) -> Result<(), Refusal> {
    let says = endorsement.says();
    if says.repository != *place.repository {
        let because = format!("it is signed for {}", says.repository);
        return Err(Refusal::new(Reason::WrongRepository, because));
    }
    if let Some(expires) = says.expires.filter(|expires| now > *expires) {
        let because = format!("its endorsement expired at {expires}");
        return Err(Refusal::new(Reason::Expired, because));
    }
    if says.digest != *fetched.digest() {
        return Err(mismatch("digest", fetched));
    }
    if says.length.is_some_and(|length| length != fetched.bytes().len() as u64) {
        return Err(mismatch("length", fetched));
    }
    match &says.sha512 {
        Some(sha512) if <[u8; 64]>::from(Sha512::digest(fetched.bytes())) != **sha512 => {
            Err(mismatch("SHA-512", fetched))
        }
        Some(_) | None => Ok(()),
    }
}

fn is_exempted(
    fetched: &Fetched,
    exemption: &Exemption,
    place: &MatchedRule<'_>,
    now: Timestamp,
) -> Result<(), Refusal> {
    if !exemption.is_of(place.repository, fetched.digest()) {
        return Err(Refusal::new(Reason::DigestNotSigned, "the exemption is for another image"));
    }
    if !exemption.is_in_force(now) {
        let because = format!("the exemption ended at {}", exemption.says().until);
        return Err(Refusal::new(Reason::Expired, because));
    }
    Ok(())
}

fn mismatch(what: &str, fetched: &Fetched) -> Refusal {
    let because =
        format!("the {what} of {} at the registry is not the signed one", fetched.digest());
    Refusal::new(Reason::ContentMismatch, because)
}
