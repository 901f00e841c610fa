//! The content of a timestamp (RFC 3161, section 2.4.2): the hash it is about, the time, and its accuracy.

use std::time::Duration;

use der::asn1::ObjectIdentifier;
use der::{Decode as _, Tag};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::AlgorithmIdentifier;

use crate::clock::Timestamp;
use crate::trust::x509::Hash;
use crate::trust::x509::asn1::{Elements, context, generalized_time, small};

/// The baseline policy of RFC 3628, section 5.2: its accuracy is one second by default.
const BASELINE: ObjectIdentifier = ObjectIdentifier::new_unwrap("0.4.0.2023.1.1");

/// A TSTInfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::trust) struct TstInfo {
    hash: Hash,
    imprint: Vec<u8>,
    pub(in crate::trust) time: Timestamp,
    /// How far from `time` it may have been, in either direction.
    pub(in crate::trust) accuracy: Duration,
}

impl TstInfo {
    pub(super) fn parse(der: &[u8]) -> Option<Self> {
        let mut parts = Elements::of(der)?;
        let version = small(parts.content(Tag::Integer)?)?;
        let policy = ObjectIdentifier::from_der(parts.raw()?).ok()?;
        let mut imprint = Elements::within(parts.content(Tag::Sequence)?)?;
        let (_, algorithm) = AlgorithmIdentifier::from_der(imprint.raw()?).ok()?;
        let hash = Hash::from_oid(&algorithm.algorithm)?;
        let hashed = imprint.content(Tag::OctetString)?;
        parts.content(Tag::Integer)?;
        let time = generalized_time(parts.content(Tag::GeneralizedTime)?)?;
        let accuracy = match parts.optional(Tag::Sequence) {
            Some(accuracy) => accuracy_of(accuracy)?,
            None if policy == BASELINE => Duration::from_secs(1),
            None => Duration::ZERO,
        };
        parts.optional(Tag::Boolean);
        parts.optional(Tag::Integer);
        parts.optional(context(0, true));
        // A critical extension must be understood, and this program knows none.
        let extensions = parts.optional(context(1, true));
        let whole = version == 1 && imprint.is_finished() && parts.is_finished();
        (whole && extensions.is_none_or(none_critical)).then(|| Self {
            hash,
            imprint: hashed.to_vec(),
            time,
            accuracy,
        })
    }

    /// Whether it is about `content`.
    pub(super) fn is_about(&self, content: &[u8]) -> bool {
        self.hash.of(content) == self.imprint
    }
}

/// `Accuracy`: seconds, `[0]` milliseconds and `[1]` microseconds, each optional.
fn accuracy_of(content: &[u8]) -> Option<Duration> {
    let mut parts = Elements::within(content)?;
    let fraction = |content: &[u8]| small(content).filter(|part| (1..=999).contains(part));
    let seconds = parts.optional(Tag::Integer).map_or(Some(0), small)?;
    let millis = parts.optional(context(0, false)).map_or(Some(0), fraction)?;
    let micros = parts.optional(context(1, false)).map_or(Some(0), fraction)?;
    let whole = Duration::from_secs(u64::from(seconds))
        + Duration::from_millis(u64::from(millis))
        + Duration::from_micros(u64::from(micros));
    parts.is_finished().then_some(whole)
}

fn none_critical(extensions: &[u8]) -> bool {
    let Some(mut list) = Elements::within(extensions) else { return false };
    while !list.is_finished() {
        let Some(mut extension) = list.raw().and_then(Elements::of) else { return false };
        if extension.raw().is_none() || extension.optional(Tag::Boolean).is_some() {
            return false;
        }
    }
    true
}
