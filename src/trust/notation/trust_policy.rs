//! An existing `trustpolicy.json` (trust-store-trust-policy, "OCI Trust Policy", version 1.0), read
//! strictly: an unsupported part is an error.

use std::collections::{BTreeMap, BTreeSet};

use crate::json::{Document, Value};
use crate::oci::RepositoryRef;

use super::identity::Identities;
use super::level::Level;
use super::statement::{Scopes, Statement, VerifyTimestamp};
use super::trust_store::{StoreKind, TrustStore};

/// The most statements, and the most scopes of one.
const MAX_STATEMENTS: usize = 256;
const MAX_SCOPES: usize = 1024;

const STATEMENT: [&str; 5] =
    ["name", "registryScopes", "signatureVerification", "trustStores", "trustedIdentities"];

/// Reads the policy; `store` gives the certificates of a named store to its type.
pub(super) fn parse(
    text: &[u8],
    mut store: impl FnMut(StoreKind, &str, &mut TrustStore) -> Result<(), String>,
) -> Result<Vec<Statement>, String> {
    let document = Document::parse(text).map_err(|e| e.to_string())?;
    let policy = document.root();
    only(policy, "the policy", &["version", "trustPolicies"])?;
    if policy.member("version").and_then(Value::as_str) != Some("1.0") {
        return Err("the version of the policy must be \"1.0\"".to_owned());
    }
    let list = policy.member("trustPolicies").and_then(Value::as_array);
    let list = list
        .filter(|list| (1..=MAX_STATEMENTS).contains(&list.len()))
        .ok_or_else(|| format!("trustPolicies must hold 1 to {MAX_STATEMENTS} statements"))?;
    let mut names = BTreeSet::new();
    let mut scopes = BTreeMap::new();
    let mut statements = Vec::new();
    for value in list.iter() {
        let statement = statement(value, &mut store)?;
        let twice = |scope: &str, other: &str| {
            let name = &statement.name;
            format!("the scope {scope:?} is in {other:?} and in {name:?}; keep it in one statement")
        };
        let own = match &statement.scopes {
            Scopes::All => BTreeSet::from(["*".to_owned()]),
            Scopes::Repositories(repositories) => repositories.clone(),
        };
        for scope in own {
            if let Some(other) = scopes.insert(scope.clone(), statement.name.clone()) {
                return Err(twice(&scope, &other));
            }
        }
        if !names.insert(statement.name.clone()) {
            return Err(format!("two statements have the name {:?}", statement.name));
        }
        statements.push(statement);
    }
    Ok(statements)
}

fn statement(
    value: Value<'_>,
    store: &mut impl FnMut(StoreKind, &str, &mut TrustStore) -> Result<(), String>,
) -> Result<Statement, String> {
    let name = value.member("name").and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() {
        return Err("a statement has no name".to_owned());
    }
    let wrong = |why: String| format!("statement {name:?}: {why}");
    only(value, "a statement", &STATEMENT).map_err(wrong)?;
    let list = |member: &str| {
        let items = value.member(member).and_then(Value::as_array);
        let texts: Option<Vec<String>> = items
            .and_then(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect());
        texts.ok_or_else(|| wrong(format!("{member} must be a list of texts")))
    };
    let scopes = scopes(&list("registryScopes")?).map_err(wrong)?;
    let verification = value.member("signatureVerification").unwrap_or(Value::Null);
    let (level, verify_timestamp) = verification_level(verification).map_err(wrong)?;
    let mut trusted = TrustStore::default();
    for named in list("trustStores")? {
        let (kind, store_name) = store_of(&named).map_err(wrong)?;
        store(kind, store_name, &mut trusted).map_err(wrong)?;
    }
    if trusted.of(StoreKind::Ca).is_empty() && trusted.of(StoreKind::SigningAuthority).is_empty() {
        return Err(wrong("trustStores names no store of type ca or signingAuthority".to_owned()));
    }
    let identities = Identities::parse(&list("trustedIdentities")?).map_err(wrong)?;
    Ok(Statement {
        name: name.to_owned(),
        scopes,
        level,
        verify_timestamp,
        store: trusted,
        identities,
    })
}

fn scopes(texts: &[String]) -> Result<Scopes, String> {
    if texts.is_empty() || texts.len() > MAX_SCOPES {
        return Err(format!("registryScopes must hold 1 to {MAX_SCOPES} values"));
    }
    if let [only] = texts
        && only == "*"
    {
        return Ok(Scopes::All);
    }
    let mut repositories = BTreeSet::new();
    for text in texts {
        let Ok(repository) = text.parse::<RepositoryRef>() else {
            return Err(format!(
                "the scope {text:?} is not a `registry/repository`; `*` alone means all"
            ));
        };
        // As clients expand it: `docker.io/alpine` is `docker.io/library/alpine`.
        if !repositories.insert(repository.in_full().to_string()) {
            return Err(format!("the scope {text:?} occurs twice"));
        }
    }
    Ok(Scopes::Repositories(repositories))
}

fn verification_level(value: Value<'_>) -> Result<(Level, VerifyTimestamp), String> {
    only(value, "signatureVerification", &["level", "override", "verifyTimestamp"])?;
    let name = value.member("level").and_then(Value::as_str).unwrap_or_default();
    if name == "skip" {
        return Err(
            "the level \"skip\" verifies nothing, and would let every image in as if it were \
             signed; a rule with `mode = \"allow\"` says that aloud"
                .to_owned(),
        );
    }
    let level = Level::named(name).ok_or_else(|| {
        format!("{name:?} is not a level: \"strict\", \"permissive\" or \"audit\"")
    })?;
    let level = match value.member("override") {
        None => level,
        Some(Value::Object(changes)) => {
            changes.iter().try_fold(level, |level, (validation, action)| {
                level.overridden(validation, action.as_str().unwrap_or_default())
            })?
        }
        Some(_) => return Err("override must be an object".to_owned()),
    };
    let verify = match value.member("verifyTimestamp") {
        None => VerifyTimestamp::Always,
        Some(value) => match value.as_str() {
            Some("always") => VerifyTimestamp::Always,
            Some("afterCertExpiry") => VerifyTimestamp::AfterCertExpiry,
            Some(_) | None => {
                return Err("verifyTimestamp must be \"always\" or \"afterCertExpiry\"".to_owned());
            }
        },
    };
    Ok((level, verify))
}

/// The type and the name of `type:name`. The name is that of a folder, and of nothing above it.
fn store_of(text: &str) -> Result<(StoreKind, &str), String> {
    let wrong =
        || format!("{text:?} is not a trust store: `ca:name`, `signingAuthority:name`, `tsa:name`");
    let (kind, name) = text.split_once(':').ok_or_else(wrong)?;
    let kind = StoreKind::named(kind).ok_or_else(wrong)?;
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if !plain || matches!(name, "" | "." | "..") {
        return Err(wrong());
    }
    Ok((kind, name))
}

fn only(value: Value<'_>, what: &str, known: &[&str]) -> Result<(), String> {
    let members = value.as_object().ok_or_else(|| format!("{what} must be an object"))?;
    match members.names().find(|name| !known.contains(name)) {
        Some(other) => Err(format!("{what} has an unknown member {other:?}")),
        None => Ok(()),
    }
}
