//! Outgoing proxies: which requests use which proxy. The rules for environment variables are those of Go
//! (`golang.org/x/net/http/httpproxy`), which docker, containerd and cosign also apply. Makes no connections.

mod config;
mod exceptions;

use std::fmt;
use std::sync::Arc;

use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use thiserror::Error;
use url::{Host, Url};

use super::credentials::Credentials;
pub use config::ProxyConfig;
use exceptions::Exceptions;

/// The environment variables, in order of precedence.
const HTTP: [&str; 2] = ["HTTP_PROXY", "http_proxy"];
const HTTPS: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const NO: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The proxies of one client. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// For `http://` targets.
    http: Option<Arc<ProxyServer>>,
    /// For `https://` targets.
    https: Option<Arc<ProxyServer>>,
    /// Targets that are reached directly; `None` if there are none.
    exceptions: Option<Arc<Exceptions>>,
}

/// One HTTP proxy. Neither `Debug` nor `Display` shows its credentials.
#[derive(Clone)]
pub struct ProxyServer {
    uri: Uri,
    credentials: Option<Credentials>,
}

/// Why a text is not the URL of a proxy. Does not contain the text, which may contain a password.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum InvalidProxy {
    #[error("not the URL of an HTTP proxy: write http://HOST:PORT or https://HOST:PORT")]
    Url,
    #[error("not an HTTP proxy: write http://HOST:PORT or https://HOST:PORT")]
    Scheme,
    #[error("a URL whose user name or password is not valid")]
    Credentials,
}

/// An environment variable that does not contain the URL of a proxy.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the environment variable {variable} is {invalid}")]
pub struct InvalidVariable {
    variable: &'static str,
    #[source]
    invalid: InvalidProxy,
}

impl Proxies {
    /// No proxy for any target.
    pub fn none() -> Self {
        Self::default()
    }

    /// The same proxy for every target.
    pub fn all(server: ProxyServer) -> Self {
        let server = Arc::new(server);
        Self { http: Some(server.clone()), https: Some(server), exceptions: None }
    }

    /// The proxies that the environment names; `variable` returns the value of a variable.
    pub fn from_environment(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, InvalidVariable> {
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| {
                Some((name, variable(name).filter(|value| !value.trim().is_empty())?))
            })
        };
        let server = |names| {
            first(names).map_or(Ok(None), |(variable, value)| {
                let invalid = |invalid| InvalidVariable { variable, invalid };
                value.parse().map(|server| Some(Arc::new(server))).map_err(invalid)
            })
        };
        let exceptions = first(NO).map(|(_, list)| list).unwrap_or_default();
        let exceptions = Some(Arc::new(Exceptions::parse(&exceptions)));
        Ok(Self { http: server(HTTP)?, https: server(HTTPS)?, exceptions })
    }

    /// The proxy for a target; `None` if the target is reached directly.
    pub(super) fn for_url(&self, url: &Url) -> Option<&ProxyServer> {
        self.for_target(url.scheme(), url.host_str()?, url.port_or_known_default()?)
    }

    /// The same for the target of a connection.
    pub(super) fn for_uri(&self, uri: &Uri) -> Option<&ProxyServer> {
        let scheme = uri.scheme_str()?;
        self.for_target(scheme, uri.host()?, port(uri))
    }

    fn for_target(&self, scheme: &str, host: &str, port: u16) -> Option<&ProxyServer> {
        let server = match scheme {
            "http" => self.http.as_deref()?,
            "https" => self.https.as_deref()?,
            _ => return None,
        };
        let is_direct = self.exceptions.as_ref().is_some_and(|except| except.include(host, port));
        (!is_direct).then_some(server)
    }
}

/// The port of a target.
pub(super) fn port(uri: &Uri) -> u16 {
    let default = if uri.scheme_str() == Some("http") { 80 } else { 443 };
    uri.port_u16().unwrap_or(default)
}

impl ProxyServer {
    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The value of `Proxy-Authorization`.
    pub(super) fn authorization(&self) -> Option<&HeaderValue> {
        self.credentials.as_ref().map(Credentials::basic)
    }

    fn with_credentials(self, credentials: Credentials) -> Self {
        Self { credentials: Some(credentials), ..self }
    }
}

impl std::str::FromStr for ProxyServer {
    type Err = InvalidProxy;

    /// Parses `http://[USER[:PASSWORD]@]HOST[:PORT]`, or the same with `https`. As in Go, a text without a scheme is
    /// an `http` URL.
    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        let text = text.trim();
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(&whole).map_err(|_| InvalidProxy::Url)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(InvalidProxy::Scheme);
        }
        let is_plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let (Some(host), Some(port), true) = (url.host(), url.port_or_known_default(), is_plain)
        else {
            return Err(InvalidProxy::Url);
        };
        let uri = uri(url.scheme(), &host, port)?;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(String::from);
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (username, password) => {
                let username = decoded(username).map_err(|_| InvalidProxy::Credentials)?;
                let password = decoded(password.unwrap_or_default());
                let password = password.map_err(|_| InvalidProxy::Credentials)?;
                let credentials = Credentials::new(&username, &password);
                Some(credentials.map_err(|_| InvalidProxy::Credentials)?)
            }
        };
        Ok(Self { uri, credentials })
    }
}

