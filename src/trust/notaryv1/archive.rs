//! Trust data from files instead of a Notary server: bundles, or a frozen archive.
//!
//! An archive is a server that answers once. The verification is the same, and so is the trust memory. Only a proof of
//! when the files were fetched ([`CapturedAt`]) changes anything: then the *timestamp* must not have been expired at that
//! time, instead of now. Everything else is judged now.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use thiserror::Error;

use crate::trust::refusal::Refusal;

use super::captured_at::{CapturedAt, NotProven};
use super::exporters::Exporters;
use super::gun::Gun;
use super::notary::too_long;
use super::role::File;

/// The most captures of one GUN that are kept with a proof, and the most without one.
pub(super) const MAX_CAPTURES: usize = 16;

/// Files with trust data. An implementation finds them; it verifies nothing.
pub trait Archive: fmt::Debug + Send + Sync {
    /// Calls `visit` with each capture of `gun`, the newest first as far as the archive states it. Reads one at a time: an
    /// archive may contain many. May read from disk.
    ///
    /// # Errors
    ///
    /// A part of the archive cannot be read. Nothing is known about its content.
    fn captures(&self, gun: &Gun, visit: &mut dyn FnMut(Capture)) -> Result<(), ArchiveError>;

    /// A name for people, such as `the bundles incoming/*.tar`.
    fn name(&self) -> String;
}

/// An archive without files, for an anchor whose bundles are imported: their trust data and statements are in the trust
/// memory, which is read with every archive.
#[derive(Debug)]
pub(super) struct Imported;

impl Archive for Imported {
    fn captures(&self, _: &Gun, _: &mut dyn FnMut(Capture)) -> Result<(), ArchiveError> {
        Ok(())
    }

    fn name(&self) -> String {
        "the imported bundles".to_owned()
    }
}

/// Why an archive cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ArchiveError(pub String);

/// The files of one GUN as an archive contains them. Nothing about them is proven.
#[derive(Clone, Debug)]
pub struct Capture {
    pub files: TrustFiles,
    /// `None` if no exporter signed a statement about them.
    pub evidence: Option<Evidence>,
}

/// A signed statement about a bundle, unverified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The manifest of the bundle artifact, whose layers list the bundle's documents.
    pub artifact: Bytes,
    /// The Sigstore bundles whose subject is the artifact.
    pub signatures: Vec<Bytes>,
}

/// The files of one GUN by the name that the Notary server gives them, without `.json`: `root`, `2.root`, `timestamp`,
/// `targets.<sha256>`. A file that a Notary server names by its hash may also have the name of its role alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustFiles(BTreeMap<String, Bytes>);

/// Files of one GUN, and the proof of when they were fetched if there is one.
#[derive(Clone, Debug)]
pub struct Captured {
    files: TrustFiles,
    proof: Result<CapturedAt, NotProven>,
    /// The evidence that was verified.
    evidence: Option<Evidence>,
}

impl TrustFiles {
    /// The files with these names. Of two files with one name, the last counts.
    pub fn new(files: impl IntoIterator<Item = (String, Bytes)>) -> Self {
        Self(files.into_iter().collect())
    }

    /// The content of `file`. `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// The file is longer than its role allows.
    pub fn find(&self, file: &File) -> Result<Option<Bytes>, Refusal> {
        let by_role = match file {
            File::Content { role, .. } => self.0.get(role.as_str()),
            File::Newest(_) | File::Root(_) => None,
        };
        let Some(content) = self.0.get(&file.to_string()).or(by_role) else { return Ok(None) };
        if content.len() as u64 > file.ceiling() {
            return Err(too_long(file));
        }
        Ok(Some(content.clone()))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.0.iter().map(|(name, content)| (name.as_str(), content))
    }
}

impl Captured {
    /// Files with a proof of when they were fetched.
    pub(super) fn proven(files: TrustFiles, proof: CapturedAt) -> Self {
        Self { files, proof: Ok(proof), evidence: None }
    }

    /// Verifies the evidence of `capture`, which an archive contains for `gun`.
    pub fn verify(capture: Capture, gun: &Gun, exporters: Option<&Exporters>) -> Self {
        let Capture { files, evidence } = capture;
        let proof = match (exporters, &evidence) {
            (None, _) => Err(NotProven("the anchor names no `exporters`".to_owned())),
            (Some(_), None) => Err(NotProven("no exporter signed the bundle".to_owned())),
            (Some(exporters), Some(evidence)) => exporters.verify(evidence, gun, &files),
        };
        let evidence = evidence.filter(|_| proof.is_ok());
        Self { files, proof, evidence }
    }

    pub fn files(&self) -> &TrustFiles {
        &self.files
    }

    /// The statement that proves when the files were fetched. `None` without a proof, and for a frozen archive.
    pub(super) fn evidence(&self) -> Option<&Evidence> {
        self.evidence.as_ref()
    }

    pub fn proof(&self) -> Result<&CapturedAt, &NotProven> {
        self.proof.as_ref()
    }
}
