//! Manifests: the content that a document at `/manifests/` lists. Parses the same bytes that are served, and rejects a
//! document that could be read as two types (CVE-2021-41190).

use thiserror::Error;

use crate::json::{self, Array, Document, InvalidJson, Value};
use crate::oci::digest::Digest;
use crate::oci::form::StrictManifest;
use crate::oci::media_type::{MediaType, essence};
use crate::oci::pointers::Pointers;

/// The largest manifest, in bytes: the limit of distribution and the specification.
pub const MAX_MANIFEST: usize = 4 << 20;
/// The most JSON values in one manifest or index, including every descriptor, member and annotation. An index of
/// [`MAX_CHILDREN`] children has room for 20 values in each.
pub const MAX_VALUES: usize = 200_000;
/// The most children that one index may list.
pub const MAX_CHILDREN: usize = 10_000;

/// How many times longer than one manifest all nested manifests in `data` can be together: each is base64 in its parent
/// and has three quarters of its length.
const NESTED: usize = 4;
/// The approximate size of one value in the typed form, in bytes: largest in a map of annotations.
const TYPED: usize = 128;

/// The config types with which an engine runs an image or a plugin: those of the specifications, and the types that
/// docker accepts for them (moby, `distribution/registry.go`, `defaultImageTypes`, `pluginTypes`).
const RUNNABLE: [&str; 7] = [
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.plugin.v1+json",
    "application/octet-stream",
    "application/json",
    "text/html",
    "",
];
/// The members of manifests and descriptors that engines read.
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

/// Substrings of the media types of an image's layers.
const LAYERS: [&str; 4] = [".image.layer", ".image.rootfs", ".erofs", "/erofs"];
/// Substrings of the media types of an image's config, in addition to [`RUNNABLE`].
const CONFIGS: [&str; 3] = [".image.config", ".container.image", ".docker.plugin"];

/// A pointer to content: its digest, its size in bytes, and its media type if it is that of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    pub digest: Digest,
    pub size: u64,
    pub media_type: Option<MediaType>,
}

/// A manifest, as far as the gate needs it.
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

/// Why a document is not a valid manifest.
#[derive(Debug, Error)]
pub enum InvalidManifest {
    #[error(transparent)]
    Json(#[from] InvalidJson),
    #[error("the manifest is both an index and an image")]
    Ambiguous,
    #[error("the manifest has the member {0:?} in the wrong case")]
    Case(String),
    #[error("the manifest lists {0:?}, which is not a sha256 or sha512 digest")]
    Digest(String),
    #[error("the manifest has contradictory media types: {said:?} and {is:?}")]
    MediaType { said: String, is: String },
    #[error("the manifest has the unsupported media type {0:?}")]
    Unknown(String),
    #[error("the manifest lists more than {MAX_CHILDREN} manifests")]
    TooMany,
    #[error("the manifest has no {0}")]
    Missing(String),
    #[error("{member} in the manifest is not {expected}")]
    Member { member: String, expected: &'static str },
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
            | Self::Missing(_)
            | Self::Member { .. } => false,
        }
    }
}

impl Manifest {
    /// The most bytes that [`Self::parse`] allocates for `length` bytes: the larger of the parsed JSON with nested
    /// manifests, and the lists created from it.
    pub const fn most_memory(length: usize) -> usize {
        let json = NESTED * json::most_memory(length, MAX_VALUES);
        let values = if length / 2 < MAX_VALUES { length / 2 } else { MAX_VALUES };
        let typed = length + values * TYPED;
        if json > typed { json } else { typed }
    }

    /// Parses `bytes`. `content_type` is the registry's, if it sent one.
    pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, InvalidManifest> {
        let document = Document::parse_within(bytes, MAX_VALUES)?;
        let value = document.root();
        check_case(value)?;
        let lists = |member| value.member(member).is_some();
        let index = lists("manifests");
        let has_image = ["layers", "config", "fsLayers", "blobs"].into_iter().any(lists);
        if index && has_image {
            return Err(InvalidManifest::Ambiguous);
        }
        let media_type = media_type(value, content_type, index, has_image)?;
        let Pointers { outside, inlined, flaw } = Pointers::of(value);
        let flaw = flaw.map(String::into_boxed_str);
        let form = if index { None } else { form(value) };
        let mut manifest = match media_type.is_index() {
            true => Self::index(value, media_type)?,
            false => Self { form, ..Self::image(value, media_type)? },
        };
        (manifest.outside, manifest.inlined, manifest.flaw) = (outside, inlined, flaw);
        Ok(manifest)
    }

    fn index(index: Value<'_>, media_type: MediaType) -> Result<Self, InvalidManifest> {
        // Only the `Content-Type` makes `{}` an index, and it may not be a manifest at all.
        if ["manifests", "mediaType", "schemaVersion"].iter().all(|it| index.member(it).is_none()) {
            return Err(InvalidManifest::Missing("manifests".to_owned()));
        }
        let children = list(index, "manifests")?;
        if children.len() > MAX_CHILDREN {
            return Err(InvalidManifest::TooMany);
        }
        let children = children.into_iter().enumerate();
        let read = |(at, child)| descriptor(child, || format!("manifests[{at}]"));
        Ok(Self {
            media_type,
            children: children.map(read).collect::<Result<_, _>>()?,
            blobs: Vec::new(),
            subject: subject(index)?,
            runnable: true,
            outside: Vec::new(),
            inlined: Vec::new(),
            flaw: None,
            form: None,
        })
    }

