//! The bodies that may leave through the public listener: one constructor for each kind of content, and no other way
//! to create a [`Body`]. Knows nothing of headers or status codes.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;

use crate::access::{LIFETIME, Token};
use crate::gate::{Admitted, OpenBlob, ReferrerList};
use crate::oci::{ErrorBody, Tag};
use crate::pull_through::BlobStream;
use crate::registry_client::Part;
use crate::trust::Relayed;

use super::load::Load;
use super::mirror::DenialManifest;

/// The body of a response.
///
/// A body cannot be built from bytes, so only admitted manifests can leave. The exception is the manifest that
/// represents a denial, which is built from the denial's text:
///
/// ```compile_fail,E0277
/// use bytes::Bytes;
/// use countersign::server::Body;
/// fn leak(bytes: Bytes) -> Body {
///     bytes.into()
/// }
/// ```
///
/// ```compile_fail,E0624
/// use countersign::gate::Admitted;
/// use countersign::server::Body;
/// fn leak(admitted: Admitted) -> Body {
///     Body::manifest(admitted)
/// }
/// ```
///
/// ```compile_fail,E0624
/// use countersign::pull_through::BlobStream;
/// use countersign::server::Body;
/// fn leak(stream: BlobStream) -> Body {
///     Body::blob(stream, Default::default())
/// }
/// ```
///
/// ```compile_fail,E0624
/// use countersign::server::{Body, DenialManifest};
/// fn leak(denial: DenialManifest) -> Body {
///     Body::denial(denial)
/// }
/// ```
pub struct Body(BodyContent);

enum BodyContent {
    Empty,
    Whole(Bytes),
    Blob { stream: Pin<Box<BlobStream>>, sent: Counter },
}

impl Body {
    pub(super) fn empty() -> Self {
        Self(BodyContent::Empty)
    }

    /// `{}`, the body of `/v2/`.
    pub(super) fn base() -> Self {
        Self(BodyContent::Whole(Bytes::from_static(b"{}")))
    }

    pub(super) fn manifest(admitted: Admitted) -> Self {
        Self(BodyContent::Whole(admitted.into_bytes()))
    }

    /// The manifest that represents a denial.
    pub(super) fn denial(denial: DenialManifest) -> Self {
        Self(BodyContent::Whole(denial.into_bytes()))
    }

    /// A blob, or a part of one; `sent` counts its bytes as they leave.
    pub(super) fn blob(blob: OpenBlob, sent: Counter) -> Self {
        Self(BodyContent::Blob { stream: Box::pin(blob.into_stream()), sent })
    }

    /// `{"name":…,"tags":[…]}`; `None` if too many bytes of lists wait for their clients.
    pub(super) fn tags(name: &str, tags: &[Tag], load: &Load) -> Option<Self> {
        let tags: Vec<_> = tags.iter().map(Tag::as_str).collect();
        let list = serde_json::json!({ "name": name, "tags": tags });
        Self::list(list.to_string().into(), load)
    }

    /// The same for an index of referrers.
    pub(super) fn referrers(referrers: ReferrerList, load: &Load) -> Option<Self> {
        Self::list(referrers.into_bytes(), load)
    }

    /// The same for a Notary server's metadata, unchanged.
    pub(super) fn trust_metadata(metadata: Relayed, load: &Load) -> Option<Self> {
        Self::list(metadata.into_bytes(), load)
    }

    fn list(list: Bytes, load: &Load) -> Option<Self> {
        load.admit_list(list).map(|list| Self(BodyContent::Whole(list)))
    }

    /// A token (distribution-spec, "Token Authentication"). Older clients read `token`, OAuth 2 clients
    /// `access_token`. The time of issue is omitted, so that clients use their own clock.
    pub(super) fn token(token: &Token) -> Self {
        let (token, seconds) = (token.as_str(), LIFETIME.as_secs());
        let body =
            serde_json::json!({ "token": token, "access_token": token, "expires_in": seconds });
        Self(BodyContent::Whole(body.to_string().into()))
    }

    pub(super) fn error(error: &ErrorBody) -> Self {
        Self(BodyContent::Whole(error.to_json().into()))
    }

    /// The length in bytes, if it is known in advance.
    pub(super) fn len(&self) -> Option<u64> {
        match &self.0 {
            BodyContent::Empty => Some(0),
            BodyContent::Whole(bytes) => Some(bytes.len() as u64),
            BodyContent::Blob { stream, .. } => match stream.part() {
                Part::Whole { length } => length,
                Part::Range(range) => Some(range.length()),
            },
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.0 {
            BodyContent::Empty => Poll::Ready(None),
            BodyContent::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = BodyContent::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            BodyContent::Blob { stream, sent } => {
                let frame = ready!(stream.as_mut().poll_frame(cx));
                if let Some(Ok(frame)) = &frame {
                    sent.inc_by(frame.data_ref().map_or(0, |bytes| bytes.len() as u64));
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            BodyContent::Empty => true,
            BodyContent::Whole(bytes) => bytes.is_empty(),
            BodyContent::Blob { stream, .. } => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            BodyContent::Empty => SizeHint::with_exact(0),
            BodyContent::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            BodyContent::Blob { stream, .. } => stream.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("len", &self.len()).finish_non_exhaustive()
    }
}
