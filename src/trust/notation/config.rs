//! One `[[anchor]]` with `scheme = "notation"`: its keys, and the certificates that they name.

use std::sync::Arc;
use std::time::Duration;

use crate::http_client::ProxyConfig;
use crate::oci::RepositoryRef;
use crate::toml_reader::Section;
use crate::trust::lifetimes::Lifetimes;
use crate::trust::restrictions::Restrictions;
use crate::trust::revoked::RevokedKind as Revocable;
use crate::trust::signature_repository::signature_repository;

use super::identity::Identities;
use super::level::{Action, Level};
use super::statement::{Scopes, Statement, VerifyTimestamp};
use super::trust_policy;
use super::trust_store::{StoreKind, TrustStore};
use super::warnings::never_proves_a_time;

/// The extensions of certificate files in a named store.
const EXTENSIONS: [&str; 3] = ["crt", "pem", "cer"];
/// The keys that a trust policy replaces.
const OWN: [&str; 5] = ["trust_store", "tsa", "identities", "level", "revocation"];

/// The configuration of one Notary Project anchor, with its certificates.
#[derive(Clone, Debug)]
pub struct Config {
    pub name: Arc<str>,
    pub(super) statements: Vec<Statement>,
    /// Which valid signatures do not count.
    pub restrictions: Restrictions,
    /// The repository of signatures, if it is not that of the image.
    pub signature_repository: Option<RepositoryRef>,
    /// How long found signatures are used before the next search.
    pub refresh: Duration,
    /// How long they are used while registries do not answer.
    pub max_stale: Duration,
    /// For OCSP responders and CRLs.
    pub proxy: ProxyConfig,
}

impl Config {
    /// Reads the section; `name` has been read from it.
    pub fn read(section: &Section<'_>, name: Arc<str>) -> Option<Self> {
        let policy = section.text("trust_policy");
        let folder = section.text("trust_store_dir");
        let own = statement(section);
        let statements = if section.has("trust_policy") || section.has("trust_store_dir") {
            if let Some(beside) = OWN.iter().find(|key| section.has(key)) {
                section.wrong(beside, "`trust_policy` and `trust_store_dir` replace it");
            }
            match (policy, folder) {
                (Some(policy), Some(folder)) => from_policy(section, &policy, &folder),
                (_, _) => {
                    section.wrong("", "set both `trust_policy` and `trust_store_dir`");
                    None
                }
            }
        } else {
            own.map(|statement| vec![statement])
        };
        let restrictions = restrictions(section);
        if let (Some(statements), Some(_)) = (&statements, restrictions.max_age)
            && statements.iter().all(never_proves_a_time)
        {
            section.wrong(
                "max_age",
                "it needs a proven time, and no signature has one: set `tsa` to the root of the timestamping \
                 authority that signers use, or remove `max_age`",
            );
        }
        let signature_repository = signature_repository(section);
        let Lifetimes { refresh, max_stale } = Lifetimes::read(section);
        let proxy = ProxyConfig::read(section);
        section.finish();
        Some(Self {
            name,
            statements: statements?,
            restrictions,
            signature_repository,
            refresh,
            max_stale,
            proxy,
        })
    }
}

impl Config {
    /// The key or the statement of the trust policy that accepts signatures by anyone (level `audit`, or an override
    /// of `authenticity`) and is for a repository that `covers` names.
    pub fn accepts_anyone(&self, covers: impl Fn(&RepositoryRef) -> bool) -> Option<String> {
        let is_covered =
            |scope: &String| scope.parse().map_or(true, |repository| covers(&repository));
        let applies = |statement: &&Statement| match &statement.scopes {
            Scopes::All => true,
            Scopes::Repositories(repositories) => repositories.iter().any(is_covered),
        };
        let anyone = |statement: &&Statement| statement.level.authenticity != Action::Enforce;
        let found = self.statements.iter().filter(anyone).find(applies);
        found.map(|statement| match &statement.scopes {
            Scopes::All if self.statements.len() == 1 => "`level` or `trust_policy`".to_owned(),
            Scopes::All | Scopes::Repositories(_) => {
                format!("statement {:?} of `trust_policy`", statement.name)
            }
        })
    }

    /// A summary of one line, for people.
    pub fn summary(&self) -> String {
        let who = match self.statements.as_slice() {
            [one] if one.level.authenticity != Action::Enforce => {
                "signatures by anyone (level \"audit\")".to_owned()
            }
            [one] => format!("signatures by {}", one.identities.texts().join(" or ")),
            several => format!("a trust policy of {} statements", several.len()),
        };
        format!("{who}{}", self.restrictions.summary())
    }
}

fn restrictions(section: &Section<'_>) -> Restrictions {
    section
        .refuse("max_timestamp_life", "it bounds the timestamp of a Notary server: notaryv1 only");
    section.refuse(
        "signed_identity",
        "a notation signature names a digest and no repository: cosign only",
    );
    Restrictions::read(section, |kind| match kind {
        Revocable::Key | Revocable::Certificate | Revocable::Serial => Ok(()),
        Revocable::LogEntry => Err("notation signatures are in no log: revoke the certificate"),
    })
}

impl Config {
    /// Whether both trust the same root certificate and a common subject below it.
    pub(in crate::trust) fn shares(&self, other: &Self) -> bool {
        let pairs = self
            .statements
            .iter()
            .flat_map(|one| other.statements.iter().map(move |other| (one, other)));
        pairs.into_iter().any(|(one, other)| {
            let root =
                |kind| one.store.of(kind).iter().any(|one| other.store.of(kind).contains(one));
            one.identities.overlap(&other.identities)
                && (root(StoreKind::Ca) || root(StoreKind::SigningAuthority))
        })
    }
}

