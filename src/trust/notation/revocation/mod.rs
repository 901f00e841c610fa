//! Whether a certificate was revoked (trust-store-trust-policy, "Certificate Revocation Evaluation"):
//! by OCSP, or else by CRL. Pure: it reads answers that somebody has, and says which it wants.

mod crl;
mod ocsp;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;

use crate::trust::x509::Certificate;

/// How far ahead of our clock an answer may have been made.
const EARLY: Duration = Duration::from_secs(5 * 60);

/// The way in which a certificate's revocation is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    Ocsp,
    Crl,
}

impl Method {
    /// Until when an answer says that it holds; nothing of it is verified.
    pub(super) fn next_update(self, content: &[u8]) -> Option<Timestamp> {
        match self {
            Self::Ocsp => ocsp::next_update(content),
            Self::Crl => crl::next_update(content),
        }
    }
}

/// One question that only the network answers: a GET of `url`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevocationQuery {
    pub method: Method,
    /// As a certificate names it, `http:` alone; for OCSP the request stands at its end.
    pub url: String,
}

/// The answer to a [`RevocationQuery`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Content(Bytes),
    /// There was none, and why.
    Failed(String),
}

/// What is known of revocations: answers as they came, of which nothing is believed yet.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    answers: BTreeMap<RevocationQuery, Answer>,
    /// What there is instead of every other answer, once nobody is asked any more.
    ended: Option<Answer>,
}

impl Revocations {
    /// Adds an answer.
    pub fn know(&mut self, query: RevocationQuery, answer: Answer) {
        self.answers.insert(query, answer);
    }

    /// From now on, what is not known stays unknown, for this reason.
    pub fn end(&mut self, why: &str) {
        self.ended = Some(Answer::Failed(why.to_owned()));
    }

    fn answer(&self, query: &RevocationQuery) -> Option<&Answer> {
        self.answers.get(query).or(self.ended.as_ref())
    }
}

/// What is known of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Not revoked, as somebody says who may say that until then.
    Good {
        until: Timestamp,
    },
    /// It names nobody who could be asked.
    NotRevocable,
    Revoked(String),
    /// It could not be found out, and why.
    Unknown(String),
    /// It is to be asked.
    Needs(RevocationQuery),
}

/// Whom the answers are about, and when.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) certificate: &'a Certificate,
    pub(super) issuer: &'a Certificate,
    /// When its key was used, at the latest, if that is known from somebody else than its owner.
    pub(super) used: Option<Timestamp>,
    pub(super) now: Timestamp,
}

impl Question<'_> {
    /// The status of the certificate, by what is known.
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

    /// The first responder that answers decides.
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

    /// The first status that says something, or else all reasons why none does; none without `urls`.
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
            let told = crate::trust::x509::told(url);
            let Some(asked) = ask(url).filter(|_| is_http(url)) else {
                reasons.push(format!("{told:?} is not an http URL"));
                continue;
            };
            let query = RevocationQuery { method, url: asked };
            match known.answer(&query) {
                None => return Some(Status::Needs(query)),
                Some(Answer::Failed(why)) => reasons.push(format!("{told}: {why}")),
                Some(Answer::Content(content)) => match read(url, content) {
                    Status::Unknown(why) => reasons.push(format!("{told}: {why}")),
                    status @ (Status::Good { .. }
                    | Status::NotRevocable
                    | Status::Revoked(_)
                    | Status::Needs(_)) => return Some(status),
                },
            }
        }
        (!reasons.is_empty()).then(|| Status::Unknown(reasons.join("; ")))
    }

    /// Whether somebody who says that the key was good until `invalid` says nothing against its use.
    fn was_used_before(&self, invalid: Option<Timestamp>) -> bool {
        match (self.used, invalid) {
            (Some(used), Some(invalid)) => used < invalid,
            (_, _) => false,
        }
    }

    /// What is wrong with an answer of these times, if something is.
    fn untimely(&self, this_update: Timestamp, next_update: Option<Timestamp>) -> Option<String> {
        if this_update > self.now.plus(EARLY) {
            return Some(format!("it is of {this_update}, which is yet to come"));
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
