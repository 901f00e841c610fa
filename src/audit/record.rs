//! The record of one decision. It contains structured fields from the gate; the reader of the record formats them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::ser::{Serialize, SerializeMap, Serializer};
use tracing::info;

use crate::audit::reader::{MESSAGE, TARGET};
use crate::clock::Timestamp;
use crate::gate::{Admitted, Denial, Remark, Resource, ResourceKind, Verdict};
use crate::oci::{Digest, ImageRef};
use crate::trust::{Endorsement, Scheme};

use super::request_id::RequestId;

/// The longest stored sentence of a denial, in bytes: it may contain text from others.
const MAX_BECAUSE: usize = 2 << 10;

/// The client of a request, and the start time, from which the duration of the decision follows.
#[derive(Clone, Debug)]
pub struct RequestInfo {
    pub client: SocketAddr,
    /// The user, if clients are authenticated.
    pub user: Option<Arc<str>>,
    /// The listener; `None` for the public one.
    pub listener: Option<&'static str>,
    pub id: RequestId,
    pub started: Instant,
}

/// One decision that reached a client.
///
/// Serialized, it is the object of a log event in the format for programs: flat, with the names of the contract,
/// `timestamp`, `level`, `target` and `message`; and `because`, the sentence of a denial.
#[derive(Clone, Debug)]
pub struct Record {
    timestamp: Timestamp,
    resource: Resource,
    /// The admitted or requested digest.
    digest: Option<Digest>,
    verdict: Verdict,
    reason: Option<&'static str>,
    because: Option<Box<str>>,
    rule: Option<Arc<str>>,
    /// The names of the anchors, separated by commas.
    anchor: Option<Arc<str>>,
    scheme: Option<Scheme>,
    remark: Option<&'static str>,
    /// The verdict that enforcement would have given instead of an audit rule.
    would: Option<Verdict>,
    client: SocketAddr,
    user: Option<Arc<str>>,
    listener: Option<&'static str>,
    request_id: RequestId,
    took: Duration,
}

impl Record {
    /// The record of an admitted `image`.
    pub fn admitted(
        asked: RequestInfo,
        now: Timestamp,
        image: &ImageRef,
        admitted: &Admitted,
    ) -> Self {
        // The denial that enforcement would have given instead of an audit rule.
        let would = admitted.dry_run_denial();
        let by = would.map(|denial| DeniedBy::of(denial)).unwrap_or_default();
        let vouch = anchors(admitted.endorsements());
        Self {
            timestamp: now,
            resource: image.into(),
            digest: Some(admitted.digest()),
            verdict: Verdict::Admitted,
            reason: would.and_then(|denial| denial.reason()),
            because: would.map(|denial| cut(denial.to_string()).into_boxed_str()),
            rule: Some(admitted.pattern().clone()),
            anchor: vouch.or_else(|| by.anchor.cloned()),
            scheme: admitted.scheme().or(by.scheme),
            remark: admitted.remark().map(Remark::as_str),
            would: would.map(|denial| denial.dry_run_verdict()),
            client: asked.client,
            user: asked.user,
            listener: asked.listener,
            request_id: asked.id,
            took: asked.started.elapsed(),
        }
    }

    /// The record of a denial. `None` if upstream does not have the content, because that is not a decision.
    pub fn denied(asked: RequestInfo, now: Timestamp, denial: &Denial) -> Option<Self> {
        let verdict = denial.verdict()?;
        let by = DeniedBy::of(denial);
        let resource = denial.resource();
        let digest = match &resource.kind {
            ResourceKind::Digest(digest) | ResourceKind::Blob(digest) => Some(*digest),
            ResourceKind::Tag(_) | ResourceKind::TagList | ResourceKind::TrustMetadata => None,
        };
        Some(Self {
            timestamp: now,
            resource: resource.clone(),
            digest,
            verdict,
            reason: denial.reason(),
            because: Some(cut(denial.to_string()).into_boxed_str()),
            rule: by.rule.cloned(),
            anchor: by.anchor.cloned(),
            scheme: by.scheme,
            remark: None,
            would: None,
            client: asked.client,
            user: asked.user,
            listener: asked.listener,
            request_id: asked.id,
            took: asked.started.elapsed(),
        })
    }

    /// When the decision was made.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    pub fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// The image, if the request was for a manifest.
    pub fn image(&self) -> Option<ImageRef> {
        self.resource.image()
    }

    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    pub fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    /// The names of the anchors, separated by commas.
    pub fn anchor(&self) -> Option<&Arc<str>> {
        self.anchor.as_ref()
    }

    /// Whether the image was served.
    pub fn is_admitted(&self) -> bool {
        self.verdict == Verdict::Admitted
    }

