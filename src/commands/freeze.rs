//! `countersign trust freeze`: writes the trust data of one anchor that still verifies as a bundle without images. A frozen
//! anchor reads it when the Notary server no longer answers.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use thiserror::Error;

use crate::bundle::contents::{self, NotaryRepository};
use crate::bundle::documents::{CONTENTS, InvalidTitle};
use crate::bundle::{Contents, Documents, Index, Plan, WriteError, Writer, trust_data};
use crate::clock::Timestamp;
use crate::oci::Digest;
use crate::store::atomic;
use crate::text::shown;
use crate::trust::notaryv1::{
    Anchor, CopiedTrust, FrozenArchive, FrozenFile, Gun, MAX_FROZEN, MAX_FROZEN_LIFE, NotUpdated,
    SeenVersions, StateError, WrongHash, day_before,
};

/// The longest reason that a report shows.
const MAX_SHOWN: usize = 500;

/// What to freeze.
#[derive(Debug)]
pub struct Order<'a> {
    pub anchor: &'a Anchor,
    /// The folder of the store, with the trust memory.
    pub store: &'a Path,
    /// GUNs to freeze besides those in the trust memory.
    pub more: BTreeSet<Gun>,
    /// The last instant on which the archive must still count. `None`: as late as all trust data allows.
    pub until: Option<Timestamp>,
    pub output: &'a Path,
}

/// What was frozen.
#[derive(Debug)]
pub struct Frozen {
    pub anchor: String,
    pub file: PathBuf,
    pub sha256: String,
    /// The last day on which all of it counts.
    pub until: String,
    /// Each GUN with the number of its tags, and when its trust data was fetched and expires.
    pub guns: Vec<FrozenRepository>,
    pub left_out: Vec<LeftOut>,
}

/// The trust data of one GUN in the archive.
#[derive(Debug)]
pub struct FrozenRepository {
    pub gun: Gun,
    pub tags: usize,
    pub fetched: Timestamp,
    pub ends: Timestamp,
}

/// A GUN that was not frozen.
#[derive(Clone, Debug)]
pub struct LeftOut {
    pub gun: String,
    pub because: String,
}

