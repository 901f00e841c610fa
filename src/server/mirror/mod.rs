//! Denials that clients of a mirror accept as final. After any error of a mirror, docker, containerd and podman fall
//! back to the registry itself, which serves the unsigned image. These responses stop them, each in its own way:
//!
//! | request | response | clients that stop |
//! |---|---|---|
//! | `HEAD` of a manifest | 304, the message as reason phrase | containerd, BuildKit |
//! | `HEAD` of a digest, without `Accept` | 501, `…: no such process` | docker, if it has the content from another repository |
//! | `GET` of a tag, and of the resulting digest | an image whose config has the message as media type | docker, podman, skopeo |
//! | `GET` of another digest | a manifest of another digest, `…: no such process` | docker; podman and skopeo at the digest |
//! | `GET` of a blob, or of a list of tags | 501, `…: no such process` | docker |
//! | a token | 403, `…: no such process` | docker |
//!
//! Pure: turns a message into a status and content. Knows nothing of why something is denied, or of connections. It
//! relies on how those engines behave today, which they do not promise.

mod manifest;
mod memory;
mod message;

use http::StatusCode;
use hyper::ext::ReasonPhrase;

use crate::audit::RequestId;
use crate::oci::{ErrorBody, ErrorCode};
pub use manifest::DenialManifest;
pub(super) use memory::{Memory, Remembered};
use message::Message;

/// How a client requested the denied manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Head,
    /// `HEAD` of a digest by a docker that has it from another repository and treats 304 as success. It sends no
    /// `Accept`, unlike the clients that need 304.
    IfThere,
    Tag,
    Digest,
}

/// The response.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Replaces the standard reason phrase of the status.
    pub(super) reason: Option<ReasonPhrase>,
    pub(super) content: AnswerContent,
}

#[derive(Clone, Debug)]
pub(super) enum AnswerContent {
    None,
    Manifest(DenialManifest),
    Error(ErrorBody),
}

/// The reason phrase with the message, for responses that need not be final.
pub(super) fn reason_phrase(sentence: &str, id: RequestId) -> Option<ReasonPhrase> {
    Message::new(sentence, id).reason_phrase()
}

/// One denial, for one request.
#[derive(Clone, Debug)]
pub(super) struct MirrorDenial(Message);

impl MirrorDenial {
    /// `sentence` is the message for users. Unprintable characters are replaced, and a long message is cut off.
    pub(super) fn new(sentence: &str, id: RequestId) -> Self {
        Self(Message::new(sentence, id))
    }

    /// The response for a manifest.
    pub(super) fn manifest(&self, form: Form) -> Answer {
        match form {
            Form::Head => Answer {
                status: StatusCode::NOT_MODIFIED,
                reason: self.0.reason_phrase(),
                content: AnswerContent::None,
            },
            Form::IfThere => self.failed(ErrorCode::ManifestUnknown),
            Form::Tag => Answer::of(DenialManifest::of_tag(&self.0)),
            Form::Digest => Answer::of(DenialManifest::of_digest(&self.0)),
        }
    }

    /// The response for a token.
    pub(super) fn no_token(&self) -> Answer {
        let message = self.0.no_such_process();
        Answer {
            status: StatusCode::FORBIDDEN,
            reason: message.reason_phrase(),
            content: AnswerContent::Error(ErrorBody::new(ErrorCode::Denied, message.as_str())),
        }
    }

    /// The response for a blob that is not available, or for a list of tags.
    pub(super) fn failed(&self, code: ErrorCode) -> Answer {
        Answer {
            status: StatusCode::NOT_IMPLEMENTED,
            reason: self.0.no_such_process().reason_phrase(),
            content: AnswerContent::Error(ErrorBody::new(code, self.0.as_str())),
        }
    }
}

impl Answer {
    /// A denial's manifest, also when it is requested again by digest.
    pub(super) fn of(manifest: DenialManifest) -> Self {
        Self { status: StatusCode::OK, reason: None, content: AnswerContent::Manifest(manifest) }
    }

    /// The response for the config of a denial's manifest, which does not exist. After any other error, containers/image
    /// from 5.42 on requests it elsewhere.
    pub(super) fn no_config(message: &Message) -> Self {
        let error = ErrorBody::new(ErrorCode::Denied, message.as_str());
        Self { status: StatusCode::FORBIDDEN, reason: None, content: AnswerContent::Error(error) }
    }
}

#[cfg(test)]
mod tests;
