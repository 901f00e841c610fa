//! The store never exceeds `max_size`: it evicts the least recently used content, and never content that is being
//! read.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use crate::process::wait_for;
use crate::random::Random;
use crate::reader::Reader;
use crate::site::OpenSite;

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![the_store_never_exceeds_its_size_and_keeps_used_content]
}

const MOST: u64 = 32 << 20;
const BLOBS: usize = 40;
const AT_ONCE: usize = 3;

/// The total size of the files below a folder; ignores files that are removed meanwhile.
pub(crate) fn size_below(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(file) if file.is_dir() => size_below(&entry.path()),
        Ok(file) => file.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

fn the_store_never_exceeds_its_size_and_keeps_used_content() {
    let site = OpenSite::new();
    let mut random = Random::new(21);
    let mut put = |length: usize| {
        let blob = random.content(length);
        let digest = site.registry.put_blob("library/app", blob.clone());
        (format!("/v2/library/app/blobs/{digest}"), blob)
    };
    let (used, slow) = (put(1 << 20), put(9 << 20));
    let blobs: Vec<_> = (0..BLOBS).map(|_| put(3 << 20)).collect();
    let gate = site.gate(&format!("max_size = \"{}MiB\"", MOST >> 20));
    let pull = |(path, blob): &(String, Bytes)| {
        Reader::get(gate.port, path, &[]).unwrap().ends_with(blob).unwrap();
    };
    let asked = |(path, _): &(String, Bytes)| site.registry.asked("GET", path);
    let bytes = || gate.metric("countersign_store_bytes");

    pull(&used);
    pull(&slow);
    wait_for("both to be stored", Duration::from_secs(10), || (bytes() == 10 << 20).then_some(()));
    let mut reading = Reader::get(gate.port, &slow.0, &[]).unwrap();
    let mut read = reading.reads(&slow.1, 1 << 10).unwrap();

    let over = AtomicBool::new(false);
    let largest = thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut largest = 0;
            while !over.load(Ordering::Relaxed) {
                // This order never counts a renamed file twice.
                let folders = ["content", "incoming"].map(|name| gate.store().join(name));
                largest = largest.max(folders.iter().map(|folder| size_below(folder)).sum());
                thread::sleep(Duration::from_millis(2));
            }
            largest
        });
        for some in blobs.chunks(AT_ONCE) {
            thread::scope(|scope| some.iter().for_each(|blob| drop(scope.spawn(|| pull(blob)))));
            pull(&used);
            read += reading.reads(&slow.1[read..], 64 << 10).unwrap();
        }
        over.store(true, Ordering::Relaxed);
        sampler.join().unwrap()
    });
    assert!(largest <= MOST, "{largest} bytes");
    assert!(largest > MOST / 2 && bytes() <= MOST, "{largest} bytes, {} kept", bytes());

    reading.ends_with(&slow.1[read..]).unwrap();
    for blob in [&blobs[BLOBS - 2], &blobs[BLOBS - 1], &used, &slow] {
        pull(blob);
        assert_eq!(asked(blob), 1, "{}", blob.0);
    }
    pull(&blobs[0]);
    assert_eq!(asked(&blobs[0]), 2);
    assert!(gate.metric("countersign_store_evictions_total") > BLOBS as u64 / 2);
}
