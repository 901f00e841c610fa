//! Many clients request one cold blob at the same time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::gate::Gate;
use crate::line::Line;
use crate::quarantine::kept;
use crate::random::Random;
use crate::reader::Reader;
use crate::site::OpenSite;

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        two_hundred_clients_at_once_cost_one_download_and_little_memory,
        an_interrupted_download_resumes_unnoticed_by_clients,
    ]
}

const CLIENTS: usize = 200;
const LENGTH: usize = 200_000_000;
const MOST_MEMORY: u64 = 128 << 20;

fn two_hundred_clients_at_once_cost_one_download_and_little_memory() {
    let site = OpenSite::new();
    let blob = Random::new(51).content(LENGTH);
    let digest = site.registry.put_blob("library/app", blob.clone());
    let path = format!("/v2/library/app/blobs/{digest}");
    let gate = site.gate("");
    let idle = gate.anonymous_memory();

    let (over, begun) = (AtomicBool::new(false), Instant::now());
    let peak = thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut peak = 0;
            while !over.load(Ordering::Relaxed) {
                peak = peak.max(gate.anonymous_memory());
                thread::sleep(Duration::from_millis(20));
            }
            peak
        });
        let clients: Vec<_> = (1..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let mut reader = Reader::get(gate.port, &path, &[]).unwrap();
                    reader.ends_with(&blob).unwrap();
                })
            })
            .collect();
        // A slow client, which has most of the blob still to read when all others have finished.
        let mut slow = Reader::get(gate.port, &path, &[]).unwrap();
        let mut read = 0;
        while !clients.iter().all(thread::ScopedJoinHandle::is_finished) {
            read += slow.reads(&blob[read..], 16 << 10).unwrap();
            thread::sleep(Duration::from_millis(100));
        }
        assert!(slow.left() > LENGTH as u64 / 2, "{} bytes are left", slow.left());
        clients.into_iter().for_each(|client| client.join().unwrap());
        slow.ends_with(&blob[read..]).unwrap();
        over.store(true, Ordering::Relaxed);
        sampler.join().unwrap()
    });
    eprintln!(
        "{CLIENTS} clients in {:?}; anonymous memory {} MiB idle, {} MiB at most",
        begun.elapsed(),
        idle >> 20,
        peak >> 20
    );
    assert_eq!(site.registry.asked("GET", &path), 1);
    assert!(peak <= MOST_MEMORY, "{peak} bytes");
}

fn an_interrupted_download_resumes_unnoticed_by_clients() {
    let site = OpenSite::new();
    let blob = Random::new(52).content(24 << 20);
    let digest = site.registry.put_blob("library/app", blob.clone());
    let path = format!("/v2/library/app/blobs/{digest}");
    let line = Line::to(site.registry.port);
    let config = site.config().replace(&site.registry.url(), &line.url());
    let gate = Gate::start_keeping(0, "", &config);
    line.break_after(9 << 20);
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let mut reader = Reader::get(gate.port, &path, &[]).unwrap();
                reader.ends_with(&blob).unwrap();
            });
        }
    });
    assert_eq!(site.registry.asked("GET", &path), 2);
    assert!(site.registry.log().contains("HTTP/1.1\" 206 "), "{}", site.registry.log());
    kept(&gate, &digest);
}
