//! How far a download is: what its clients need to know, each at its own pace.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;

use super::by_piece::Stored;
use super::error::BlobError;
use crate::oci::Hasher;
use crate::registry_client::UpstreamError;
use crate::store::Arriving;

/// How many bytes of what came last are kept in memory for those who keep up, about.
const MAX_RECENT: u64 = 1 << 20;
/// The most pieces of them: a registry may send a byte at a time.
const MAX_PIECES: usize = 256;
/// The most bytes that are read from the disk at once, and so in memory for each client.
const PIECE: u64 = 64 << 10;

/// How far a download is.
pub(super) enum Progress {
    /// Upstream was asked.
    Opening,
    /// Upstream did not give it.
    NotOpened(UpstreamError),
    /// It cannot be kept, so that everyone has to ask upstream himself.
    NotKept,
    /// It comes, and is kept on the way.
    Open(Box<Open>),
}

/// A download that is under way, or was.
pub(super) struct Open {
    /// Of the whole blob, if upstream says.
    pub(super) length: Option<u64>,
    /// So many bytes from the first may be sent on. The last ones are not among them until the digest
    /// is right.
    pub(super) available: u64,
    /// So many bytes from the first have come.
    written: u64,
    /// The pieces that came last, and where they begin: who keeps up need not read them again.
    recent: VecDeque<(u64, Bytes)>,
    /// Where all that was written can be read.
    written_to: WrittenTo,
    pub(super) end: Option<End>,
}

/// Where the bytes of a download are on disk.
#[derive(Clone)]
pub(super) enum WrittenTo {
    /// In its file, which cannot be evicted while clients read it.
    File(Arriving),
    /// In the store.
    Store(Stored),
}

/// How a download ended.
pub(super) enum End {
    /// All of it is there, and is what its digest says.
    Complete,
    /// No more of it can be had, or it was something else.
    Failed(BlobError),
    /// No more of it can be kept. What is before `position` was seen by this hasher; for the rest everyone
    /// has to ask upstream himself.
    Unkept { position: u64, hasher: Hasher },
}

impl Progress {
    /// Of the whole blob, once it is known.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Open(open) => open.length,
            Self::Opening | Self::NotOpened(_) | Self::NotKept => None,
        }
    }

    fn open(&mut self) -> Option<&mut Open> {
        match self {
            Self::Open(open) => Some(open),
            Self::Opening | Self::NotOpened(_) | Self::NotKept => None,
        }
    }

    /// These pieces were written. The last may not be sent on before the digest is right: that is the
    /// end of the last of them where there is a length, and any of them where there is none.
    pub(super) fn advance(&mut self, pieces: Vec<Bytes>) {
        let Some(open) = self.open() else { return };
        let before = open.written;
        for piece in pieces {
            open.recent.push_back((open.written, piece.clone()));
            open.written += piece.len() as u64;
        }
        let is_old = |first: &u64| first + MAX_RECENT < open.written;
        while open.recent.len() > MAX_PIECES
            || (open.recent.len() > 1
                && open.recent.front().is_some_and(|(first, _)| is_old(first)))
        {
            open.recent.pop_front();
        }
        match open.length {
            Some(length) if open.written < length => open.available = open.written,
            Some(_) => {}
            None => open.available = before,
        }
    }

    /// The download is in the store. Clients that still read it read it there, and pin nothing.
    pub(super) fn publish(&mut self, stored: Stored) {
        if let Some(open) = self.open() {
            open.written_to = WrittenTo::Store(stored);
        }
    }

    /// That is all; `length` if all of it is right.
    pub(super) fn end(&mut self, length: Option<u64>, end: End) {
        let Some(open) = self.open() else { return };
        match (&end, length) {
            (_, Some(length)) => (open.length, open.available) = (Some(length), length),
            // Whoever goes on alone hashes the rest, and holds back what is last then.
            (End::Unkept { position, .. }, None) => open.available = *position,
            (End::Complete | End::Failed(_), None) => {}
        }
        // Slow clients may be there for long, and what they want is on the disk, too.
        open.recent.clear();
        open.end = Some(end);
    }
}

impl Open {
    pub(super) fn new(length: Option<u64>, arriving: Arriving) -> Self {
        let recent = VecDeque::new();
        let written_to = WrittenTo::File(arriving);
        Self { length, available: 0, written: 0, recent, written_to, end: None }
    }

    /// Some of the bytes from `position` up to `until`, which is after it and no later than
    /// [`Self::available`].
    pub(super) fn came(&self, position: u64, until: u64) -> Came {
        for (first, piece) in self.recent.iter().rev() {
            let Some(at) = position.checked_sub(*first) else { continue };
            let length = (until - first).min(piece.len() as u64);
            let (Ok(at), Ok(length)) = (usize::try_from(at), usize::try_from(length)) else {
                break;
            };
            if at < length {
                return Came::InMemory(piece.slice(at..length));
            }
            break;
        }
        let most = usize::try_from(PIECE.min(until - position)).unwrap_or(usize::MAX);
        Came::OnDisk(OnDisk { written_to: self.written_to.clone(), position, most })
    }
}

/// Where some bytes are that came.
pub(super) enum Came {
    InMemory(Bytes),
    OnDisk(OnDisk),
}

/// Some bytes that came, and that are read from the disk again.
pub(super) struct OnDisk {
    written_to: WrittenTo,
    position: u64,
    most: usize,
}

impl OnDisk {
    /// Reads them. Waits for the disk.
    pub(super) fn read(self) -> io::Result<Bytes> {
        let Self { written_to, position, most } = self;
        match written_to {
            WrittenTo::File(arriving) => match arriving.read_at(position, most)? {
                nothing if nothing.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
                piece => Ok(piece),
            },
            WrittenTo::Store(stored) => {
                stored.piece(position, most as u64).ok_or(io::ErrorKind::NotFound.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::oci::Digest;
    use crate::store::{Config, Metrics, Store};

    #[test]
    fn pieces_of_a_byte_are_not_remembered_by_the_million() {
        let name = format!("countersign-progress-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let config =
            Config { path: path.clone(), max_size: 1 << 30, scrub_every: Duration::from_secs(1) };
        let store = Store::open(&config, Clock::default(), &Metrics::default()).unwrap();
        let ingest = store.ingest(&Digest::of(b""), None).unwrap();
        let mut progress = Progress::Open(Box::new(Open::new(None, ingest.arriving())));
        for _ in 0..10_000 {
            progress.advance(vec![Bytes::from_static(b"x")]);
        }
        let recent = progress.open().map(|open| open.recent.len());
        assert!(recent.unwrap() < 1000, "{recent:?}");
        progress.end(Some(10_000), End::Complete);
        assert!(progress.open().unwrap().recent.is_empty(), "nor is anything that has ended");
        std::fs::remove_dir_all(path).unwrap();
    }
}