    /// Writes the log event of this record.
    pub(super) fn log(&self) {
        info!(
            target: TARGET,
            {
            image.registry = self.resource.repository.registry.as_str(),
            image.repository = self.resource.repository.name.as_str(),
            image.reference = self.resource.reference().map(display),
            operation = self.resource.operation(),
            manifest.digest = self.digest.as_ref().map(display),
            verdict = self.verdict.as_str(),
            reason = self.reason,
            rule = self.rule.as_deref(),
            anchor = self.anchor.as_deref(),
            scheme = self.scheme.map(|scheme| scheme.as_str()),
            would = self.would.map(Verdict::as_str),
            because = self.because.as_deref(),
            remark = self.remark,
            listener = self.listener,
            client.address = %self.client,
            client.user = self.user.as_deref(),
            request_id = %self.request_id,
            duration_ms = milliseconds(self.took),
            },
            "{MESSAGE}"
        );
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &Shown(&self.timestamp))?;
        map.serialize_entry("level", "INFO")?;
        map.serialize_entry("message", MESSAGE)?;
        map.serialize_entry("image.registry", self.resource.repository.registry.as_str())?;
        map.serialize_entry("image.repository", self.resource.repository.name.as_str())?;
        if let Some(reference) = self.resource.reference() {
            map.serialize_entry("image.reference", &Shown(&reference))?;
        }
        if let Some(operation) = self.resource.operation() {
            map.serialize_entry("operation", operation)?;
        }
        if let Some(digest) = &self.digest {
            map.serialize_entry("manifest.digest", &Shown(digest))?;
        }
        map.serialize_entry("verdict", self.verdict.as_str())?;
        let scheme = self.scheme.map(|scheme| scheme.as_str());
        for (name, text) in [
            ("reason", self.reason),
            ("because", self.because.as_deref()),
            ("rule", self.rule.as_deref()),
            ("anchor", self.anchor.as_deref()),
            ("scheme", scheme),
            ("would", self.would.map(Verdict::as_str)),
            ("remark", self.remark),
            ("listener", self.listener),
            ("client.user", self.user.as_deref()),
        ] {
            if let Some(text) = text {
                map.serialize_entry(name, text)?;
            }
        }
        map.serialize_entry("client.address", &Shown(&self.client))?;
        map.serialize_entry("request_id", &Shown(&self.request_id))?;
        map.serialize_entry("duration_ms", &milliseconds(self.took))?;
        map.serialize_entry("target", TARGET)?;
        map.end()
    }
}

/// Serialized as it is displayed.
struct Shown<'a, T>(&'a T);

impl<T: std::fmt::Display> Serialize for Shown<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

/// The rule, the anchor and the scheme of a denial, if there are any.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeniedBy<'a> {
    pub rule: Option<&'a Arc<str>>,
    pub anchor: Option<&'a Arc<str>>,
    pub scheme: Option<Scheme>,
}

impl<'a> DeniedBy<'a> {
    pub fn of(denial: &'a Denial) -> Self {
        let (rule, anchor, scheme) = match denial {
            Denial::Absent(denied) | Denial::Refused(denied) => {
                (&denied.rule, &denied.anchor, denied.scheme)
            }
            Denial::Undecided(undecided) => (&undecided.rule, &undecided.anchor, undecided.scheme),
            Denial::Missing { .. } | Denial::Throttled { .. } | Denial::Unsatisfiable { .. } => {
                return Self::default();
            }
        };
        Self { rule: rule.as_ref(), anchor: anchor.as_ref(), scheme }
    }
}

/// The names of the endorsing anchors: a shared text for one, a new text for several.
fn anchors(endorsements: &[Endorsement]) -> Option<Arc<str>> {
    match endorsements {
        [] => None,
        [one] => Some(one.says().anchor.clone()),
        several => {
            let names: Vec<&str> = several.iter().map(|one| &*one.says().anchor).collect();
            Some(names.join(",").into())
        }
    }
}

/// The text, cut to the maximum length.
fn cut(mut text: String) -> String {
    if text.len() > MAX_BECAUSE {
        let end = (0..=MAX_BECAUSE).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}

/// In milliseconds, with microsecond precision.
fn milliseconds(duration: Duration) -> f64 {
    let micros = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
    f64::from(micros) / 1000.0
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use crate::gate::{Doubt, Undecided};

    use super::*;

    /// The record of an undecided image.
    pub(crate) fn undecided(id: RequestId, image: &str, because: &str) -> Record {
        let denial = Denial::Undecided(Undecided {
            resource: image.parse::<ImageRef>().unwrap().into(),
            doubt: Doubt::TrustUnreachable,
            because: because.to_owned(),
            rule: Some("r.example/**".into()),
            anchor: Some("team".into()),
            scheme: Some(Scheme::NotaryV1),
        });
        let (client, started) = ("127.0.0.1:7".parse().unwrap(), Instant::now());
        let asked = RequestInfo { client, user: None, listener: None, id, started };
        Record::denied(asked, Timestamp::from_unix(1), &denial).unwrap()
    }

    #[test]
    fn a_record_is_one_flat_object_with_the_names_of_the_contract() {
        let id: RequestId = "00000000000000ff".parse().unwrap();
        let mut expected = serde_json::to_value(undecided(id, "r.example/a:1", "silence")).unwrap();
        assert!(expected.as_object_mut().unwrap().remove("duration_ms").unwrap().is_f64());
        assert_eq!(
            expected,
            json!({
                "timestamp": "1970-01-01T00:00:01Z", "level": "INFO",
                "target": "countersign::audit", "message": "verdict",
                "image.registry": "r.example", "image.repository": "a", "image.reference": "1",
                "verdict": "undecided", "reason": "trust_unreachable",
                "because": "cannot decide about r.example/a:1 now: silence",
                "rule": "r.example/**", "anchor": "team", "scheme": "notaryv1",
                "client.address": "127.0.0.1:7", "request_id": "00000000000000ff",
            })
        );
    }

    #[test]
    fn a_long_sentence_is_cut() {
        let id: RequestId = "00000000000000ff".parse().unwrap();
        let record = undecided(id, "r.example/a:1", &"ö".repeat(1 << 20));
        assert!(record.because.unwrap().len() <= MAX_BECAUSE + '…'.len_utf8());
    }

    #[test]
    fn durations_are_in_milliseconds() {
        assert!((milliseconds(Duration::from_micros(1234)) - 1.234).abs() < 1e-9);
    }
}
