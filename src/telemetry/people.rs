//! Formats an event for a terminal: the time of day, the level, the message, and the other fields in dim text. A
//! decision is one sentence, `refused registry/repository:tag reason`. Every event is one line and contains no control
//! sequence from the logged values.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock::Clock;
use crate::text::is_plain;

const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

/// Writes events for people; the clock tells the time of day, in UTC.
pub(super) struct People(pub(super) Clock);

impl<S, N> FormatEvent<S, N> for People
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = EventFields::default();
        event.record(&mut fields);
        let (level, target) = (*event.metadata().level(), event.metadata().target());
        let now = self.0.now().to_string();
        // To the second: in RFC 3339 the time of day follows the `T`.
        let time = now.split('T').nth(1).and_then(|time| time.get(..8)).unwrap_or(&now);
        paint(&mut writer, DIM, &format!("{time}Z"))?;
        writer.write_char(' ')?;
        paint(&mut writer, color_of(level), level.as_str())?;
        let pad = 6_usize.saturating_sub(level.as_str().len());
        write!(writer, "{:pad$}", "")?;
        // Useful to those who filter by target.
        if level > Level::INFO {
            paint(&mut writer, DIM, target)?;
            writer.write_char(' ')?;
        }
        match fields.verdict() {
            Some(sentence) => {
                paint(&mut writer, color_of_verdict(&sentence.verdict), &sentence.verdict)?;
                write!(writer, " {}", sentence.image)?;
                if let Some(reason) = &sentence.reason {
                    write!(writer, " {reason}")?;
                }
            }
            None => writer.write_str(&fields.message)?,
        }
        let mut rest = String::new();
        for (name, value) in &fields.fields {
            write!(rest, "  {name}={value}")?;
        }
        if !rest.is_empty() {
            paint(&mut writer, DIM, &rest)?;
        }
        writeln!(writer)
    }
}

/// Writes in a color, if the terminal has colors.
fn paint(writer: &mut Writer<'_>, color: &str, text: &str) -> fmt::Result {
    if writer.has_ansi_escapes() {
        write!(writer, "\x1b[{color}m{text}\x1b[0m")
    } else {
        writer.write_str(text)
    }
}

fn color_of(level: Level) -> &'static str {
    match level {
        Level::ERROR => RED,
        Level::WARN => YELLOW,
        Level::INFO => GREEN,
        Level::DEBUG | Level::TRACE => DIM,
    }
}

fn color_of_verdict(verdict: &str) -> &'static str {
    match verdict {
        "admitted" => GREEN,
        "undecided" => YELLOW,
        _ => RED,
    }
}

/// The content of an event; each value is already escaped.
#[derive(Default)]
struct EventFields {
    message: String,
    fields: Vec<(&'static str, String)>,
}

/// The decision in an event.
struct Sentence {
    verdict: String,
    image: String,
    reason: Option<String>,
}

impl EventFields {
    /// Removes the fields of a decision and returns them as a sentence; `None` for other events.
    fn verdict(&mut self) -> Option<Sentence> {
        let has = |name| self.fields.iter().any(|(known, _)| *known == name);
        let all = ["image.registry", "image.repository", "verdict"];
        if !all.into_iter().all(has) {
            return None;
        }
        let [registry, repository, verdict] = all.map(|name| self.take(name));
        let mut image =
            format!("{}/{}", registry.unwrap_or_default(), repository.unwrap_or_default());
        let reference = self.take("image.reference");
        if let Some(reference) = &reference {
            image.push(if reference.contains(':') { '@' } else { ':' });
            image.push_str(reference);
        }
        let digest =
            self.take("manifest.digest").filter(|digest| Some(digest) != reference.as_ref());
        if let Some(digest) = digest {
            image.push('@');
            image.push_str(&digest);
        }
        let (verdict, reason) = (verdict.unwrap_or_default(), self.take("reason"));
        Some(Sentence { verdict, image, reason })
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.fields.iter().position(|(known, _)| *known == name)?;
        Some(self.fields.remove(at).1)
    }

    fn add(&mut self, field: &Field, value: &str) {
        let harmless = harmless(value);
        if field.name() == "message" {
            self.message = harmless;
        } else {
            self.fields.push((field.name(), quoted(harmless)));
        }
    }
}

impl Visit for EventFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_error(&mut self, field: &Field, error: &(dyn std::error::Error + 'static)) {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        self.add(field, &text);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, &format!("{value:.1}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }
}

/// One line without control characters, because the text may come from registries and servers.
fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for letter in text.chars() {
        if !is_plain(letter) {
            harmless.extend(letter.escape_default());
        } else {
            harmless.push(letter);
        }
    }
    harmless
}

/// Quotes a value that could otherwise be mistaken for several fields.
fn quoted(value: String) -> String {
    if !value.is_empty() && !value.contains(' ') {
        return value;
    }
    format!("\"{}\"", value.replace('"', "'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_contains_a_control_sequence() {
        assert_eq!(harmless("a\x1b[2Jb\nc\u{202e}d\u{9b}e"), r"a\u{1b}[2Jb\nc\u{202e}d\u{9b}e");
        assert_eq!(harmless("shop/cart:v1 – prüfen"), "shop/cart:v1 – prüfen");
    }
    #[test]
    fn a_value_cannot_forge_a_field() {
        let forged = r#"x"  verdict="admitted"#;
        assert_eq!(quoted(forged.to_owned()), r#""x'  verdict='admitted""#);
        assert_eq!([quoted("one".to_owned()), quoted(String::new())], ["one", "\"\""]);
    }
}
