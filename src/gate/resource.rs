//! The object of a decision: what a request is about, and how texts and the audit record name it.

use std::fmt;

use crate::oci::{Digest, ImageRef, Reference, RepositoryRef, Tag};

/// What a decision is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    pub repository: RepositoryRef,
    pub kind: ResourceKind,
}

/// Which part of a repository it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceKind {
    /// The repository as a whole, for its list of tags.
    TagList,
    /// The repository as a whole, for its trust metadata.
    TrustMetadata,
    /// The manifest under a tag.
    Tag(Tag),
    /// The manifest with a digest.
    Digest(Digest),
    Blob(Digest),
}

impl Resource {
    pub fn tag_list(repository: &RepositoryRef) -> Self {
        Self::of(repository, ResourceKind::TagList)
    }

    pub fn trust_metadata(repository: &RepositoryRef) -> Self {
        Self::of(repository, ResourceKind::TrustMetadata)
    }

    pub fn blob(repository: &RepositoryRef, digest: &Digest) -> Self {
        Self::of(repository, ResourceKind::Blob(*digest))
    }

    fn of(repository: &RepositoryRef, kind: ResourceKind) -> Self {
        Self { repository: repository.clone(), kind }
    }

    /// The operation of the client, as the audit record names it; `None` for a manifest.
    pub const fn operation(&self) -> Option<&'static str> {
        match self.kind {
            ResourceKind::TagList => Some("tags"),
            ResourceKind::TrustMetadata => Some("trust_metadata"),
            ResourceKind::Blob(_) => Some("blob"),
            ResourceKind::Tag(_) | ResourceKind::Digest(_) => None,
        }
    }

    /// The tag or the digest; `None` for a repository as a whole.
    pub fn reference(&self) -> Option<Reference> {
        match &self.kind {
            ResourceKind::TagList | ResourceKind::TrustMetadata => None,
            ResourceKind::Tag(tag) => Some(Reference::Tag(tag.clone())),
            ResourceKind::Digest(digest) | ResourceKind::Blob(digest) => {
                Some(Reference::Digest(*digest))
            }
        }
    }

    /// The image, if this is a manifest.
    pub fn image(&self) -> Option<ImageRef> {
        let reference = match &self.kind {
            ResourceKind::Tag(tag) => Reference::Tag(tag.clone()),
            ResourceKind::Digest(digest) => Reference::Digest(*digest),
            ResourceKind::TagList | ResourceKind::TrustMetadata | ResourceKind::Blob(_) => {
                return None;
            }
        };
        let repository = self.repository.clone();
        Some(ImageRef { repository, reference })
    }
}

impl From<ImageRef> for Resource {
    fn from(ImageRef { repository, reference }: ImageRef) -> Self {
        let kind = match reference {
            Reference::Tag(tag) => ResourceKind::Tag(tag),
            Reference::Digest(digest) => ResourceKind::Digest(digest),
        };
        Self { repository, kind }
    }
}

impl From<&ImageRef> for Resource {
    fn from(image: &ImageRef) -> Self {
        image.clone().into()
    }
}

impl From<&Resource> for Resource {
    fn from(resource: &Resource) -> Self {
        resource.clone()
    }
}

impl fmt::Display for Resource {
    /// `registry/repository`, with the tag or the digest if there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        match &self.kind {
            ResourceKind::TagList | ResourceKind::TrustMetadata => Ok(()),
            ResourceKind::Tag(tag) => write!(f, ":{tag}"),
            ResourceKind::Digest(digest) | ResourceKind::Blob(digest) => write!(f, "@{digest}"),
        }
    }
}
