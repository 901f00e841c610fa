//! Reads and checks one `[[upstream]]`.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use url::{Host, Url};

use super::auth::Authenticator;
use super::bundle_files::BundleFiles;
use super::metrics::Metrics;
use crate::http_client::{
    Client, Credentials, InvalidCredentials, LocalServer, ProxyConfig, Timeouts, TlsError,
    check_certificates,
};
use crate::oci::{Registry, docker_hub};
use crate::toml_reader::Section;

/// The keys that have no effect without a server.
const NETWORK_KEYS: [&str; 6] =
    ["ca", "username", "password_file", "token_realm", "proxy", "first_byte_timeout"];

/// The permitted values of `first_byte_timeout`.
const FIRST_BYTE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);

/// One `[[upstream]]`.
#[derive(Clone, Debug)]
pub struct Config {
    /// The registry name in image names.
    pub registry: Registry,
    /// The address of the registry: http or https, a host, and optionally a path before `/v2/`.
    pub url: Url,
    /// Bundles that answer besides the registry.
    pub bundles: Option<BundleFiles>,
    /// Whether only the bundles answer. `url` is then just a name.
    pub is_offline: bool,
    /// Whether it serves image names without a registry.
    pub default: bool,
    /// A PEM file of root certificates in addition to the system's.
    pub ca: Option<PathBuf>,
    pub username: Option<String>,
    /// A file whose only line is the password.
    pub password_file: Option<PathBuf>,
    /// A host that may get the credentials if the registry names it as its token realm.
    pub token_realm: Option<String>,
    /// The most requests in progress at once.
    pub max_requests: usize,
    pub timeouts: Timeouts,
    pub proxy: ProxyConfig,
}

impl Config {
    /// The default of `max_requests`.
    pub const MAX_REQUESTS: usize = 256;

    /// `registry` at `url`, with defaults for everything else.
    pub fn new(registry: Registry, url: Url) -> Self {
        Self {
            registry,
            url,
            bundles: None,
            is_offline: false,
            default: false,
            ca: None,
            username: None,
            password_file: None,
            token_realm: None,
            max_requests: Self::MAX_REQUESTS,
            timeouts: Timeouts::default(),
            proxy: ProxyConfig::default(),
        }
    }
}

impl Config {
    /// Reads one `[[upstream]]`.
    pub fn read(section: &Section<'_>) -> Option<Self> {
        let registry = section.required::<Registry>("registry");
        let url = match section.parsed::<Url>("url") {
            None if section.has("url") => None,
            None => registry.as_ref().and_then(|registry| default_url(registry, section)),
            Some(url) => Some(url),
        };
        if url.as_ref().is_some_and(|url| !is_base(url)) {
            section.wrong("url", ConfigError::Url.to_string());
        }
        let bundles = section.text("bundles").and_then(|path| {
            let files = BundleFiles::new(&section.resolve(&path));
            files.map_err(|wrong| section.wrong("bundles", wrong)).ok()
        });
        let is_offline = section.has("bundles") && !section.has("url");
        if is_offline {
            for key in NETWORK_KEYS.into_iter().filter(|key| section.has(key)) {
                section.wrong(key, ConfigError::Offline.to_string());
            }
        }
        let default = section.flag("default").unwrap_or(false);
        let ca = section.file("ca");
        let (username, password_file) = (section.text("username"), section.file("password_file"));
        if section.has("username") != section.has("password_file") {
            section.wrong("username", InvalidCredentials::Half.to_string());
        }
        let token_realm = section.text("token_realm");
        if token_realm.as_deref().is_some_and(|realm| Host::parse(realm).is_err()) {
            section.wrong("token_realm", ConfigError::TokenRealm.to_string());
        }
        let max_requests = section
            .count("max_requests", 1, 10_000)
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(Self::MAX_REQUESTS);
        let timeouts = timeouts(section);
        let proxy = ProxyConfig::read(section);
        check_files(section, ca.as_deref(), username.as_deref(), password_file.as_deref());
        section.finish();
        Some(Self {
            bundles,
            is_offline,
            default,
            ca,
            username,
            password_file,
            token_realm,
            max_requests,
            timeouts,
            proxy,
            ..Self::new(registry?, url?)
        })
    }
}

