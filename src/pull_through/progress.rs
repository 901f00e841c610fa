//! The progress of a download, as far as its clients need it, each at its own pace.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::by_piece::Stored;
use super::error::BlobError;
use super::sharing::Entry;
use super::window::Window;
use crate::oci::Hasher;
use crate::registry_client::UpstreamError;
use crate::store::Arriving;

/// The approximate number of recent bytes that stay in memory for clients that keep up.
const MAX_RECENT: u64 = 1 << 20;
/// The most pieces of recent bytes: a registry may send one byte at a time.
const MAX_PIECES: usize = 256;
/// The most bytes read from the disk at once, and so in memory for each client.
const PIECE: u64 = 64 << 10;

/// The progress of a download.
pub(super) enum Progress {
    /// Upstream was asked.
    Opening,
    /// Upstream refused or failed.
    NotOpened(UpstreamError),
    /// The blob cannot be stored. Clients that want all of it share this download.
    NotKept(Arc<Entry>),
    /// The blob is arriving and is being stored.
    Open(Box<Open>),
}

/// A download that is in progress or has ended.
pub(super) struct Open {
    /// The length of the whole blob, if upstream sent it.
    pub(super) length: Option<u64>,
    /// The number of bytes from the start that may be sent to clients. It excludes the last bytes until the digest is
    /// verified.
    pub(super) available: u64,
    /// The number of bytes from the start that have arrived.
    written: u64,
    /// The most recent pieces and their positions: clients that keep up need not read them from the disk.
    recent: VecDeque<(u64, Bytes)>,
    /// Where all written bytes can be read.
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
    /// It is complete and matches its digest.
    Complete,
    /// It cannot be completed, or it did not match its digest.
    Failed(BlobError),
    /// No more of it can be stored. `hasher` has hashed everything before `position`; the rest is in `window`.
    Unkept { position: u64, hasher: Hasher, window: Arc<Window> },
}

impl Progress {
    /// The length of the whole blob, once known.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Open(open) => open.length,
            Self::Opening | Self::NotOpened(_) | Self::NotKept(_) => None,
        }
    }

    fn open(&mut self) -> Option<&mut Open> {
        match self {
            Self::Open(open) => Some(open),
            Self::Opening | Self::NotOpened(_) | Self::NotKept(_) => None,
        }
    }

    /// Records that these pieces were written. The last bytes must not be sent before the digest is verified: the end
    /// of the last piece if the length is known, otherwise any of the pieces.
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

    /// Records that the download is in the store. Clients still reading continue from there and pin nothing.
    pub(super) fn publish(&mut self, stored: Stored) {
        if let Some(open) = self.open() {
            open.written_to = WrittenTo::Store(stored);
        }
    }

    /// Ends the download; with its `length` if it is complete and verified.
    pub(super) fn end(&mut self, length: Option<u64>, end: End) {
        let Some(open) = self.open() else { return };
        match (&end, length) {
            (_, Some(length)) => (open.length, open.available) = (Some(length), length),
            // The window verifies the rest, and holds back its last piece.
            (End::Unkept { position, .. }, None) => open.available = *position,
            (End::Complete | End::Failed(_), None) => {}
        }
        // Slow clients may stay for a long time, and the disk has these bytes, too.
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

    /// Some of the bytes from `position` to `until`, which is later than `position` and at most [`Self::available`].
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

/// The location of bytes that have arrived.
pub(super) enum Came {
    InMemory(Bytes),
    OnDisk(OnDisk),
}

/// Bytes that have arrived and must be read back from the disk.
pub(super) struct OnDisk {
    written_to: WrittenTo,
    position: u64,
    most: usize,
}

impl OnDisk {
    /// Reads them; blocks on the disk.
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
    fn the_number_of_recent_pieces_is_limited() {
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
        assert!(
            progress.open().unwrap().recent.is_empty(),
            "a finished download keeps no recent pieces either"
        );
        std::fs::remove_dir_all(path).unwrap();
    }
}
