//! Manifests: what a document at `/manifests/` lists. Parsed from the same bytes that are served;
//! a document that could be read as two things is refused (CVE-2021-41190).

use oci_spec::image::{ImageIndex, ImageManifest};
use thiserror::Error;

use super::digest::Digest;
use super::form::StrictManifest;
use super::media_type::{MediaType, essence};
use super::pointers::Pointers;
use crate::json::{self, Array, Document, InvalidJson, Value};

/// The largest manifest: what distribution and the specification agree registries accept.
pub const MAX_MANIFEST: usize = 4 << 20;
/// The most JSON values that one manifest or index may hold: every descriptor, member and annotation
/// counts. An index of [`MAX_CHILDREN`] children has room for 20 values in each.
pub const MAX_VALUES: usize = 200_000;
/// The most children that one index may list.
pub const MAX_CHILDREN: usize = 10_000;

/// How much more than one manifest the manifests may be that are nested in it as `data`: each is base64
/// in the one around it, and has three quarters of its length.
const NESTED: usize = 4;
/// What one value takes in the typed form in bytes, about: most in a map of annotations.
const TYPED: usize = 128;

/// The configs with which some engine runs an image, or a plugin: those of the specifications, and what
/// docker takes for one of them (moby, `distribution/registry.go`, `defaultImageTypes`, `pluginTypes`).
const RUNNABLE: [&str; 7] = [
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.plugin.v1+json",
    "application/octet-stream",
    "application/json",
    "text/html",
    "",
];
/// The members of manifests, and of what they list, that engines read.
const MEMBERS: [&str; 16] = [
    "annotations",
    "artifactType",
    "blobs",
    "config",
    "data",
    "digest",
    "fsLayers",
    "layers",
    "manifests",
    "mediaType",
    "platform",
    "schemaVersion",
    "signatures",
    "size",
    "subject",
    "urls",
];

/// What the media types of an image's layers contain.
const LAYERS: [&str; 4] = [".image.layer", ".image.rootfs", ".erofs", "/erofs"];
/// What the media types of an image's config contain, beside [`RUNNABLE`].
const CONFIGS: [&str; 3] = [".image.config", ".container.image", ".docker.plugin"];

/// A pointer to content: its digest, its size in bytes, and its media type if that is a manifest's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    pub digest: Digest,
    pub size: u64,
    pub media_type: Option<MediaType>,
}

/// A manifest, as far as a gate needs to understand it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    media_type: MediaType,
    children: Vec<Descriptor>,
    blobs: Vec<Descriptor>,
    subject: Option<Descriptor>,
    runnable: bool,
    outside: Vec<Descriptor>,
    inlined: Vec<Digest>,
    flaw: Option<Box<str>>,
    form: Option<Box<StrictManifest>>,
}

