//! Verifies one envelope (trust-store-trust-policy, "Signature Verification", in the order of its steps). Pure: the caller
//! has the revocation data, or fetches what is missing.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::trust::restrictions::{Restrictions, revoked_flaw};
use crate::trust::signature::{Flaw, Rejection, VerifiedSignature};
use crate::trust::signing_time::is_ahead;
use crate::trust::subject::Subject;

use super::chain::Chain;
use super::envelope::{Envelope, SigningScheme};
use super::identity::{self, Identities};
use super::level::Action;
use super::revocation::{Question, RevocationQuery, Revocations, Status};
use super::statement::{Statement, VerifyTimestamp};
use super::timestamps::{self, Stamped};
use super::trust_store::StoreKind;
use super::{flaw, payload};
use crate::trust::x509::shortened;

const REVOCATION: &str = "revocation";

/// The result for an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It proves that its signer endorses the image.
    Proven(Proven),
    /// It proves nothing, for this reason.
    Rejected(Rejection),
    /// It does, unless something is revoked: fetch these first, then judge it again.
    Needs(Vec<RevocationQuery>),
}

/// A valid signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    pub vouched: VerifiedSignature,
    /// The failed checks that the anchor's level only logs.
    pub tolerated: Vec<Flaw>,
}

/// The verification of one envelope with its statement.
pub(super) struct Trial<'a> {
    statement: &'a Statement,
    restrictions: &'a Restrictions,
    known: &'a Revocations,
    now: Timestamp,
    tolerated: Vec<Flaw>,
    /// The earliest expiry of the evidence so far: of the signature and its certificates, and of revocation data.
    signature_expires: Option<Timestamp>,
    revocation_expires: Option<Timestamp>,
    needs: Vec<RevocationQuery>,
}

/// When an envelope was signed.
struct Signed {
    /// The best known time, which may be only stated by the signer.
    at: Timestamp,
    /// The latest time that another party confirms.
    vouched: Option<Timestamp>,
}

impl<'a> Trial<'a> {
    pub(super) fn new(
        statement: &'a Statement,
        restrictions: &'a Restrictions,
        known: &'a Revocations,
        now: Timestamp,
    ) -> Self {
        let (tolerated, needs) = (Vec::new(), Vec::new());
        let (signature_expires, revocation_expires) = (None, None);
        Self {
            statement,
            restrictions,
            known,
            now,
            tolerated,
            signature_expires,
            revocation_expires,
            needs,
        }
    }

    /// Judges an envelope of `media_type`.
    pub(super) fn judge(
        mut self,
        media_type: &str,
        bytes: &[u8],
        subject: &Subject,
    ) -> Result<Judged, Rejection> {
        let Some(envelope) = Envelope::verify(media_type, bytes) else {
            let found = format!("a layer of type {:?}", shortened(media_type));
            let wanted = "application/jose+json or application/cose";
            return Err(Rejection::Beside(flaw("envelope", found, wanted)));
        };
        let envelope = envelope.map_err(Rejection::from)?;
        payload::check(&envelope.payload, subject)?;
        // At every level, because the operator configured it.
        self.not_revoked(&envelope.chain, "a certificate of the signature")
            .map_err(Rejection::from)?;
        let level = self.statement.level;
        let authenticity = self.authenticity(&envelope);
        let authentic = authenticity.is_ok();
        self.settled(level.authenticity, authenticity)?;
        let expiry = self.expiry(&envelope);
        self.settled(level.expiry, expiry)?;
        let signed = self.authentic_time(&envelope)?;
        if authentic {
            self.revocation(&envelope.chain, level.revocation, signed.vouched)?;
        } else {
            // An attacker could name any address in the chain.
            let found = "revocation is not checked for an untrusted chain";
            self.settled(level.revocation, Err(flaw(REVOCATION, found, "a trusted chain")))?;
        }
        if !self.needs.is_empty() {
            return Ok(Judged::Needs(self.needs));
        }
        let mut vouched = envelope.vouched;
        vouched.proven = signed.vouched;
        vouched.signed = Some(signed.at.min(self.now));
        if let Some(end) = self.signature_expires {
            vouched.expires_at(end);
        }
        if let Some(end) = self.revocation_expires {
            vouched.is_current_until(end);
        }
        let vouched = self.restrictions.apply(vouched, self.now).map_err(Rejection::from)?;
        Ok(Judged::Proven(Proven { vouched, tolerated: self.tolerated }))
    }

