//! A denial that clients of a mirror take for final. An error of a mirror, whichever, sends docker,
//! containerd and podman on to the registry itself, which gives the unsigned image. These answers stop
//! them, each by a way of its own:
//!
//! | asked | answer | who stops at it |
//! |---|---|---|
//! | `HEAD` of a manifest | 304, the message as reason phrase | containerd, BuildKit |
//! | the same of a digest, with no `Accept` | 501, `…: no such process` | docker, which has it from elsewhere |
//! | `GET` of a tag, and of what that gave | an image whose config has the message as media type | docker, podman, skopeo |
//! | `GET` of another digest | a manifest of another digest, `…: no such process` | docker; podman and skopeo at the digest |
//! | `GET` of a blob, or of a list of tags | 501, `…: no such process` | docker |
//! | a token | 403, `…: no such process` | docker |
//!
//! Pure: from what is to be told to status and content. Knows nothing of why something is denied, and
//! nothing of connections. That it works rests on how those engines behave, and on no promise of theirs.

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

/// In which form a client asked for a manifest that it does not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Head,
    /// `HEAD` of a digest by a docker that has it from another repository, and takes 304 for a yes. It
    /// names no type that it would accept, as those do that are to get 304.
    IfThere,
    Tag,
    Digest,
}

/// What is answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// What stands in the place of the status's own words.
    pub(super) reason: Option<ReasonPhrase>,
    pub(super) content: AnswerContent,
}

#[derive(Clone, Debug)]
pub(super) enum AnswerContent {
    None,
    Manifest(DenialManifest),
    Error(ErrorBody),
}

/// What a client reads in the place of a status's own words, where nothing has to stick.
pub(super) fn reason_phrase(sentence: &str, id: RequestId) -> Option<ReasonPhrase> {
    Message::new(sentence, id).reason_phrase()
}

/// One denial, for the one request that it was given to.
#[derive(Clone, Debug)]
pub(super) struct MirrorDenial(Message);

impl MirrorDenial {
    /// `sentence` is what users are to read; what cannot be shown in it, and its end if it is long, is
    /// left out.
    pub(super) fn new(sentence: &str, id: RequestId) -> Self {
        Self(Message::new(sentence, id))
    }

    /// Instead of a manifest.
    pub(super) fn manifest(&self, asked: Form) -> Answer {
        match asked {
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

    /// Instead of a token.
    pub(super) fn no_token(&self) -> Answer {
        let message = self.0.no_such_process();
        Answer {
            status: StatusCode::FORBIDDEN,
            reason: message.reason_phrase(),
            content: AnswerContent::Error(ErrorBody::new(ErrorCode::Denied, message.as_str())),
        }
    }

    /// Instead of a blob that cannot be had, or of a list of tags.
    pub(super) fn failed(&self, code: ErrorCode) -> Answer {
        Answer {
            status: StatusCode::NOT_IMPLEMENTED,
            reason: self.0.no_such_process().reason_phrase(),
            content: AnswerContent::Error(ErrorBody::new(code, self.0.as_str())),
        }
    }
}

impl Answer {
    /// A denial's manifest, also where it is asked for once more, by its digest.
    pub(super) fn of(manifest: DenialManifest) -> Self {
        Self { status: StatusCode::OK, reason: None, content: AnswerContent::Manifest(manifest) }
    }

    /// Instead of the config of a denial's manifest, which does not exist. After any other error, containers/image
    /// from 5.42 on asks the next place for it.
    pub(super) fn no_config(message: &Message) -> Self {
        let error = ErrorBody::new(ErrorCode::Denied, message.as_str());
        Self { status: StatusCode::FORBIDDEN, reason: None, content: AnswerContent::Error(error) }
    }
}

#[cfg(test)]
mod tests;
