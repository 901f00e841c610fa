//! The keys `proxy`, `proxy_username` and `proxy_password_file` of an `[[upstream]]` and of an `[[anchor]]`.

use url::Url;

use super::{InvalidProxy, Proxies, ProxyServer};
use crate::http_client::credentials::Credentials;
use crate::toml_reader::Section;

/// The value of `proxy` that excludes every proxy.
const NONE: &str = "none";

/// How the requests for one section reach their servers.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    proxies: Proxies,
    /// Whether the section does not say, so that the environment decides.
    is_open: bool,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self { proxies: Proxies::none(), is_open: true }
    }
}

impl ProxyConfig {
    /// Reads the keys of a section, and the password file.
    pub fn read(section: &Section<'_>) -> Self {
        let proxy = section.text("proxy");
        let username = section.text("proxy_username");
        let password_file = section.file("proxy_password_file");
        for (key, other) in
            [("proxy_username", "proxy_password_file"), ("proxy_password_file", "proxy_username")]
        {
            if section.has(key) && !section.has(other) {
                section.wrong(key, format!("needs `{other}` as well"));
            }
        }
        if section.has("proxy_username") && proxy.as_deref().is_none_or(|proxy| proxy == NONE) {
            section.wrong("proxy_username", "is for `proxy`, which names no proxy");
        }
        let Some(text) = proxy else { return Self::default() };
        let proxies = if text == NONE { Some(Proxies::none()) } else { server(section, &text) };
        let credentials = username.zip(password_file).and_then(|(username, file)| {
            match Credentials::read(Some(&username), Some(&file)) {
                Ok(credentials) => credentials,
                Err(error) => {
                    section.wrong("proxy_password_file", error.to_string());
                    None
                }
            }
        });
        let proxies = match (proxies, credentials) {
            (Some(proxies), Some(credentials)) => proxies.with_credentials(&credentials),
            (proxies, _) => proxies.unwrap_or_default(),
        };
        Self { proxies, is_open: false }
    }

    /// Uses the proxies of the environment, unless the section names its own.
    pub fn inherit(&mut self, environment: &Proxies) {
        if self.is_open {
            self.proxies = environment.clone();
        }
    }

    /// The proxies to use.
    pub fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    /// How requests to `url` are sent, as the end of a sentence; empty if directly.
    pub fn summary(&self, url: &Url) -> String {
        let proxy = self.proxies.for_url(url);
        proxy.map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default()
    }
}

fn server(section: &Section<'_>, text: &str) -> Option<Proxies> {
    match text.parse::<ProxyServer>() {
        Ok(server) if server.authorization().is_none() => return Some(Proxies::all(server)),
        // The text is not shown: it contains a password.
        Ok(_) | Err(InvalidProxy::Credentials) => section.wrong(
            "proxy",
            "must not contain a user name or a password: set `proxy_username` and `proxy_password_file`",
        ),
        Err(error) if text.contains('@') => section.wrong("proxy", format!("is {error}")),
        Err(error) => section.wrong("proxy", format!("{text:?} is {error}, or \"none\"")),
    }
    None
}

impl Proxies {
    fn with_credentials(self, credentials: &Credentials) -> Self {
        let with = |server: &ProxyServer| server.clone().with_credentials(credentials.clone());
        self.https.as_deref().map(with).map_or_else(Self::none, Self::all)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::toml_reader::Document;

    fn read(text: &str) -> Result<ProxyConfig, String> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("t.toml");
        let document = Document::from_text(&file, text.to_owned());
        let read = document.read(|section| Some(ProxyConfig::read(section)));
        read.map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_section_overrides_the_environment() {
        let url: Url = "https://r.example/".parse().unwrap();
        let environment = Proxies::all("http://environment:1".parse().unwrap());
        for (text, expected) in [
            ("", " through the proxy http://environment:1"),
            ("proxy = \"http://own:2\"", " through the proxy http://own:2"),
            ("proxy = \"own:2\"", " through the proxy http://own:2"),
            ("proxy = \"none\"", ""),
        ] {
            let mut config = read(text).unwrap();
            config.inherit(&environment);
            assert_eq!(config.summary(&url), expected, "{text}");
        }
    }

    #[test]
    fn a_key_that_cannot_work_is_an_error_without_the_password() {
        for (text, wrong) in [
            ("proxy = \"http://u:secret@p:1\"", "`proxy`: must not contain"),
            ("proxy = \"http://u:secret@p:99999\"", "`proxy`: is not the URL"),
            ("proxy = \"socks5://p:1\"", "`proxy`: \"socks5://p:1\" is not an HTTP proxy"),
            ("proxy = \"p:1\"\nproxy_username = \"u\"", "needs `proxy_password_file` as well"),
            ("proxy_username = \"u\"\nproxy_password_file = \"x\"", "which names no proxy"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(wrong) && !error.contains("secret"), "{text}: {error}");
        }
    }
}