    /// Applies the action of the level to the result of a validation.
    fn settled(&mut self, action: Action, outcome: Result<(), Flaw>) -> Result<(), Rejection> {
        match (action, outcome) {
            (Action::Skip, _) | (_, Ok(())) => Ok(()),
            (Action::Enforce, Err(flaw)) => Err(Rejection::Flawed(flaw)),
            (Action::Log, Err(flaw)) => {
                self.tolerated.push(flaw);
                Ok(())
            }
        }
    }

    fn not_revoked(&self, chain: &Chain, what: &str) -> Result<(), Flaw> {
        match chain.iter().find_map(|one| self.restrictions.revoked.certificate(&one.der)) {
            Some(revoked) => Err(revoked_flaw(what, revoked)),
            None => Ok(()),
        }
    }

    fn authenticity(&self, envelope: &Envelope) -> Result<(), Flaw> {
        let kind = match envelope.scheme {
            SigningScheme::X509 { .. } => StoreKind::Ca,
            SigningScheme::SigningAuthority { .. } => StoreKind::SigningAuthority,
        };
        let trusted = self.statement.store.of(kind);
        let leaf = envelope.chain.leaf();
        if !envelope.chain.iter().any(|one| trusted.contains(one)) {
            let root = envelope.chain.iter().last().unwrap_or(leaf);
            let found = format!("the chain of {:?} ends at {:?}", leaf.name(), root.name());
            let wanted =
                format!("a chain to one of the {} roots of type {}", trusted.len(), kind.as_str());
            return Err(flaw("trust_store", found, wanted));
        }
        let identities = &self.statement.identities;
        let trust = match (identities, identity::attributes(&leaf.subject)) {
            (Identities::Any, _) => Ok(true),
            (Identities::Subjects(_), Ok(subject)) => Ok(identities.trust(&subject)),
            (Identities::Subjects(_), Err(why)) => Err(why),
        };
        let wanted = || identities.texts().join(" or ");
        match trust {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(flaw("identity", format!("it was signed by {:?}", leaf.name()), wanted()))
            }
            Err(why) => Err(flaw("identity", format!("{:?}: {why}", leaf.name()), wanted())),
        }
    }

    fn expiry(&mut self, envelope: &Envelope) -> Result<(), Flaw> {
        let Some(expiry) = envelope.expiry else { return Ok(()) };
        if self.now >= expiry {
            let found = format!("the signature expired at {expiry}");
            return Err(flaw("expiry", found, "a signature that has not expired"));
        }
        if self.statement.level.expiry == Action::Enforce {
            self.signature_expires = earliest(self.signature_expires, expiry);
        }
        Ok(())
    }

    /// The time of signing, if the chain was valid then.
    fn authentic_time(&mut self, envelope: &Envelope) -> Result<Signed, Rejection> {
        let action = self.statement.level.authentic_timestamp;
        let stated = match envelope.scheme {
            SigningScheme::SigningAuthority { authentic_signing_time: time }
            | SigningScheme::X509 { signing_time: time } => time,
        };
        // At every level: it would make every later image appear older.
        if is_ahead(stated, self.now) {
            let found =
                format!("the signature says that it was made at {stated}, which is in the future");
            return Err(Rejection::Flawed(flaw("signing_time", found, "a past time")));
        }
        match envelope.scheme {
            SigningScheme::SigningAuthority { authentic_signing_time: time } => {
                self.settled(action, valid(envelope, time, Duration::ZERO))?;
                Ok(Signed { at: time, vouched: Some(time) })
            }
            SigningScheme::X509 { signing_time } if self.wants_timestamp(envelope) => {
                match self.stamped(envelope) {
                    Ok(stamped) => {
                        let before = self.tolerated.len();
                        self.asked_about_tsa(&stamped)?;
                        let (time, accuracy) = (stamped.info.time, stamped.info.accuracy);
                        // An authority that may be revoked proves no time.
                        let holds = self.tolerated.len() == before;
                        let vouched = holds.then(|| time.plus(accuracy));
                        // Anyone can have an old envelope timestamped again.
                        let at = if holds { time.min(signing_time) } else { signing_time };
                        Ok(Signed { at, vouched })
                    }
                    Err(flaw) => {
                        self.settled(action, Err(flaw))?;
                        Ok(Signed { at: signing_time, vouched: None })
                    }
                }
            }
            SigningScheme::X509 { signing_time } => {
                self.settled(action, valid(envelope, self.now, Duration::ZERO))?;
                if action == Action::Enforce {
                    let end = envelope.chain.ends();
                    self.signature_expires = earliest(self.signature_expires, end);
                }
                Ok(Signed { at: signing_time, vouched: None })
            }
        }
    }

    /// Whether a timestamp decides the time.
    fn wants_timestamp(&self, envelope: &Envelope) -> bool {
        let asked = match self.statement.verify_timestamp {
            VerifyTimestamp::Always => true,
            VerifyTimestamp::AfterCertExpiry => envelope.chain.ends() < self.now,
        };
        // If the time matters, a timestamp is verified even if the policy does not need it yet.
        let decides = self.restrictions.need_time() && envelope.token.is_some();
        (asked || decides) && !self.statement.store.of(StoreKind::Tsa).is_empty()
    }

    fn stamped(&self, envelope: &Envelope) -> Result<Stamped, Flaw> {
        let Some(token) = &envelope.token else {
            let found = "it has no timestamp";
            return Err(flaw("timestamp", found, "a countersignature of a trusted authority"));
        };
        let roots = self.statement.store.of(StoreKind::Tsa);
        let stamped = timestamps::verify(token, &envelope.signature, roots)?;
        self.not_revoked(&stamped.chain, "the timestamping authority")?;
        let (time, accuracy) = (stamped.info.time, stamped.info.accuracy);
        self.has_come(time)?;
        valid(envelope, time, accuracy)?;
        Ok(stamped)
    }

    fn has_come(&self, time: Timestamp) -> Result<(), Flaw> {
        if is_ahead(time, self.now) {
            let found = format!("it was signed at {time}, which is in the future");
            return Err(flaw("timestamp", found, "a past time"));
        }
        Ok(())
    }

    /// Checks the revocation of the timestamp authority, unless the level skips revocation. A timestamp by a revoked
    /// authority proves nothing.
    fn asked_about_tsa(&mut self, stamped: &Stamped) -> Result<(), Rejection> {
        match self.statement.level.revocation {
            Action::Skip => Ok(()),
            Action::Enforce | Action::Log => {
                self.revocation(&stamped.chain, self.statement.level.authentic_timestamp, None)
            }
        }
    }

    /// Checks that no certificate of `chain` is revoked, and records the queries that are missing.
    fn revocation(
        &mut self,
        chain: &Chain,
        action: Action,
        used: Option<Timestamp>,
    ) -> Result<(), Rejection> {
        if action == Action::Skip {
            return Ok(());
        }
        let wanted = "certificates that are not revoked, as their issuers say";
        let mut unknown = Vec::new();
        for (certificate, issuer) in chain.issued() {
            let question = Question { certificate, issuer, used, now: self.now };
            match question.status(self.known) {
                Status::NotRevocable => {}
                Status::Good { until } if action == Action::Enforce => {
                    self.revocation_expires = earliest(self.revocation_expires, until);
                }
                Status::Good { .. } => {}
                Status::Needs(query) => self.needs.push(query),
                Status::Revoked(found) => {
                    self.settled(action, Err(flaw(REVOCATION, found, wanted)))?;
                }
                Status::Unknown(why) => unknown.push(why),
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        let why = format!("whether a certificate is revoked is not known: {}", unknown.join("; "));
        if action == Action::Enforce && self.needs.is_empty() {
            return Err(Rejection::Undecided(why));
        }
        self.settled(Action::Log, Err(flaw(REVOCATION, why, wanted)))
    }
}

fn earliest(known: Option<Timestamp>, other: Timestamp) -> Option<Timestamp> {
    Some(known.map_or(other, |known| known.min(other)))
}

fn valid(envelope: &Envelope, time: Timestamp, accuracy: Duration) -> Result<(), Flaw> {
    match envelope.chain.invalid_around(time, accuracy) {
        None => Ok(()),
        Some(one) => {
            let (begin, end) = (one.not_before, one.not_after);
            let found =
                format!("{:?} is valid from {begin} to {end}, and not at {time}", one.name());
            Err(flaw("certificate_validity", found, "a chain that is valid at that time"))
        }
    }
}