fn uri(scheme: &str, host: &Host<&str>, port: u16) -> Result<Uri, InvalidProxy> {
    format!("{scheme}://{host}:{port}/").parse().map_err(|_| InvalidProxy::Url)
}

impl fmt::Display for ProxyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.uri.to_string().trim_end_matches('/'))
    }
}

impl fmt::Debug for ProxyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProxyServer").field(&self.uri).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Result<Proxies, InvalidVariable> {
        let variables: Vec<(String, String)> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Proxies::from_environment(|name| {
            let found = variables.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone())
        })
    }

    fn chosen(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.for_url(&url.parse().unwrap()).map(ToString::to_string)
    }

    #[test]
    fn each_scheme_has_its_variable_in_upper_or_lower_case() {
        let both = environment(&[("HTTPS_PROXY", "http://secure:1"), ("http_proxy", "plain:2")]);
        let both = both.unwrap();
        assert_eq!(chosen(&both, "https://r.example/").as_deref(), Some("http://secure:1"));
        assert_eq!(chosen(&both, "http://r.example/").as_deref(), Some("http://plain:2"));
        let upper = environment(&[("https_proxy", "lower:1"), ("HTTPS_PROXY", "upper:1")]).unwrap();
        assert_eq!(chosen(&upper, "https://r.example/").as_deref(), Some("http://upper:1"));
        assert_eq!(chosen(&upper, "http://r.example/"), None);
        let empty = environment(&[("HTTPS_PROXY", ""), ("https_proxy", "lower")]).unwrap();
        assert_eq!(chosen(&empty, "https://r.example/").as_deref(), Some("http://lower:80"));
    }

    #[test]
    fn no_proxy_excepts_targets_by_host_and_port() {
        let proxies = environment(&[("HTTPS_PROXY", "p:1"), ("NO_PROXY", "r.example:5000")]);
        let proxies = proxies.unwrap();
        assert_eq!(chosen(&proxies, "https://r.example:5000/"), None);
        assert!(chosen(&proxies, "https://r.example/").is_some());
        let uri = |text: &str| proxies.for_uri(&text.parse().unwrap()).is_some();
        assert!(!uri("https://r.example:5000/") && uri("https://r.example/"));
        // Without a list, too: as in Go.
        let proxies = environment(&[("HTTP_PROXY", "p:1")]).unwrap();
        for near in ["http://localhost:5000/", "http://127.0.0.2/", "http://[::1]:5000/"] {
            assert_eq!(chosen(&proxies, near), None, "{near}");
        }
    }

    #[test]
    fn a_configured_proxy_is_for_every_target() {
        let proxies = Proxies::all("http://p:1".parse().unwrap());
        for url in ["https://r.example/", "http://localhost/"] {
            assert_eq!(chosen(&proxies, url).as_deref(), Some("http://p:1"), "{url}");
        }
        assert_eq!(chosen(&Proxies::none(), "https://r.example/"), None);
    }

    #[test]
    fn credentials_are_decoded_and_never_shown() {
        let server: ProxyServer = "http://ro%20bot:open%3Asesame@p:3128".parse().unwrap();
        let authorization = server.authorization().unwrap();
        assert_eq!(authorization, "Basic cm8gYm90Om9wZW46c2VzYW1l");
        assert_eq!(server.to_string(), "http://p:3128");
        assert!(!format!("{server:?} {authorization:?}").contains("sesame"));
    }

    #[test]
    fn what_is_no_proxy_is_an_error_that_names_the_variable_and_shows_no_password() {
        for (value, invalid) in [
            ("http://", InvalidProxy::Url),
            ("http://u:secret@p:99999", InvalidProxy::Url),
            ("http://p/path", InvalidProxy::Url),
            ("http://p/?a=b", InvalidProxy::Url),
            ("socks5://p:1080", InvalidProxy::Scheme),
            ("http://:secret@p", InvalidProxy::Credentials),
            ("http://a%FF:secret@p", InvalidProxy::Credentials),
        ] {
            let error = environment(&[("HTTPS_PROXY", value)]).unwrap_err();
            assert_eq!(error, InvalidVariable { variable: "HTTPS_PROXY", invalid }, "{value}");
            let text = error.to_string();
            assert!(text.contains("HTTPS_PROXY") && !text.contains("secret"), "{text}");
        }
    }
}
