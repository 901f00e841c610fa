//! Brings what is on the disk and what is known of it together again, after a crash, or a database that
//! was begun anew: removes content that nobody knows of, and forgets content that is not there.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use super::disk::Disk;
use super::metrics::Operation;
use crate::oci::Algorithm;

impl Disk {
    /// Goes through the whole store, for as long as `go_on` says so. Whether it came to the end.
    pub(super) fn sweep(&self, go_on: impl Fn() -> bool) -> bool {
        let algorithms = [Algorithm::Sha256, Algorithm::Sha512];
        let mut folders =
            algorithms.into_iter().flat_map(|algorithm| (0..=u8::MAX).map(move |n| (algorithm, n)));
        folders.all(|(algorithm, first)| {
            let swept = go_on() && self.facts.in_place();
            swept
                && self.sweep_folder(algorithm, first).unwrap_or_else(|error| {
                    self.health.failed(Operation::Remove, &error);
                    false
                })
        })
    }

    fn sweep_folder(&self, algorithm: Algorithm, first: u8) -> io::Result<bool> {
        let there = self.layout.digests(algorithm, first)?;
        let Some(known) = self.facts.beginning_with(algorithm, first) else { return Ok(false) };
        let known = BTreeSet::from_iter(known);
        for digest in there.difference(&known) {
            // What is being published is in use until it is known.
            let Some(_going) = self.in_use.let_go(digest) else { continue };
            match self.facts.keeps(digest) {
                Some(false) => {
                    // One that cannot be removed is told, and does not keep the others.
                    if let Err(error) = fs::remove_file(self.layout.content(digest)) {
                        self.health.failed(Operation::Remove, &error);
                    }
                }
                Some(true) => {}
                None => return Ok(false),
            }
        }
        for digest in known.difference(&there) {
            let Some(_going) = self.in_use.let_go(digest) else { continue };
            // It may have come since it was looked for.
            if !self.layout.content(digest).try_exists()? {
                self.facts.forget(digest);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use crate::clock::Clock;
    use crate::oci::Digest;
    use crate::store::{Config, HeldAs, Metrics, Store};

    #[test]
    fn a_sweep_takes_nothing_that_is_being_published() {
        let name = format!("countersign-sweep-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let config = Config {
            path: path.clone(),
            max_size: 1 << 20,
            scrub_every: std::time::Duration::from_secs(1),
        };
        let store = Store::open(&config, Clock::default(), &Metrics::default()).unwrap();
        let (registry, repository) = ("r.example".parse().unwrap(), "app".parse().unwrap());
        std::thread::scope(|scope| {
            let publishing = scope.spawn(|| {
                for n in 0..100_u32 {
                    let content = n.to_le_bytes();
                    let mut ingest = store.ingest(&Digest::of(&content), None).unwrap();
                    ingest.append(&content).unwrap();
                    let whole = ingest.verify().unwrap();
                    drop(whole.publish(&registry, &repository, HeldAs::Blob).unwrap());
                }
            });
            while !publishing.is_finished() {
                assert!(store.disk.sweep(|| true));
            }
        });
        for n in 0..100_u32 {
            let digest = Digest::of(&n.to_le_bytes());
            assert!(store.content(&registry, &repository, &digest).is_some());
        }
        std::fs::remove_dir_all(path).unwrap();
    }
}
