//! Which of the validations must pass (trust-store-trust-policy, "Signature Verification details").
//! Integrity always must.

/// What a failed validation causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The signature does not count.
    Enforce,
    /// It is recorded, and the signature counts.
    Log,
    /// The validation is not made.
    Skip,
}

/// One action for each validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    /// The chain leads to the trust store, and the identity is one that is trusted.
    pub(super) authenticity: Action,
    /// The signature was made while its certificates were valid.
    pub(super) authentic_timestamp: Action,
    /// The signature has not expired.
    pub(super) expiry: Action,
    /// No certificate was revoked.
    pub(super) revocation: Action,
}

impl Level {
    pub(super) const STRICT: Self = Self {
        authenticity: Action::Enforce,
        authentic_timestamp: Action::Enforce,
        expiry: Action::Enforce,
        revocation: Action::Enforce,
    };
    pub(super) const PERMISSIVE: Self = Self {
        authenticity: Action::Enforce,
        authentic_timestamp: Action::Log,
        expiry: Action::Log,
        revocation: Action::Log,
    };
    pub(super) const AUDIT: Self = Self { authenticity: Action::Log, ..Self::PERMISSIVE };

    /// The level by its name. `skip` is not supported, because it accepts everything unverified.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "strict" => Some(Self::STRICT),
            "permissive" => Some(Self::PERMISSIVE),
            "audit" => Some(Self::AUDIT),
            _ => None,
        }
    }

    /// This level with one changed validation (`override` in a trust policy).
    pub(super) fn overridden(mut self, validation: &str, action: &str) -> Result<Self, String> {
        let action = match action {
            "enforce" => Action::Enforce,
            "log" => Action::Log,
            "skip" if validation == "revocation" => Action::Skip,
            _ => {
                return Err(format!(
                    "{action:?} is not an action for {validation}: \"enforce\" or \"log\", and \"skip\" for \
                     revocation alone"
                ));
            }
        };
        match validation {
            "authenticity" => self.authenticity = action,
            "authenticTimestamp" => self.authentic_timestamp = action,
            "expiry" => self.expiry = action,
            "revocation" => self.revocation = action,
            "integrity" => return Err("integrity is always enforced".to_owned()),
            _ => {
                return Err(format!(
                    "{validation:?} is not a validation: authenticity, authenticTimestamp, expiry, revocation"
                ));
            }
        }
        Ok(self)
    }
}
