//! The documents of a bundle: the list of contents, trust data byte for byte, proposed rules and roots, decisions, and the
//! exporter's statement.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use crate::bundle::contents::{self, NotaryRepository, Revocation};
use crate::bundle::documents::CONTENTS;
use crate::bundle::layout::{self, Pointer};
use crate::bundle::{Artifact, Contents, Documents};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::gate::Gate;
use crate::oci::{Digest, MediaType, RepositoryRef, Tag};
use crate::signing::{
    BUNDLE_TYPE, ReferrerManifest, SigningKey, SigstoreBundle, Statement, StatementSubject,
    SubjectManifest,
};
use crate::trust::notaryv1::{BUNDLE_PREDICATE, CopiedTrust};
use crate::trust::notation::{KeptResponse, Method};
use crate::trust::{Anchor, findings};

use super::super::collect::{Collected, LeftOut};
use super::super::proposals;
use super::{CreateError, Created};

/// The Notary v1 trust data of all images, by GUN.
pub(super) type Captures = BTreeMap<String, Capture>;

pub(super) struct Capture {
    anchor: String,
    server: String,
    trust: CopiedTrust,
}

/// Everything that the documents are made of.
pub(super) struct Exported<'a> {
    pub(super) collected: &'a [Collected],
    pub(super) captures: &'a Captures,
    pub(super) revocation: &'a Responses,
    pub(super) config: &'a Config,
}

/// Revocation data by its URL and the name of its document.
pub(super) type Responses = BTreeMap<(String, String), KeptResponse>;

/// A signed statement about the bundle artifact.
pub(super) struct SignedStatement {
    pub(super) attached: layout::Attached,
    pub(super) blobs: Vec<(Digest, Bytes)>,
}

/// Copies the trust data of each image's Notary v1 anchors. An image whose trust data cannot be copied, or changed since
/// the decision, is left out.
pub(super) async fn capture(
    gate: &Gate,
    collected: Vec<Collected>,
    left_out: &mut Vec<LeftOut>,
    now: Timestamp,
) -> (Vec<Collected>, Captures) {
    let mut known: BTreeMap<(String, RepositoryRef), Result<String, String>> = BTreeMap::new();
    let (mut kept, mut captures) = (Vec::new(), Captures::new());
    for image in collected {
        let repository = &image.name.repository;
        let mut failed = None;
        for name in gate.policy().anchors(repository, now) {
            let Some(Anchor::NotaryV1(anchor)) = gate.trust().anchor(&name) else { continue };
            let key = (name.to_string(), repository.clone());
            if !known.contains_key(&key) {
                let copied = gate.trust().copy(&name, repository, now).await;
                let server = anchor.config().place();
                let copied = copied.map_err(|error| error.to_string()).and_then(|trust| {
                    let trust = trust.ok_or("the anchor does not sign names")?;
                    add(&mut captures, Capture { anchor: name.to_string(), server, trust })
                });
                known.insert(key.clone(), copied);
            }
            let endorsed = image.admitted.endorsements().iter().map(|it| it.says());
            let Some(says) = endorsed.clone().find(|says| says.anchor == name) else { continue };
            let copied = known.get(&key).map(Result::as_ref);
            failed = match copied {
                Some(Ok(gun)) => changed(&captures, gun, says.tag.as_ref(), &says.digest),
                Some(Err(why)) => Some(format!("the trust data of {name} cannot be copied: {why}")),
                None => None,
            };
            if failed.is_some() {
                break;
            }
        }
        match failed {
            Some(because) => left_out.push(LeftOut::undecided(&image.name, &because)),
            None => kept.push(image),
        }
    }
    (kept, captures)
}

/// Adds a capture; its GUN. Files are stored by GUN, so two anchors with one GUN must have the same files.
fn add(captures: &mut Captures, capture: Capture) -> Result<String, String> {
    let gun = capture.trust.gun.to_string();
    match captures.get(&gun) {
        Some(known) if known.trust.files != capture.trust.files => Err(format!(
            "the anchors {} and {} have different trust data for {gun}",
            known.anchor, capture.anchor
        )),
        Some(_) => Ok(gun),
        None => {
            captures.insert(gun.clone(), capture);
            Ok(gun)
        }
    }
}

/// Why the copied trust data does not endorse what the gate admitted a moment ago, if so.
fn changed(captures: &Captures, gun: &str, tag: Option<&Tag>, digest: &Digest) -> Option<String> {
    let copied = captures.get(gun)?.trust.repository.tag(tag?);
    let same = copied.is_ok_and(|found| found.entry.digest == *digest);
    (!same).then(|| format!("the trust data of {gun} changed meanwhile; retry"))
}

