//! Writes the planned blobs: each from memory, or streamed from where it is stored. A download that breaks off is
//! continued.

use std::collections::BTreeMap;

use http_body_util::BodyExt as _;

use crate::bundle::{Plan, Published, Writer};
use crate::gate::Gate;
use crate::oci::{Digest, RepositoryRef};

use super::super::collect::{Origin, Part};
use super::super::progress::Progress;
use super::{CreateError, Order};

/// How often a download is continued.
const MAX_RESUMES: usize = 3;
/// After how many bytes progress is reported.
const STEP: u64 = 4 << 20;

/// Reports how much was written.
struct Tally<'a, P> {
    done: u64,
    reported: u64,
    all: u64,
    progress: &'a P,
}

impl<P: Fn(Progress)> Tally<'_, P> {
    fn add(&mut self, bytes: usize) {
        self.done += bytes as u64;
        if self.done >= self.reported + STEP || self.done == self.all {
            self.reported = self.done;
            (self.progress)(Progress::Written { bytes: self.done, all: self.all });
        }
    }
}

/// Writes the bundle of `plan`, whose blobs are all in `parts`.
pub(super) async fn write(
    gate: &Gate,
    order: &Order,
    plan: &Plan,
    parts: &BTreeMap<Digest, Part>,
    progress: &impl Fn(Progress),
) -> Result<Published, CreateError> {
    let mut writer = Writer::create(&order.output, order.volume_size, plan)?;
    let mut tally = Tally { done: 0, reported: 0, all: plan.content_size(), progress };
    while let Some((digest, size)) = writer.next_blob()? {
        let part = parts.get(&digest).ok_or(CreateError::Unplanned(digest))?;
        match &part.origin {
            Origin::Held(bytes) => {
                writer.write(bytes)?;
                tally.add(bytes.len());
            }
            Origin::Manifest(repository) => {
                let bytes = gate.manifest_to_copy(repository, &digest).await;
                let bytes = bytes.map_err(|denial| CreateError::fetch(digest, &denial))?;
                writer.write(&bytes)?;
                tally.add(bytes.len());
            }
            Origin::Blob(repository) => {
                copy(gate, repository, (digest, size), &mut writer, &mut tally).await?;
            }
        }
    }
    Ok(writer.finish()?)
}

async fn copy(
    gate: &Gate,
    repository: &RepositoryRef,
    (digest, size): (Digest, u64),
    writer: &mut Writer,
    tally: &mut Tally<'_, impl Fn(Progress)>,
) -> Result<(), CreateError> {
    let mut written = 0;
    let mut resumes = 0;
    loop {
        let blob = gate.blob_to_copy(repository, &digest, written).await;
        let mut blob = blob.map_err(|denial| CreateError::fetch(digest, &denial))?;
        let broken = loop {
            match blob.frame().await {
                None => break None,
                Some(Ok(frame)) => {
                    if let Some(bytes) = frame.data_ref() {
                        writer.write(bytes)?;
                        written += bytes.len() as u64;
                        tally.add(bytes.len());
                    }
                }
                Some(Err(error)) => break Some(error),
            }
        };
        match broken {
            None => return Ok(()),
            Some(error) if resumes == MAX_RESUMES || written >= size => {
                return Err(CreateError::Fetch { digest, because: error.to_string() });
            }
            Some(_) => resumes += 1,
        }
    }
}
