//! One `[[anchor]]` with `scheme = "notaryv1"`: a Notary server, and which of its roots to trust.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use url::{Host, Url};

use crate::http_client::TlsError;
use crate::oci::name::InvalidName;
use crate::oci::{Registry, Repository};
use crate::registry_client::{ConfigError, Credentials, InvalidCredentials, Metrics, is_base};
use crate::toml_reader::Section;
use crate::trust::lifetimes::Lifetimes;
use crate::trust::restrictions::days;
use crate::trust::revoked::{RevokedKind, RevokedSet};

use super::gun::{Gun, Template};
use super::notary::Notary;
use super::role::Delegated;
use super::root_of_trust::{Pin, Pins, Terms};
use super::state::{State, StateError};

/// How long the timestamps of a Notary server live, unless its operator configures it otherwise.
pub const TIMESTAMP_LIFE: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// How far ahead of now a timestamp may expire, where the anchor does not say.
const DEFAULT_TIMESTAMP_LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// What an operator says of one Notary server.
#[derive(Clone, Debug)]
pub struct Config {
    pub name: Arc<str>,
    pub url: Url,
    pub ca: Option<PathBuf>,
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    /// A host that may be shown the credentials if the server names it as its token realm.
    pub token_realm: Option<Host<String>>,
    pub template: Template,
    pub pins: Pins,
    pub signers: Vec<Delegated>,
    pub wildcard_root_names: bool,
    /// How far ahead a timestamp may expire.
    pub max_timestamp_life: Duration,
    /// Keys whose signatures do not count.
    pub revoked: RevokedSet,
    pub refresh: Duration,
    pub max_stale: Duration,
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
}

/// An anchor that can be asked.
#[derive(Clone, Debug)]
pub struct Anchor {
    pub(super) config: Config,
    pub(super) notary: Notary,
    pub(super) state: State,
}

impl Config {
    /// Reads the section; `name` has been read from it.
    pub fn read(section: &Section<'_>, name: Arc<str>) -> Option<Self> {
        let url = section.required::<Url>("url");
        if url.as_ref().is_some_and(|url| !is_base(url)) {
            section.wrong("url", ConfigError::Url.to_string());
        }
        let signers = section.texts("signers");
        if signers.as_ref().is_some_and(Vec::is_empty) {
            section.wrong("signers", "an empty list asks for nobody; leave the key out to say so");
        }
        let signers = signers.unwrap_or_default();
        let signers = signers.iter().filter_map(|signer| {
            let role = Delegated::parse(&format!("targets/{signer}"));
            if role.is_none() {
                section
                    .wrong("signers", format!("{signer:?} is no signer's name: a-z, 0-9, - and _"));
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
        section.finish();
        Some(Self {
            name,
            url: url?,
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
        })
    }
}

impl Config {
    /// What it means, in one line.
    pub fn told(&self) -> String {
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
        format!("at {}, {pins}, timestamps for {life} at most{revoked}", self.url)
    }
}

fn max_timestamp_life(section: &Section<'_>) -> Duration {
    let key = "max_timestamp_life";
    let life = section.duration(key).unwrap_or(DEFAULT_TIMESTAMP_LIFE);
    if life.is_zero() {
        section.wrong(
            key,
            "every timestamp would count as expired: write \"90d\"; Notary issues timestamps for 14 days",
        );
    }
    life
}

/// Reads `revoked`, and reports the keys that mean nothing here.
fn revoked(section: &Section<'_>) -> RevokedSet {
    let unproven = "Notary v1 proves no time of signing: rotate the key that was lost, and name it in `revoked`";
    section.refuse("not_after", unproven);
    section.refuse("max_age", unproven);
    section.refuse(
        "signed_identity",
        "Notary v1 signs the name of the repository in any case: cosign only",
    );
    RevokedSet::read(section, |kind| match kind {
        RevokedKind::Key => Ok(()),
        RevokedKind::Certificate | RevokedKind::Serial => Err(
            "certificates are those of root keys: take it out of `root_keys`, or write \"key:…\"",
        ),
        RevokedKind::LogEntry => Err("Notary v1 has no log: write \"key:…\""),
    })
}

fn realm(section: &Section<'_>) -> Option<Host<String>> {
    let text = section.text("token_realm")?;
    Host::parse(&text).map_err(|e| section.wrong("token_realm", format!("{text:?}: {e}"))).ok()
}

/// The pins of a section: at least one, or the explicit wish to trust what comes first.
fn pins(section: &Section<'_>) -> Option<Pins> {
    let first_use = section.flag("trust_on_first_use").unwrap_or(false);
    let Some(texts) = section.texts("root_keys") else {
        if first_use {
            return Some(Pins::FirstUse);
        }
        if !section.has("root_keys") {
            section.wrong(
                "",
                "say which root keys to trust: `root_keys = [\"<64 hex>\", \"root.pem\"]` (docker names the file of \
                 the root key in ~/.docker/trust/private by its id), or `trust_on_first_use = true` to believe whoever answers first",
            );
        }
        return None;
    };
    if first_use {
        section.wrong("trust_on_first_use", "it stands instead of `root_keys`, not beside it");
    }
    if texts.is_empty() {
        section.wrong("root_keys", "an empty list trusts nothing");
        return None;
    }
    let pin = |text: &String| {
        let looks_like_id = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let otherwise =
            "the id of a root key has 64 hex digits, anything else is taken for a file's name";
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

fn notary(config: &Config, metrics: &Metrics) -> Result<Notary, AnchorError> {
    let credentials =
        Credentials::read(config.username.as_deref(), config.password_file.as_deref())?;
    let realm = config.token_realm.clone();
    Ok(Notary::new(&config.url, config.ca.as_deref(), credentials, realm, metrics)?)
}

impl Anchor {
    /// Opens the memory below `store`; connects to nothing yet.
    pub fn open(config: Config, store: &Path, metrics: &Metrics) -> Result<Self, AnchorError> {
        let notary = notary(&config, metrics)?;
        let state = State::open(store, &config.name)?;
        Ok(Self { config, notary, state })
    }

    /// The same, and the memory is only read: another process may be keeping it.
    pub fn look(config: Config, store: &Path, metrics: &Metrics) -> Result<Self, AnchorError> {
        let notary = notary(&config, metrics)?;
        let state = State::look(store, &config.name);
        Ok(Self { config, notary, state })
    }

    pub fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The GUN that this anchor has for an image.
    pub fn gun(&self, registry: &Registry, repository: &Repository) -> Result<Gun, InvalidName> {
        self.config.template.gun(registry, repository)
    }

    pub fn notary(&self) -> &Notary {
        &self.notary
    }

    pub(super) fn terms(&self, gun: Gun) -> Terms {
        Terms {
            gun,
            pins: self.config.pins.clone(),
            signers: self.config.signers.clone(),
            wildcard_root_names: self.config.wildcard_root_names,
            max_timestamp_life: self.config.max_timestamp_life,
            revoked: self.config.revoked.clone(),
        }
    }
}
