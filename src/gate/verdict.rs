//! The verdict about one request, as answers, the audit record, metrics and `replay` name it.

/// The result of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Admitted,
    Refused,
    Absent,
    Undecided,
}

impl Verdict {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Refused => "refused",
            Self::Absent => "absent",
            Self::Undecided => "undecided",
        }
    }

    /// The verdict that [`Self::as_str`] writes as `text`.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Admitted, Self::Refused, Self::Absent, Self::Undecided];
        all.into_iter().find(|verdict| verdict.as_str() == text)
    }
}
