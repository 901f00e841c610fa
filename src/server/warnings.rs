//! The `Warning` header of a manifest that is served under a caveat (RFC 7234, 5.5), in the form that the
//! distribution-spec defines for registries ("Warnings"): code 299, the agent `-`, and a text that clients show to
//! their users.

use http::header::WARNING;
use http::{HeaderMap, HeaderValue};

use crate::clock::Timestamp;
use crate::gate::{Admitted, Denial};
use crate::policy::Caveat;

/// The longest text of one warning, in characters. The specification allows 4,096 bytes for all.
const MAX_TEXT: usize = 300;
/// The most warnings of one response.
const MAX_WARNINGS: usize = 8;

/// Adds the warnings about `admitted` at `now` to `headers`. Usually there are none.
pub(super) fn put(headers: &mut HeaderMap, admitted: &Admitted, now: Timestamp) {
    for caveat in admitted.caveats(now).take(MAX_WARNINGS) {
        if let Some(value) = value(&sentence(&caveat)) {
            headers.append(WARNING, value);
        }
    }
}

fn sentence(caveat: &Caveat<'_, Denial>) -> String {
    match caveat {
        Caveat::Exempted(exemption) => {
            let says = exemption.says();
            format!(
                "the image is not signed; it is exempted until {:#}: {}",
                says.until, says.reason
            )
        }
        Caveat::WouldBeDenied(denial) => {
            format!("this image will be denied once its rule is enforced: {denial}")
        }
        Caveat::Frozen { anchor, until } => format!(
            "the signatures of {anchor} are a frozen archive, which counts until {until:#}; newer \
             signatures are unknown"
        ),
        Caveat::Expires { anchor, at } => {
            format!("the trust data of {anchor} expires at {at:#}; the publisher must sign again")
        }
    }
}

/// The header value with that text. The text may come from a configuration, a registry or a trust server: every character
/// that has a meaning in the header, or that clients show differently, is replaced. Clients drop a warning that they
/// cannot parse, and some decode `%XX`.
fn value(text: &str) -> Option<HeaderValue> {
    let letter = |letter| match letter {
        '"' => '\'',
        '\\' | '%' => '?',
        ' '..='~' => letter,
        _ => '?',
    };
    let mut safe: String = text.chars().map(letter).take(MAX_TEXT).collect();
    if text.chars().nth(MAX_TEXT).is_some() {
        safe.push_str("...");
    }
    HeaderValue::try_from(format!("299 - \"countersign: {safe}\"")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        value(text).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn a_warning_has_the_form_of_the_distribution_spec() {
        assert_eq!(shown("it ends"), "299 - \"countersign: it ends\"");
    }

    #[test]
    fn no_character_ends_the_text_or_the_header() {
        let text = shown("a\"b\\c%0d%0ad\r\nX: y\u{1b}[2J\u{202e}\u{7f}\u{9b}\u{f6}\0");
        assert_eq!(text, "299 - \"countersign: a'b?c?0d?0ad??X: y?[2J?????\"");
    }

    #[test]
    fn a_long_text_is_cut() {
        let text = shown(&"\u{f6}".repeat(1 << 20));
        assert_eq!(text, format!("299 - \"countersign: {}...\"", "?".repeat(MAX_TEXT)));
        assert!(!shown(&"x".repeat(MAX_TEXT)).contains("..."));
    }
}