/// The statement of the five keys of the section.
fn statement(section: &Section<'_>) -> Option<Statement> {
    let instead = section.has("trust_policy") || section.has("trust_store_dir");
    let trusted = section.texts("trust_store");
    let tsa = section.texts("tsa").unwrap_or_default();
    let identities = section.texts("identities");
    let level = level(section);
    if instead {
        return None;
    }
    let mut store = TrustStore::default();
    let mut whole = true;
    for named in trusted.as_deref().unwrap_or_default() {
        whole &= add_named(section, named, &mut store);
    }
    for path in &tsa {
        whole &= add(section, "tsa", StoreKind::Tsa, path, &mut store);
    }
    if !section.has("trust_store") {
        section.wrong(
            "",
            "name the trusted roots: `trust_store = [\"ca:root.crt\"]`, or name an existing \
             `trust_policy` with its `trust_store_dir`",
        );
        whole = false;
    } else if trusted.as_ref().is_some_and(Vec::is_empty) {
        section.wrong("trust_store", "the list is empty, so no signature counts");
        whole = false;
    }
    if section.lists("tsa") && whole && store.of(StoreKind::Ca).is_empty() {
        section.wrong(
            "tsa",
            "timestamps are for signatures of a `ca:` store, and there is none: a signing \
             authority states the time itself",
        );
    }
    if !section.has("identities") {
        section.wrong(
            "",
            "name the signers: `identities = [\"x509.subject: C=US, ST=WA, O=Acme\"]`, or `[\"*\"]` for \
             everyone with a certificate of the trust store",
        );
    }
    let identities = identities?;
    if let Some(text) = identities.iter().find(|text| text.contains('*') && *text != "*") {
        let message = format!("{text:?}: only `\"*\"` alone is accepted; write the whole subject");
        section.wrong("identities", message);
        return None;
    }
    let identities = Identities::parse(&identities)
        .map_err(|message| section.wrong("identities", message))
        .ok()?;
    whole.then_some(Statement {
        name: "anchor".to_owned(),
        scopes: Scopes::All,
        level: level?,
        verify_timestamp: VerifyTimestamp::Always,
        store,
        identities,
    })
}

fn level(section: &Section<'_>) -> Option<Level> {
    let name = section.text("level").unwrap_or_else(|| "strict".to_owned());
    let revocation = section.text("revocation").unwrap_or_else(|| "check".to_owned());
    let level = Level::named(&name);
    if name == "skip" {
        section.wrong(
            "level",
            "it would accept every image without verification; use a rule with \
             `mode = \"allow\"` instead",
        );
    } else if level.is_none() {
        let message = format!("{name:?} is not a level: \"strict\", \"permissive\" or \"audit\"");
        section.wrong("level", message);
    }
    let level = level?;
    match revocation.as_str() {
        "check" => Some(level),
        "skip" => Some(Level { revocation: Action::Skip, ..level }),
        _ => {
            let message = format!("{revocation:?} is neither \"check\" nor \"skip\"");
            section.wrong("revocation", message);
            None
        }
    }
}

fn add_named(section: &Section<'_>, named: &str, store: &mut TrustStore) -> bool {
    let parts =
        named.split_once(':').and_then(|(kind, path)| Some((StoreKind::named(kind)?, path)));
    match parts {
        Some((StoreKind::Tsa, path)) => {
            let message =
                format!("{named:?} is a timestamping authority: write `tsa = [{path:?}]`");
            section.wrong("trust_store", message);
            false
        }
        Some((kind @ (StoreKind::Ca | StoreKind::SigningAuthority), path)) if !path.is_empty() => {
            add(section, "trust_store", kind, path, store)
        }
        Some(_) | None => {
            section.wrong(
                "trust_store",
                format!("{named:?} has no type: write `ca:FILE` or `signingAuthority:FILE`"),
            );
            false
        }
    }
}

fn add(
    section: &Section<'_>,
    key: &'static str,
    kind: StoreKind,
    path: &str,
    store: &mut TrustStore,
) -> bool {
    let Some(file) = section.named_bytes(key, path) else { return false };
    let added = store.add(kind, &file);
    added.map_err(|message| section.wrong(key, format!("{path:?}: {message}"))).is_ok()
}

/// The statements of an existing policy, with the stores in `folder`.
fn from_policy(section: &Section<'_>, policy: &str, folder: &str) -> Option<Vec<Statement>> {
    let text = section.named_bytes("trust_policy", policy)?;
    let mut unread = false;
    let read = trust_policy::parse(&text, |kind, name, store| {
        let path = format!("{folder}/x509/{}/{name}", kind.as_str());
        let Some(files) = section.named_folder("trust_store_dir", &path, &EXTENSIONS) else {
            unread = true;
            return Err(String::new());
        };
        if files.is_empty() {
            return Err(format!("{path:?} holds no .crt, .pem or .cer file"));
        }
        for (file, bytes) in files {
            store.add(kind, &bytes).map_err(|message| format!("{file:?}: {message}"))?;
        }
        Ok(())
    });
    match read {
        Ok(statements) => Some(statements),
        // Already reported.
        Err(_) if unread => None,
        Err(message) => {
            section.wrong("trust_policy", format!("{policy:?}: {message}"));
            None
        }
    }
}
