//! The message of a denial on the mirror listener: one short line of printable ASCII, because engines expect a media
//! type or a reason phrase in its place. Knows nothing of either.

use std::fmt::Write as _;

use hyper::ext::ReasonPhrase;

use super::RequestId;

/// The most characters of a sentence; the rest is cut off.
pub(super) const MAX_SENTENCE: usize = 400;
/// docker treats an error with this text as final (moby, `distribution/errors.go`, `continueOnError`: the text of
/// `ESRCH`).
const FINAL: &str = ": no such process";

/// A message, with the id of the request that it responds to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct Message(String);

impl Message {
    pub(super) fn new(sentence: &str, id: RequestId) -> Self {
        let shown = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
        let mut text: String = sentence.chars().map(shown).take(MAX_SENTENCE).collect();
        if sentence.chars().nth(MAX_SENTENCE).is_some() {
            text.push_str("...");
        }
        // Writing to a `String` cannot fail.
        let _ = write!(text, " (request {id})");
        Self(text)
    }

    pub(super) fn no_such_process(&self) -> Self {
        Self(format!("{}{FINAL}", self.0))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Every message is a valid reason phrase, so this is never `None`.
    pub(super) fn reason_phrase(&self) -> Option<ReasonPhrase> {
        ReasonPhrase::try_from(self.0.as_bytes()).ok()
    }
}
