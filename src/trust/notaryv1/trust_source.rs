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
use super::copied::unreadable;
use super::frozen::FrozenArchive;
use super::gun::Gun;
use super::memory::Memory;
use super::notary::Notary;
use super::role::File;
use super::root_of_trust::Terms;
use super::state::Remembered;
use super::update::{NotUpdated, Updated, update, update_captured};

/// How long reading one GUN from an archive may take. Files on removable media are slow at first.
const READ: Duration = Duration::from_secs(20);

/// The source of an anchor's trust data.
#[derive(Clone, Debug)]
pub(super) enum TrustSource {
    /// The archive, if there is one, counts only while the server does not answer.
    Server(Box<Notary>, Option<ArchiveReader>),
    Archive(ArchiveReader),
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

/// Verified trust data, and where its other files are.
pub(super) struct Current<'a> {
    pub(super) updated: Updated,
    pub(super) files: Files<'a>,
}

/// The files of one repository.
pub(super) enum Files<'a> {
    Server(&'a Notary),
    Capture(Captured),
}

impl Files<'_> {
    /// Reads one file of `gun`, unverified. `None` if it does not exist.
    pub(super) async fn file(&self, gun: &Gun, file: &File) -> Result<Option<Bytes>, NotUpdated> {
        match self {
            Self::Server(notary) => notary.fetch(gun, file).await,
            Self::Capture(captured) => Ok(captured.files().find(file)?),
        }
    }
}

impl TrustSource {
    /// The Notary server, if there is one.
    pub(super) fn server(&self) -> Option<&Notary> {
        match self {
            Self::Server(notary, _) => Some(notary),
            Self::Archive(_) => None,
        }
    }

    /// The archive, if there is one.
    pub(super) fn archive(&self) -> Option<&ArchiveReader> {
        match self {
            Self::Server(_, archive) => archive.as_ref(),
            Self::Archive(archive) => Some(archive),
        }
    }
}

impl ArchiveReader {
    pub(super) fn new(archive: Arc<dyn Archive>) -> Self {
        Self::Files { archive, lane: Lane::new(READ) }
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
    async fn captured(
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
        let (gun, exporters, name) = (gun.clone(), self.config.exporters.clone(), archive.name());
        // What the server refused counts only with the statement of an exporter. If the server is still configured, an
        // archive is not read at all then.
        let kept = kept.filter(|kept| !kept.memory.is_refused() || kept.has_evidence()).cloned();
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
        let unreadable = |why: String| NotUpdated::Unreachable(format!("{name}: {why}"));
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
    ) -> Result<(Updated, Captured), NotUpdated> {
        let (captured, failed) = self.captured(reader, &terms.gun, kept).await?;
        let mut first = failed;
        for one in captured {
            match update_captured(&one, terms, memory, now).await {
                Ok(updated) => return Ok((updated, one)),
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
        Err(first.unwrap_or_else(|| NotUpdated::Refused(reader.absent(&terms.gun))))
    }

    /// The trust data of `terms.gun` that replaces a server that does not answer: from the archive of the anchor, or imported
    /// earlier. `None` if there is none, if it does not verify, or if the server's last answer was refused: then no earlier answer counts.
    pub(super) async fn instead_of_server(
        &self,
        terms: &Terms,
        remembered: Option<&Arc<Remembered>>,
        now: Timestamp,
    ) -> Option<(Updated, Captured)> {
        if remembered.is_some_and(|kept| kept.memory.is_refused()) {
            return None;
        }
        // Trust data that the server confirmed counts for `max_stale`, with an archive as without one. What was imported
        // without a proof counts as in its bundle: until the timestamp expires.
        let imported = remembered.filter(|kept| kept.memory.is_unconfirmed());
        let kept = imported.or(remembered.filter(|kept| kept.has_evidence()));
        let archive = match self.source.archive() {
            Some(archive) => archive,
            None => {
                imported?;
                &self.imported
            }
        };
        let memory = remembered.map(|kept| &kept.memory);
        match self.update_from(archive, terms, (memory, kept), now).await {
            Ok(found) => Some(found),
            Err(error) => {
                let (anchor, gun) = (&**self.name(), &terms.gun);
                tracing::info!(anchor, %gun, %error, "the archive does not replace the server");
                None
            }
        }
    }

    /// The trust data of `terms.gun` from the source that the gate uses, whatever the cache contains. Remembers nothing.
    pub(super) async fn current(
        &self,
        terms: &Terms,
        now: Timestamp,
    ) -> Result<Current<'_>, NotUpdated> {
        let remembered = self.state.recall(&terms.gun).await.map_err(|error| unreadable(&error))?;
        let remembered = remembered.map(Arc::new);
        let memory = remembered.as_ref().map(|kept| &kept.memory);
        let from_archive =
            |(updated, captured)| Current { updated, files: Files::Capture(captured) };
        match &self.source {
            TrustSource::Archive(archive) => {
                let known = (memory, remembered.as_ref());
                Box::pin(self.update_from(archive, terms, known, now)).await.map(from_archive)
            }
            TrustSource::Server(notary, _) => {
                let fetch = |file: File| async move { notary.fetch(&terms.gun, &file).await };
                match Box::pin(update(fetch, terms, memory, now)).await {
                    Ok(updated) => Ok(Current { updated, files: Files::Server(notary) }),
                    Err(error @ NotUpdated::Unreachable(_)) => {
                        let found = self.instead_of_server(terms, remembered.as_ref(), now).await;
                        found.map(from_archive).ok_or(error)
                    }
                    Err(error) => Err(error),
                }
            }
        }
    }

    /// Reads one file of `gun`, unverified. `None` if it does not exist.
    pub(in crate::trust) async fn file(
        &self,
        gun: &Gun,
        file: &File,
    ) -> Result<Option<Bytes>, NotUpdated> {
        let archive = match &self.source {
            TrustSource::Server(notary, _) => return notary.fetch(gun, file).await,
            TrustSource::Archive(archive) => archive,
        };
        let (captured, failed) = self.captured(archive, gun, None).await?;
        match (captured.first(), failed) {
            (Some(newest), _) => Ok(newest.files().find(file)?),
            (None, Some(failed)) => Err(failed),
            (None, None) => Ok(None),
        }
    }
}
