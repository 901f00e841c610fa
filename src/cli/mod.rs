//! The commands, one file each. Results go to standard output, logs and errors to standard error.

mod admin_client;
mod attest;
mod bundle;
mod check;
mod client_config;
mod config_file;
mod demo;
mod denials;
mod doctor;
mod exempt;
mod forget;
mod inventory;
mod learn;
mod node_config;
mod replay;
mod serve;
mod trust;
mod why;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::telemetry::{self, Delivery};
use crate::text::escaped;
use crate::toml_reader::Problems;
use config_file::ConfigFile;

const CONFIG_ERROR: u8 = 2;
const OTHER_ERROR: u8 = 1;
/// The answer is no: refused, absent, or nothing is signed.
const DENIED: u8 = 3;
const UNDECIDED: u8 = 4;

/// A pull-through registry proxy that serves only signed container images.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
#[command(after_help = "Examples:\n  \
    countersign demo --once                      see the gate at work\n  \
    countersign check --config countersign.toml  validate a configuration\n  \
    countersign serve --config countersign.toml  run the gate\n\n\
    Each command has more examples: countersign why --help")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Check(check::Check),
    Serve(serve::Serve),
    Why(why::Why),
    Denials(denials::Denials),
    Trust(trust::Trust),
    Attest(attest::Attest),
    ClientConfig(client_config::ClientConfig),
    NodeConfig(node_config::NodeConfig),
    Doctor(doctor::Doctor),
    Learn(learn::Learn),
    Replay(replay::Replay),
    Exempt(exempt::Exempt),
    Forget(forget::Forget),
    Bundle(bundle::Bundle),
    Inventory(inventory::Inventory),
}

/// Runs the command that the arguments of this process name.
pub fn run() -> ExitCode {
    let command = Arguments::parse().command;
    let _log = match telemetry::init(command.least(), command.delivery()) {
        Ok(log) => log,
        Err(error) => return failed(OTHER_ERROR, &error.to_string()),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(OTHER_ERROR, &format!("cannot start: {error}")),
    };
    let ran = runtime.block_on(command.run());
    // A thread that waits for a hanging disk must not delay the exit.
    runtime.shutdown_background();
    match ran {
        Ok(code) => ExitCode::from(code),
        Err(error) => match error.downcast_ref::<Problems>() {
            Some(problems) => failed(CONFIG_ERROR, &problems.to_string()),
            None => failed(OTHER_ERROR, &format!("{error:#}")),
        },
    }
}

impl Command {
    /// The default log level, if RUST_LOG is not set.
    fn least(&self) -> LevelFilter {
        match self {
            // The page of verdicts contains everything.
            Self::Demo(demo::Demo { once: true }) => LevelFilter::OFF,
            Self::Serve(_)
            | Self::Check(_)
            | Self::Why(_)
            | Self::Denials(_)
            | Self::Forget(_)
            | Self::ClientConfig(_)
            | Self::NodeConfig(_)
            | Self::Doctor(_)
            | Self::Exempt(_)
            | Self::Replay(_)
            | Self::Learn(_)
            | Self::Attest(_)
            | Self::Trust(_)
            | Self::Bundle(_)
            | Self::Inventory(_)
            | Self::Demo(_) => LevelFilter::INFO,
        }
    }

    /// Whether log events may be dropped, or the command waits for standard error.
    fn delivery(&self) -> Delivery {
        match self {
            Self::Serve(_) | Self::Demo(_) => Delivery::Lossy,
            Self::Check(_)
            | Self::Why(_)
            | Self::Denials(_)
            | Self::Forget(_)
            | Self::ClientConfig(_)
            | Self::NodeConfig(_)
            | Self::Doctor(_)
            | Self::Exempt(_)
            | Self::Replay(_)
            | Self::Learn(_)
            | Self::Trust(_)
            | Self::Bundle(_)
            | Self::Inventory(_)
            | Self::Attest(_) => Delivery::Waiting,
        }
    }

    /// The exit status.
    async fn run(self) -> anyhow::Result<u8> {
        match self {
            Self::Serve(serve) => serve.run().await,
            Self::Check(check) => check.run(),
            Self::Why(why) => why.run().await,
            Self::Denials(denials) => denials.run().await,
            Self::Forget(forget) => forget.run(),
            Self::ClientConfig(client_config) => client_config.run(),
            Self::NodeConfig(node_config) => node_config.run().await,
            Self::Doctor(doctor) => doctor.run().await,
            Self::Exempt(exempt) => exempt.run(),
            Self::Replay(replay) => replay.run().await,
            Self::Learn(learn) => learn.run().await,
            Self::Trust(trust) => trust.run().await,
            Self::Attest(attest) => attest.run().await,
            Self::Bundle(bundle) => bundle.run().await,
            Self::Inventory(inventory) => inventory.run(),
            Self::Demo(demo) => demo.run().await,
        }
    }
}

fn failed(code: u8, message: &str) -> ExitCode {
    telemetry::tell(&format!("countersign: {}", escaped(message)));
    ExitCode::from(code)
}

/// Reports an invalid argument; the exit status.
fn wrong(argument: &str, error: impl std::fmt::Display) -> u8 {
    let _ = failed(CONFIG_ERROR, &format!("{argument:?}: {error}"));
    CONFIG_ERROR
}

/// Writes a result. Control characters are escaped: parts of it may come from registries, logs and files of others.
fn print(text: &str) -> anyhow::Result<()> {
    io::stdout().write_all(escaped(text).as_bytes()).context("cannot write to standard output")
}
