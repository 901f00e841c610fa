//! The configuration: combines the sections that each module reads, and checks them against each other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::access;
use crate::audit;
use crate::bundle;
use crate::clock::{Clock, Timestamp};
use crate::http_client::Proxies;
use crate::oci::docker_hub::{self, DOCKER_HUB};
use crate::policy::{AnchorNames, Pattern, Policy};
use crate::registry_client;
use crate::server;
use crate::store;
use crate::toml_reader::{Document, FileStamps, Problems, Section, WatchedFiles};
use crate::trust::notaryv1::Surroundings;
use crate::trust::{self, Scheme};

/// The longest name of an anchor, which is also a folder name in the store.
const MAX_NAME: usize = 64;
/// The most names that one message suggests.
const MAX_SUGGESTED: usize = 5;

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub server: server::Config,
    /// The listener for clients that use the gate as a mirror, if any.
    pub mirror: Option<server::Mirror>,
    /// The address of the admin listener, if any.
    pub admin: Option<SocketAddr>,
    pub store: store::Config,
    /// The audit file, if any.
    pub audit: Option<audit::Config>,
    pub upstreams: Vec<registry_client::Config>,
    pub anchors: Vec<trust::Config>,
    pub policy: Policy,
    /// Who may pull.
    pub clients: access::Config,
    pub file: PathBuf,
    /// The file itself and the files that it names.
    pub files: WatchedFiles,
    /// The state of the files just before they were read; empty if the configuration was not read from a file.
    pub seen: FileStamps,
}

/// How many attempts are made to read the configuration if the files that it names are not known in advance.
const READINGS: usize = 3;

/// The result of reading a configuration.
pub struct Reading {
    pub config: Result<Config, Problems>,
    pub files: WatchedFiles,
    /// The state of the files just before they were read; later changes are not included.
    pub seen: FileStamps,
}

impl Reading {
    /// Reads the configuration in `file`, which is expected to name `files`. If it names others, it is read once more,
    /// because their earlier state is unknown. Blocks.
    pub fn of(file: &Path, mut files: WatchedFiles) -> Self {
        let mut left = READINGS;
        loop {
            let seen = files.look();
            left -= 1;
            let document = match Document::open(file) {
                Ok(document) => document,
                Err(problems) => return Self { config: Err(problems), files, seen },
            };
            let config =
                Config::read(&document).map(|config| Config { seen: seen.clone(), ..config });
            let named = document.files();
            if named == files || left == 0 {
                return Self { config, files: named, seen };
            }
            files = named;
        }
    }
}

impl Config {
    /// Reads the file, and reports all of its errors at once.
    pub fn load(file: &Path) -> Result<Self, Problems> {
        Reading::of(file, WatchedFiles::of(file)).config
    }

    /// Reads a document.
    pub fn read(document: &Document) -> Result<Self, Problems> {
        Self::read_at(document, Clock::System.now())
    }

    /// Reads a document at `now`, for the limits of frozen archives.
    pub fn read_at(document: &Document, now: Timestamp) -> Result<Self, Problems> {
        let config = document.read(|top| {
            let server = required(top, "server").and_then(|section| server::Config::read(&section));
            let mirror = top.section("mirror").map(|section| {
                let otherwise = server.as_ref().and_then(|server| server.tls.as_ref());
                server::Mirror::read(&section, otherwise)
            });
            let admin = top.section("admin").map(|section| {
                let listen = section.listen("listen");
                section.finish();
                listen
            });
            let store = required(top, "store").and_then(|section| store::Config::read(&section));
            let audit = top.section("audit").and_then(|section| audit::Config::read(&section));
            let (mut upstreams, registries) = upstreams(top);
            let around = Surroundings {
                now,
                has_bundles: upstreams.iter().any(|upstream| upstream.bundles.is_some()),
                read_bundle: bundle::trust_data,
            };
            let (mut anchors, names) = anchors(top, &around);
            let environment = proxies(top);
            upstreams.iter_mut().for_each(|upstream| upstream.proxy.inherit(&environment));
            anchors.iter_mut().for_each(|anchor| anchor.inherit_proxies(&environment));
            let rules = top.sections("rule");
            let policy = Policy::read(&rules, &names);
            for rule in &rules {
                of_some_upstream(rule, &registries);
                asks_for_someone(rule, &anchors);
            }
            let (mirror, admin) = (mirror.flatten(), admin.flatten());
            listeners(top, server.as_ref(), mirror.as_ref(), admin);
            let clients = clients(top, server.as_ref(), mirror.as_ref(), &registries);
            Some(Self {
                server: server?,
                mirror,
                admin,
                store: store?,
                audit,
                upstreams,
                anchors,
                policy,
                clients,
                file: document.file().to_owned(),
                files: WatchedFiles::default(),
                seen: FileStamps::default(),
            })
        })?;
        Ok(Self { files: document.files(), ..config })
    }
}

