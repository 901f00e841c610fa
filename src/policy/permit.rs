//! The permission to serve one digest. Only a rule gives one: a requirement that is met, an allow rule, an audit rule,
//! or a rule with an exemption. A [`Permit`] names the rule that gave it, and its basis.

use std::ops::Deref;
use std::sync::Arc;

use super::{Answers, Artifacts, Chosen, Mode, OnUnsigned, Requirement, Rule, Unmet};
use crate::exemptions::Exemption;
use crate::oci::Digest;
use crate::trust::{Endorsement, Reason, Refusal, Unendorsed};

/// A rule's permission to serve one digest. `W` is the denial that enforcement of an audit rule would have given.
///
/// The fields are private, and only the [`Terms`] of a rule create a permit:
///
/// ```compile_fail,E0451
/// use std::sync::Arc;
/// use countersign::oci::Digest;
/// use countersign::policy::{Artifacts, Permit};
/// fn forge(digest: Digest, rule: Arc<str>) -> Permit<()> {
///     Permit { digest, basis: todo!(), rule, artifacts: Artifacts::Listed, would: None }
/// }
/// ```
///
/// An enforce rule gives none without the answers of its anchors:
///
/// ```compile_fail,E0599
/// use countersign::oci::Digest;
/// use countersign::policy::{Permit, Required};
/// fn excuse(rule: &Required<'_>, digest: Digest) -> Permit<()> {
///     rule.permit(digest)
/// }
/// ```
///
/// Endorsements alone give none: a requirement must count them.
///
/// ```compile_fail,E0277
/// use countersign::policy::Permit;
/// use countersign::trust::Endorsement;
/// fn skip(endorsements: Vec<Endorsement>) -> Permit<()> {
///     endorsements.into()
/// }
/// ```
#[derive(Debug)]
pub struct Permit<W> {
    digest: Digest,
    basis: Basis,
    rule: Arc<str>,
    artifacts: Artifacts,
    would: Option<Arc<W>>,
}

#[derive(Clone, Debug)]
enum Basis {
    /// Every anchor that the rule requires endorses the digest.
    Met(Vec<Endorsement>),
    /// The rule is an allow or audit rule.
    Rule,
    /// An operator exempted the digest for a while.
    Exempted(Exemption),
}

/// The mode of a rule, and what the rule can permit.
#[derive(Clone, Copy, Debug)]
pub enum Terms<'a> {
    Deny { reason: Option<&'a str> },
    Allow(Allow<'a>),
    Enforce(Required<'a>),
    Audit(Audit<'a>),
}

/// An allow rule, which serves images without signatures. Only [`Chosen::terms`] creates one:
///
/// ```compile_fail,E0423
/// use countersign::policy::{Allow, Chosen};
/// fn allow(chosen: Chosen<'_>) -> Allow<'_> {
///     Allow(chosen)
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Allow<'a>(Chosen<'a>);

/// A rule with a requirement. It permits a digest that meets the requirement.
#[derive(Clone, Copy, Debug)]
pub struct Required<'a> {
    chosen: Chosen<'a>,
    requirement: &'a Requirement,
}

/// An audit rule, which serves in any case and records what its requirement would have refused. Only [`Chosen::terms`]
/// creates one:
///
/// ```compile_fail,E0423
/// use countersign::policy::{Audit, Required};
/// fn audit(required: Required<'_>) -> Audit<'_> {
///     Audit(required)
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Audit<'a>(Required<'a>);

impl<'a> Chosen<'a> {
    /// The mode of the rule, and what the rule can permit.
    pub fn terms(&self) -> Terms<'a> {
        let required = |requirement| Required { chosen: *self, requirement };
        match &self.rule().mode {
            Mode::Deny { reason } => Terms::Deny { reason: reason.as_deref() },
            Mode::Allow { .. } => Terms::Allow(Allow(*self)),
            Mode::Enforce(requirement) => Terms::Enforce(required(requirement)),
            Mode::Audit(requirement) => Terms::Audit(Audit(required(requirement))),
        }
    }

    /// Whether the rule serves every digest, signed or not: it allows, or it only audits.
    pub fn serves_every_digest(&self) -> bool {
        match self.terms() {
            Terms::Allow(_) | Terms::Audit(_) => true,
            Terms::Deny { .. } | Terms::Enforce(_) => false,
        }
    }

    /// Whether the rule denies everything that it matches.
    pub fn is_deny(&self) -> bool {
        matches!(self.terms(), Terms::Deny { .. })
    }

    /// The rule, if it only audits.
    pub fn audit(&self) -> Option<Audit<'a>> {
        match self.terms() {
            Terms::Audit(audit) => Some(audit),
            Terms::Deny { .. } | Terms::Allow(_) | Terms::Enforce(_) => None,
        }
    }

    /// What happens to a tag that moves to an unsigned digest. An audit rule holds no tags: it records what would be denied.
    pub fn on_unsigned(&self) -> OnUnsigned {
        match self.terms() {
            Terms::Enforce(required) => required.rule().on_unsigned,
            Terms::Deny { .. } | Terms::Allow(_) | Terms::Audit(_) => OnUnsigned::Refuse,
        }
    }

    /// The rule with its requirement, if it has one.
    pub fn required(&self) -> Option<Required<'a>> {
        match self.terms() {
            Terms::Enforce(required) | Terms::Audit(Audit(required)) => Some(required),
            Terms::Deny { .. } | Terms::Allow(_) => None,
        }
    }

    /// Permits the exempted digest, unless this is a deny rule. The caller checks the repository and the end of the
    /// exemption.
    pub fn exempt<W>(&self, exemption: &Exemption) -> Option<Permit<W>> {
        match self.terms() {
            Terms::Deny { .. } => None,
            Terms::Allow(_) | Terms::Enforce(_) | Terms::Audit(_) => {
                let basis = Basis::Exempted(exemption.clone());
                Some(Permit::new(*self, exemption.says().digest, basis, None))
            }
        }
    }
}

