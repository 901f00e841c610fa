//! The list of artifacts that are served without an endorsement of their own: signatures, attestations and SBOMs about
//! an admitted manifest, and nothing else unless the rule says `artifacts = "all"`. Pure.
//!
//! # Why a list
//!
//! Clients follow any descriptor by its media type, accept inline content, and never fetch content that they already
//! have. A deny-list cannot keep up with that. So the gate compares media types byte for byte with a list, and denies
//! an artifact of an unknown form.

use crate::oci::form::{EMPTY, Part, StrictManifest};
use crate::oci::manifest::{is_image_config, is_image_layer};
use crate::oci::media_type::names_manifest;
use crate::oci::{Descriptor, Digest, Manifest, MediaType};
use crate::policy::Artifacts;

/// The most layers of an artifact.
pub(super) const MAX_LAYERS: usize = 50;

const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// The beginning of the media types of Sigstore bundles: `…+json;version=0.1` to `….v0.3+json`.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const DSSE: &str = "application/vnd.dsse.envelope.v1+json";
const IN_TOTO: &str = "application/vnd.in-toto+json";
const NOTATION: &str = "application/vnd.cncf.notary.signature";
/// The media types of SBOMs that cosign, syft and oras use.
const SBOMS: [&str; 11] = [
    "application/spdx+json",
    "application/spdx+xml",
    "application/vnd.cyclonedx",
    "application/vnd.cyclonedx+json",
    "application/vnd.cyclonedx+xml",
    "application/vnd.syft",
    "application/vnd.syft+json",
    "text/spdx",
    "text/spdx+json",
    "text/spdx+xml",
    "spdx+json",
];

/// The end of a tag `sha256-<hex>…` under which cosign stores an artifact of that manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suffix {
    Signature,
    Attestation,
    Sbom,
}

impl Suffix {
    pub(super) const ALL: [Self; 3] = [Self::Signature, Self::Attestation, Self::Sbom];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Signature => ".sig",
            Self::Attestation => ".att",
            Self::Sbom => ".sbom",
        }
    }

    /// The kind of artifact under a tag with this suffix.
    const fn kind(self) -> &'static ArtifactKind {
        match self {
            Self::Signature => &KINDS[0],
            Self::Attestation => &KINDS[1],
            Self::Sbom => &KINDS[2],
        }
    }
}

/// A kind of artifact.
struct ArtifactKind {
    name: &'static str,
    /// The artifact types of this kind.
    types: &'static [Type],
    /// The media types that its layers may have.
    layers: &'static [Type],
}

