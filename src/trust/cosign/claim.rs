//! The claim of a signature: the simple signing payload of `cosign sign`, or the in-toto statement of bundles and
//! attestations. Reads strictly. Knows nothing about the signer.
//!
//! A [`Claim`] is read from bytes whose signature verified. An [`Outline`] is read before that, and can only show that a
//! candidate is not what the anchor requires.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::json::{Document, Object, Value};
use crate::oci::Digest;
use crate::trust::keys::VerifiedBytes;
use crate::trust::signature::{Flaw, Rejection};

use super::flaw::{FORMAT, KIND, LIMIT, SUBJECT, beside, flaw};
use super::limits::{MAX_PAYLOAD, MAX_STATEMENT_VALUES, MAX_SUBJECTS};

/// The predicate type of a statement that is only a signature.
pub const SIGN_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";
/// The DSSE payload type of statements.
pub(super) const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";

const PAYLOAD_TYPE: &str = "cosign container image signature";
const STATEMENTS: [&str; 2] =
    ["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"];

/// What the signed bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A simple signing payload. cosign decodes it with Go's `encoding/json`, which ignores the case of member names.
    Payload,
    /// An in-toto statement, signed with its type in front (DSSE).
    Statement(Names),
}

/// Which names of members a reader accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// The exact name, as protobuf's JSON has it: in bundles.
    Exact,
    /// The name in any case, as `encoding/json` accepts it: in layers. Only one member may have the name, so every reader
    /// that finds a value finds the same one.
    AnyCase,
}

impl Names {
    fn member<'a>(self, value: Value<'a>, name: &'static str) -> Result<Option<Value<'a>>, String> {
        if value.as_object().is_none() {
            return Err("has another value where an object is required".to_owned());
        }
        let twice = |name: &str| format!("has the member {name:?} twice, in different cases");
        let found = value.member_in_any_case(name).map_err(twice)?;
        match (self, value.miscased(&[name])) {
            (Self::Exact, Some(other)) => {
                Err(format!("has the member {other:?}, which is another but for its case"))
            }
            (Self::Exact | Self::AnyCase, _) => Ok(found),
        }
    }
}

/// The unverified claim of a candidate. It can only show that the candidate does not fit.
#[derive(Debug)]
pub(super) struct Outline(Claim);

/// What the signer claims, and about which subjects.
#[derive(Debug)]
pub(super) struct Claim {
    /// The type of the attestation; none for a signature.
    predicate_type: Option<String>,
    /// An error if there are too many.
    subjects: Result<Vec<Claimed>, Flaw>,
}

/// One subject of a claim.
#[derive(Debug)]
pub(super) struct Claimed {
    /// `sha256:<hex>`, byte for byte as it was signed.
    digests: Vec<String>,
    /// The name of the image in the signed content, if it has one.
    pub(super) repository: Option<String>,
    /// `None`: the value is not a text.
    annotations: BTreeMap<String, Option<String>>,
    /// When it was signed, as the signer states it in the annotation `timestamp`.
    pub(super) stated: Option<Timestamp>,
}

impl Claimed {
    pub(super) fn annotation(&self, name: &str) -> Option<Option<&str>> {
        self.annotations.get(name).map(Option::as_deref)
    }
}

impl Outline {
    /// Reads what was or will be signed, without the DSSE header of a statement.
    pub(super) fn read(form: Form, text: &[u8]) -> Result<Self, Flaw> {
        Claim::parse(form, text).map(Self)
    }

    /// Checks that it claims to be of the kind that the anchor requires, about `digest`.
    pub(super) fn is_asked_for(
        &self,
        predicate_type: Option<&str>,
        digest: &Digest,
    ) -> Result<(), Rejection> {
        self.0.asked_for(predicate_type, digest).map(|_| ())
    }
}