impl Allow<'_> {
    /// Permits `digest`, signed or not.
    pub fn permit<W>(&self, digest: Digest) -> Permit<W> {
        Permit::new(self.0, digest, Basis::Rule, None)
    }
}

impl<'a> Audit<'a> {
    /// Permits `digest`, and records that the rule `would` have refused it.
    pub fn permit<W>(&self, digest: Digest, would: Arc<W>) -> Permit<W> {
        Permit::new(self.0.chosen, digest, Basis::Rule, Some(would))
    }

    /// The requirement, to be judged as in an enforce rule.
    pub fn enforced(&self) -> Required<'a> {
        self.0
    }

    pub fn chosen(&self) -> Chosen<'a> {
        self.0.chosen
    }
}

impl<'a> Required<'a> {
    /// Permits the one of `candidates` for which `answers` meet the requirement ([`Requirement::judge`]).
    pub fn judge<W>(&self, answers: &Answers, candidates: &[Digest]) -> Result<Permit<W>, Unmet> {
        let met = self.requirement.judge(answers, candidates)?;
        // Both are impossible: every requirement names an anchor, and endorsements are counted per digest.
        let Some(digest) = met.first().map(Endorsement::digest) else {
            return Err(no_endorsement("the rule names no anchor"));
        };
        if met.iter().any(|endorsement| endorsement.digest() != digest) {
            return Err(no_endorsement("the endorsements are for different digests"));
        }
        Ok(Permit::new(self.chosen, digest, Basis::Met(met), None))
    }

    pub fn rule(&self) -> &'a Rule {
        self.chosen.rule()
    }

    pub fn chosen(&self) -> Chosen<'a> {
        self.chosen
    }
}

/// Gives access to the requirement.
impl Deref for Required<'_> {
    type Target = Requirement;

    fn deref(&self) -> &Requirement {
        self.requirement
    }
}

fn no_endorsement(because: &str) -> Unmet {
    let why = Unendorsed::Refused(Refusal::new(Reason::NoTrustData, because));
    Unmet { anchor: None, why }
}

impl<W> Permit<W> {
    fn new(chosen: Chosen<'_>, digest: Digest, basis: Basis, would: Option<Arc<W>>) -> Self {
        let (rule, artifacts) = (chosen.pattern().clone(), chosen.rule().artifacts);
        Self { digest, basis, rule, artifacts, would }
    }

    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The pattern of the rule that gave it.
    pub fn rule(&self) -> &Arc<str> {
        &self.rule
    }

    /// Which artifacts about the digest are served with it.
    pub fn artifacts(&self) -> Artifacts {
        self.artifacts
    }

    /// The denial that enforcement would have given, if this is the permit of an audit rule.
    pub fn dry_run_denial(&self) -> Option<&Arc<W>> {
        self.would.as_ref()
    }

    /// The endorsements that meet the requirement; none if the permit is of an allow or audit rule, or of an exemption.
    pub fn endorsements(&self) -> &[Endorsement] {
        match &self.basis {
            Basis::Met(endorsements) => endorsements,
            Basis::Rule | Basis::Exempted(_) => &[],
        }
    }

    pub fn exemption(&self) -> Option<&Exemption> {
        match &self.basis {
            Basis::Exempted(exemption) => Some(exemption),
            Basis::Met(_) | Basis::Rule => None,
        }
    }

    /// Whether the rule serves any content, including any manifest that the content points at.
    pub fn serves_anything(&self) -> bool {
        match &self.basis {
            Basis::Rule => true,
            Basis::Met(_) | Basis::Exempted(_) => false,
        }
    }
}

// A derived implementation would require `W: Clone`.
impl<W> Clone for Permit<W> {
    fn clone(&self) -> Self {
        Self {
            digest: self.digest,
            basis: self.basis.clone(),
            rule: self.rule.clone(),
            artifacts: self.artifacts,
            would: self.would.clone(),
        }
    }
}