/// A media type that is compared byte for byte.
enum Type {
    Exact(&'static str),
    /// Every version of a Sigstore bundle.
    Bundle,
    /// One of [`SBOMS`].
    Sbom,
}

use Type::{Bundle, Exact, Sbom};

/// The kinds, cosign's first. A referrer's config is the empty descriptor, or its media type is the artifact type.
/// Under a tag, it may be an image's, because cosign writes it so. The gate reads a config other than the empty one,
/// and the config must run nothing ([`runs_nothing`]).
///
/// [`runs_nothing`]: super::artifact_config::runs_nothing
const KINDS: [ArtifactKind; 6] = [
    ArtifactKind {
        name: "cosign signature",
        types: &[Exact("application/vnd.dev.cosign.artifact.sig.v1+json")],
        layers: &[Exact(SIMPLE_SIGNING), Bundle],
    },
    ArtifactKind {
        name: "attestation",
        types: &[
            Exact("application/vnd.dev.cosign.artifact.att.v1+json"),
            Exact(IN_TOTO),
            Exact(DSSE),
        ],
        layers: &[Exact(DSSE), Exact(IN_TOTO), Bundle],
    },
    ArtifactKind {
        name: "SBOM",
        types: &[Exact("application/vnd.dev.cosign.artifact.sbom.v1+json"), Sbom],
        layers: &[Sbom, Exact("application/json")],
    },
    ArtifactKind { name: "Sigstore bundle", types: &[Bundle], layers: &[Bundle] },
    ArtifactKind {
        name: "notation signature",
        types: &[Exact(NOTATION)],
        layers: &[Exact("application/jose+json"), Exact("application/cose")],
    },
    ArtifactKind {
        name: "BuildKit attestation",
        types: &[Exact("application/vnd.docker.attestation.manifest.v1+json")],
        layers: &[Exact(IN_TOTO)],
    },
];

impl Type {
    fn is(&self, media_type: &str) -> bool {
        match self {
            Self::Exact(exact) => media_type == *exact,
            Self::Bundle => is_bundle(media_type),
            Self::Sbom => SBOMS.contains(&media_type),
        }
    }
}

/// The form of a manifest that may be an artifact. The error says why it cannot be one.
pub(super) fn form(manifest: &Manifest) -> Result<&StrictManifest, String> {
    manifest.form().ok_or_else(|| "it is an index, or has the layers of an image".to_owned())
}

/// Whether a referrer could be served if a list states its artifact type as `stated`.
pub(super) fn could_be_listed(stated: Option<&str>, artifacts: Artifacts) -> bool {
    match (artifacts, stated) {
        (Artifacts::All, _) | (_, None | Some("" | EMPTY)) => true,
        (Artifacts::Listed, Some(stated)) => kind_of(stated).is_some(),
    }
}

/// Checks that a manifest of that form is a permitted referrer of `subject`. The error says in one clause why it is
/// not.
pub(super) fn check_referrer(
    media_type: MediaType,
    form: &StrictManifest,
    subject: &Descriptor,
    artifacts: Artifacts,
) -> Result<(), String> {
    let Some(named) = &form.subject else { return Err("it has no subject".to_owned()) };
    check_subject(named, subject)?;
    if media_type != MediaType::OciImage {
        return Err(format!("it has the type {media_type}, but artifacts are OCI image manifests"));
    }
    check_parts(form)?;
    match (kind_of(form.own_type()), artifacts) {
        (Some(kind), Artifacts::Listed) => kind.check_referrer(form),
        (Some(kind), Artifacts::All) => kind.check_referrer(form).or_else(|_| check_other(form)),
        (None, Artifacts::All) => check_other(form),
        (None, Artifacts::Listed) => Err(format!(
            "its artifact type {} is not on the list of signatures, attestations and SBOMs; a rule with \
             `artifacts = \"all\"` serves other types",
            shown(form.own_type())
        )),
    }
}

/// Checks that a manifest of that form is a permitted artifact of `subject` under a cosign tag. The error says in one
/// clause why it is not.
pub(super) fn check_tagged(
    media_type: MediaType,
    form: &StrictManifest,
    subject: &Descriptor,
    suffix: Suffix,
) -> Result<(), String> {
    if let Some(named) = &form.subject {
        check_subject(named, subject)?;
    }
    let kind = suffix.kind();
    if form.artifact_type.as_ref().is_some_and(|own| !kind.types.iter().any(|it| it.is(own))) {
        return Err(format!("its artifact type is not that of a {}", kind.name));
    }
    check_parts(form)?;
    let config = &form.config;
    let is_config = match media_type {
        MediaType::OciImage => {
            config.media_type == OCI_CONFIG || config.is_empty_descriptor() || kind.is_own(config)
        }
        MediaType::DockerImage => config.media_type == DOCKER_CONFIG,
        MediaType::OciIndex | MediaType::DockerIndex => false,
    };
    if !is_config {
        return Err(format!("its config has the type {}", shown(&config.media_type)));
    }
    kind.check_layers(form)
}

impl ArtifactKind {
    fn check_referrer(&self, form: &StrictManifest) -> Result<(), String> {
        let config = &form.config;
        // The empty config states no type, so the manifest must have an artifact type.
        let is_empty = form.artifact_type.is_some() && config.is_empty_descriptor();
        let is_own = self.is_own(config) && config.media_type == form.own_type();
        if !is_empty && !is_own {
            return Err(format!("its config has the type {}", shown(&config.media_type)));
        }
        self.check_layers(form)
    }