    fn image(image: Value<'_>, media_type: MediaType) -> Result<Self, InvalidManifest> {
        let config = image.present("config");
        let config = config.ok_or_else(|| InvalidManifest::Missing("config".to_owned()))?;
        let layers = list(image, "layers")?;
        let type_of = |blob: Value<'_>| {
            blob.member("mediaType").and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        // Engines do not check the config type of an image in Docker's own format. Some unpack anything with the layers
        // of an image, and a layer without a type may be one.
        let is_layer = |layer: &Value<'_>| {
            let media_type = type_of(*layer);
            media_type.is_empty() || is_image_layer(&media_type)
        };
        let runnable = media_type == MediaType::DockerImage
            || is_image_config(&type_of(config))
            || layers.iter().any(is_layer);
        let mut blobs = vec![descriptor(config, || "config".to_owned())?];
        for (at, layer) in layers.into_iter().enumerate() {
            blobs.push(descriptor(layer, || format!("layers[{at}]"))?);
        }
        Ok(Self {
            media_type,
            children: Vec::new(),
            blobs,
            subject: subject(image)?,
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

    /// The manifest that this one refers to (it is a signature, an attestation or an SBOM of it).
    #[cfg(feature = "test-support")]
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

    /// The digests, by every algorithm, of all inline content. Clients use it without a request.
    pub fn inlined(&self) -> &[Digest] {
        &self.inlined
    }

    /// Why it must not be served, even if it is endorsed, for example inline `data` that does not match its descriptor.
    pub fn flaw(&self) -> Option<&str> {
        self.flaw.as_deref()
    }

    /// The form of an image manifest, for the decision about an artifact. `None` for an index, and for a manifest with
    /// the layers of an image.
    pub fn form(&self) -> Option<&StrictManifest> {
        self.form.as_deref()
    }
}

/// Whether an engine could accept a layer of that media type as the layer of an image.
pub fn is_image_layer(media_type: &str) -> bool {
    let essence = essence(media_type);
    LAYERS.iter().any(|layers| essence.contains(layers))
}

/// Whether an engine could accept a config of that media type as the config of an image.
pub fn is_image_config(media_type: &str) -> bool {
    let essence = essence(media_type);
    RUNNABLE.contains(&essence.as_str()) || CONFIGS.iter().any(|config| essence.contains(config))
}

/// The form of an image manifest, kept only if it could be an artifact.
fn form(manifest: Value<'_>) -> Option<Box<StrictManifest>> {
    let form = StrictManifest::of(manifest)?;
    let is_image = form.layers.iter().any(|layer| is_image_layer(&layer.media_type));
    (!is_image).then(|| Box::new(form))
}

/// Rejects a member that equals one that engines read except for its case. Go's decoder, which engines use, would
/// accept it as that member and see another manifest than the gate.
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

/// The type of the document: its own `mediaType`, the registry's, and its shape must agree.
fn media_type(
    value: Value<'_>,
    content_type: Option<&str>,
    index: bool,
    has_image: bool,
) -> Result<MediaType, InvalidManifest> {
    let known = |text: &str| {
        MediaType::parse(text)
            .ok_or_else(|| InvalidManifest::Unknown(text.chars().take(255).collect()))
    };
    let own = value.present("mediaType").filter(|own| own.as_str() != Some(""));
    let own = own.map(|own| known(own.as_str().unwrap_or_default())).transpose()?;
    let said = content_type.map(known).transpose()?;
    let shape = if index { MediaType::OciIndex } else { MediaType::OciImage };
    let media_type = own.or(said).unwrap_or(shape);
    let contradicts = |other: MediaType| InvalidManifest::MediaType {
        said: other.to_string(),
        is: media_type.to_string(),
    };
    match said {
        Some(said) if said != media_type => Err(contradicts(said)),
        // An index may lack its list, but an image must not.
        Some(_) | None if media_type.is_index() != index && (index || has_image) => {
            Err(contradicts(shape))
        }
        Some(_) | None => Ok(media_type),
    }
}

/// The items of the list `name`; none if it is absent or null.
fn list<'a>(of: Value<'a>, name: &str) -> Result<Vec<Value<'a>>, InvalidManifest> {
    let Some(list) = of.present(name) else { return Ok(Vec::new()) };
    let list = list.as_array().ok_or_else(|| wrong(name.to_owned(), "a list"))?;
    Ok(list.iter().collect())
}

fn subject(manifest: Value<'_>) -> Result<Option<Descriptor>, InvalidManifest> {
    let subject = manifest.present("subject");
    subject.map(|subject| descriptor(subject, || "subject".to_owned())).transpose()
}

/// Reads a descriptor. Only digest and size identify content, so only they are required.
fn descriptor(of: Value<'_>, place: impl Fn() -> String) -> Result<Descriptor, InvalidManifest> {
    let member = |name: &str| format!("{}.{name}", place());
    let missing = |name: &str| InvalidManifest::Missing(member(name));
    if of.as_object().is_none() {
        return Err(wrong(place(), "an object"));
    }
    let digest = of.present("digest").ok_or_else(|| missing("digest"))?;
    let digest = digest.as_str().ok_or_else(|| wrong(member("digest"), "a string"))?;
    let size = of.present("size").ok_or_else(|| missing("size"))?.as_integer();
    let size = size.and_then(|size| u64::try_from(size).ok());
    let media_type = match of.present("mediaType") {
        Some(text) => text.as_str().ok_or_else(|| wrong(member("mediaType"), "a string"))?,
        None => "",
    };
    Ok(Descriptor {
        digest: digest
            .parse()
            .map_err(|_| InvalidManifest::Digest(digest.chars().take(255).collect()))?,
        size: size.ok_or_else(|| wrong(member("size"), "a whole number"))?,
        media_type: MediaType::parse(media_type),
    })
}

fn wrong(member: String, expected: &'static str) -> InvalidManifest {
    InvalidManifest::Member { member, expected }
}

#[cfg(test)]
mod tests;