impl Exported<'_> {
    /// The list of contents. `written` says which blobs the bundle contains.
    pub(super) fn contents(&self, written: impl Fn(&Digest) -> bool) -> Contents {
        let notaryv1 = self
            .captures
            .values()
            .map(|Capture { anchor, server, trust }| NotaryRepository::of(trust, anchor, server));
        let revocation = self.revocation.iter().map(|((url, title), response)| Revocation {
            document: title.clone(),
            url: url.clone(),
            ends: response.ends.map(Timestamp::unix),
        });
        Contents {
            format: contents::FORMAT,
            images: self.collected.iter().map(|image| image.entry(&written)).collect(),
            notaryv1: notaryv1.collect(),
            revocation: revocation.collect(),
        }
    }

    pub(super) fn documents(
        &self,
        contents: &Contents,
        created: &Created,
    ) -> Result<Documents, CreateError> {
        let mut documents = Documents::default();
        documents.add(CONTENTS, contents.to_json()?)?;
        for capture in self.captures.values() {
            documents.add_trust(&capture.trust)?;
        }
        for ((_, title), response) in self.revocation {
            documents.add(title, response.content.clone())?;
        }
        for (title, content) in proposals::of(self.config).map_err(CreateError::Rules)? {
            documents.add(&title, content)?;
        }
        documents.add("decisions.jsonl", self.decisions(created))?;
        Ok(documents)
    }

    /// One line for each image that is admitted or denied. Undecided images have none.
    fn decisions(&self, created: &Created) -> Vec<u8> {
        let mut lines = BTreeSet::new();
        for image in self.collected {
            let anchors = image.admitted.anchors();
            lines.insert(
                json!({
                    "image": image.name.to_string(),
                    "verdict": "admitted",
                    "digest": image.manifest.digest.to_string(),
                    "rule": image.admitted.rule(),
                    "anchors": anchors,
                    "note": image.note(),
                })
                .to_string(),
            );
        }
        for left in created.left_out.iter().filter(|left| !left.is_undecided()) {
            lines.insert(
                json!({
                    "image": left.image.to_string(),
                    "verdict": left.verdict,
                    "reason": left.reason,
                    "because": left.because,
                })
                .to_string(),
            );
        }
        lines.into_iter().flat_map(|line| (line + "\n").into_bytes()).collect()
    }
}

/// The revocation data that the decisions about `collected` used.
pub(super) fn responses(gate: &Gate, collected: &[Collected]) -> Responses {
    let uses = |name: &str| {
        let endorsed = collected.iter().flat_map(|image| image.admitted.endorsements());
        endorsed.into_iter().any(|endorsement| &*endorsement.says().anchor == name)
    };
    let mut responses = Responses::new();
    for anchor in gate.trust().anchors() {
        if let Anchor::Content(findings::Anchor::Notation(anchor, client)) = anchor
            && uses(anchor.name())
        {
            let kept = client.responses().into_iter();
            responses.extend(kept.map(|kept| ((kept.url.clone(), document_of(&kept)), kept)));
        }
    }
    responses
}

fn document_of(response: &KeptResponse) -> String {
    let ending = match response.method {
        Method::Crl => "crl",
        Method::Ocsp => "ocsp",
    };
    format!("notation/revocation/{}.{ending}", Digest::of(&response.content).hex())
}

/// Signs when the trust data in the bundle was fetched and verified.
pub(super) fn statement(
    artifact: &Artifact,
    captures: &Captures,
    key: &SigningKey,
) -> Result<SignedStatement, CreateError> {
    let Pointer { digest, size, media_type } = artifact.pointer;
    let fetched: BTreeMap<&str, String> = captures
        .iter()
        .map(|(gun, capture)| (gun.as_str(), format!("{:#}", capture.trust.fetched)))
        .collect();
    let subject = StatementSubject { name: "countersign-bundle".to_owned(), digest };
    let statement = Statement::new(vec![subject], BUNDLE_PREDICATE, json!({ "fetched": fetched }));
    let signed = SigstoreBundle::sign(&statement, key)?;
    let subject = SubjectManifest { media_type, digest, size };
    let referrer = ReferrerManifest::new(&subject, &signed, None);
    let manifest = Pointer {
        digest: referrer.digest(),
        size: referrer.as_bytes().len() as u64,
        media_type: MediaType::OciImage,
    };
    let attached = layout::Attached {
        manifest,
        subject: digest,
        artifact_type: Some(BUNDLE_TYPE.to_owned()),
        repository: None,
        tag: None,
    };
    let own = (referrer.digest(), referrer.as_bytes().clone());
    let blobs = referrer.blobs().into_iter().chain([own]).collect();
    Ok(SignedStatement { attached, blobs })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// `manifest.json`, as `docker save` writes it: one platform of each image.
pub(super) fn docker_manifest(collected: &[Collected]) -> Result<Vec<u8>, CreateError> {
    let path = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
    let image = |image: &Collected| {
        let (config, layers) = image.docker.as_ref()?.split_first()?;
        let tagged = image.name.tag().map(|_| image.name.to_string());
        Some(DockerImage {
            config: path(config),
            repo_tags: tagged.into_iter().collect(),
            layers: layers.iter().map(path).collect(),
        })
    };
    let images: Vec<DockerImage> = collected.iter().filter_map(image).collect();
    Ok(serde_json::to_vec(&images)?)
}
