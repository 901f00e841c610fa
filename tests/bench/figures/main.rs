//! The Rust part of `tests/bench/run` and `tests/bench/instructions`, for figures that a shell measures poorly.
//!
//! Prints samples, one per line: the name of a figure and the value of one round.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot continue panics"
)]
#![allow(clippy::expect_used, reason = "the same, with the cause")]

mod trust_data;
mod watched;
mod plain;
mod secure;
mod reader;
mod start;
mod counted;
mod goals;
mod table;

use std::path::PathBuf;

use clap::Parser;

#[derive(Parser)]
enum Figure {
    /// Reads from a server and discards the bytes.
    Read(reader::Order),
    /// The CPU seconds that processes have used so far.
    Cpu { pids: Vec<u32> },
    /// The time from start to listening, in milliseconds.
    Start { times: usize, gate: PathBuf, config: PathBuf },
    /// The CPU time of one full verification, with few and with 10,000 tags.
    Verify,
    /// A registry and a Notary server with 1,000 signed repositories, until killed.
    Site,
    /// The instructions that one request of each hot path costs this gate.
    Count { gate: PathBuf },
    /// The table of the samples in a file, with the targets.
    Table { samples: PathBuf },
}

fn main() {
    // Cargo adds `--bench`.
    match Figure::parse_from(std::env::args().filter(|argument| argument != "--bench")) {
        Figure::Read(order) => reader::read(order),
        Figure::Cpu { pids } => println!("{:.2}", watched::cpu_seconds(&pids)),
        Figure::Start { times, gate, config } => start::measure(times, &gate, &config),
        Figure::Verify => trust_data::verify(),
        Figure::Site => trust_data::site(),
        Figure::Count { gate } => counted::count(&gate),
        Figure::Table { samples } => print!("{}", table::of(&samples)),
    }
}
