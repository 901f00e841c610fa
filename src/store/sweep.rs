//! Reconciles the files on disk with the index after a crash or after a new index was created: removes files
//! that the index does not know, and index entries without a file.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use super::disk::Disk;
use super::metrics::Operation;
use crate::oci::Algorithm;

impl Disk {
    /// Sweeps the whole store until `go_on` returns false. Returns whether the sweep was completed.
    pub(super) fn sweep(&self, go_on: impl Fn() -> bool) -> bool {
        let algorithms = [Algorithm::Sha256, Algorithm::Sha512];
        let mut folders =
            algorithms.into_iter().flat_map(|algorithm| (0..=u8::MAX).map(move |n| (algorithm, n)));
        folders.all(|(algorithm, first)| {
            let swept = go_on() && self.index.in_place();
            swept
                && self.sweep_folder(algorithm, first).unwrap_or_else(|error| {
                    self.health.failed(Operation::Remove, &error);
                    false
                })
        })
    }

    fn sweep_folder(&self, algorithm: Algorithm, first: u8) -> io::Result<bool> {
        let there = self.layout.digests(algorithm, first)?;
        let Some(known) = self.index.beginning_with(algorithm, first) else { return Ok(false) };
        let known = BTreeSet::from_iter(known);
        for digest in there.difference(&known) {
            // Content that is being published is in use until the index knows it.
            let Some(_going) = self.in_use.begin_removal(digest) else { continue };
            match self.index.keeps(digest) {
                Some(false) => {
                    // Report a file that cannot be removed, and continue with the others.
                    if let Err(error) = fs::remove_file(self.layout.content(digest)) {
                        self.health.failed(Operation::Remove, &error);
                    }
                }
                Some(true) => {}
                None => return Ok(false),
            }
        }
        for digest in known.difference(&there) {
            let Some(_going) = self.in_use.begin_removal(digest) else { continue };
            // The file may have been created since the folder was listed.
            if !self.layout.content(digest).try_exists()? {
                self.index.forget(digest);
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
    fn a_sweep_removes_nothing_that_is_being_published() {
        let name = format!("countersign-sweep-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let config = Config {
            path: path.clone(),
            max_size: 1 << 20,
            scrub_every: std::time::Duration::from_secs(1),
        };
        let store = Store::open(&config, Clock::default(), &Metrics::default()).unwrap();
        let repository = "r.example/app".parse().unwrap();
        std::thread::scope(|scope| {
            let publishing = scope.spawn(|| {
                for n in 0..100_u32 {
                    let content = n.to_le_bytes();
                    let mut ingest = store.ingest(&Digest::of(&content), None).unwrap();
                    ingest.append(&content).unwrap();
                    let whole = ingest.verify().unwrap();
                    drop(whole.publish(&repository, HeldAs::Blob).unwrap());
                }
            });
            while !publishing.is_finished() {
                assert!(store.disk.sweep(|| true));
            }
        });
        for n in 0..100_u32 {
            let digest = Digest::of(&n.to_le_bytes());
            assert!(store.content(&repository, &digest).is_some());
        }
        std::fs::remove_dir_all(path).unwrap();
    }
}