    fn is_own(&self, config: &Part) -> bool {
        self.types.iter().any(|own| own.is(&config.media_type))
    }

    fn check_layers(&self, form: &StrictManifest) -> Result<(), String> {
        let other = |layer: &&Part| !self.layers.iter().any(|known| known.is(&layer.media_type));
        match form.layers.iter().find(other) {
            Some(layer) => {
                let layer = shown(&layer.media_type);
                Err(format!(
                    "it has a layer of the type {layer}, which a {} cannot have",
                    self.name
                ))
            }
            None => Ok(()),
        }
    }
}

fn kind_of(own_type: &str) -> Option<&'static ArtifactKind> {
    KINDS.iter().find(|kind| kind.types.iter().any(|own| own.is(own_type)))
}

/// The checks for artifacts of every type.
fn check_parts(form: &StrictManifest) -> Result<(), String> {
    if let Some(stray) = &form.stray {
        return Err(format!("it has {stray}, which no artifact needs"));
    }
    if form.layers.is_empty() || form.layers.len() > MAX_LAYERS {
        return Err(format!(
            "it has {} layers; an artifact has 1 to {MAX_LAYERS}",
            form.layers.len()
        ));
    }
    if form.layers.iter().any(is_nothing) {
        return Err("it has an empty layer".to_owned());
    }
    let types = form.layers.iter().chain([&form.config]).map(|part| &part.media_type);
    match types.into_iter().chain(&form.artifact_type).find(|it| names_manifest(it)) {
        Some(media_type) => {
            Err(format!("it points at a manifest of the type {}", shown(media_type)))
        }
        None => Ok(()),
    }
}

/// Checks an artifact of a type that is not listed: an engine must not treat it as an image.
fn check_other(form: &StrictManifest) -> Result<(), String> {
    if is_image_config(&form.config.media_type) {
        return Err(format!("it has an image's config, {}", shown(&form.config.media_type)));
    }
    match form.layers.iter().find(|layer| is_image_layer(&layer.media_type)) {
        Some(layer) => Err(format!("it has an image's layer, {}", shown(&layer.media_type))),
        None => Ok(()),
    }
}

fn check_subject(named: &Part, subject: &Descriptor) -> Result<(), String> {
    let same = named.digest == subject.digest
        && named.size == subject.size
        && MediaType::parse(&named.media_type) == subject.media_type;
    if same { Ok(()) } else { Err(format!("its subject is not {}", subject.digest)) }
}

/// Whether a layer is empty: it has no bytes, or is a well-known archive without files.
fn is_nothing(layer: &Part) -> bool {
    const NOTHING: [&str; 5] = [
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
        "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4",
        "sha256:4f4fb700ef54461cfa02571ae0db9a0dc1e0cdb5577484a6d75e68dc38e8acc1",
        "sha256:85cea451eec057fa7e734548ca3ba6d779ed5836a3f9de14b8394575ef0d7d8e",
    ];
    let known = || NOTHING.iter().any(|digest| digest.parse::<Digest>() == Ok(layer.digest));
    layer.size == 0 || known()
}

/// Whether that is the media type of a Sigstore bundle of any version: `….bundle+json`, `….bundle+json;version=0.1`,
/// `….bundle.v0.3+json`.
fn is_bundle(media_type: &str) -> bool {
    let Some(rest) = media_type.strip_prefix(BUNDLE) else { return false };
    let is_version = |text: &str| {
        let is_number =
            |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        text.split_once('.').is_some_and(|(major, minor)| is_number(major) && is_number(minor))
    };
    match (
        rest.strip_prefix("+json"),
        rest.strip_prefix(".v").and_then(|it| it.strip_suffix("+json")),
    ) {
        (Some(""), _) => true,
        (Some(parameter), _) => parameter.strip_prefix(";version=").is_some_and(is_version),
        (None, Some(version)) => is_version(version),
        (None, None) => false,
    }
}

fn shown(media_type: &str) -> String {
    format!("{:?}", crate::text::shown(media_type, 128))
}

#[cfg(test)]
mod tests;
