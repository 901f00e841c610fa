//! Reads what is kept again and again, and holds it against its digest: a disk may give other bytes than
//! it was given. What was not looked at for the longest time comes first.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use super::disk::{Disk, Unopened};
use super::in_use::Pin;
use super::metrics::{Fault, Operation};
use crate::clock::Timestamp;
use crate::oci::Hasher;

/// How much is read at once.
const PIECE: usize = 1 << 20;
/// The most that is read in a second, in bytes.
const RATE: u32 = 16 << 20;
/// What opening a file and noting the outcome counts for, in bytes that are read.
const FILE: u32 = 64 << 10;

/// A walk through what is kept, piece by piece.
pub(super) struct Scrub {
    disk: Arc<Disk>,
    open: Option<Open>,
}

/// The content that is being read.
struct Open {
    pin: Arc<Pin>,
    file: File,
    hasher: Hasher,
    position: u64,
    piece: Vec<u8>,
}

/// How far one step came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes were read, or something that takes as long.
    Read(u32),
    /// Nothing is due.
    Idle,
}

impl Step {
    /// How long to wait before the next step.
    pub(super) fn pause(self, idle: Duration) -> Duration {
        match self {
            Self::Read(bytes) => Duration::from_secs(bytes.into()) / RATE,
            Self::Idle => idle,
        }
    }
}

impl Scrub {
    pub(super) fn new(disk: Arc<Disk>) -> Self {
        Self { disk, open: None }
    }

    /// Reads the next piece of what is due at `now`.
    pub(super) fn step(&mut self, now: Timestamp) -> Step {
        let Some(mut open) = self.open.take().or_else(|| self.next(now)) else { return Step::Idle };
        match open.file.read_at(&mut open.piece, open.position) {
            Ok(0) if open.hasher.clone().finish() == *open.pin.digest() => {
                self.disk.facts.scrubbed(open.pin.digest(), now);
                Step::Read(FILE)
            }
            Ok(0) => {
                self.disk.lose(&open.pin, Fault::Digest);
                Step::Read(FILE)
            }
            Ok(read) => {
                open.hasher.update(&open.piece[..read]);
                open.position += read as u64;
                self.open = Some(open);
                Step::Read(u32::try_from(read).unwrap_or(u32::MAX))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.open = Some(open);
                Step::Read(0)
            }
            Err(error) => {
                tracing::warn!(digest = %open.pin.digest(), %error, "stored content cannot be read");
                self.disk.lose(&open.pin, Fault::Unreadable);
                Step::Read(FILE)
            }
        }
    }

    /// Opens what is due, if anything is.
    fn next(&self, now: Timestamp) -> Option<Open> {
        let disk = &self.disk;
        let every = i64::try_from(disk.scrub_every.as_secs()).unwrap_or(i64::MAX);
        let until = Timestamp::from_unix(now.unix().saturating_sub(every));
        loop {
            let (digest, length) = disk.facts.scrubbed_until(until)?;
            let pin = disk.in_use.wait_and_pin(&digest);
            // It may have gone while it was not in use yet.
            if !disk.facts.keeps(&digest)? {
                continue;
            }
            match disk.open_file(&digest, length) {
                Ok(file) => {
                    let hasher = Hasher::new(digest.algorithm());
                    return Some(Open { pin, file, hasher, position: 0, piece: vec![0; PIECE] });
                }
                Err(Unopened::Fault(fault)) if disk.facts.in_place() => disk.lose(&pin, fault),
                Err(Unopened::Fault(_)) => return None,
                Err(Unopened::Io(error)) => {
                    disk.health.failed(Operation::Read, &error);
                    return None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_in_a_second_than_the_rate_says() {
        let idle = Duration::from_secs(60);
        assert_eq!(Step::Read(RATE).pause(idle), Duration::from_secs(1));
        assert_eq!(Step::Read(0).pause(idle), Duration::ZERO);
        assert_eq!(Step::Idle.pause(idle), idle);
    }
}
