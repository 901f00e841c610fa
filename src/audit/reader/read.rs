//! Reads logs line by line.

use std::io::{self, BufRead};

use super::line::Line;
use super::pulls::Pulls;

/// The longest line that is parsed, in bytes. Longer lines are only counted.
pub const MAX_LINE: usize = 64 << 10;

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub verdicts: u64,
    /// Log events other than verdicts.
    pub other: u64,
    /// Lines that are not events, and verdicts without a required field.
    pub unreadable: u64,
}

/// Reads all of `log` into `pulls`; skips lines that cannot be parsed.
///
/// # Errors
///
/// Those of `log`.
pub fn read(mut log: impl BufRead, pulls: &mut Pulls, tally: &mut Tally) -> io::Result<()> {
    let mut line = Vec::new();
    while let Some(whole) = next(&mut log, &mut line)? {
        match if whole { Line::parse(&line) } else { Line::Unreadable } {
            Line::Pull(pull) => {
                tally.verdicts += 1;
                pulls.add(*pull);
            }
            Line::Other => tally.other += 1,
            Line::Unreadable => tally.unreadable += 1,
        }
    }
    Ok(())
}

/// Reads one line, without its line feed. Returns whether it is complete, or `None` at the end of the log.
fn next(log: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let (mut any, mut whole) = (false, true);
    loop {
        let read = match log.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read.is_empty() {
            return Ok(any.then_some(whole));
        }
        any = true;
        let end = read.iter().position(|byte| *byte == b'\n');
        let part = &read[..end.unwrap_or(read.len())];
        if line.len() + part.len() > MAX_LINE {
            whole = false;
        } else if whole {
            line.extend_from_slice(part);
        }
        let taken = end.map_or(read.len(), |end| end + 1);
        log.consume(taken);
        if end.is_some() {
            return Ok(Some(whole));
        }
    }
}
