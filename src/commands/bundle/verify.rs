//! `countersign bundle verify`: the judgment of this side about a bundle. Changes nothing.

use std::fmt;

use crate::clock::Timestamp;

use super::judge::Judged;

/// The judgment, and what expires soon.
#[derive(Debug)]
pub struct Verified {
    judged: Judged,
    /// The end of the time within which an expiry is reported.
    warn_until: Option<Timestamp>,
}

impl Verified {
    /// Reports endorsements that expire before `warn_until`.
    pub fn new(judged: Judged, warn_until: Option<Timestamp>) -> Self {
        Self { judged, warn_until }
    }

    /// 0 all images pass; 3 an image is refused or expires soon; 4 an image cannot be decided.
    pub fn exit_status(&self) -> u8 {
        let soon = self.judged.passed().any(|(_, passed)| self.is_soon(passed.ends));
        match (self.judged.has_refused() || soon, self.judged.has_undecided()) {
            (true, _) => 3,
            (false, true) => 4,
            (false, false) => 0,
        }
    }

    fn is_soon(&self, ends: Option<Timestamp>) -> bool {
        ends.is_some_and(|ends| self.warn_until.is_some_and(|until| ends < until))
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for image in &self.judged.images {
            let passed = match &image.result {
                Ok(passed) => passed,
                Err(left) => {
                    writeln!(f, "FAILED    {} ({}): {}", image.name, left.verdict, left.because)?;
                    continue;
                }
            };
            write!(f, "passed    {} {}", image.name, passed.digest)?;
            match (&passed.note, passed.anchors.as_slice()) {
                (Some(note), _) => write!(f, ": {note}")?,
                (None, []) => {}
                (None, anchors) => write!(f, ", signed by {}", anchors.join(", "))?,
            }
            match passed.ends {
                Some(ends) if self.is_soon(passed.ends) => writeln!(f, ", EXPIRES SOON: {ends:#}")?,
                Some(ends) => writeln!(f, ", until {ends:#}")?,
                None => writeln!(f)?,
            }
        }
        let passed = self.judged.passed().count();
        writeln!(f, "{passed} of {} images pass", self.judged.images.len())
    }
}