impl Claim {
    /// Reads the signed bytes.
    pub(super) fn read(form: Form, signed: VerifiedBytes<'_>) -> Result<Self, Flaw> {
        match form {
            Form::Payload => Self::parse(form, signed.as_bytes()),
            Form::Statement(_) => {
                let statement = enveloped(signed.as_bytes());
                let wanted = "a statement with its type and its length in front (DSSE)";
                let none = || flaw(FORMAT, "the signed bytes are not a statement", wanted);
                Self::parse(form, statement.ok_or_else(none)?)
            }
        }
    }

    fn parse(form: Form, text: &[u8]) -> Result<Self, Flaw> {
        match form {
            Form::Payload => Self::payload(text),
            Form::Statement(names) => Self::statement(text, names),
        }
    }

    /// The claim about `digest`, if it is of the kind that the anchor requires: an attestation of `predicate_type`, or a
    /// signature if that is `None`.
    pub(super) fn asked_for(
        &self,
        predicate_type: Option<&str>,
        digest: &Digest,
    ) -> Result<&Claimed, Rejection> {
        if self.predicate_type.as_deref() != predicate_type {
            let name = |it: Option<&str>| match it {
                Some(predicate_type) => format!("an attestation of type {predicate_type}"),
                None => "a signature".to_owned(),
            };
            let found = name(self.predicate_type.as_deref());
            return Err(beside(KIND, found, name(predicate_type)));
        }
        let subjects = self.subjects.as_deref().map_err(|flaw| Rejection::from(flaw.clone()))?;
        let wanted = digest.to_string();
        let about = subjects.iter().find(|subject| subject.digests.contains(&wanted));
        about.ok_or_else(|| {
            let first = subjects.iter().find_map(|subject| subject.digests.first());
            let first =
                first.map_or("nothing".to_owned(), |digest| digest.chars().take(80).collect());
            beside(SUBJECT, format!("it is about {first}"), wanted)
        })
    }

    /// Reads a simple signing payload (containers/image `atomic-signature`, cosign SIGNATURE_SPEC).
    fn payload(text: &[u8]) -> Result<Self, Flaw> {
        let wanted = "a simple signing payload as `cosign sign` writes it";
        let wrong = |found: &str| flaw(FORMAT, format!("the payload {found}"), wanted);
        if text.len() > MAX_PAYLOAD {
            let found = format!("the payload has {} bytes", text.len());
            return Err(flaw(LIMIT, found, format!("at most {MAX_PAYLOAD} bytes")));
        }
        let document = Document::parse(text).map_err(|e| wrong(&format!("is {e}")))?;
        let member = |value, name| Names::AnyCase.member(value, name).map_err(|e| wrong(&e));
        let value = document.root();
        let critical = member(value, "critical")?.ok_or_else(|| wrong("has no `critical`"))?;
        if member(critical, "type")?.and_then(Value::as_str) != Some(PAYLOAD_TYPE) {
            return Err(wrong(&format!("is of another type than {PAYLOAD_TYPE:?}")));
        }
        let image = member(critical, "image")?.ok_or_else(|| wrong("names no image"))?;
        let digest = member(image, "docker-manifest-digest")?.and_then(Value::as_str);
        let digest = digest.ok_or_else(|| wrong("names no digest"))?;
        let identity = member(critical, "identity")?.filter(|identity| !identity.is_null());
        let repository = match identity {
            None => None,
            Some(identity) => {
                member(identity, "docker-reference")?.and_then(Value::as_str).map(str::to_owned)
            }
        };
        let optional = member(value, "optional")?.filter(|optional| !optional.is_null());
        let optional = match optional {
            Some(optional) => {
                let object = optional.as_object();
                Some(object.ok_or_else(|| wrong("has an `optional` that is not an object"))?)
            }
            None => None,
        };
        let stated = optional.and_then(stated);
        let annotations = optional.map(texts).unwrap_or_default();
        Ok(Self {
            predicate_type: None,
            subjects: Ok(vec![Claimed {
                digests: vec![digest.to_owned()],
                repository,
                annotations,
                stated,
            }]),
        })
    }

