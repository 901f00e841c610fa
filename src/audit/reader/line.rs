//! One line of a log: a verdict, another event, or nothing that can be read. Pure.

use serde::Deserialize;

use crate::clock::Timestamp;
use crate::gate::Verdict;
use crate::oci::{Digest, ImageRef, Reference, RepositoryRef};

/// The target of audit events, and their message.
pub const TARGET: &str = "countersign::audit";
pub const MESSAGE: &str = "verdict";

/// The longest name of an anchor, a scheme or a reason, and the most anchors that endorse one image.
const MAX_NAME: usize = 64;
const MAX_ANCHORS: usize = 32;

/// A decision that reached a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    pub image: ImageRef,
    /// The digest that was served or requested; unknown for a tag that was denied.
    pub digest: Option<Digest>,
    pub verdict: Verdict,
    pub reason: Option<String>,
    /// The anchors that endorsed the image; empty if it was served without a signature.
    pub anchors: Vec<String>,
    /// The scheme of the first of `anchors`.
    pub scheme: Option<String>,
    /// Served by an audit rule or an exemption; enforcement would have denied it.
    pub unsigned: bool,
    pub at: Option<Timestamp>,
}

/// The meaning of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Pull(Box<Pull>),
    /// Another log event, or an empty line.
    Other,
    Unreadable,
}

/// The fields that are read; others are ignored.
#[derive(Deserialize)]
struct Event {
    target: Option<String>,
    message: Option<String>,
    timestamp: Option<String>,
    #[serde(rename = "image.registry")]
    registry: Option<String>,
    #[serde(rename = "image.repository")]
    repository: Option<String>,
    #[serde(rename = "image.reference")]
    reference: Option<String>,
    operation: Option<String>,
    #[serde(rename = "manifest.digest")]
    digest: Option<String>,
    verdict: Option<String>,
    reason: Option<String>,
    anchor: Option<String>,
    scheme: Option<String>,
    would: Option<String>,
    remark: Option<String>,
}

impl Line {
    /// Parses one line, without its line feed.
    pub fn parse(line: &[u8]) -> Self {
        if line.trim_ascii().is_empty() {
            return Self::Other;
        }
        let Ok(event) = serde_json::from_slice::<Event>(line) else { return Self::Unreadable };
        if event.target.as_deref() != Some(TARGET) || event.message.as_deref() != Some(MESSAGE) {
            return Self::Other;
        }
        // Without this member, the client wanted a manifest.
        if event.operation.is_some() {
            return Self::Other;
        }
        event.pull().map_or(Self::Unreadable, |pull| Self::Pull(Box::new(pull)))
    }
}

impl Event {
    fn pull(self) -> Option<Pull> {
        let reference: Reference = self.reference?.parse().ok()?;
        let image = ImageRef {
            repository: RepositoryRef {
                registry: self.registry?.parse().ok()?,
                name: self.repository?.parse().ok()?,
            },
            reference,
        };
        let digest = match self.digest {
            Some(digest) => Some(digest.parse().ok()?),
            None => None,
        };
        let verdict = Verdict::parse(&self.verdict?)?;
        if !self.reason.iter().chain(&self.scheme).all(|word| is_name(word)) {
            return None;
        }
        let exempted = self.remark.as_deref() == Some("exempted");
        let unsigned = self.would.is_some() || exempted || self.anchor.is_none();
        let vouch = self.anchor.filter(|_| verdict == Verdict::Admitted && !unsigned);
        let anchors = vouch.iter().flat_map(|names| names.split(',')).map(str::to_owned);
        let anchors: Vec<String> = anchors.collect();
        if anchors.len() > MAX_ANCHORS || !anchors.iter().all(|name| is_name(name)) {
            return None;
        }
        let at = self.timestamp.and_then(|at| Timestamp::parse_rfc3339(&at));
        let scheme = self.scheme.filter(|_| !anchors.is_empty());
        Some(Pull { image, digest, verdict, reason: self.reason, anchors, scheme, unsigned, at })
    }
}

/// Whether `name` can be an anchor, scheme or reason. Other text in a log must not reach a configuration or a
/// terminal.
fn is_name(name: &str) -> bool {
    let word = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(word)
}