impl Config {
    /// The same configuration for parts that get everything from bundles and open no connection. Every decision reads the
    /// bundle: no earlier answer is used instead.
    #[must_use]
    pub fn offline(&self) -> Self {
        let mut offline = self.clone();
        offline.anchors.iter_mut().for_each(trust::Config::go_offline);
        offline
    }

    /// The keys that differ from `other` and are read only at start.
    pub fn differs_at_start(&self, other: &Self) -> impl Iterator<Item = &'static str> {
        let (one, two) = (&self.server, &other.server);
        let keys = [
            ("server.listen", one.listen != two.listen),
            ("server.tls_cert", one.tls != two.tls),
            ("mirror", self.mirror != other.mirror),
            ("server (its limits)", one.limits != two.limits),
            ("admin.listen", self.admin != other.admin),
            ("store", self.store != other.store),
            ("audit", self.audit != other.audit),
        ];
        keys.into_iter().filter_map(|(key, differs)| differs.then_some(key))
    }
}

/// The proxies that the environment of this process names.
fn proxies(top: &Section<'_>) -> Proxies {
    let named = Proxies::from_environment(|name| std::env::var(name).ok());
    named.unwrap_or_else(|error| {
        top.wrong("", error.to_string());
        Proxies::none()
    })
}

fn required<'a>(top: &Section<'a>, key: &'static str) -> Option<Section<'a>> {
    if !top.has(key) {
        top.wrong("", format!("the table [{key}] is required"));
    }
    top.section(key)
}

/// Checks that each listener has its own port. Port 0 is exempt, because it means any free port.
fn listeners(
    top: &Section<'_>,
    server: Option<&server::Config>,
    mirror: Option<&server::Mirror>,
    admin: Option<SocketAddr>,
) {
    let mut taken = Vec::new();
    for (table, listen) in [
        ("server", server.map(|server| server.listen)),
        ("mirror", mirror.map(|mirror| mirror.listen)),
        ("admin", admin),
    ] {
        let Some(listen) = listen.filter(|listen| listen.port() != 0) else { continue };
        let meets = |other: &&(&str, SocketAddr)| {
            let any = listen.ip().is_unspecified() || other.1.ip().is_unspecified();
            listen.port() == other.1.port() && (any || listen.ip() == other.1.ip())
        };
        if let Some((other, at)) = taken.iter().find(meets) {
            let message = format!("{listen} conflicts with {at} in [{other}]");
            top.wrong(table, message);
        }
        taken.push((table, listen));
    }
}

/// Checks that the configuration sets who may pull if other machines can connect.
fn clients(
    top: &Section<'_>,
    server: Option<&server::Config>,
    mirror: Option<&server::Mirror>,
    registries: &[String],
) -> access::Config {
    let section = top.section("clients");
    for rule in section.iter().flat_map(|section| section.sections("rule")) {
        of_some_upstream(&rule, registries);
    }
    let config = section.as_ref().map(access::Config::read).unwrap_or_default();
    let server = server.map(|server| (server.listen, server.tls.is_some()));
    let mirror = mirror.map(|mirror| (mirror.listen, mirror.tls.is_some()));
    for (listen, secure) in server.into_iter().chain(mirror) {
        if let Some(unsaid) = config.unsaid_at(listen) {
            top.wrong("clients", unsaid);
        }
        if let Some(section) = &section
            && section.has("tls_client_ca")
            && !secure
        {
            let message =
                format!("needs TLS: set `tls_cert` and `tls_key` of the listener {listen}");
            section.wrong("tls_client_ca", message);
        }
    }
    config
}

/// The upstreams, and the name of each, which is known even if other keys are wrong.
fn upstreams(top: &Section<'_>) -> (Vec<registry_client::Config>, Vec<String>) {
    if !top.has("upstream") {
        top.wrong("", "at least one [[upstream]] is required");
    }
    let (mut upstreams, mut registries) = (Vec::new(), Vec::new());
    let mut default = false;
    for section in top.sections("upstream") {
        upstreams.extend(registry_client::Config::read(&section));
        if let Some(registry) = section.text("registry") {
            if registries.contains(&registry) {
                section.wrong("registry", format!("{registry} already has an [[upstream]]"));
            }
            registries.push(registry);
        }
        if section.flag("default").unwrap_or(false) {
            if default {
                section.wrong("default", "another [[upstream]] is already the default");
            }
            default = true;
        }
    }
    (upstreams, registries)
}

