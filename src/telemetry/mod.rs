//! Where log events go: to standard error, as text for people on a terminal and as one JSON object a
//! line otherwise. Knows nothing of what is logged.

mod people;

use std::io::{self, IsTerminal};
use std::sync::Arc;

use thiserror::Error;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use self::people::People;
use crate::clock::Clock;

/// The environment variable that filters events, such as `debug` or `info,countersign::audit=off`.
const FILTER: &str = "RUST_LOG";

/// Why nothing can be logged.
#[derive(Debug, Error)]
pub enum TelemetryError {
    #[error(
        "{FILTER} is no filter of log events ({0}): write `debug`, or `info,countersign::audit=off`"
    )]
    Filter(#[from] ParseError),
    #[error("logging is set up twice: {0}")]
    Twice(#[from] TryInitError),
}

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    People,
    Programs,
}

/// The target of what is told whatever the filter says: where the listeners are.
pub const ALWAYS: &str = "countersign::start";

/// Sends the events of this process to standard error from now on, those of `least` and above where
/// the environment says nothing else. Called once, by `cli`.
pub fn init(least: LevelFilter) -> Result<(), TelemetryError> {
    let terminal = io::stderr().is_terminal();
    let format = if terminal { Format::People } else { Format::Programs };
    let filter = std::env::var(FILTER).unwrap_or_default();
    Ok(subscriber(format, &filter, least, &Clock::System, io::stderr)?.try_init()?)
}

/// Writes the events that `filter` lets through; what it does not name, from `least` up.
fn subscriber<W>(
    format: Format,
    filter: &str,
    least: LevelFilter,
    clock: &Clock,
    writer: W,
) -> Result<Arc<dyn Subscriber + Send + Sync>, ParseError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().with_default_directive(least.into()).parse(filter)?;
    let filter = filter.add_directive(format!("{ALWAYS}=info").parse()?);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(match format {
        Format::People => Arc::new(builder.event_format(People(clock.clone())).finish()),
        Format::Programs => {
            let json = builder.json().flatten_event(true).with_current_span(false);
            Arc::new(json.with_span_list(false).finish())
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Mutex, MutexGuard};

    use serde_json::Value;

    use super::*;
    use crate::clock::Timestamp;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    struct Pen<'a>(MutexGuard<'a, Vec<u8>>);

    impl Write for Pen<'_> {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0.write(buf)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Page {
        type Writer = Pen<'a>;

        fn make_writer(&'a self) -> Pen<'a> {
            Pen(self.0.lock().unwrap())
        }
    }

    fn written(format: Format, filter: &str) -> String {
        written_by(format, filter, || {
            tracing::info!(target: "countersign::audit", { image.repository = "a/b", n = 7 }, "verdict");
            tracing::debug!("detail");
        })
    }

    fn written_by(format: Format, filter: &str, events: impl FnOnce()) -> String {
        let (page, clock) = (
            Page::default(),
            Clock::manual(Timestamp::parse_rfc3339("1970-01-01T01:02:03.5Z").unwrap()),
        );
        let least = LevelFilter::INFO;
        let subscriber = subscriber(format, filter, least, &clock, page.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, events);
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    /// What a terminal shows, without its colors.
    fn seen(events: impl FnOnce()) -> String {
        let mut seen = written_by(Format::People, "debug", events);
        for color in ["2", "31", "32", "33", "0"] {
            seen = seen.replace(&format!("\x1b[{color}m"), "");
        }
        seen
    }

    #[test]
    fn programs_read_one_object_a_line_with_the_fields_at_its_top() {
        let text = written(Format::Programs, "");
        assert_eq!(text.lines().count(), 1, "{text}");
        let event: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["level"], "INFO");
        assert_eq!(event["message"], "verdict");
        assert_eq!(event["target"], "countersign::audit");
        assert_eq!((&event["image.repository"], &event["n"]), (&"a/b".into(), &7.into()));
        assert!(event["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn people_read_a_decision_as_a_sentence() {
        let seen = seen(|| {
            tracing::info!(
                target: "countersign::audit",
                {
                image.registry = "docker.io",
                image.repository = "library/app",
                image.reference = %"v1",
                manifest.digest = %"sha256:00",
                verdict = "refused",
                reason = "expired",
                rule = "docker.io/**",
                duration_ms = 1.2345,
                },
                "verdict"
            );
        });
        let line = "01:02:03Z INFO  refused docker.io/library/app:v1@sha256:00 expired  \
                    rule=docker.io/**  duration_ms=1.2\n";
        assert_eq!(seen, line);
    }

    #[test]
    fn people_read_what_happened_before_the_details() {
        let seen = seen(|| {
            let error = io::Error::other("no\x1b[2J room");
            tracing::warn!(error = &error as &dyn std::error::Error, of = 7, "cannot be kept");
            tracing::debug!(target: "countersign::store", none = None::<&str>, "detail");
        });
        let lines = "01:02:03Z WARN  cannot be kept  error=\"no\\u{1b}[2J room\"  of=7\n\
                     01:02:03Z DEBUG countersign::store detail\n";
        assert_eq!(seen, lines);
    }

    #[test]
    fn the_filter_chooses() {
        assert_eq!(written(Format::Programs, "debug").lines().count(), 2);
        assert_eq!(written(Format::Programs, "countersign::audit=off").lines().count(), 0);
        assert_eq!(written(Format::Programs, "error").lines().count(), 0);
        let (least, clock) = (LevelFilter::INFO, Clock::System);
        assert!(subscriber(Format::Programs, "=,=", least, &clock, io::sink).is_err());
    }
}
