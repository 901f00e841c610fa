//! Where an anchor's trust data comes from: a Notary server, an archive, or a server with an archive for the time in which
//! it does not answer.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::store::Lane;
use crate::trust::refusal::{Reason, Refusal};

use super::anchor::Anchor;
use super::archive::{Archive, Captured, MAX_CAPTURES};
use super::frozen::FrozenArchive;
use super::gun::Gun;
use super::memory::Memory;
use super::notary::Notary;
use super::role::File;
use super::root_of_trust::Terms;
use super::state::Remembered;
use super::update::{NotUpdated, Updated, update_captured};

/// How long reading one GUN from an archive may take. Files on removable media are slow at first.
const READ: Duration = Duration::from_secs(20);

/// The source of an anchor's trust data.
#[derive(Clone, Debug)]
pub(super) enum TrustSource {
    Server(Notary),
    Archive(ArchiveReader),
    /// The archive counts only while the server does not answer.
    ServerOrArchive(Notary, ArchiveReader),
}

/// Reads an archive.
#[derive(Clone, Debug)]
pub(super) enum ArchiveReader {
    /// Files on disk: read outside the threads that serve clients, with a deadline.
    Files {
        archive: Arc<dyn Archive>,
        lane: Lane,
    },
    Frozen(Arc<FrozenArchive>),
}

impl TrustSource {
    /// The Notary server, if there is one.
    pub(super) fn server(&self) -> Option<&Notary> {
        match self {
            Self::Server(notary) | Self::ServerOrArchive(notary, _) => Some(notary),
            Self::Archive(_) => None,
        }
    }

    /// The archive, if there is one.
    pub(super) fn archive(&self) -> Option<&ArchiveReader> {
        match self {
            Self::Archive(archive) | Self::ServerOrArchive(_, archive) => Some(archive),
            Self::Server(_) => None,
        }
    }
}

impl ArchiveReader {
    pub(super) fn new(archive: Arc<dyn Archive>) -> Self {
        Self::Files { archive, lane: Lane::new(READ) }
    }

    pub(super) fn frozen(archive: Arc<FrozenArchive>) -> Self {
        Self::Frozen(archive)
    }

    /// A name for people.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Files { archive, .. } => archive.name(),
            Self::Frozen(archive) => archive.name(),
        }
    }

    /// The refusal of a GUN that the archive does not contain.
    fn absent(&self, gun: &Gun) -> Refusal {
        match self {
            Self::Files { archive, .. } => {
                let because = format!("{} contain no trust data for {gun}", archive.name());
                Refusal::new(Reason::NoTrustData, because)
            }
            Self::Frozen(archive) => archive.absent(gun),
        }
    }
}

impl Anchor {
    /// The captures of `gun` in an archive and in the trust memory on disk, with their evidence verified: first those with a
    /// proof, the newest first, then the others in the order of the archive. A hostile file without a proof cannot displace
    /// one with a proof. The trust memory keeps what a bundle proved, so that the bundle may be removed.
    ///
    /// The second value is the reason why a part of the archive cannot be read: if no capture verifies, nothing is known.
    ///
    /// # Errors
    ///
    /// `Unreachable` if the disk does not answer.
    pub(super) async fn captured(
        &self,
        reader: &ArchiveReader,
        gun: &Gun,
        kept: Option<&Arc<Remembered>>,
    ) -> Result<(Vec<Captured>, Option<NotUpdated>), NotUpdated> {
        let (archive, lane) = match reader {
            ArchiveReader::Files { archive, lane } => (archive.clone(), lane),
            ArchiveReader::Frozen(archive) => {
                return Ok((archive.captured(gun).cloned().into_iter().collect(), None));
            }
        };
        let (gun, exporters) = (gun.clone(), self.config.exporters.clone());
        let kept = kept.filter(|kept| kept.memory.answered().is_some()).cloned();
        let read = lane.run(move || {
            let (mut proven, mut others) = (Vec::new(), Vec::new());
            let mut visit = |capture, most| {
                let captured = Captured::verify(capture, &gun, exporters.as_ref());
                // Files without a proof must not displace files with one.
                let kind = if captured.proof().is_ok() { &mut proven } else { &mut others };
                if kind.len() < most {
                    kind.push(captured);
                }
            };
            let read = archive.captures(&gun, &mut |capture| visit(capture, MAX_CAPTURES));
            if let Some(kept) = kept {
                visit(kept.capture(), MAX_CAPTURES + 1);
            }
            proven.append(&mut others);
            (proven, read.err())
        });
        let unreadable = |why: String| NotUpdated::Unreachable(format!("{}: {why}", reader.name()));
        let read = read.await.map_err(|error| unreadable(error.to_string()))?;
        let (mut captured, failed) = read;
        // The sort is stable.
        captured.sort_by_key(|one| Reverse(one.proof().ok().map(|proof| proof.at())));
        let failed = failed.map(|error| unreadable(error.to_string()));
        Ok((captured, failed))
    }

    /// The trust data of `terms.gun` in an archive: of the first capture that verifies. If none does, the error is that of
    /// the first, or that a part of the archive cannot be read.
    pub(super) async fn update_from(
        &self,
        reader: &ArchiveReader,
        terms: &Terms,
        (memory, kept): (Option<&Memory>, Option<&Arc<Remembered>>),
        now: Timestamp,
    ) -> Result<Updated, NotUpdated> {
        let (captured, failed) = self.captured(reader, &terms.gun, kept).await?;
        let mut first = failed;
        for one in &captured {
            match update_captured(one, terms, memory, now).await {
                Ok(updated) => return Ok(updated),
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
        Err(first.unwrap_or_else(|| NotUpdated::Refused(reader.absent(&terms.gun))))
    }

    /// Reads one file of `gun`, unverified. `None` if it does not exist.
    pub(in crate::trust) async fn file(
        &self,
        gun: &Gun,
        file: &File,
    ) -> Result<Option<Bytes>, NotUpdated> {
        match &self.source {
            TrustSource::Server(notary) | TrustSource::ServerOrArchive(notary, _) => {
                notary.fetch(gun, file).await
            }
            TrustSource::Archive(archive) => {
                let (captured, failed) = self.captured(archive, gun, None).await?;
                match (captured.first(), failed) {
                    (Some(newest), _) => Ok(newest.files().find(file)?),
                    (None, Some(failed)) => Err(failed),
                    (None, None) => Ok(None),
                }
            }
        }
    }
}
