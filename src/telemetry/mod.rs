//! Sends log events to standard error: as text on a terminal, otherwise as one JSON object per line. Knows nothing of
//! what is logged.
//!
//! A process has one log, so this module keeps it in statics, as `tracing` does.

mod lossy;
mod people;

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::{self, IsTerminal, Write as _};
use std::os::fd::AsFd as _;
use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use thiserror::Error;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use self::lossy::Lossy;
use self::people::People;
use crate::clock::Clock;

/// The environment variable that filters events, such as `debug` or `info,countersign::audit=off`.
const FILTER: &str = "RUST_LOG";
/// How long [`Log`] waits for standard error at exit.
const FINISH: Duration = Duration::from_secs(2);

/// The number of events that did not reach standard error.
static LOST: LazyLock<Counter> = LazyLock::new(Counter::default);
/// The buffer before standard error, if logging must not block.
static LOSSY: OnceLock<Lossy> = OnceLock::new();

/// Why logging cannot start.
#[derive(Debug, Error)]
pub enum TelemetryError {
    #[error(
        "invalid log filter in {FILTER} ({0}): use for example `debug` or `info,countersign::audit=off`"
    )]
    Filter(#[from] ParseError),
    #[error("logging is already set up: {0}")]
    Twice(#[from] TryInitError),
    #[error("cannot write the log: {0}")]
    Writer(#[from] io::Error),
}

/// What happens while standard error is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Events are lost. For a process that serves, that is better than delayed responses.
    Lossy,
    /// Logging blocks.
    Waiting,
}

/// The format of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    People,
    Programs,
}

/// The target of events that no filter removes: listener addresses and panics.
pub const ALWAYS: &str = "countersign::start";

/// When dropped, writes the queued events, for at most two seconds.
#[derive(Debug)]
#[must_use = "logging ends when this is dropped"]
pub struct Log(());

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(lossy) = LOSSY.get() {
            lossy.finish(FINISH);
        }
    }
}

/// Starts sending events of this process to standard error: those of `least` and above, unless the environment sets
/// another filter. Called once, by `cli`.
pub fn init(least: LevelFilter, delivery: Delivery) -> Result<Log, TelemetryError> {
    let terminal = io::stderr().is_terminal();
    let format = if terminal { Format::People } else { Format::Programs };
    let filter = std::env::var(FILTER).unwrap_or_default();
    let subscriber = match delivery {
        Delivery::Waiting => subscriber(format, &filter, least, &Clock::System, io::stderr)?,
        Delivery::Lossy => {
            // Not with `io::stderr()`, whose lock a blocked write would hold.
            let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
            let lossy = Lossy::start(stderr, LOST.clone())?;
            let lossy = LOSSY.get_or_init(|| lossy);
            panic::set_hook(Box::new(log_panic));
            subscriber(format, &filter, least, &Clock::System, lossy.clone())?
        }
    };
    subscriber.try_init()?;
    Ok(Log(()))
}

/// Registers the counter of lost events in `registry`.
pub fn register(registry: &mut Registry) {
    registry.register(
        "countersign_log_events_lost",
        "Log events lost because writing to standard error failed or was too slow",
        LOST.clone(),
    );
}

/// How many events of this process were lost.
pub fn lost() -> u64 {
    LOST.get()
}

/// Writes `line` to standard error unchanged. Ignores errors.
pub fn tell(line: &str) {
    match LOSSY.get() {
        Some(lossy) => lossy.push(format!("{line}\n").as_bytes()),
        None => drop(writeln!(io::stderr(), "{line}")),
    }
}

/// The message of a panic with this payload.
pub fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message")
}

/// The default hook would block on standard error.
fn log_panic(info: &PanicHookInfo<'_>) {
    let location = info.location().map(tracing::field::display);
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
    let backtrace = backtrace.as_ref().map(tracing::field::display);
    tracing::error!(target: ALWAYS, location, backtrace, panic = panic_message(info.payload()), "a thread panicked (this is a bug)");
}

/// A subscriber for the events that pass `filter`; targets that it does not name are logged from `least` up.
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
    // tracing would print an error of the writer to standard error, which panics if that fails, too.
    let builder = tracing_subscriber::fmt().log_internal_errors(false);
    let builder = builder.with_env_filter(filter).with_writer(writer);
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

    /// Collects what is written.
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

    /// The output on a terminal, without colors.
    fn on_terminal(events: impl FnOnce()) -> String {
        let mut on_terminal = written_by(Format::People, "debug", events);
        for color in ["2", "31", "32", "33", "0"] {
            on_terminal = on_terminal.replace(&format!("\x1b[{color}m"), "");
        }
        on_terminal
    }

    #[test]
    fn programs_get_one_object_per_line_with_fields_at_the_top_level() {
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
    fn people_get_a_decision_as_a_sentence() {
        let on_terminal = on_terminal(|| {
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
        assert_eq!(on_terminal, line);
    }

    #[test]
    fn people_get_the_message_before_the_details() {
        let on_terminal = on_terminal(|| {
            let error = io::Error::other("no\x1b[2J room");
            tracing::warn!(error = &error as &dyn std::error::Error, of = 7, "cannot be kept");
            tracing::debug!(target: "countersign::store", none = None::<&str>, "detail");
        });
        let lines = "01:02:03Z WARN  cannot be kept  error=\"no\\u{1b}[2J room\"  of=7\n\
                     01:02:03Z DEBUG countersign::store detail\n";
        assert_eq!(on_terminal, lines);
    }

    #[test]
    fn the_filter_selects_events() {
        assert_eq!(written(Format::Programs, "debug").lines().count(), 2);
        assert_eq!(written(Format::Programs, "countersign::audit=off").lines().count(), 0);
        assert_eq!(written(Format::Programs, "error").lines().count(), 0);
        let (least, clock) = (LevelFilter::INFO, Clock::System);
        assert!(subscriber(Format::Programs, "=,=", least, &clock, io::sink).is_err());
    }
}
