//! Instants: a date, or a time with its zone.

use super::Section;
use crate::clock::Timestamp;

impl Section<'_> {
    /// An instant. A date without a time means the end of that day, in UTC.
    pub fn instant(&self, key: &'static str) -> Option<Timestamp> {
        let expected =
            "a date such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z, without quotes";
        let text =
            self.of_type(key, expected, |value| value.as_datetime().map(ToString::to_string));
        let text = text?;
        let is_day = text.len() == 10;
        let instant =
            if is_day { Timestamp::end_of_day(&text) } else { Timestamp::parse_rfc3339(&text) };
        if instant.is_none() {
            let fix = "write a date, or a time with its zone: 2027-01-31T12:00:00Z";
            self.wrong(key, format!("{text} is not a point in time; {fix}"));
        }
        instant
    }
}
