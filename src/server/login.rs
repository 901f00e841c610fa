//! The challenge for a client of the mirror listener without valid credentials. docker's classic store, if it has no
//! password, answers a Basic challenge itself and then falls back to Docker Hub, but accepts a denial by a token
//! endpoint as final. containers/image does the opposite: it leaves a mirror whose token endpoint denies it, but
//! accepts the denial of a manifest as final. So each gets the challenge after which a denial is final.

use http::header::{HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Response};

use crate::access::{Clients, Unauthorized};

use super::body::Body;
use super::handle::Exchange;
use super::listener_kind::{ListenerKind, Scheme};
use super::mirror::MirrorDenial;
use super::respond;
use super::route::TOKEN_PATH;

/// How the User-Agent of docker's classic store begins. Other clients with the same transport are unaffected.
const DOCKER: &[u8] = b"docker/";
/// RFC 7617.
const BASIC: HeaderValue = HeaderValue::from_static(r#"Basic realm="countersign""#);
/// Advice for a docker that has no password for the gate.
const HINT: &str = "docker sends mirrors the password stored for Docker Hub";

impl Exchange<'_> {
    /// The response to a client that is not authenticated.
    pub(super) fn unauthorized(
        &self,
        why: Unauthorized,
        clients: &Clients,
        is_base: bool,
    ) -> Response<Body> {
        let sentence = clients.sentence(why);
        let otherwise = || respond::unauthorized(why, sentence, clients, BASIC);
        let scheme = match self.listener {
            ListenerKind::Clients => None,
            ListenerKind::Mirror(scheme) => Some(scheme),
        };
        match (scheme, why) {
            (Some(scheme), Unauthorized::Unknown | Unauthorized::Wrong | Unauthorized::Token)
                if is_base && clients.takes_passwords() =>
            {
                match challenge(scheme, self.headers) {
                    Some(challenge) => respond::unauthorized(why, sentence, clients, challenge),
                    // Without a challenge, each request for content is denied.
                    None => respond::base(),
                }
            }
            (_, _) => self.turned_away(sentence, otherwise),
        }
    }

    /// A token for the user whose password is in the request, on the mirror listener of a gate with passwords.
    pub(super) async fn token(&self, method: &Method, clients: &Clients) -> Response<Body> {
        if self.listener == ListenerKind::Clients || !clients.takes_passwords() {
            return respond::not_found();
        }
        // A POST sends a refresh token, and the gate issues none.
        let issued = match *method {
            Method::GET | Method::HEAD => clients.token(self.headers, self.client.ip()).await,
            _ => Err(Unauthorized::Wrong),
        };
        match issued {
            Ok(token) => respond::token(&token),
            Err(why) => self.no_token(clients.sentence(why)),
        }
    }

    /// The denial at the token endpoint, which docker accepts as final.
    pub(super) fn no_token(&self, sentence: &str) -> Response<Body> {
        respond::mirrored(MirrorDenial::new(&format!("{sentence} ({HINT})"), self.id).no_token())
    }
}

/// The challenge that makes this client send its password, and stop if it has none. `None` if docker does not say
/// how it connected to the gate.
fn challenge(scheme: Scheme, headers: &HeaderMap) -> Option<HeaderValue> {
    let is_docker =
        headers.get(USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(DOCKER));
    if !is_docker {
        return Some(BASIC);
    }
    let host = headers.get(HOST)?.to_str().ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let host = Some(host).filter(|host| !host.is_empty() && host.bytes().all(is_plain))?;
    let scheme = scheme.seen_by(headers);
    let challenge =
        format!(r#"Bearer realm="{scheme}://{host}{TOKEN_PATH}",service="countersign""#);
    HeaderValue::try_from(challenge).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenged(scheme: Scheme, headers: &[(&'static str, &str)]) -> Option<String> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect::<HeaderMap>();
        let challenge = challenge(scheme, &headers)?;
        Some(challenge.to_str().unwrap().to_owned())
    }

    #[test]
    fn docker_gets_the_token_endpoint_at_the_address_that_it_used() {
        let docker = ("user-agent", "docker/29.9.3 go/go1.25 UpstreamClient(Docker-Client/28.2.2)");
        for (scheme, headers, expected) in [
            (Scheme::Http, vec![docker, ("host", "gate:5052")], "http://gate:5052/token"),
            (Scheme::Https, vec![docker, ("host", "[::1]:5052")], "https://[::1]:5052/token"),
            (
                Scheme::Http,
                vec![docker, ("host", "gate"), ("x-forwarded-proto", "https")],
                "https://gate/token",
            ),
        ] {
            let expected = format!(r#"Bearer realm="{expected}",service="countersign""#);
            assert_eq!(challenged(scheme, &headers), Some(expected));
        }
        for host in [&[docker, ("host", "")][..], &[docker, ("host", "a\"b")], &[docker]] {
            assert_eq!(challenged(Scheme::Http, host), None, "{host:?}");
        }
    }

    #[test]
    fn every_other_client_gets_a_basic_challenge() {
        for agent in ["containers/5.42.1 (github.com/containers/image)", "skopeo/1.22", "curl/8"] {
            let challenge = challenged(Scheme::Http, &[("user-agent", agent), ("host", "gate")]);
            assert_eq!(challenge.as_deref(), Some(r#"Basic realm="countersign""#), "{agent}");
        }
    }
}
