//! Scrubs stored content: reads it periodically and compares it with its digest, because a disk may return
//! other bytes than were written. The least recently scrubbed content comes first.

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

/// How many bytes one step reads.
const PIECE: usize = 1 << 20;
/// The maximum read rate, in bytes per second.
const RATE: u32 = 16 << 20;
/// The cost of opening a file and recording the result, in bytes of the read rate.
const FILE: u32 = 64 << 10;

/// A walk through the stored content, piece by piece.
pub(super) struct Scrub {
    disk: Arc<Disk>,
    open: Option<Open>,
}

/// The content that is being scrubbed.
struct Open {
    pin: Arc<Pin>,
    file: File,
    hasher: Hasher,
    position: u64,
    piece: Vec<u8>,
}

/// The result of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The step read this many bytes, or did work of the same cost.
    Read(u32),
    /// Nothing is due.
    Idle,
}

impl Step {
    /// The pause before the next step.
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

    /// Reads the next piece of the content that is due at `now`.
    pub(super) fn step(&mut self, now: Timestamp) -> Step {
        let Some(mut open) = self.open.take().or_else(|| self.next(now)) else { return Step::Idle };
        match open.file.read_at(&mut open.piece, open.position) {
            Ok(0) if open.hasher.clone().finish() == *open.pin.digest() => {
                self.disk.index.scrubbed(open.pin.digest(), now);
                Step::Read(FILE)
            }
            Ok(0) => {
                self.disk.quarantine(&open.pin, Fault::Digest);
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
                self.disk.quarantine(&open.pin, Fault::Unreadable);
                Step::Read(FILE)
            }
        }
    }

    /// Opens the content that is due, if any.
    fn next(&self, now: Timestamp) -> Option<Open> {
        let disk = &self.disk;
        let every = i64::try_from(disk.scrub_every.as_secs()).unwrap_or(i64::MAX);
        let until = Timestamp::from_unix(now.unix().saturating_sub(every));
        loop {
            let (digest, length) = disk.index.scrubbed_until(until)?;
            let pin = disk.in_use.wait_and_pin(&digest);
            // It may have been evicted before it was pinned.
            if !disk.index.keeps(&digest)? {
                continue;
            }
            match disk.open_file(&digest, length) {
                Ok(file) => {
                    let hasher = Hasher::new(digest.algorithm());
                    return Some(Open { pin, file, hasher, position: 0, piece: vec![0; PIECE] });
                }
                Err(Unopened::Fault(fault)) if disk.index.in_place() => {
                    disk.quarantine(&pin, fault)
                }
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
    fn the_pauses_enforce_the_read_rate() {
        let idle = Duration::from_secs(60);
        assert_eq!(Step::Read(RATE).pause(idle), Duration::from_secs(1));
        assert_eq!(Step::Read(0).pause(idle), Duration::ZERO);
        assert_eq!(Step::Idle.pause(idle), idle);
    }
}
