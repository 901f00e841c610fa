//! The judgement about one envelope (trust-store-trust-policy, "Signature Verification", in the order
//! of its steps). Pure: what must be known of revocations is given, or asked for.

use crate::clock::Timestamp;
use crate::trust::signature::{Flaw, Unproven, Vouched};
use crate::trust::subject::Subject;

use super::envelope::{Envelope, SigningScheme};
use super::flaw;
use super::level::Action;
use super::payload;
use super::statement::{Statement, VerifyTimestamp};
use super::trust_store::Kind;

/// What judging an envelope gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It proves that its signer vouches for the image.
    Vouched {
        vouched: Vouched,
        /// What did not pass, and that the anchor's level only logs.
        tolerated: Vec<Flaw>,
    },
    Unproven(Unproven),
}

/// One envelope before its statement.
pub(super) struct Trial<'a> {
    statement: &'a Statement,
    now: Timestamp,
    tolerated: Vec<Flaw>,
    /// The earliest end of what the verdict rests on so far.
    expires: Option<Timestamp>,
}

impl<'a> Trial<'a> {
    pub(super) fn new(statement: &'a Statement, now: Timestamp) -> Self {
        Self { statement, now, tolerated: Vec::new(), expires: None }
    }

    /// Judges an envelope of `media_type`.
    pub(super) fn judge(
        mut self,
        media_type: &str,
        bytes: &[u8],
        subject: &Subject,
    ) -> Result<Judged, Unproven> {
        let Some(envelope) = Envelope::verify(media_type, bytes) else {
            let found = format!("a layer of type {media_type:?}");
            let wanted = "application/jose+json or application/cose";
            return Err(Unproven::Beside(flaw("envelope", found, wanted)));
        };
        let envelope = envelope.map_err(Unproven::Flawed)?;
        payload::check(&envelope.payload, subject)?;
        let level = self.statement.level;
        let authenticity = self.authenticity(&envelope);
        self.settled(level.authenticity, authenticity)?;
        let expiry = self.expiry(&envelope);
        self.settled(level.expiry, expiry)?;
        let signed = self.authentic_time(&envelope)?;
        if level.revocation == Action::Enforce {
            let told = "revocation cannot be checked yet; `revocation = \"skip\"` says that it need not be";
            return Err(Unproven::Undecided(told.to_owned()));
        }
        Ok(Judged::Vouched {
            vouched: Vouched {
                signer: envelope.chain.leaf().name().to_owned(),
                signed: Some(signed),
                expires: self.expires,
            },
            tolerated: self.tolerated,
        })
    }

    /// What becomes of a validation's outcome.
    fn settled(&mut self, action: Action, outcome: Result<(), Flaw>) -> Result<(), Unproven> {
        match (action, outcome) {
            (Action::Skip, _) | (_, Ok(())) => Ok(()),
            (Action::Enforce, Err(flaw)) => Err(Unproven::Flawed(flaw)),
            (Action::Log, Err(flaw)) => {
                self.tolerated.push(flaw);
                Ok(())
            }
        }
    }

    fn rests_until(&mut self, end: Timestamp) {
        self.expires = Some(self.expires.map_or(end, |sooner| sooner.min(end)));
    }

    fn authenticity(&self, envelope: &Envelope) -> Result<(), Flaw> {
        let kind = match envelope.scheme {
            SigningScheme::X509 { .. } => Kind::Ca,
            SigningScheme::SigningAuthority { .. } => Kind::SigningAuthority,
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
        let trust = match (identities, leaf.attributes()) {
            (super::Identities::Any, _) => Ok(true),
            (super::Identities::Subjects(_), Ok(subject)) => Ok(identities.trust(subject)),
            (super::Identities::Subjects(_), Err(why)) => Err(why),
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
            self.rests_until(expiry);
        }
        Ok(())
    }

    /// When it was signed, held against the validity of the chain.
    fn authentic_time(&mut self, envelope: &Envelope) -> Result<Timestamp, Unproven> {
        let action = self.statement.level.authentic_timestamp;
        match envelope.scheme {
            SigningScheme::SigningAuthority { authentic_signing_time: time } => {
                self.settled(action, valid(envelope, time, time, "when it was signed"))?;
                Ok(time)
            }
            SigningScheme::X509 { signing_time } => {
                if self.wants_timestamp(envelope) {
                    let missing = flaw("timestamp", "no timestamp", "a countersignature of a TSA");
                    self.settled(action, Err(missing))?;
                } else {
                    self.settled(action, valid(envelope, self.now, self.now, "now"))?;
                    if action == Action::Enforce {
                        self.rests_until(envelope.chain.ends());
                    }
                }
                Ok(signing_time)
            }
        }
    }

    /// Whether the countersignature of a timestamping authority decides about the time.
    fn wants_timestamp(&self, envelope: &Envelope) -> bool {
        let expired = envelope.chain.ends() < self.now;
        let asked = match self.statement.verify_timestamp {
            VerifyTimestamp::Always => true,
            VerifyTimestamp::AfterCertExpiry => expired,
        };
        asked && !self.statement.store.of(Kind::Tsa).is_empty()
    }
}

fn valid(envelope: &Envelope, from: Timestamp, to: Timestamp, when: &str) -> Result<(), Flaw> {
    match envelope.chain.invalid_within(from, to) {
        None => Ok(()),
        Some(one) => {
            let (begin, end) = (one.not_before, one.not_after);
            let found =
                format!("{:?} is valid from {begin} to {end}, and was not {when}", one.name());
            Err(flaw("certificate_validity", found, "a chain that is valid at that time"))
        }
    }
}
