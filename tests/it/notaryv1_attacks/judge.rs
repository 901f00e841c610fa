//! Runs the verifier on files and checks its verdict.

use std::sync::Arc;

use bytes::Bytes;

use countersign::bundle::{BundleArchive, BundleSet};
use countersign::clock::Timestamp;
use countersign::oci::{Digest, Tag};
use countersign::registry_client::BundleFiles;
use countersign::trust::notaryv1::{
    Archive as _, Delegated, Gun, Memory, NotUpdated, Pin, Pins, Terms, Updated, update,
};
use countersign::trust::{Reason, Refusal};

use countersign::trust::revoked::RevokedSet;

use crate::carried::{Carried, is_carried};
use crate::folder::Folder;
use crate::notary_repository::{Files, NOW, NotaryRepository};

/// The terms and the time with which files are verified.
pub struct Judge {
    pub terms: Terms,
    pub now: Timestamp,
}

/// These files as an archive of bundles contains them.
fn from_bundle(gun: &Gun, files: &Files) -> Files {
    let folder = Folder::new("judge");
    let path = folder.join("a.tar");
    let mut carried = Carried::default();
    carried.add_gun(gun.as_str(), files);
    carried.write(&path);
    let set = BundleSet::new(BundleFiles::new(&path).unwrap());
    let archive = BundleArchive::new(vec![Arc::new(set)], "the bundle".to_owned());
    let mut captures = Vec::new();
    archive.captures(gun, &mut |capture| captures.push(capture)).unwrap();
    // The archive offers no capture without a file that a server has.
    let files = captures.iter().flat_map(|capture| capture.files.iter());
    files.map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).collect()
}

/// A server's answer to a request.
pub enum Answer {
    Found(Vec<u8>),
    Missing,
    Silence,
}

impl Judge {
    /// A judge that pins the canonical id of the repository's root key.
    pub fn pinned_to(repository: &NotaryRepository) -> Self {
        Self::with(repository, &[repository.role("root").keys[0].canonical_id()])
    }

    pub fn with(repository: &NotaryRepository, pins: &[String]) -> Self {
        let pins = pins.iter().map(|pin| Pin::parse(pin).unwrap()).collect();
        let terms = Terms {
            gun: repository.gun.parse().unwrap(),
            pins: Pins::Keys(pins),
            signers: Vec::new(),
            wildcard_root_names: false,
            max_timestamp_life: std::time::Duration::from_secs(90 * 24 * 60 * 60),
            revoked: RevokedSet::default(),
        };
        Self { terms, now: Timestamp::from_unix(NOW) }
    }

    /// The same with changed terms.
    pub fn on(mut self, change: impl FnOnce(&mut Terms)) -> Self {
        change(&mut self.terms);
        self
    }

    /// The same with these required signers.
    pub fn requiring(self, signers: &[&str]) -> Self {
        let role = |name: &&str| Delegated::parse(&format!("targets/{name}")).unwrap();
        self.on(|terms| terms.signers = signers.iter().map(role).collect())
    }

    /// The same, `days` later.
    pub fn in_days(&self, days: i64) -> Self {
        Self { terms: self.terms.clone(), now: Timestamp::from_unix(NOW + days * 86_400) }
    }

    /// Updates from a server that answers each file name with `answer`.
    pub fn ask(
        &self,
        memory: Option<&Memory>,
        answer: impl Fn(&str) -> Answer,
    ) -> Result<Updated, NotUpdated> {
        let fetch = |file: countersign::trust::notaryv1::File| {
            let answer = match answer(&file.to_string()) {
                Answer::Found(bytes) => Ok(Some(Bytes::from(bytes))),
                Answer::Missing => Ok(None),
                Answer::Silence => Err(NotUpdated::Unreachable("it does not answer".to_owned())),
            };
            async move { answer }
        };
        // Large files are parsed on another thread, which a runtime provides.
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(update(fetch, &self.terms, memory, self.now))
    }

    pub fn verdict(&self, memory: Option<&Memory>, files: &Files) -> Result<Updated, NotUpdated> {
        let carried = is_carried().then(|| from_bundle(&self.terms.gun, files));
        let files = carried.as_ref().unwrap_or(files);
        self.ask(memory, |name| files.get(name).cloned().map_or(Answer::Missing, Answer::Found))
    }

    #[track_caller]
    pub fn admits(&self, files: &Files) -> Updated {
        self.verdict(None, files).map_err(|error| format!("{error:?}")).unwrap()
    }

    #[track_caller]
    pub fn admits_after(&self, before: &Updated, files: &Files) -> Updated {
        let verdict = self.verdict(Some(&before.memory), files);
        verdict.map_err(|error| format!("{error:?}")).unwrap()
    }

    #[track_caller]
    pub fn refuses(&self, reason: Reason, files: &Files) -> Refusal {
        assert_refused(reason, self.verdict(None, files))
    }

    #[track_caller]
    pub fn refuses_after(&self, reason: Reason, before: &Updated, files: &Files) {
        assert_refused(reason, self.verdict(Some(&before.memory), files));
    }
}

#[track_caller]
pub fn assert_refused(reason: Reason, verdict: Result<Updated, NotUpdated>) -> Refusal {
    match verdict {
        Ok(_) => panic!("admitted, expected {reason}"),
        Err(NotUpdated::Refused(refusal)) => {
            assert_eq!(refusal.reason, reason, "{refusal}");
            refusal
        }
        Err(NotUpdated::Unreachable(because)) => panic!("undecided, expected {reason}: {because}"),
        Err(NotUpdated::Busy | NotUpdated::NotRemembered(_)) => {
            panic!("the server was not queried")
        }
    }
}

#[track_caller]
pub fn assert_undecided(verdict: Result<Updated, NotUpdated>) {
    match verdict {
        Ok(_) => panic!("admitted, although the server did not answer"),
        Err(NotUpdated::Refused(refusal)) => panic!("refused, expected undecided: {refusal}"),
        Err(NotUpdated::Unreachable(because)) => assert!(!because.is_empty()),
        Err(NotUpdated::Busy | NotUpdated::NotRemembered(_)) => {
            panic!("the server was not queried")
        }
    }
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

/// The signed digest of the tag `text`.
#[track_caller]
pub fn resolved(updated: &Updated, text: &str) -> Digest {
    updated.repository.tag(&tag(text)).unwrap().entry.digest
}

/// The reason why the tag `text` does not resolve.
#[track_caller]
pub fn unresolved(updated: &Updated, text: &str) -> Reason {
    match updated.repository.tag(&tag(text)) {
        Ok(found) => panic!("{text} resolves to {}", found.entry.digest),
        Err(refusal) => refusal.reason,
    }
}

/// Whether a tag resolves to these bytes.
pub fn endorsed(updated: &Updated, manifest: &[u8]) -> bool {
    let digest = Digest::of(manifest);
    let tags = updated.repository.tags_of(&digest);
    tags.iter()
        .any(|tag| updated.repository.tag(tag).is_ok_and(|found| found.entry.digest == digest))
}
