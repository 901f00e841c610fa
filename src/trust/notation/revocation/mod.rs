//! Whether a certificate was revoked (trust-store-trust-policy, "Certificate Revocation Evaluation"):
//! by OCSP, otherwise by CRL. Pure: it reads responses that the caller has, and names those that it needs.

mod crl;
mod ocsp;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;

use crate::trust::x509::Certificate;

/// How far in the future the time of a response may be.
const EARLY: Duration = Duration::from_secs(5 * 60);

/// How the revocation of a certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    Ocsp,
    Crl,
}

impl Method {
    /// The `nextUpdate` of a response, unverified.
    pub(super) fn next_update(self, content: &[u8]) -> Option<Timestamp> {
        match self {
            Self::Ocsp => ocsp::next_update(content),
            Self::Crl => crl::next_update(content),
        }
    }
}

/// When a CRL or an OCSP response says that it was made, unverified. `None` if the content is neither.
pub fn made_at(content: &[u8]) -> Option<Timestamp> {
    crl::this_update(content).or_else(|| ocsp::this_update(content))
}

/// One request for revocation data: a GET of `url`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevocationQuery {
    pub method: Method,
    /// The URL in a certificate, `http:` only; for OCSP, it ends with the request.
    pub url: String,
}

/// The answer to a [`RevocationQuery`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Content(Bytes),
    /// There is none, and why.
    Failed(String),
}

/// The known revocation data: responses as received, unverified.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    answers: BTreeMap<RevocationQuery, Answer>,
    /// The answer to every other query, once no more requests are made.
    ended: Option<Answer>,
}

impl Revocations {
    /// Adds an answer.
    pub fn know(&mut self, query: RevocationQuery, answer: Answer) {
        self.answers.insert(query, answer);
    }

    /// From now on, every other query has this answer.
    pub fn end(&mut self, why: &str) {
        self.ended = Some(Answer::Failed(why.to_owned()));
    }

    fn answer(&self, query: &RevocationQuery) -> Option<&Answer> {
        self.answers.get(query).or(self.ended.as_ref())
    }
}

/// The revocation status of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Not revoked, by a valid response until then.
    Good {
        until: Timestamp,
    },
    /// It names no responder and no list.
    NotRevocable,
    Revoked(String),
    /// It could not be determined, and why.
    Unknown(String),
    /// This query must be answered first.
    Needs(RevocationQuery),
}

/// The certificate in question, and the time.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) certificate: &'a Certificate,
    pub(super) issuer: &'a Certificate,
    /// The latest time at which its key was used, if it is known from another party than its owner.
    pub(super) used: Option<Timestamp>,
    pub(super) now: Timestamp,
}

impl Question<'_> {
    /// The status of the certificate, from the known data.
    pub(super) fn status(&self, known: &Revocations) -> Status {
        let certificate = self.certificate;
        if certificate.ocsp.is_empty() && certificate.crl.is_empty() && !certificate.crl_beyond {
            return Status::NotRevocable;
        }
        let by_ocsp = self.by_ocsp(known);
        let Some(Status::Unknown(why)) = by_ocsp else {
            return by_ocsp.or_else(|| self.by_crl(known)).unwrap_or(Status::NotRevocable);
        };
        let by_crl = self.by_crl(known);
        let Some(Status::Unknown(too)) = by_crl else {
            return by_crl.unwrap_or(Status::Unknown(why));
        };
        Status::Unknown(format!("{why}; {too}"))
    }

    /// The first responder with a valid response decides.
    fn by_ocsp(&self, known: &Revocations) -> Option<Status> {
        let urls = &self.certificate.ocsp;
        self.first(
            urls,
            Method::Ocsp,
            known,
            |url| ocsp::request(self, url),
            |_, content| ocsp::read(self, content, known),
        )
    }

    fn by_crl(&self, known: &Revocations) -> Option<Status> {
        if self.certificate.crl_beyond {
            let name = self.certificate.name();
            return Some(Status::Unknown(format!("{name:?} names its CRLs in a way unknown here")));
        }
        let urls = &self.certificate.crl;
        self.first(
            urls,
            Method::Crl,
            known,
            |url| Some(url.to_owned()),
            |url, content| crl::read(self, content, url),
        )
    }

    /// The first definite status, otherwise all reasons why there is none; `None` without `urls`.
    fn first(
        &self,
        urls: &[String],
        method: Method,
        known: &Revocations,
        ask: impl Fn(&str) -> Option<String>,
        read: impl Fn(&str, &[u8]) -> Status,
    ) -> Option<Status> {
        let mut reasons = Vec::new();
        for url in urls {
            let shown = crate::trust::x509::shortened(url);
            let Some(asked) = ask(url).filter(|_| is_http(url)) else {
                reasons.push(format!("{shown:?} is not an http URL"));
                continue;
            };
            let query = RevocationQuery { method, url: asked };
            match known.answer(&query) {
                None => return Some(Status::Needs(query)),
                Some(Answer::Failed(why)) => reasons.push(format!("{shown}: {why}")),
                Some(Answer::Content(content)) => match read(url, content) {
                    Status::Unknown(why) => reasons.push(format!("{shown}: {why}")),
                    status @ (Status::Good { .. }
                    | Status::NotRevocable
                    | Status::Revoked(_)
                    | Status::Needs(_)) => return Some(status),
                },
            }
        }
        (!reasons.is_empty()).then(|| Status::Unknown(reasons.join("; ")))
    }

    /// Whether the key was used before `invalid`, the time from which it is revoked.
    fn was_used_before(&self, invalid: Option<Timestamp>) -> bool {
        match (self.used, invalid) {
            (Some(used), Some(invalid)) => used < invalid,
            (_, _) => false,
        }
    }

    /// Why the times of a response are invalid, if they are.
    fn untimely(&self, this_update: Timestamp, next_update: Option<Timestamp>) -> Option<String> {
        if this_update > self.now.plus(EARLY) {
            return Some(format!("it is of {this_update}, which is in the future"));
        }
        match next_update {
            None => Some("it does not say until when it holds".to_owned()),
            Some(next) if next < self.now => Some(format!("it held until {next}")),
            Some(_) => None,
        }
    }
}

fn is_http(url: &str) -> bool {
    url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"))
}