fn anchors(top: &Section<'_>, around: &Surroundings) -> (Vec<trust::Config>, AnchorNames) {
    let mut anchors = Vec::new();
    let mut names: AnchorNames = BTreeMap::new();
    for section in top.sections("anchor") {
        let name = section.required::<String>("name");
        let scheme = section.required::<String>("scheme");
        // The name is known even if other keys are wrong, so that rules that use it get no error of their own.
        let known = scheme.as_deref().and_then(Scheme::parse);
        let shared: Option<Arc<str>> = name.map(|name| {
            if !is_name(&name) {
                let expected =
                    "1 to 64 of a-z, 0-9, `-`, `_` and `.`, beginning with a letter or digit";
                section.wrong("name", format!("{name:?} is not a valid anchor name: {expected}"));
            }
            let shared: Arc<str> = Arc::from(name.as_str());
            let listed = (shared.clone(), known.unwrap_or(Scheme::NotaryV1));
            if names.insert(name, listed).is_some() {
                section.wrong("name", format!("another [[anchor]] is already named {shared:?}"));
            }
            shared
        });
        let name = shared.unwrap_or_else(|| Arc::from("?"));
        match (known, scheme) {
            (Some(scheme), _) => {
                anchors.extend(trust::Config::read(scheme, &section, name, around));
            }
            (None, Some(other)) => {
                let schemes = Scheme::ALL.map(|scheme| format!("\"{scheme}\"")).join(", ");
                section.wrong("scheme", format!("{other:?} is not one of {schemes}"));
            }
            (None, None) => {}
        }
    }
    (anchors, names)
}

fn is_name(name: &str) -> bool {
    let word = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9');
    name.len() <= MAX_NAME
        && name.bytes().next().is_some_and(word)
        && name.bytes().all(|b| word(b) || matches!(b, b'-' | b'_' | b'.'))
}

/// Checks that a rule that enforces has no notation anchor that accepts signatures by anyone; such an anchor is only
/// for audit rules.
fn asks_for_someone(rule: &Section<'_>, anchors: &[trust::Config]) {
    if rule.text("mode").is_some_and(|mode| mode != "enforce") {
        return;
    }
    let images = rule.texts("images").unwrap_or_default();
    let images: Vec<Pattern> = images.iter().filter_map(|image| image.parse().ok()).collect();
    for key in ["require", "any_of"] {
        for name in rule.texts(key).unwrap_or_default() {
            let anchor = anchors.iter().find_map(|anchor| match anchor {
                trust::Config::Notation(config) => (*config.name == *name).then_some(config),
                trust::Config::NotaryV1(_) | trust::Config::Cosign(_) => None,
            });
            let found = anchor.and_then(|anchor| {
                anchor.accepts_anyone(|repository| {
                    images.iter().any(|image| image.covers(repository))
                })
            });
            if let Some(statement) = found {
                let message = format!(
                    "the anchor {name:?} accepts signatures by anyone, for its {statement} has the level \"audit\" or \
                     does not enforce authenticity: set `mode = \"audit\"` in this rule, or the level \
                     \"strict\" in the anchor"
                );
                rule.wrong(key, message);
            }
        }
    }
}

/// Checks that some upstream has the registry of a rule's images; otherwise the rule can never match.
fn of_some_upstream(rule: &Section<'_>, registries: &[String]) {
    for image in rule.texts("images").unwrap_or_default() {
        let Some((registry, _)) = image.split_once('/') else { continue };
        if !registries.iter().any(|known| known == registry) && !registry.contains('*') {
            let known =
                registries.iter().map(|known| format!("\"{known}/**\"")).take(MAX_SUGGESTED);
            let begins = match known.collect::<Vec<_>>().join(" or ") {
                _ if docker_hub::HOSTS.contains(&registry) => {
                    format!("; images of Docker Hub are named {DOCKER_HUB}/…")
                }
                none if none.is_empty() => String::new(),
                some => format!("; a pattern begins with a configured registry, such as {some}"),
            };
            let message =
                format!("{image:?}: no [[upstream]] has the registry {registry:?}{begins}");
            rule.wrong("images", message);
        }
    }
}
