//! Responses to denied requests: an error on the public listener, and on the mirror listener a response that keeps
//! the client from falling back to the registry. Only this file distinguishes the two.

use std::time::Duration;

use http::Response;
use http::header::ACCEPT;

use crate::audit::RequestInfo;
use crate::gate::{Denial, Doubt, Resource, is_artifact_tag};
use crate::oci::{Digest, ErrorCode, Reference, Tag};

use super::audit;
use super::body::Body;
use super::config::DenialStatus;
use super::handle::{Exchange, Proxy};
use super::listener_kind::ListenerKind;
use super::mirror::{self, Answer, AnswerContent, MirrorDenial, Remembered};
use super::respond;
use super::route::{Malformed, Wanted, wanted};

/// How long the mirror listener retries a blob that upstream cannot deliver at the moment. Must be shorter than
/// [`ANSWER`].
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// The latest time after a request at which the mirror listener begins its response. containerd from 2.3 on, and
/// docker with containerd's store, wait 30 seconds for the response headers and then fall back to the registry.
pub(super) const ANSWER: Duration = Duration::from_secs(18);

/// Whether a retry may soon succeed.
pub(super) fn is_passing(denial: &Denial) -> bool {
    match denial {
        Denial::Undecided(undecided) => match undecided.doubt {
            Doubt::GateBusy(_) | Doubt::UpstreamUnreachable => true,
            Doubt::TrustUnreachable | Doubt::UpstreamRefused => false,
        },
        Denial::Throttled { .. } => true,
        Denial::Absent(_)
        | Denial::Refused(_)
        | Denial::Missing { .. }
        | Denial::Unsatisfiable { .. } => false,
    }
}