/// Reports an error for `ca` and `password_file` if the files cannot be used: the gate would not start.
pub fn check_files(
    section: &Section<'_>,
    ca: Option<&Path>,
    username: Option<&str>,
    password_file: Option<&Path>,
) {
    if let Some(Err(error)) = ca.map(check_certificates) {
        section.wrong("ca", error.to_string());
    }
    if let (Some(username), Some(file)) = (username, password_file)
        && let Err(error) = Credentials::read(Some(username), Some(file))
    {
        let key = if matches!(error, InvalidCredentials::Username) {
            "username"
        } else {
            "password_file"
        };
        section.wrong(key, error.to_string());
    }
}

/// The default timeouts, with the configured `first_byte_timeout`.
fn timeouts(section: &Section<'_>) -> Timeouts {
    let standard = Timeouts::default();
    let Some(first_byte) = section.duration("first_byte_timeout") else { return standard };
    if !FIRST_BYTE.contains(&first_byte) {
        section.wrong("first_byte_timeout", "must be from 1 second to 10 minutes".to_owned());
    }
    // The attempts of a request share the total.
    let total = standard.total.max(first_byte.saturating_mul(2));
    Timeouts { first_byte, total, ..standard }
}

/// `https://` and the registry's name. Docker Hub's server has another name than its images.
fn default_url(registry: &Registry, section: &Section<'_>) -> Option<Url> {
    let host = match registry.as_str() {
        docker_hub::DOCKER_HUB => docker_hub::SERVER,
        other => other,
    };
    let url = format!("https://{host}").parse();
    url.map_err(|e| section.wrong("registry", format!("https://{host} is not a URL: {e}"))).ok()
}

/// Whether `url` may be the base of a server: http or https, a host, and optionally a path.
pub fn is_base(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.host().is_some()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
}

/// Which key is wrong, and why.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("`url` must be http:// or https:// with a host, and without user, query or fragment")]
    Url,
    #[error("`max_requests` must be at least 1")]
    MaxRequests,
    #[error("`token_realm` must be a host name or an address, without a port")]
    TokenRealm,
    #[error("has no effect with `bundles` and without `url`: remove it, or set `url`")]
    Offline,
    #[error("without `url`, bundles must answer")]
    NoBundles,
    #[error("`ca` cannot be used")]
    Tls(#[from] TlsError),
    #[error("`username` and `password_file` cannot be used")]
    Credentials(#[from] InvalidCredentials),
}

/// The server that `config` describes.
pub(super) fn authenticator(
    config: &Config,
    local: Option<Arc<dyn LocalServer>>,
    metrics: &Metrics,
) -> Result<Authenticator, ConfigError> {
    let Config { url, ca, max_requests, timeouts, proxy, .. } = config;
    if !is_base(url) {
        return Err(ConfigError::Url);
    }
    if *max_requests == 0 {
        return Err(ConfigError::MaxRequests);
    }
    if config.is_offline {
        let local = local.ok_or(ConfigError::NoBundles)?;
        let client = Client::local(url, local, *max_requests, *timeouts);
        return Ok(Authenticator::new(client, None, None, metrics.clone()));
    }
    let token_realm = config.token_realm.as_deref().map(Host::parse).transpose();
    let token_realm = token_realm.map_err(|_| ConfigError::TokenRealm)?;
    let credentials =
        Credentials::read(config.username.as_deref(), config.password_file.as_deref())?;
    let client = Client::through(proxy.proxies(), url, ca.as_deref(), *max_requests, *timeouts)?;
    let client = match local {
        Some(local) => client.beside(local),
        None => client,
    };
    Ok(Authenticator::new(client, credentials, token_realm, metrics.clone()))
}
