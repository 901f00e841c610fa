//! Why a request brought no answer, or only a part of one. The caller interprets the status.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, InvalidMessage};
use thiserror::Error;
use url::Url;

use super::informational::TooMany;
use super::proxy::ProxyServer;
use super::ssrf::ForbiddenTarget;
use super::tunnel::ProxyFailed;

/// The stage at which the time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A free place among the concurrent requests of this client.
    Place,
    /// The connection, including TLS.
    Connection,
    /// The head of the response.
    FirstByte,
    /// More of the body.
    Body,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Place => "free request slot",
            Self::Connection => "connection",
            Self::FirstByte => "answer",
            Self::Body => "body data",
        })
    }
}

/// Why there is no answer. Cheap to clone, so that all callers that wait for one request can have it.
#[derive(Clone, Debug, Error)]
pub enum NetError {
    #[error("{host}: no {stage} in time")]
    TimedOut { host: String, stage: Stage },
    /// The configured server named a target that is not permitted.
    #[error(transparent)]
    Forbidden(#[from] ForbiddenTarget),
    #[error("cannot connect to {host}: {}", last_cause(&**.source))]
    Connect { host: String, source: Arc<dyn Error + Send + Sync> },
    /// TCP connected, but TLS failed, for example because of an untrusted certificate.
    #[error("TLS with {host} failed: {}", no_tls(&**.source))]
    Tls { host: String, source: Arc<dyn Error + Send + Sync> },
    /// The client has no network, and the request is not to its own server.
    #[error("{host}: this program has no network for it")]
    Offline { host: String },
    /// The files from which this process answers cannot be read.
    #[error("cannot read the content of {host} from its files: {}", last_cause(&**.source))]
    Local { host: String, source: Arc<dyn Error + Send + Sync> },
    /// The connection failed during the exchange, or the answer was not HTTP.
    #[error("request to {host} failed: {}", last_cause(&**.source))]
    Broken { host: String, source: Arc<dyn Error + Send + Sync> },
}

impl NetError {
    /// Whether a retry of the same request may succeed.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            // The server would send too many again.
            Self::Broken { source, .. } => cause::<TooMany>(&**source).is_none(),
            Self::Connect { source, .. } => {
                cause::<ProxyFailed>(&**source).is_none_or(ProxyFailed::is_passing)
            }
            Self::TimedOut { stage, .. } => *stage == Stage::Connection,
            Self::Forbidden(_) | Self::Tls { .. } | Self::Offline { .. } | Self::Local { .. } => {
                false
            }
        }
    }

    /// Whether the server has certainly not processed the request: a retry on a new connection is safe.
    pub(super) fn is_unprocessed(&self) -> bool {
        let Self::Broken { source, .. } = self else { return false };
        cause::<h2::Error>(&**source).is_some_and(|error| {
            let reason = error.reason();
            reason == Some(h2::Reason::REFUSED_STREAM)
                || (error.is_go_away() && reason == Some(h2::Reason::NO_ERROR))
        }) || cause::<hyper::Error>(&**source).is_some_and(hyper::Error::is_canceled)
    }

    /// Classifies the error of a request to `host` that got no response.
    pub(super) fn of_request(host: &str, error: hyper_util::client::legacy::Error) -> Self {
        let host = host.to_owned();
        if let Some(forbidden) = cause::<ForbiddenTarget>(&error) {
            return Self::Forbidden(forbidden.clone());
        }
        if cause::<ConnectTimedOut>(&error).is_some() {
            return Self::TimedOut { host, stage: Stage::Connection };
        }
        let tls = cause::<rustls::Error>(&error).is_some();
        let connect = error.is_connect();
        let source = Arc::new(error);
        match (tls, connect) {
            (true, _) => Self::Tls { host, source },
            (false, true) => Self::Connect { host, source },
            (false, false) => Self::Broken { host, source },
        }
    }
}

/// The deadline of the connector passed.
#[derive(Debug, Error)]
#[error("the connection took too long")]
pub(super) struct ConnectTimedOut;

/// The first `T` among the causes of `error`.
fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|error| error.downcast_ref::<T>())
}

/// The root cause: the most useful part of the error for an operator.
pub(super) fn last_cause(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// Explains why TLS failed, and what to change.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an enum of rustls, which may grow; its own texts explain the rest"
)]
fn no_tls(error: &(dyn Error + 'static)) -> String {
    let Some(error) = cause::<rustls::Error>(error) else { return last_cause(error) };
    match error {
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the server does not use TLS; if it uses plain HTTP, its URL is http://…".to_owned()
        }
        rustls::Error::InvalidCertificate(why) => certificate(why),
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::BadCertificate,
        ) => "the server requires a client certificate, which the gate does not have".to_owned(),
        rustls::Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            "the server has no certificate for this host name".to_owned()
        }
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
        | rustls::Error::PeerIncompatible(_) => {
            "the server supports neither TLS 1.2 with a modern cipher nor TLS 1.3".to_owned()
        }
        rustls::Error::AlertReceived(AlertDescription::HandshakeFailure) => {
            "the server and the gate have no TLS version and cipher in common, or the server requires a \
             client certificate"
                .to_owned()
        }
        other => other.to_string(),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an enum of rustls, which may grow; its own texts explain the rest"
)]
fn certificate(why: &CertificateError) -> String {
    match why {
        CertificateError::UnknownIssuer => {
            "no trusted authority issued its certificate; trust more authorities with `ca`".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired, or the clock of this machine is wrong".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet, or the clock of this machine is wrong".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another host name; the name must be in the certificate as a \
             subjectAltName"
                .to_owned()
        }
        CertificateError::BadSignature => "the signature of its certificate is wrong".to_owned(),
        CertificateError::Other(why) if why.to_string().contains("CaUsedAsEndEntity") => {
            "its certificate is a CA certificate (CA:TRUE); to trust it, name exactly this certificate as `ca`"
                .to_owned()
        }
        other => format!("its certificate is not valid: {other}"),
    }
}

/// `error` and its causes, including those wrapped in [`io::Error`], which [`Error::source`] does not return.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| next_cause(*error))
}

fn next_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// The server of `url` in errors, with the proxy in front of it.
pub(super) fn peer(url: &Url, proxy: Option<&ProxyServer>) -> String {
    let host = url.host_str().unwrap_or_default();
    match proxy {
        Some(proxy) => format!("{host} through the proxy {proxy}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tls_error_says_what_to_change() {
        let expected = |error: rustls::Error| {
            let source = Arc::new(io::Error::other(error));
            NetError::Tls { host: "r.example".to_owned(), source }.to_string()
        };
        let plain = expected(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType));
        assert!(plain.contains("its URL is http://"), "{plain}");
        let unknown = expected(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer));
        assert!(unknown.contains("trust more authorities with `ca`"), "{unknown}");
        let other = expected(rustls::Error::DecryptError);
        assert_eq!(other, format!("TLS with r.example failed: {}", rustls::Error::DecryptError));
    }

    #[test]
    fn the_root_cause_inside_an_io_error_is_shown() {
        let source = Arc::new(io::Error::other(io::Error::other(ConnectTimedOut)));
        let error = NetError::Connect { host: "notary.example".to_owned(), source };
        let expected = "cannot connect to notary.example: the connection took too long";
        assert_eq!(error.to_string(), expected);
    }
}
