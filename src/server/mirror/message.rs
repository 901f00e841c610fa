//! What a sticky denial tells, as one short line of printable ASCII: it stands where engines expect a
//! media type or a reason phrase. Knows nothing of either.

use std::fmt::Write as _;

use hyper::ext::ReasonPhrase;

use super::RequestId;

/// The most characters of a sentence that are told.
pub(super) const MAX_SENTENCE: usize = 400;
/// What docker takes for a sign that to go on makes no sense (moby, `distribution/errors.go`,
/// `continueOnError`: the text of `ESRCH`).
const FINAL: &str = ": no such process";

/// Something to tell, with the name of the request that it was told to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct Message(String);

impl Message {
    pub(super) fn new(sentence: &str, id: RequestId) -> Self {
        let shown = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
        let mut text: String = sentence.chars().map(shown).take(MAX_SENTENCE).collect();
        if sentence.chars().nth(MAX_SENTENCE).is_some() {
            text.push_str("...");
        }
        // A text takes all that is written to it.
        let _ = write!(text, " (request {id})");
        Self(text)
    }

    pub(super) fn no_such_process(&self) -> Self {
        Self(format!("{}{FINAL}", self.0))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// All that it holds may stand there, so there is one.
    pub(super) fn reason_phrase(&self) -> Option<ReasonPhrase> {
        ReasonPhrase::try_from(self.0.as_bytes()).ok()
    }
}