impl Exchange<'_> {
    /// The result of `deciding` about a resource; undecided if a client of the mirror listener would wait too long for it.
    pub(super) async fn in_time<T, R: Into<Resource>>(
        &self,
        resource: impl FnOnce() -> R,
        deciding: impl Future<Output = Result<T, Denial>>,
    ) -> Result<T, Denial> {
        let Some(end) = self.answer_by else { return deciding.await };
        match tokio::time::timeout_at(end, deciding).await {
            Ok(decided) => decided,
            Err(_) => Err(Denial::late(resource(), ANSWER)),
        }
    }

    /// The response for a manifest that is not admitted.
    pub(super) fn no_manifest(&self, reference: &Reference, denial: &Denial) -> Response<Body> {
        self.record(denial);
        let about = match reference {
            Reference::Tag(tag) if is_artifact_tag(tag) => About::Artifacts,
            Reference::Tag(_) => About::Image(mirror::Form::Tag),
            Reference::Digest(_) => About::Image(mirror::Form::Digest),
        };
        match (self.listener, about) {
            (ListenerKind::Mirror(_), About::Image(form)) => {
                self.mirrored(form, &denial.to_string())
            }
            (ListenerKind::Clients, About::Image(_)) => {
                respond::denied(denial, self.id, self.denial_status)
            }
            (ListenerKind::Mirror(_) | ListenerKind::Clients, About::Artifacts) => {
                respond::denied(denial, self.id, DenialStatus::NotFound)
            }
        }
    }

    /// The response for a blob, which docker retries for a while, reporting the last response, and for the list of tags
    /// when docker pulls all of them.
    pub(super) fn failed(&self, denial: &Denial) -> Response<Body> {
        let code = match denial {
            Denial::Unsatisfiable { .. } => return self.denied(denial),
            Denial::Missing { code, .. } => *code,
            Denial::Throttled { .. } | Denial::Undecided(_) => ErrorCode::Unavailable,
            Denial::Absent(_) | Denial::Refused(_) => ErrorCode::Denied,
        };
        match self.listener {
            ListenerKind::Clients => self.denied(denial),
            ListenerKind::Mirror(_) => {
                self.record(denial);
                respond::mirrored(MirrorDenial::new(&denial.to_string(), self.id).failed(code))
            }
        }
    }

    /// The response for anything else.
    pub(super) fn denied(&self, denial: &Denial) -> Response<Body> {
        self.record(denial);
        respond::denied(denial, self.id, DenialStatus::NotFound)
    }

    pub(super) fn malformed(&self, malformed: &Malformed) -> Response<Body> {
        self.turned_away(&malformed.to_string(), || respond::malformed(malformed))
    }

    /// The response to a request without a decision: an invalid name, or a client without permission. `sentence` is the
    /// message for users, and `otherwise` the response on a listener whose clients have no fallback.
    pub(super) fn turned_away(
        &self,
        sentence: &str,
        otherwise: impl FnOnce() -> Response<Body>,
    ) -> Response<Body> {
        let wanted = match self.listener {
            ListenerKind::Clients => None,
            ListenerKind::Mirror(_) => wanted(self.path),
        };
        let reference = match wanted {
            Some(Wanted::Manifest(reference)) => reference,
            Some(Wanted::Other) => {
                return respond::mirrored(
                    MirrorDenial::new(sentence, self.id).failed(ErrorCode::Denied),
                );
            }
            // containers/image leaves a mirror that fails here; content is denied when it is requested.
            Some(Wanted::Base) => return respond::base(),
            Some(Wanted::Token) => return self.no_token(sentence),
            None => return otherwise(),
        };
        let digest = reference.parse().ok().map(Reference::Digest);
        if let Some(again) = digest.and_then(|digest| self.denied_before(&digest)) {
            return again;
        }
        match About::of(reference) {
            About::Image(form) => self.mirrored(form, sentence),
            About::Artifacts => otherwise(),
        }
    }

    /// The manifest of a recent denial of a tag, which clients request again by its digest.
    pub(super) fn denied_before(&self, reference: &Reference) -> Option<Response<Body>> {
        let Reference::Digest(digest) = reference else { return None };
        match self.remembered(digest)? {
            Remembered::Manifest(manifest) if !self.head => {
                Some(respond::mirrored(Answer::of(manifest)))
            }
            Remembered::Manifest(_) | Remembered::Config(_) => None,
        }
    }

    /// The response for the config of a denial's manifest, which does not exist.
    pub(super) fn config_of_denial(&self, digest: &Digest) -> Option<Response<Body>> {
        match self.remembered(digest)? {
            Remembered::Config(message) => Some(respond::mirrored(Answer::no_config(&message))),
            Remembered::Manifest(_) => None,
        }
    }

    fn remembered(&self, digest: &Digest) -> Option<Remembered> {
        match self.listener {
            ListenerKind::Clients => None,
            ListenerKind::Mirror(_) => self.proxy.denials.find(digest),
        }
    }

    fn mirrored(&self, form: mirror::Form, sentence: &str) -> Response<Body> {
        let denial = MirrorDenial::new(sentence, self.id);
        let answer = denial.manifest(match (self.head, form) {
            (true, mirror::Form::Digest) if !self.headers.contains_key(ACCEPT) => {
                mirror::Form::IfThere
            }
            (true, _) => mirror::Form::Head,
            (false, form) => form,
        });
        if let (mirror::Form::Tag, AnswerContent::Manifest(manifest)) = (form, &answer.content) {
            self.proxy.denials.remember(&denial, manifest);
        }
        respond::mirrored(answer)
    }

    pub(super) fn record(&self, denial: &Denial) {
        let Proxy { audit, metrics, load, .. } = self.proxy;
        load.count_busy(denial);
        audit::denied(audit, metrics, self.asked(), denial);
    }

    pub(super) fn asked(&self) -> RequestInfo {
        let Self { client, id, started, listener, .. } = *self;
        RequestInfo { client, user: self.user.clone(), listener: listener.recorded(), id, started }
    }
}

/// What a requested manifest is for.
enum About {
    Image(mirror::Form),
    /// An artifact about another manifest: clients look for it beside a signed image, and treat an error as an
    /// ordinary error.
    Artifacts,
}

impl About {
    /// Classifies a reference from a path, which may be invalid.
    fn of(reference: &str) -> Self {
        match reference.parse::<Tag>() {
            Ok(tag) if is_artifact_tag(&tag) => Self::Artifacts,
            Ok(_) => Self::Image(mirror::Form::Tag),
            Err(_) if reference.contains(':') || reference.contains('%') => {
                Self::Image(mirror::Form::Digest)
            }
            Err(_) => Self::Image(mirror::Form::Tag),
        }
    }
}