    /// Reads an in-toto statement of version 0.1 or 1.
    fn statement(text: &[u8], names: Names) -> Result<Self, Flaw> {
        let wrong = |found: &str| {
            flaw(FORMAT, format!("the statement {found}"), "an in-toto statement, 0.1 or 1")
        };
        let document = Document::parse_within(text, MAX_STATEMENT_VALUES).map_err(|e| {
            let wanted = format!("at most {MAX_STATEMENT_VALUES}");
            match e.exceeds_limit() {
                true => flaw(LIMIT, "a statement with many JSON values", wanted),
                false => wrong(&format!("is {e}")),
            }
        })?;
        let value = document.root();
        let member = |name| names.member(value, name).map_err(|found| wrong(&found));
        member("predicate")?;
        let version = member("_type")?.and_then(Value::as_str);
        if !version.is_some_and(|version| STATEMENTS.contains(&version)) {
            return Err(wrong(&format!("is of the type {version:?}")));
        }
        let predicate_type = member("predicateType")?.and_then(Value::as_str);
        let predicate_type = predicate_type.filter(|predicate_type| !predicate_type.is_empty());
        let predicate_type = predicate_type.ok_or_else(|| wrong("has no predicate type"))?;
        let subjects = member("subject")?.and_then(Value::as_array);
        let subjects = subjects.ok_or_else(|| wrong("has no subjects"))?;
        let predicate_type = (predicate_type != SIGN_PREDICATE).then(|| predicate_type.to_owned());
        if subjects.len() > MAX_SUBJECTS {
            let found = format!("the statement has {} subjects", subjects.len());
            let subjects = Err(flaw(LIMIT, found, format!("at most {MAX_SUBJECTS}")));
            return Ok(Self { predicate_type, subjects });
        }
        // Null subjects are skipped; other verifiers panicked.
        let named = subjects.iter().filter(|subject| !subject.is_null());
        let subjects = named.map(|subject| {
            let member = |name| names.member(subject, name);
            let digests = member("digest")?.and_then(Value::as_object);
            let digests = digests.ok_or("has a subject without digests")?;
            let digests = digests.iter().map(|(algorithm, hex)| {
                let hex = hex.as_str().ok_or("has a digest that is not a text")?;
                Ok(format!("{algorithm}:{hex}"))
            });
            let digests = digests.collect::<Result<_, &str>>()?;
            let annotations = member("annotations")?.and_then(Value::as_object);
            let repository = member("name")?.and_then(Value::as_str).map(str::to_owned);
            let stated = annotations.and_then(stated);
            let annotations = annotations.map(texts).unwrap_or_default();
            Ok(Claimed { digests, repository, annotations, stated })
        });
        let subjects = subjects.collect::<Result<_, String>>().map_err(|found| wrong(&found))?;
        Ok(Self { predicate_type, subjects: Ok(subjects) })
    }
}

/// The statement in what DSSE signs: `DSSEv1 LENGTH TYPE LENGTH STATEMENT`.
pub(super) fn enveloped(signed: &[u8]) -> Option<&[u8]> {
    let header = format!("DSSEv1 {} {STATEMENT_TYPE} ", STATEMENT_TYPE.len());
    let rest = signed.strip_prefix(header.as_bytes())?;
    let space = rest.iter().position(|byte| *byte == b' ')?;
    let (length, statement) = (rest.get(..space)?, rest.get(space + 1..)?);
    (length == statement.len().to_string().as_bytes()).then_some(statement)
}

/// The annotation `timestamp`: seconds since 1970 as podman writes them, the same as a text as `cosign sign
/// -a timestamp=…` does, or a time of RFC 3339. A value of another form states no time.
fn stated(annotations: Object<'_>) -> Option<Timestamp> {
    let value = annotations.member("timestamp")?;
    let seconds = value.as_integer().or_else(|| value.as_str()?.parse().ok());
    seconds.map(Timestamp::from_unix).or_else(|| Timestamp::parse_rfc3339(value.as_str()?))
}

fn texts(annotations: Object<'_>) -> BTreeMap<String, Option<String>> {
    let text =
        |(name, value): (&str, Value<'_>)| (name.to_owned(), value.as_str().map(str::to_owned));
    annotations.iter().map(text).collect()
}
