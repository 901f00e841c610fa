//! Collects one image with everything that belongs to it: its manifests on the wanted platforms, their configs and
//! layers, and what is attached to them. The gate admits each manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::bundle::contents;
use crate::bundle::layout::{self, Pointer};
use crate::gate::{Admitted, Attachment, Denial, Gate, Remark, Verdict};
use crate::oci::{Algorithm, Artifact, Digest, ImageRef, RepositoryRef};
use crate::text::shown;

use super::platform::{self, Platform};

/// The most bytes of manifests that are held in memory. Further manifests are fetched again when they are written.
const MAX_HELD: usize = 16 << 20;
/// The most manifests of one image.
const MAX_MANIFESTS: usize = 10_000;
/// The longest text of a denial, in characters.
const MAX_TEXT: usize = 1_000;

/// What a bundle should contain of each image.
pub(super) struct Collector<'a> {
    pub(super) gate: &'a Gate,
    pub(super) platforms: &'a [Platform],
    /// Which children of an index to include, in addition to the choice of platforms.
    pub(super) only: Option<&'a (dyn Fn(&Digest) -> bool + Sync)>,
    /// Digests that the receiver has.
    pub(super) have: &'a BTreeSet<Digest>,
    pub(super) held: AtomicUsize,
}

/// An admitted image and the content that belongs to it.
pub(super) struct Collected {
    pub(super) name: ImageRef,
    pub(super) manifest: Pointer,
    pub(super) admitted: Admitted,
    pub(super) platforms: BTreeSet<Platform>,
    pub(super) parts: BTreeMap<Digest, Part>,
    /// Blobs that the receiver has, with their sizes.
    pub(super) assumed: BTreeMap<Digest, u64>,
    pub(super) attached: Vec<layout::Attached>,
    /// Its manifests and those attached to them, itself first; only if `only` is set.
    pub(super) admitted_manifests: Vec<(RepositoryRef, Admitted)>,
    /// The digests of its manifests and of those attached to them.
    pub(super) manifests: BTreeSet<Digest>,
    /// For `docker load`: the config and the layers of one platform.
    pub(super) docker: Option<Vec<Digest>>,
    /// What the gate does not serve with it, and why.
    pub(super) left_out: Vec<String>,
}

/// One blob of a bundle.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) size: u64,
    pub(super) is_layer: bool,
    /// Whether a manifest of the image lists it, in contrast to what is attached to the image.
    pub(super) is_own: bool,
    pub(super) origin: Origin,
}

/// Where the bytes of a blob are.
#[derive(Clone)]
pub(super) enum Origin {
    Held(Bytes),
    Manifest(RepositoryRef),
    Blob(RepositoryRef),
}

/// Why an image is not in the bundle.
#[derive(Clone, Debug)]
pub struct LeftOut {
    pub image: ImageRef,
    /// `absent`, `refused`, `missing` or `undecided`.
    pub verdict: &'static str,
    pub reason: Option<&'static str>,
    /// One sentence, safe to show.
    pub because: String,
}

impl LeftOut {
    pub(super) fn denied(image: &ImageRef, denial: &Denial) -> Self {
        let verdict = match denial {
            Denial::Throttled { .. } => "undecided",
            Denial::Missing { .. } | Denial::Unsatisfiable { .. } => "missing",
            Denial::Absent(_) | Denial::Refused(_) | Denial::Undecided(_) => {
                denial.verdict().map_or("missing", Verdict::as_str)
            }
        };
        let because = shown(&denial.to_string(), MAX_TEXT);
        Self { image: image.clone(), verdict, reason: denial.reason(), because }
    }

    pub(super) fn undecided(image: &ImageRef, because: &str) -> Self {
        let because = shown(because, MAX_TEXT);
        Self { image: image.clone(), verdict: "undecided", reason: None, because }
    }

    pub(super) fn unfit(image: &ImageRef, because: &str) -> Self {
        let because = shown(because, MAX_TEXT);
        Self { image: image.clone(), verdict: "refused", reason: None, because }
    }

    /// Whether another attempt may succeed.
    pub fn is_undecided(&self) -> bool {
        self.verdict == "undecided"
    }
}

