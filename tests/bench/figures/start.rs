//! Measures the time from the start of a gate until it listens.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

pub(crate) fn measure(times: usize, gate: &Path, config: &Path) {
    for _ in 0..times {
        let mut command = Command::new(gate);
        command.arg("serve").arg("--config").arg(config);
        command.env("RUST_LOG", "warn").stderr(Stdio::piped());
        let began = Instant::now();
        let mut gate = command.spawn().unwrap();
        let lines = BufReader::new(gate.stderr.take().unwrap()).lines();
        let said = lines.map(Result::unwrap).find(|line| line.contains("listening"));
        let took = began.elapsed();
        gate.kill().unwrap();
        gate.wait().unwrap();
        said.expect("the gate ended before it listened");
        println!("start.gate.milliseconds {:.3}", took.as_secs_f64() * 1e3);
    }
}
