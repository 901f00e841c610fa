//! The Rust half of `tests/bench/run` and `tests/bench/instructions`: what a shell measures badly.
//!
//! What is measured is printed as samples, one a line: the name of a figure and one round's value.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench that cannot go on panics")]
#![allow(clippy::expect_used, reason = "the same, and says why")]

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
    /// Reads from a server and throws the bytes away.
    Read(reader::Order),
    /// The CPU seconds that processes have used so far.
    Cpu { pids: Vec<u32> },
    /// How long it takes from start to listening, in milliseconds.
    Start { times: usize, gate: PathBuf, config: PathBuf },
    /// The CPU time of one full verification, small and with 10,000 tags.
    Verify,
    /// A registry and a Notary server with 1,000 signed repositories, until killed.
    Site,
    /// How many instructions one request of each hot path costs this gate.
    Count { gate: PathBuf },
    /// The table of the samples in a file, beside the goals.
    Table { samples: PathBuf },
}

fn main() {
    // Cargo passes `--bench` of its own accord.
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