impl Collector<'_> {
    /// Decides about `image` and collects it.
    pub(super) async fn collect(&self, image: &ImageRef) -> Result<Collected, LeftOut> {
        let denied = |denial: Denial| LeftOut::denied(image, &denial);
        let admitted = match self.gate.upstream(&image.repository.registry) {
            Some(_) => self.gate.admit(image).await.map_err(denied)?,
            None => return Err(denied(Denial::no_upstream(image.clone()))),
        };
        let manifest = pointer(&admitted);
        let mut all = Collected {
            name: image.clone(),
            manifest,
            admitted: admitted.clone(),
            platforms: BTreeSet::new(),
            parts: BTreeMap::new(),
            assumed: BTreeMap::new(),
            attached: Vec::new(),
            admitted_manifests: Vec::new(),
            manifests: BTreeSet::new(),
            docker: None,
            left_out: Vec::new(),
        };
        let own = Platform::own();
        let mut open = vec![(admitted, None::<Platform>)];
        while let Some((manifest, platform)) = open.pop() {
            if !all.manifests.insert(manifest.digest()) {
                continue;
            }
            if all.manifests.len() > MAX_MANIFESTS {
                let because = format!("it consists of more than {MAX_MANIFESTS} manifests");
                return Err(LeftOut::unfit(image, &because));
            }
            self.add_manifest(&mut all, &image.repository, &manifest)?;
            let attachments = self.gate.attachments(image, &manifest).await.map_err(denied)?;
            all.left_out.extend(attachments.left_out);
            for attachment in &attachments.found {
                self.attach(&mut all, attachment)?;
            }
            let is_image = manifest.manifest().is_runnable() && !manifest.media_type().is_index();
            let wanted = self.platforms.first().unwrap_or(&own);
            if is_image && (all.docker.is_none() || platform.as_ref() == Some(wanted)) {
                let blobs = manifest.manifest().blobs().iter();
                all.docker = Some(blobs.map(|blob| blob.digest).collect());
            }
            for (at, blob) in manifest.manifest().blobs().iter().enumerate() {
                if self.have.contains(&blob.digest) {
                    all.assumed.insert(blob.digest, blob.size);
                    continue;
                }
                let origin = Origin::Blob(image.repository.clone());
                let part = Part { size: blob.size, is_layer: at > 0, is_own: true, origin };
                all.add(blob.digest, part)?;
            }
            for pointed in manifest.manifest().outside() {
                let beside = ImageRef::by_digest(&image.repository, &pointed.digest);
                open.push((self.gate.admit(&beside).await.map_err(denied)?, None));
            }
            if !manifest.media_type().is_index() {
                continue;
            }
            let children = platform::children(manifest.bytes());
            let children = children.map_err(|error| LeftOut::unfit(image, &error.to_string()))?;
            let mut chosen = platform::chosen(children, self.platforms);
            chosen.retain(|child| self.only.is_none_or(|only| only(&child.digest)));
            if chosen.is_empty() && !manifest.manifest().children().is_empty() {
                let because = "it has no image for any of the wanted platforms";
                return Err(LeftOut::unfit(image, because));
            }
            // Reversed, because the last one is taken next.
            for child in chosen.into_iter().rev() {
                let admitted = self.gate.child(image, &manifest, &child.digest).await;
                let is_known = |platform: &&Platform| platform.to_string() != "unknown/unknown";
                all.platforms.extend(child.platform.iter().filter(is_known).cloned());
                open.push((admitted.map_err(denied)?, child.platform));
            }
        }
        Ok(all)
    }

    fn add_manifest(
        &self,
        all: &mut Collected,
        repository: &RepositoryRef,
        manifest: &Admitted,
    ) -> Result<(), LeftOut> {
        let bytes = manifest.bytes();
        if self.only.is_some() {
            all.admitted_manifests.push((repository.clone(), manifest.clone()));
        }
        let held = self.held.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
        let origin = match held <= MAX_HELD {
            true => Origin::Held(bytes.clone()),
            false => Origin::Manifest(repository.clone()),
        };
        let part = Part { size: bytes.len() as u64, is_layer: false, is_own: false, origin };
        all.add(manifest.digest(), part)
    }

    fn attach(&self, all: &mut Collected, attachment: &Attachment) -> Result<(), LeftOut> {
        let Attachment { repository, tag, subject, manifest } = attachment;
        self.add_manifest(all, repository, manifest)?;
        all.manifests.insert(manifest.digest());
        for blob in manifest.manifest().blobs() {
            let origin = Origin::Blob(repository.clone());
            let part = Part { size: blob.size, is_layer: false, is_own: false, origin };
            all.add(blob.digest, part)?;
        }
        let artifact = Artifact::parse(manifest.bytes()).ok();
        all.attached.push(layout::Attached {
            manifest: pointer(manifest),
            subject: *subject,
            artifact_type: artifact.map(|artifact| artifact.own_type().to_owned()),
            repository: Some(repository.clone()),
            tag: tag.clone(),
        });
        Ok(())
    }
}