/// Why a document is no manifest.
#[derive(Debug, Error)]
pub enum InvalidManifest {
    #[error(transparent)]
    Json(#[from] InvalidJson),
    #[error("the manifest is both an index and an image")]
    Ambiguous,
    #[error("the manifest has the member {0:?} in the wrong case")]
    Case(String),
    #[error("the manifest lists {0:?}, which is no digest we know")]
    Digest(String),
    #[error("the registry says it is {said:?}, the manifest says it is {is:?}")]
    MediaType { said: String, is: String },
    #[error("the manifest has the media type {0:?}, which is none that is served")]
    Unknown(String),
    #[error("the manifest lists more than {MAX_CHILDREN} others")]
    TooMany,
    #[error("the manifest is not as its media type says: {0}")]
    Structure(#[from] oci_spec::OciSpecError),
}

impl InvalidManifest {
    /// Whether the manifest is larger than this program reads; another program may accept it.
    pub fn exceeds_limit(&self) -> bool {
        match self {
            Self::Json(error) => error.exceeds_limit(),
            Self::TooMany => true,
            Self::Ambiguous
            | Self::Case(_)
            | Self::Digest(_)
            | Self::MediaType { .. }
            | Self::Unknown(_)
            | Self::Structure(_) => false,
        }
    }
}

impl Manifest {
    /// The most bytes that [`Self::parse`] allocates for `length` bytes: first for the JSON, then for
    /// the typed form.
    pub const fn most_memory(length: usize) -> usize {
        let json = NESTED * json::most_memory(length, MAX_VALUES);
        let values = if length / 2 < MAX_VALUES { length / 2 } else { MAX_VALUES };
        let typed = length + values * TYPED;
        if json > typed { json } else { typed }
    }

    /// Parses `bytes`; `content_type` is what the registry said they are, if it said anything.
    pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, InvalidManifest> {
        let document = Document::parse_within(bytes, MAX_VALUES)?;
        let value = document.root();
        check_case(value)?;
        let lists = |member| value.member(member).is_some();
        let index = lists("manifests");
        if index && (lists("layers") || lists("config") || lists("fsLayers") || lists("blobs")) {
            return Err(InvalidManifest::Ambiguous);
        }
        let media_type = media_type(value, content_type, index)?;
        let Pointers { outside, inlined, flaw } = Pointers::of(value);
        let flaw = flaw.map(String::into_boxed_str);
        let form = if index { None } else { form(value) };
        // Its memory is free before the typed form takes its own.
        drop(document);
        let mut manifest = if media_type.is_index() {
            Self::index(bytes, media_type)?
        } else {
            Self { form, ..Self::image(bytes, media_type)? }
        };
        (manifest.outside, manifest.inlined, manifest.flaw) = (outside, inlined, flaw);
        Ok(manifest)
    }

    fn index(bytes: &[u8], media_type: MediaType) -> Result<Self, InvalidManifest> {
        let index = ImageIndex::from_reader(bytes)?;
        if index.manifests().len() > MAX_CHILDREN {
            return Err(InvalidManifest::TooMany);
        }
        Ok(Self {
            media_type,
            children: index.manifests().iter().map(descriptor).collect::<Result<_, _>>()?,
            blobs: Vec::new(),
            subject: index.subject().as_ref().map(descriptor).transpose()?,
            runnable: true,
            outside: Vec::new(),
            inlined: Vec::new(),
            flaw: None,
            form: None,
        })
    }

    fn image(bytes: &[u8], media_type: MediaType) -> Result<Self, InvalidManifest> {
        let image = ImageManifest::from_reader(bytes)?;
        // Of an image in docker's own format, engines do not ask what its config is; and some unpack
        // whatever has the layers of an image.
        let runnable = media_type == MediaType::DockerImage
            || is_image_config(image.config().media_type().as_ref())
            || image.layers().iter().any(|it| is_image_layer(it.media_type().as_ref()));
        let blobs = std::iter::once(image.config()).chain(image.layers()).map(descriptor);
        Ok(Self {
            media_type,
            children: Vec::new(),
            blobs: blobs.collect::<Result<_, _>>()?,
            subject: image.subject().as_ref().map(descriptor).transpose()?,
            runnable,
            outside: Vec::new(),
            inlined: Vec::new(),
            flaw: None,
            form: None,
        })
    }

    pub fn media_type(&self) -> MediaType {
        self.media_type
    }

    /// The manifests that an index lists; an image has none.
    pub fn children(&self) -> &[Descriptor] {
        &self.children
    }

    /// The indexes that an index lists.
    pub fn child_indexes(&self) -> impl Iterator<Item = &Descriptor> {
        self.children.iter().filter(|child| child.media_type.is_some_and(MediaType::is_index))
    }

    /// The config and the layers of an image; an index has none.
    pub fn blobs(&self) -> &[Descriptor] {
        &self.blobs
    }

    /// The manifest that this one is about (a signature, an attestation, an SBOM of it).
    #[cfg(any(test, feature = "test-support"))]
    pub fn subject(&self) -> Option<&Descriptor> {
        self.subject.as_ref()
    }

    /// Whether an engine would run this: an index, or an image with an image's config.
    pub fn is_runnable(&self) -> bool {
        self.runnable
    }

    /// The manifests that it points at outside `manifests` and `subject`, by media type or by inline content. Clients
    /// follow them, so each needs its own admission.
    pub fn outside(&self) -> &[Descriptor] {
        &self.outside
    }

    /// The digests, by every algorithm, of all content that it holds inline. Clients take that without asking for it.
    pub fn inlined(&self) -> &[Digest] {
        &self.inlined
    }

    /// Why it must not be served, even if it is endorsed, such as inline `data` that does not match its descriptor.
    pub fn flaw(&self) -> Option<&str> {
        self.flaw.as_deref()
    }

    /// What an image manifest says of itself, for the decision about an artifact. `None` for an index, and for what has
    /// the layers of an image.
    pub fn form(&self) -> Option<&StrictManifest> {
        self.form.as_deref()
    }
}

/// Whether some engine could take a layer of that media type for an image's.
pub fn is_image_layer(media_type: &str) -> bool {
    let essence = essence(media_type);
    LAYERS.iter().any(|layers| essence.contains(layers))
}

/// Whether some engine could take a config of that media type for an image's.
pub fn is_image_config(media_type: &str) -> bool {
    let essence = essence(media_type);
    RUNNABLE.contains(&essence.as_str()) || CONFIGS.iter().any(|config| essence.contains(config))
}

/// The form of an image manifest, kept only where that could be an artifact.
fn form(manifest: Value<'_>) -> Option<Box<StrictManifest>> {
    let form = StrictManifest::of(manifest)?;
    let is_image = form.layers.iter().any(|layer| is_image_layer(&layer.media_type));
    (!is_image).then(|| Box::new(form))
}

/// Refuses a member that is one of those that engines read but for its case: they are written in Go,
/// whose decoder would take it for that, and see another manifest than we do.
fn check_case(manifest: Value<'_>) -> Result<(), InvalidManifest> {
    let listed = ["manifests", "layers", "blobs"].map(|name| manifest.member(name));
    let listed = listed.into_iter().flatten().filter_map(Value::as_array).flat_map(Array::iter);
    let pointed = ["config", "subject"].map(|name| manifest.member(name));
    for place in std::iter::once(manifest).chain(pointed.into_iter().flatten()).chain(listed) {
        if let Some(name) = place.miscased(&MEMBERS) {
            return Err(InvalidManifest::Case(name.chars().take(255).collect()));
        }
    }
    Ok(())
}

/// What the document is by its own word, its registry's word and its shape, which must agree.
fn media_type(
    value: Value<'_>,
    content_type: Option<&str>,
    index: bool,
) -> Result<MediaType, InvalidManifest> {
    let known = |text: &str| {
        MediaType::parse(text)
            .ok_or_else(|| InvalidManifest::Unknown(text.chars().take(255).collect()))
    };
    let own = match value.member("mediaType") {
        Some(own) => Some(known(own.as_str().unwrap_or_default())?),
        None => None,
    };
    let said = content_type.map(known).transpose()?;
    let shape = if index { MediaType::OciIndex } else { MediaType::OciImage };
    let media_type = own.or(said).unwrap_or(shape);
    let contradicts = |other: MediaType| InvalidManifest::MediaType {
        said: other.to_string(),
        is: media_type.to_string(),
    };
    match said {
        Some(said) if said != media_type => Err(contradicts(said)),
        Some(_) | None if media_type.is_index() != index => Err(contradicts(shape)),
        Some(_) | None => Ok(media_type),
    }
}

fn descriptor(from: &oci_spec::image::Descriptor) -> Result<Descriptor, InvalidManifest> {
    let digest = from.digest().to_string();
    let media_type = MediaType::parse(from.media_type().as_ref());
    match digest.parse() {
        Ok(digest) => Ok(Descriptor { digest, size: from.size(), media_type }),
        Err(_) => Err(InvalidManifest::Digest(digest.chars().take(255).collect())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn pointer(media_type: &str, content: &str) -> Json {
        json!({"mediaType": media_type, "digest": Digest::of(content.as_bytes()).to_string(), "size": 3})
    }

    fn image(config: &str) -> Json {
        json!({"schemaVersion": 2, "mediaType": MediaType::OciImage.as_str(),
               "config": pointer(config, "config"),
               "layers": [pointer("application/vnd.oci.image.layer.v1.tar+gzip", "layer")]})
    }

    fn index() -> Json {
        json!({"schemaVersion": 2, "manifests": [
            pointer(MediaType::OciImage.as_str(), "one"), pointer(MediaType::OciIndex.as_str(), "two")]})
    }

    fn parse(json: &Json, content_type: Option<&str>) -> Result<Manifest, InvalidManifest> {
        Manifest::parse(json.to_string().as_bytes(), content_type)
    }

    #[test]
    fn an_index_lists_its_children() {
        let index = parse(&index(), Some(MediaType::DockerIndex.as_str())).unwrap();
        assert_eq!(index.media_type(), MediaType::DockerIndex);
        assert_eq!(index.children()[1].digest, Digest::of(b"two"));
        assert!(index.is_runnable());
    }

    #[test]
    fn an_image_lists_its_blobs_and_its_subject() {
        let mut artifact = image("application/vnd.oci.empty.v1+json");
        artifact["layers"][0]["mediaType"] = json!("application/spdx+json");
        artifact["subject"] = pointer(MediaType::OciImage.as_str(), "subject");
        let artifact = parse(&artifact, None).unwrap();
        assert_eq!(artifact.blobs().len(), 2);
        assert_eq!(artifact.subject().unwrap().digest, Digest::of(b"subject"));
        assert!(!artifact.is_runnable());
        assert!(parse(&image(RUNNABLE[1]), None).unwrap().is_runnable());
    }

    #[test]
    fn what_has_the_layers_of_an_image_can_be_run_whatever_its_config_is() {
        assert!(parse(&image("application/vnd.example.config"), None).unwrap().is_runnable());
    }

    #[test]
    fn a_document_that_is_both_index_and_image_is_refused() {
        for member in ["layers", "config", "fsLayers"] {
            let mut both = index();
            both[member] = json!([]);
            assert!(matches!(parse(&both, None), Err(InvalidManifest::Ambiguous)), "{member}");
        }
    }

    #[test]
    fn the_registrys_word_is_held_against_the_documents() {
        for said in [MediaType::OciIndex, MediaType::DockerImage] {
            let answer = parse(&image(RUNNABLE[1]), Some(said.as_str()));
            assert!(matches!(answer, Err(InvalidManifest::MediaType { .. })));
        }
        let answer = parse(&index(), Some(MediaType::OciImage.as_str()));
        assert!(matches!(answer, Err(InvalidManifest::MediaType { .. })));
        assert!(matches!(parse(&index(), Some("text/html")), Err(InvalidManifest::Unknown(_))));
    }

    #[test]
    fn a_member_that_stands_twice_is_refused() {
        let twice = br#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#;
        assert!(matches!(Manifest::parse(twice, None), Err(InvalidManifest::Json(_))));
    }
}
