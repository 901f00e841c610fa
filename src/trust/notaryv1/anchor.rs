//! An `[[anchor]]` with `scheme = "notaryv1"`: a Notary server and the root keys to trust.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use url::{Host, Url};

use crate::http_client::{ProxyConfig, TlsError};
use crate::oci::RepositoryRef;
use crate::oci::name::InvalidName;
use crate::registry_client::{Credentials, InvalidCredentials, Metrics, check_files};
use crate::store::MemoryHealth;
use crate::toml_reader::Section;
use crate::trust::lifetimes::Lifetimes;
use crate::trust::restrictions::days;
use crate::trust::revoked::{RevokedKind, RevokedSet};

use super::archive::{Archive, Imported};
use super::exporters::Exporters;
use super::frozen::FrozenArchive;
use super::gun::{Gun, Template};
use super::notary::Notary;
use super::role::Delegated;
use super::root_of_trust::{Pin, Pins, Terms};
use super::source_config::{FrozenKeys, Surroundings, url};
use super::state::{State, StateError};
use super::trust_source::{ArchiveReader, TrustSource};

/// The default lifetime of the timestamps that a Notary server issues.
pub const TIMESTAMP_LIFE: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// The default of `max_timestamp_life`.
const DEFAULT_TIMESTAMP_LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// The configuration of one Notary server.
#[derive(Clone, Debug)]
pub struct Config {
    pub name: Arc<str>,
    /// The Notary server. `None` if the trust data comes from an archive alone.
    pub url: Option<Url>,
    /// Whose statements replace the expiry of the timestamp of trust data in bundles.
    pub exporters: Option<Exporters>,
    /// The archive that replaces the server.
    pub frozen: Option<Arc<FrozenArchive>>,
    pub ca: Option<PathBuf>,
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    /// A host that may receive the credentials if the server names it as its token realm.
    pub token_realm: Option<Host<String>>,
    pub template: Template,
    pub pins: Pins,
    pub signers: Vec<Delegated>,
    pub wildcard_root_names: bool,
    /// How far in the future a timestamp may expire.
    pub max_timestamp_life: Duration,
    /// Keys whose signatures do not count.
    pub revoked: RevokedSet,
    pub refresh: Duration,
    pub max_stale: Duration,
    pub proxy: ProxyConfig,
}

