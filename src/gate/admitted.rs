//! The proof that a manifest may be served. Its constructors are the check.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use sha2::{Digest as _, Sha512};

use crate::clock::Timestamp;
use crate::exemptions::Exemption;
use crate::oci::headers::ContentName;
use crate::oci::{Digest, MediaType, Registry, Repository};
use crate::pull_through::Fetched;
use crate::trust::{Endorsement, Reason, Refusal, Scheme};

use super::artifacts::Kept;
use super::denial::Denial;

/// A manifest that may be served, and why.
///
/// Fields are private and the constructors are visible to `gate` alone, so nothing else can serve a
/// manifest:
///
/// ```compile_fail,E0624
/// use countersign::clock::Timestamp;
/// use countersign::gate::{Admitted, Grounds, Place};
/// use countersign::pull_through::Fetched;
/// fn forge(fetched: Fetched, grounds: Grounds, place: &Place<'_>, now: Timestamp) {
///     let _ = Admitted::new(fetched, grounds, place, now);
/// }
/// ```
///
/// ```compile_fail,E0451
/// use std::sync::Arc;
/// use countersign::gate::{Admitted, Grounds};
/// use countersign::pull_through::Fetched;
/// fn forge(fetched: Fetched, grounds: Grounds, rule: Arc<str>) -> Admitted {
///     Admitted { fetched, grounds, rule, remark: None, would: None, admits_children: true }
/// }
/// ```
///
/// ```compile_fail,E0624
/// use countersign::gate::Admitted;
/// use countersign::pull_through::Fetched;
/// fn list(index: &Admitted, child: Fetched) {
///     let _ = Admitted::through(index, child);
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Admitted {
    fetched: Fetched,
    grounds: Grounds,
    rule: Arc<str>,
    remark: Option<Remark>,
    /// What the rule, which only audits, would have said instead.
    would: Option<Arc<Denial>>,
    /// Not what is about another manifest: nobody vouches for what that lists.
    admits_children: bool,
}

/// What whoever watches is to know about an admission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// The tag moved to a digest that is not signed, and is held at the one that was admitted before.
    Held { moved_to: Option<Digest>, because: String },
    /// The tag moved to a digest that was signed before what it had, or that does not say when.
    RolledBack { signed: Option<Timestamp>, newest: Timestamp },
    /// Nobody vouches for it, and somebody exempted it, or an index that lists it, or what it is about.
    Exempted { exemption: Exemption, because: String },
}

impl Remark {
    /// The word by which it is recorded.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Held { .. } => "held",
            Self::RolledBack { .. } => "rolled_back",
            Self::Exempted { .. } => "exempted",
        }
    }
}

/// Where an image is, and the pattern of the rule that decides about it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub registry: &'a Registry,
    pub repository: &'a Repository,
    pub rule: &'a Arc<str>,
}

/// On what a manifest is admitted.
#[derive(Clone, Debug)]
pub enum Grounds {
    /// Every anchor that the rule requires vouches for one digest.
    Endorsed(Vec<Endorsement>),
    /// The rule asks no anchor, or only records what it would refuse.
    Rule(Excused),
    /// Somebody wrote down that it may be served for a while.
    Exempted(Exemption),
}

/// A rule's word that `digest` may be served though nobody vouches for it. Only the gate reads rules:
///
/// ```compile_fail,E0451
/// use countersign::gate::{Excused, Grounds};
/// use countersign::oci::Digest;
/// fn excuse(digest: Digest) -> Grounds {
///     Grounds::Rule(Excused { digest })
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Excused {
    pub(super) digest: Digest,
}