impl Collected {
    fn add(&mut self, digest: Digest, part: Part) -> Result<(), LeftOut> {
        if digest.algorithm() != Algorithm::Sha256 {
            let because = format!("it contains {digest}; a bundle contains only sha256 digests");
            return Err(LeftOut::unfit(&self.name, &because));
        }
        match self.parts.get_mut(&digest) {
            Some(known) if known.size != part.size => {
                let because = format!("its manifests state two sizes of {digest}");
                Err(LeftOut::unfit(&self.name, &because))
            }
            Some(known) => {
                known.is_layer &= part.is_layer;
                known.is_own |= part.is_own;
                Ok(())
            }
            None => {
                self.parts.insert(digest, part);
                Ok(())
            }
        }
    }

    /// The entry in the list of contents. `written` says which blobs the bundle contains.
    pub(super) fn entry(&self, written: impl Fn(&Digest) -> bool) -> contents::Image {
        let blob =
            |(digest, size): (&Digest, u64)| contents::Blob { digest: digest.to_string(), size };
        let parts = self.parts.iter().map(|(digest, part)| (digest, part.size));
        let assumed = self.assumed.iter().map(|(digest, size)| (digest, *size));
        let missing = self.assumed.keys().filter(|digest| !written(digest));
        contents::Image {
            names: vec![self.name.to_string()],
            digest: self.manifest.digest.to_string(),
            platforms: self.platforms.iter().map(ToString::to_string).collect(),
            blobs: parts.chain(assumed).map(blob).collect(),
            assumed: missing.map(ToString::to_string).collect(),
            decision: self.decision(),
        }
    }

    fn decision(&self) -> contents::Decision {
        let anchors = self.admitted.endorsements().iter().map(|endorsement| {
            let says = endorsement.says();
            contents::Anchor {
                name: says.anchor.to_string(),
                scheme: says.scheme.as_str().to_owned(),
                signers: says.signers.iter().map(ToString::to_string).collect(),
                key_ids: says.signer_ids.iter().map(crate::trust::SignerId::hex).collect(),
                ends: says.expires.map(crate::clock::Timestamp::unix),
            }
        });
        let anchors: Vec<contents::Anchor> = anchors.collect();
        let ends = anchors.iter().filter_map(|anchor| anchor.ends).min();
        contents::Decision { rule: self.admitted.rule().to_owned(), anchors, ends }
    }

    /// A note for the operator if the image is admitted without the signatures of its rule.
    pub(super) fn note(&self) -> Option<String> {
        let note = match (self.admitted.dry_run_denial(), self.admitted.remark()) {
            (Some(denial), _) => {
                format!("an audit rule admits it; enforcement would deny it: {denial}")
            }
            (None, Some(Remark::Exempted { because, .. })) => {
                format!("it is exempted here, which does not count for the receiver: {because}")
            }
            (None, Some(Remark::Held { because, .. })) => format!("its tag is held: {because}"),
            (None, Some(Remark::RolledBack { .. })) => "its tag is rolled back".to_owned(),
            (None, None) if self.admitted.endorsements().is_empty() => {
                format!("the rule for {} admits it without a signature", self.admitted.rule())
            }
            (None, None) => return None,
        };
        Some(shown(&note, MAX_TEXT))
    }
}

fn pointer(manifest: &Admitted) -> Pointer {
    Pointer {
        digest: manifest.digest(),
        size: manifest.bytes().len() as u64,
        media_type: manifest.media_type(),
    }
}
