//! Attacks on a running gate: the real program behind real sockets on loopback, one attack after another. During each
//! attack a bystander pulls, with a new connection for each request. Prints what the bystander saw and what the gate used,
//! and exits with 1 if a target of docs/limits.md is missed. It needs a machine that does nothing else.
//!
//! `cargo bench --profile dev --bench attacks -- target/dist/countersign`

#![expect(clippy::unwrap_used, reason = "a rig that cannot be set up fails its test")]

#[path = "../../rig/fake_notary.rs"]
mod fake_notary;
#[path = "../../rig/fake_registry.rs"]
mod fake_registry;
#[path = "../../rig/folder.rs"]
#[allow(dead_code, reason = "shared by tests that each use a part of it")]
mod folder;
#[path = "../../rig/notary_repository/mod.rs"]
mod notary_repository;

mod attack;
mod bystander;
mod figures;
mod site;

use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use bystander::Bystander;
use figures::{Figures, Sampler};
use site::Site;

/// How long each attack takes.
const ATTACK: Duration = Duration::from_secs(3);
/// The target for the 99th percentile of a kept manifest.
const MANIFEST: (usize, Duration) = (99, Duration::from_millis(25));
/// No request may take longer, whatever the build: before the limits of the gate, attacks stopped it for 30 seconds.
const LONGEST: Duration = Duration::from_secs(6);
/// The target for a cold blob and for the answer to a health check.
const COLD: Duration = Duration::from_secs(2);
/// The target for resident memory: 256 MiB and, of docs/limits.md, what manifests, lists, large JSON blobs, parsing and
/// shared downloads may take. No single attack uses all of it.
const MEMORY: u64 = (256 + 2 * 64) << 20;
/// The target for the kernel's memory of one connection.
const KERNEL: u64 = 768 << 10;
/// The target for the time until the gate is idle after the attackers disconnected.
const CALM: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    // `cargo bench` adds `--bench`.
    let Some(program) = std::env::args().skip(1).find(|argument| !argument.starts_with("--"))
    else {
        eprintln!(
            "name the program: cargo bench --profile dev --bench attacks -- target/dist/countersign"
        );
        return ExitCode::from(2);
    };
    let servers = runtime(2);
    let site = Arc::new(servers.block_on(Site::start(&program)));
    let clients = runtime(2);
    eprintln!("{}", Figures::HEADER);
    let peace = measure(&site, &clients, 0, ("peace", attack::none));
    let mut missed = peace.missed;
    for (number, attack) in (1..).zip(attack::ALL) {
        let figures = measure(&site, &clients, number, *attack);
        missed.extend(figures.missed);
    }
    if missed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("missed targets: {missed:#?}");
    ExitCode::FAILURE
}

fn measure(
    site: &Arc<Site>,
    clients: &Runtime,
    number: usize,
    (name, attack): (&'static str, attack::Attack),
) -> Figures {
    let bystander = Bystander::start(site);
    let sampler = Sampler::start(site);
    let begun = Instant::now();
    let attacking = clients.spawn(attack(site.clone()));
    thread::sleep(ATTACK / 3);
    let cold = bystander::cold_blob(site, number);
    thread::sleep(ATTACK.saturating_sub(begun.elapsed()));
    let pulls = bystander.stop();
    let held = attacking.is_finished();
    attacking.abort();
    let calm = site.until_calm(CALM * 2);
    let figures = Figures::new(name, &pulls, cold, &sampler.stop(), calm, site.resident());
    eprintln!("{figures}");
    assert!(!held, "{name}: the attack ended too early");
    figures
}

fn runtime(workers: usize) -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(workers).enable_all().build().unwrap()
}