/// Why nothing was frozen.
#[derive(Debug, Error)]
pub enum NotFrozen {
    #[error("the trust memory cannot be read: {0}")]
    Memory(#[from] StateError),
    #[error("nothing can be frozen:{}", list(.0))]
    Nothing(Vec<LeftOut>),
    #[error(transparent)]
    Title(#[from] InvalidTitle),
    #[error("a document cannot be encoded: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("cannot read {}, which was just written: {error}", .path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("the archive was written, but cannot be used: {0}")]
    Unusable(String),
}

impl Order<'_> {
    /// Fetches and verifies everything, writes the archive, and opens it as a frozen anchor does. Blocks while it writes.
    pub async fn freeze(self, now: Timestamp) -> Result<Frozen, NotFrozen> {
        let (mut copies, mut left_out) = (Vec::new(), Vec::new());
        for gun in self.guns()? {
            match self.copy(&gun, now).await {
                Ok(copy) => copies.push(copy),
                Err(because) => left_out.push(LeftOut { gun: gun.to_string(), because }),
            }
        }
        let latest = now.plus(MAX_FROZEN_LIFE);
        let until = self.until.unwrap_or_else(|| {
            copies.iter().map(CopiedTrust::lasts).chain([latest]).min().unwrap_or(latest)
        });
        copies.retain(|copy| {
            let ends = copy.lasts();
            if ends < until {
                let because = format!("its trust data expires on {}", ends.day());
                left_out.push(LeftOut { gun: copy.gun.to_string(), because });
            }
            ends >= until
        });
        if copies.is_empty() {
            return Err(NotFrozen::Nothing(left_out));
        }
        self.write(&copies)?;
        // If the end is within a day, the last whole day before it counts.
        let ends_with_day = self.until.is_some();
        let until_day = if ends_with_day { until.day() } else { day_before(until) };
        let sha256 = self.check(&until_day, now)?;
        let guns = copies.iter().map(|copy| FrozenRepository {
            gun: copy.gun.clone(),
            tags: copy.repository.len(),
            fetched: copy.fetched,
            ends: copy.lasts(),
        });
        Ok(Frozen {
            anchor: self.anchor.name().to_string(),
            file: self.output.to_owned(),
            sha256,
            until: until_day,
            guns: guns.collect(),
            left_out,
        })
    }

    /// The GUNs in the trust memory, and those that were named.
    fn guns(&self) -> Result<BTreeSet<Gun>, NotFrozen> {
        let mut guns = self.more.clone();
        let seen = SeenVersions::all(self.store, self.anchor.name())?;
        guns.extend(seen.into_iter().map(|seen| seen.gun));
        Ok(guns)
    }

    /// The trust data of `gun`, from the server, or from the trust memory if the server does not answer.
    async fn copy(&self, gun: &Gun, now: Timestamp) -> Result<CopiedTrust, String> {
        let error = match self.anchor.copy(gun, now).await {
            Ok(copy) => return Ok(copy),
            Err(error) => error,
        };
        let why = shown(&error.to_string(), MAX_SHOWN);
        match error {
            NotUpdated::Refused(refusal) => Err(format!("{why} ({})", refusal.reason)),
            NotUpdated::Unreachable(_) | NotUpdated::NotRemembered(_) => {
                let and = match self.anchor.copy_kept(gun, now).await {
                    Ok(Some(copy)) => return Ok(copy),
                    Ok(None) => "contains nothing to freeze".to_owned(),
                    Err(error) => {
                        let error = shown(&error.to_string(), MAX_SHOWN);
                        format!("contains nothing that still verifies: {error}")
                    }
                };
                Err(format!("{why}; the trust memory {and}"))
            }
            NotUpdated::Busy => Err(why),
        }
    }

    fn write(&self, copies: &[CopiedTrust]) -> Result<(), NotFrozen> {
        let mut documents = Documents::default();
        let server = self.anchor.config().place();
        let of = |copy: &CopiedTrust| NotaryRepository::of(copy, self.anchor.name(), &server);
        let notaryv1 = copies.iter().map(of);
        let contents = Contents {
            format: contents::FORMAT,
            notaryv1: notaryv1.collect(),
            ..Contents::default()
        };
        documents.add(CONTENTS, contents.to_json()?)?;
        for copy in copies {
            documents.add_trust(copy)?;
        }
        let artifact = documents.artifact()?;
        let mut plan = Plan::new(Index {
            artifact: artifact.pointer,
            images: Vec::new(),
            attached: Vec::new(),
        });
        for (digest, content) in &artifact.blobs {
            plan.small(*digest, content.len() as u64)?;
        }
        let mut writer = Writer::create(self.output, None, &plan)?;
        while let Some((digest, _)) = writer.next_blob()? {
            let content: Option<&Bytes> = artifact.blobs.get(&digest);
            writer.write(content.ok_or(WriteError::Missing(digest))?)?;
        }
        writer.finish()?;
        Ok(())
    }

    /// Opens what was written as a frozen anchor does. Returns its SHA-256.
    fn check(&self, until: &str, now: Timestamp) -> Result<String, NotFrozen> {
        let path = self.output.to_owned();
        let failed = |error| NotFrozen::Read { path: path.clone(), error };
        let content = atomic::read(self.output, MAX_FROZEN).map_err(failed)?;
        let content = Bytes::from(content.unwrap_or_default());
        let sha256 = Digest::of(&content);
        let mut hash = [0; 32];
        hash.copy_from_slice(sha256.raw());
        let unusable = |why: String| NotFrozen::Unusable(why);
        let file = FrozenFile::verify(content, &hash);
        let file = file.map_err(|WrongHash(found)| unusable(format!("its SHA-256 is {found}")))?;
        let end = Timestamp::end_of_day(until);
        let end = end.ok_or_else(|| unusable(format!("{until} is not a day")))?;
        let terms = |gun: Gun| self.anchor.config().terms(gun);
        let opened = FrozenArchive::open(&file, path.clone(), end, trust_data, terms, now);
        let opened = opened.map_err(|error| unusable(error.to_string()))?;
        match opened.unusable().next() {
            Some((gun, why)) => Err(unusable(format!("{gun}: {why}"))),
            None => Ok(sha256.hex()),
        }
    }
}

impl Frozen {
    /// A report for people, with the keys for the configuration.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for FrozenRepository { gun, tags, fetched, ends } in &self.guns {
            let ends = ends.day();
            let _ =
                writeln!(text, "frozen    {gun}: {tags} tags, fetched {fetched:#}, expires {ends}");
        }
        text += list(&self.left_out).trim_start_matches('\n');
        let file = shown(&self.file.display().to_string(), MAX_SHOWN);
        let _ = write!(
            text,
            "\n{} repositories in {file}. In the anchor {}, replace `url` and what belongs to it with:\n\n\
             frozen = {:?}\nfrozen_sha256 = \"{}\"\nuntil = {}\n",
            self.guns.len(),
            self.anchor,
            file,
            self.sha256,
            self.until
        );
        text
    }
}

/// One line for each.
fn list(left_out: &[LeftOut]) -> String {
    let line = |LeftOut { gun, because }: &LeftOut| format!("\nLEFT OUT  {gun}: {because}");
    let lines: String = left_out.iter().map(line).collect();
    if lines.is_empty() { lines } else { lines + "\n" }
}