impl Admitted {
    /// Holds the manifest against what it is admitted on: in force now, for this repository, the same
    /// digests, the same length.
    pub(super) fn new(
        fetched: Fetched,
        grounds: Grounds,
        place: &Place<'_>,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        match &grounds {
            Grounds::Endorsed(endorsements) => {
                if endorsements.is_empty() {
                    return Err(Refusal::new(Reason::NoTrustData, "nobody vouches for it"));
                }
                for endorsement in endorsements {
                    holds(&fetched, endorsement, place, now)?;
                }
            }
            Grounds::Rule(excused) if excused.digest != *fetched.digest() => {
                return Err(mismatch("digest", &fetched));
            }
            Grounds::Rule(_) => {}
            Grounds::Exempted(exemption) => is_exempted(&fetched, exemption, place, now)?,
        }
        let rule = place.rule.clone();
        Ok(Self { fetched, grounds, rule, remark: None, would: None, admits_children: true })
    }

    /// A manifest that the admitted index `parent` lists, by digest and size, in its own bytes.
    pub(super) fn through(parent: &Self, fetched: Fetched) -> Result<Self, Refusal> {
        let listed = parent.fetched.manifest().children().iter().any(|child| {
            child.digest == *fetched.digest() && child.size == fetched.bytes().len() as u64
        });
        if !listed || !parent.admits_children {
            let because = format!("the index {} does not list it", parent.digest());
            return Err(Refusal::new(Reason::DigestNotSigned, because));
        }
        Ok(parent.beside(fetched))
    }

    /// What refers to the admitted manifest `subject` and cannot be run itself: a signature, an
    /// attestation, an SBOM of it.
    pub(super) fn about(subject: &Self, fetched: Fetched) -> Result<Self, Refusal> {
        let manifest = fetched.manifest();
        let refers = manifest.subject().is_some_and(|about| about.digest == subject.digest());
        if !refers || manifest.is_runnable() {
            let because = format!("it is no artifact about {}", subject.digest());
            return Err(Refusal::new(Reason::DigestNotSigned, because));
        }
        Ok(subject.beside(fetched))
    }

    /// What is `kept` under a tag for the signatures of the admitted manifest `subject`: a list, of which
    /// each entry is decided about by itself, or a manifest of nothing but text, which no engine can
    /// unpack. `layers` are all of its layers.
    pub(super) fn tagged_for(
        subject: &Self,
        fetched: Fetched,
        kept: Kept,
        layers: &[Bytes],
    ) -> Result<Self, Refusal> {
        let manifest = fetched.manifest();
        let is_index = manifest.media_type().is_index();
        let holds = match kept {
            Kept::List => is_index,
            Kept::Signatures => {
                // The first is the config.
                let listed = manifest.blobs().get(1..).unwrap_or_default();
                let here = listed.len() == layers.len()
                    && listed.iter().zip(layers).all(|(listed, bytes)| listed.digest.is_of(bytes));
                !is_index && !layers.is_empty() && here && layers.iter().all(|it| is_text(it))
            }
        };
        if !holds {
            let because =
                format!("it holds something other than signatures of {}", subject.digest());
            return Err(Refusal::new(Reason::DigestNotSigned, because));
        }
        Ok(Self { admits_children: false, ..subject.beside(fetched) })
    }

    /// `fetched`, admitted on the grounds of this one.
    fn beside(&self, fetched: Fetched) -> Self {
        let (grounds, rule, would) = (self.grounds.clone(), self.rule.clone(), self.would.clone());
        Self { fetched, grounds, rule, remark: None, would, admits_children: true }
    }

    /// The same, with what is to be told about it.
    pub(super) fn remarked(self, remark: Option<Remark>) -> Self {
        Self { remark, ..self }
    }

    /// The same, with what a rule that only audits would have said instead.
    pub(super) fn though(self, would: Arc<Denial>) -> Self {
        Self { would: Some(would), ..self }
    }

    /// What its rule, which only audits, would have said instead, if it were enforced.
    pub fn would(&self) -> Option<&Arc<Denial>> {
        self.would.as_ref()
    }

    /// What is to be told about it, if anything.
    pub fn remark(&self) -> Option<&Remark> {
        self.remark.as_ref()
    }

    pub fn digest(&self) -> Digest {
        *self.fetched.digest()
    }

    pub fn media_type(&self) -> MediaType {
        self.fetched.manifest().media_type()
    }

    /// The headers that name it.
    pub fn name(&self) -> &ContentName {
        self.fetched.name()
    }

    /// The headers of [`Self::bytes`], wherever they are sent.
    pub fn headers(&self) -> &HeaderMap {
        self.fetched.headers()
    }

    /// The manifest, byte for byte.
    pub fn bytes(&self) -> &Bytes {
        self.fetched.bytes()
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.fetched.bytes().clone()
    }

    pub(super) fn fetched(&self) -> &Fetched {
        &self.fetched
    }

    /// The pattern of the rule that admitted it.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// The same, to be kept.
    pub fn pattern(&self) -> &Arc<str> {
        &self.rule
    }

    /// The anchors that vouch for it; none where the rule asked none.
    pub fn anchors(&self) -> Vec<&str> {
        self.endorsements().iter().map(|endorsement| &*endorsement.says().anchor).collect()
    }

    pub fn scheme(&self) -> Option<Scheme> {
        Some(self.endorsements().first()?.says().scheme)
    }

    pub fn endorsements(&self) -> &[Endorsement] {
        match &self.grounds {
            Grounds::Endorsed(endorsements) => endorsements,
            Grounds::Rule(_) | Grounds::Exempted(_) => &[],
        }
    }
}

