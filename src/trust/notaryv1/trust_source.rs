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
use super::gun::Gun;
use super::memory::Memory;
use super::notary::Notary;
use super::role::File;
use super::root_of_trust::Terms;
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

/// Reads an archive outside the threads that serve clients, with a deadline.
#[derive(Clone, Debug)]
pub(super) struct ArchiveReader {
    archive: Arc<dyn Archive>,
    lane: Lane,
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
        Self { archive, lane: Lane::new(READ) }
    }

    /// A name for people.
    pub(super) fn name(&self) -> String {
        self.archive.name()
    }
}

impl Anchor {
    /// The captures of `gun` in `archive`, with their evidence verified: first those with a proof, the newest first, then
    /// the others in the order of the archive. A hostile file without a proof cannot displace one with a proof.
    ///
    /// # Errors
    ///
    /// `Unreachable` if the archive cannot be read.
    pub(super) async fn captured(
        &self,
        reader: &ArchiveReader,
        gun: &Gun,
    ) -> Result<Vec<Captured>, NotUpdated> {
        let (archive, gun, exporters) =
            (reader.archive.clone(), gun.clone(), self.config.exporters.clone());
        let read = reader.lane.run(move || {
            let captures = archive.captures(&gun)?.into_iter().take(MAX_CAPTURES);
            let captured = captures.map(|one| Captured::verify(one, &gun, exporters.as_ref()));
            Ok::<Vec<Captured>, super::ArchiveError>(captured.collect())
        });
        let unreadable = |why: String| NotUpdated::Unreachable(format!("{}: {why}", reader.name()));
        let read = read.await.map_err(|error| unreadable(error.to_string()))?;
        let mut captured = read.map_err(|error| unreadable(error.to_string()))?;
        // The sort is stable.
        captured.sort_by_key(|one| Reverse(one.proof().ok().map(|proof| proof.at())));
        Ok(captured)
    }

    /// The trust data of `terms.gun` in an archive: of the first capture that verifies. If none does, the error is that of
    /// the first.
    pub(super) async fn update_from(
        &self,
        reader: &ArchiveReader,
        terms: &Terms,
        memory: Option<&Memory>,
        now: Timestamp,
    ) -> Result<Updated, NotUpdated> {
        let mut first = None;
        for one in &self.captured(reader, &terms.gun).await? {
            match update_captured(one, terms, memory, now).await {
                Ok(updated) => return Ok(updated),
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
        Err(first.unwrap_or_else(|| {
            let because = format!("{} contain no trust data for {}", reader.name(), terms.gun);
            NotUpdated::Refused(Refusal::new(Reason::NoTrustData, because))
        }))
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
                let captured = self.captured(archive, gun).await?;
                let Some(newest) = captured.first() else { return Ok(None) };
                Ok(newest.files().find(file)?)
            }
        }
    }
}