/// Why an anchor cannot be used.
#[derive(Debug, Error)]
pub enum AnchorError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Credentials(#[from] InvalidCredentials),
    #[error("the trust memory cannot be used: {0}")]
    State(#[from] StateError),
    #[error("it has neither a `url` nor an archive with its trust data")]
    NoSource,
}

/// An anchor, ready to be queried.
#[derive(Clone, Debug)]
pub struct Anchor {
    pub(super) config: Config,
    pub(super) source: TrustSource,
    /// Reads imported bundles: they are in the trust memory, with the statements of their exporters.
    pub(super) imported: ArchiveReader,
    pub(super) state: State,
}

impl Config {
    /// Reads the rest of the section. `name` was already read.
    pub fn read(section: &Section<'_>, name: Arc<str>, around: &Surroundings) -> Option<Self> {
        let frozen = FrozenKeys::read(section);
        let (url, exporters) = (url(section, around), Exporters::read(section));
        let signers = section.texts("signers");
        if signers.as_ref().is_some_and(Vec::is_empty) {
            section.wrong("signers", "the list is empty; remove the key to require no signer");
        }
        let signers = signers.unwrap_or_default();
        let signers = signers.iter().filter_map(|signer| {
            let role = Delegated::parse(&format!("targets/{signer}"));
            if role.is_none() {
                section.wrong(
                    "signers",
                    format!("{signer:?} is not a valid signer name; use a-z, 0-9, - and _"),
                );
            }
            role
        });
        let signers = signers.collect();
        let pins = pins(section);
        let ca = section.file("ca");
        let (username, password_file) = (section.text("username"), section.file("password_file"));
        if section.has("username") != section.has("password_file") {
            section.wrong("username", InvalidCredentials::Half.to_string());
        }
        let token_realm = realm(section);
        let template = section.parsed("gun").unwrap_or_default();
        let wildcard_root_names = section.flag("wildcard_root_names").unwrap_or(false);
        let max_timestamp_life = max_timestamp_life(section);
        let revoked = revoked(section);
        let Lifetimes { refresh, max_stale } = Lifetimes::read(section);
        let proxy = ProxyConfig::read(section);
        check_files(section, ca.as_deref(), username.as_deref(), password_file.as_deref());
        section.finish();
        let config = Self {
            name,
            url,
            exporters,
            frozen: None,
            ca,
            username,
            password_file,
            token_realm,
            template,
            pins: pins?,
            signers,
            wildcard_root_names,
            max_timestamp_life,
            revoked,
            refresh,
            max_stale,
            proxy,
        };
        let frozen = frozen.and_then(|keys| keys.open(section, around, |gun| config.terms(gun)));
        Some(Self { frozen, ..config })
    }

    /// The requirements for the trust data of `gun`.
    pub fn terms(&self, gun: Gun) -> Terms {
        Terms {
            gun,
            pins: self.pins.clone(),
            signers: self.signers.clone(),
            wildcard_root_names: self.wildcard_root_names,
            max_timestamp_life: self.max_timestamp_life,
            revoked: self.revoked.clone(),
        }
    }
}

impl Config {
    /// A summary of one line, for people.
    pub fn summary(&self) -> String {
        let pins = match &self.pins {
            Pins::FirstUse => "TRUSTS THE FIRST ROOT IT SEES".to_owned(),
            Pins::Keys(pins) if pins.len() == 1 => "1 root key".to_owned(),
            Pins::Keys(pins) => format!("{} root keys", pins.len()),
        };
        let revoked = match self.revoked.len() {
            0 => String::new(),
            keys => format!("; {keys} revoked"),
        };
        let life = days(self.max_timestamp_life);
        let place = self.place();
        let exporters = match &self.exporters {
            Some(Exporters { keys, max_age }) => format!(
                "; trust data in bundles counts for {} with the signature of one of {} exporters",
                days(*max_age),
                keys.len()
            ),
            None => String::new(),
        };
        format!("at {place}, {pins}, timestamps valid for at most {life}{revoked}{exporters}")
    }

    /// Where the trust data comes from, for people.
    pub fn place(&self) -> String {
        match (&self.frozen, &self.url) {
            (Some(archive), _) => format!("{} until {}", archive.name(), archive.until().day()),
            (None, Some(url)) => url.to_string(),
            (None, None) => "bundles".to_owned(),
        }
    }
}

fn max_timestamp_life(section: &Section<'_>) -> Duration {
    let key = "max_timestamp_life";
    let life = section.duration(key).unwrap_or(DEFAULT_TIMESTAMP_LIFE);
    if life.is_zero() {
        section.wrong(
            key,
            "with zero, every timestamp is expired; write \"90d\" (Notary issues timestamps for 14 days)",
        );
    }
    life
}

/// Reads `revoked` and reports the restriction keys that do not apply to Notary v1.
fn revoked(section: &Section<'_>) -> RevokedSet {
    let unproven =
        "Notary v1 does not prove signing times; rotate the lost key and list it in `revoked`";
    section.refuse("not_after", unproven);
    section.refuse(
        "signed_identity",
        "this key is for cosign only; Notary v1 always signs the repository name",
    );
    RevokedSet::read(section, |kind| match kind {
        RevokedKind::Key => Ok(()),
        RevokedKind::Certificate | RevokedKind::Serial => {
            Err("only root keys have certificates; remove it from `root_keys`, or write \"key:…\"")
        }
        RevokedKind::LogEntry => Err("Notary v1 has no transparency log; write \"key:…\""),
    })
}

fn realm(section: &Section<'_>) -> Option<Host<String>> {
    let text = section.text("token_realm")?;
    Host::parse(&text).map_err(|e| section.wrong("token_realm", format!("{text:?}: {e}"))).ok()
}

/// Reads the pins: at least one root key, or an explicit `trust_on_first_use`.
fn pins(section: &Section<'_>) -> Option<Pins> {
    let first_use = section.flag("trust_on_first_use").unwrap_or(false);
    let Some(texts) = section.texts("root_keys") else {
        if first_use {
            return Some(Pins::FirstUse);
        }
        if !section.has("root_keys") {
            section.wrong(
                "",
                "name the root keys to trust: `root_keys = [\"<64 hex>\", \"root.pem\"]` (in ~/.docker/trust/private, \
                 the file name of a root key is its id), or set `trust_on_first_use = true` to trust the first root that the \
                 server returns",
            );
        }
        return None;
    };
    if first_use {
        section.wrong(
            "trust_on_first_use",
            "set either `root_keys` or `trust_on_first_use`, not both",
        );
    }
    if texts.is_empty() {
        section.wrong("root_keys", "the list is empty; name at least one root key");
        return None;
    }
    let pin = |text: &String| {
        let looks_like_id = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let otherwise = "a root key id has 64 hex digits; anything else is read as a file name";
        let content = if looks_like_id {
            text.clone()
        } else {
            section.named_file_or("root_keys", text, otherwise)?
        };
        Pin::parse(&content).map_err(|e| section.wrong("root_keys", format!("{text:?}: {e}"))).ok()
    };
    let pins: Vec<Pin> = texts.iter().filter_map(pin).collect();
    (pins.len() == texts.len()).then_some(Pins::Keys(pins))
}

/// The source of trust data: the server of `config`, `archive`, or both.
fn source(
    config: &Config,
    archive: Option<Arc<dyn Archive>>,
    imported: &ArchiveReader,
    metrics: &Metrics,
) -> Result<TrustSource, AnchorError> {
    if let Some(frozen) = &config.frozen {
        return Ok(TrustSource::Archive(ArchiveReader::Frozen(frozen.clone())));
    }
    let imported = config.exporters.as_ref().map(|_| imported.clone());
    let archive = archive.map(ArchiveReader::new).or(imported);
    match (&config.url, archive) {
        (Some(url), archive) => {
            Ok(TrustSource::Server(Box::new(notary(config, url, metrics)?), archive))
        }
        (None, Some(archive)) => Ok(TrustSource::Archive(archive)),
        (None, None) => Err(AnchorError::NoSource),
    }
}

fn notary(config: &Config, url: &Url, metrics: &Metrics) -> Result<Notary, AnchorError> {
    let credentials =
        Credentials::read(config.username.as_deref(), config.password_file.as_deref())?;
    let realm = config.token_realm.clone();
    let (ca, proxies) = (config.ca.as_deref(), config.proxy.proxies());
    Ok(Notary::new(url, ca, credentials, realm, proxies, metrics)?)
}

impl Anchor {
    /// Opens the trust memory in `store`. Does not connect yet. The trust data comes from the server of `config`, from
    /// `archive`, or from `archive` while the server does not answer.
    pub fn open(
        config: Config,
        archive: Option<Arc<dyn Archive>>,
        store: &Path,
        metrics: &Metrics,
    ) -> Result<Self, AnchorError> {
        let imported = ArchiveReader::new(Arc::new(Imported));
        let source = source(&config, archive, &imported, metrics)?;
        let state = State::open(store, &config.name)?;
        Ok(Self { config, source, imported, state })
    }

    /// The same, which reports to `health` whether trust memory can be written.
    #[must_use]
    pub fn reporting(self, health: MemoryHealth) -> Self {
        Self { state: self.state.reporting(health), ..self }
    }

    /// Why the trust memory could not be written the last time; `None` if it was written.
    pub fn memory_failure(&self) -> Option<String> {
        self.state.failure()
    }

    /// As [`Self::open`], but reads the trust memory only, because another process may be writing it.
    pub fn look(
        config: Config,
        archive: Option<Arc<dyn Archive>>,
        store: &Path,
        metrics: &Metrics,
    ) -> Result<Self, AnchorError> {
        let imported = ArchiveReader::new(Arc::new(Imported));
        let source = source(&config, archive, &imported, metrics)?;
        let state = State::look(store, &config.name);
        Ok(Self { config, source, imported, state })
    }

    pub fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The GUN of an image at this anchor.
    pub fn gun(&self, repository: &RepositoryRef) -> Result<Gun, InvalidName> {
        self.config.template.gun(repository)
    }

    pub(super) fn terms(&self, gun: Gun) -> Terms {
        self.config.terms(gun)
    }
}