/// Whether that is text, with no byte that is zero, and no archive that engines unpack: of the compressed
/// ones, bzip2's alone can be text, and a plain one where every field of its headers is full.
fn is_text(bytes: &[u8]) -> bool {
    let text = !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok();
    text && !bytes.starts_with(b"BZh") && !begins_as_tar(bytes)
}

/// Whether it begins with a header of `tar`, in whichever format: they all have the same checksum, which is
/// counted as if it were spaces itself.
fn begins_as_tar(bytes: &[u8]) -> bool {
    let Some((header, _)) = bytes.split_at_checked(512) else { return false };
    let (before, rest) = header.split_at(148);
    let (checksum, after) = rest.split_at(8);
    let digits = checksum.trim_ascii_start().iter().take_while(|byte| (b'0'..=b'7').contains(byte));
    let said = digits.fold(0, |sum, digit| sum * 8 + i64::from(digit - b'0'));
    let counted = before.iter().chain(after);
    let unsigned: i64 = counted.clone().map(|byte| i64::from(*byte)).sum();
    let signed: i64 = counted.map(|byte| i64::from(byte.cast_signed())).sum();
    let spaces = 8 * i64::from(b' ');
    [unsigned + spaces, signed + spaces].contains(&said)
}

fn holds(
    fetched: &Fetched,
    endorsement: &Endorsement,
    place: &Place<'_>,
    now: Timestamp,
) -> Result<(), Refusal> {
    let says = endorsement.says();
    if says.registry != *place.registry || says.repository != *place.repository {
        let because = format!("it is signed for {}/{}", says.registry, says.repository);
        return Err(Refusal::new(Reason::WrongRepository, because));
    }
    if now > says.expires {
        return Err(Refusal::new(
            Reason::Expired,
            format!("what vouches for it ended at {}", says.expires),
        ));
    }
    if says.digest != *fetched.digest() {
        return Err(mismatch("digest", fetched));
    }
    if says.length.is_some_and(|length| length != fetched.bytes().len() as u64) {
        return Err(mismatch("length", fetched));
    }
    match &says.sha512 {
        Some(sha512) if <[u8; 64]>::from(Sha512::digest(fetched.bytes())) != **sha512 => {
            Err(mismatch("SHA-512", fetched))
        }
        Some(_) | None => Ok(()),
    }
}

fn is_exempted(
    fetched: &Fetched,
    exemption: &Exemption,
    place: &Place<'_>,
    now: Timestamp,
) -> Result<(), Refusal> {
    if !exemption.is_of(place.registry, place.repository, fetched.digest()) {
        return Err(Refusal::new(Reason::DigestNotSigned, "something else is exempted"));
    }
    if !exemption.is_in_force(now) {
        let because = format!("the exemption ended at {}", exemption.says().until);
        return Err(Refusal::new(Reason::Expired, because));
    }
    Ok(())
}

fn mismatch(what: &str, fetched: &Fetched) -> Refusal {
    let because =
        format!("the {what} of {} at the registry is not the signed one", fetched.digest());
    Refusal::new(Reason::ContentMismatch, because)
}
