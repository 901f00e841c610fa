//! `[clients]`: who may pull.

use std::net::SocketAddr;

use crate::toml_reader::Section;
use crate::trust::cosign::Identity;

use super::certificate::{Certificates, WithoutOne};
use super::grants::Grants;
use super::htpasswd::Htpasswd;

/// The settings for clients. By default, everyone may pull everything.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub(super) htpasswd: Option<Htpasswd>,
    pub(super) certificates: Option<Certificates>,
    pub(super) grants: Grants,
    /// Whether `open = true` is set.
    said_open: bool,
}

impl Config {
    /// Reads `[clients]`.
    pub fn read(section: &Section<'_>) -> Self {
        let open = section.flag("open");
        let named = |key| section.text(key).and_then(|path| section.named_file(key, &path));
        let htpasswd = named("htpasswd").and_then(|text| {
            Htpasswd::parse(&text).map_err(|why| section.wrong("htpasswd", why.to_string())).ok()
        });
        let without_one =
            if section.has("htpasswd") { WithoutOne::MayAsk } else { WithoutOne::Refused };
        let certificates = named("tls_client_ca").and_then(|pem| {
            let parsed = Certificates::parse(&pem, without_one);
            parsed.map_err(|why| section.wrong("tls_client_ca", why.to_string())).ok()
        });
        let grants = Grants::read(section);
        let closed = section.has("htpasswd") || section.has("tls_client_ca");
        if open == Some(true) && closed {
            section.wrong("open", "cannot be combined with `htpasswd` or `tls_client_ca`");
        }
        if open == Some(false) && !closed {
            section.wrong(
                "open",
                "set who may pull: `htpasswd = \"FILE\"` or `tls_client_ca = \"FILE\"`",
            );
        }
        if !grants.is_empty() && !closed {
            section.wrong("rule", "rules match users: set `htpasswd` or `tls_client_ca`");
        }
        section.finish();
        Self { htpasswd, certificates, grants, said_open: open == Some(true) }
    }

    /// Whether the configuration sets who may pull.
    fn is_said(&self) -> bool {
        self.said_open || self.htpasswd.is_some() || self.certificates.is_some()
    }

    /// The error if other machines can reach `listen` but the configuration does not set who may pull.
    pub fn unsaid_at(&self, listen: SocketAddr) -> Option<String> {
        let is_near = listen.ip().to_canonical().is_loopback();
        (!self.is_said() && !is_near).then(|| {
            format!(
                "{listen} is open to other machines: set who may pull, in `[clients]` with \
                 `open = true`, `htpasswd = \"FILE\"` or `tls_client_ca = \"FILE\"`"
            )
        })
    }

    /// Whether clients log in with passwords.
    pub fn has_passwords(&self) -> bool {
        self.htpasswd.is_some()
    }

    /// The users of `[[clients.rule]]` that match no user of `htpasswd`. Certificates may name any user.
    pub fn unknown_users(&self) -> Vec<String> {
        let Some(htpasswd) = self.htpasswd.as_ref().filter(|_| self.certificates.is_none()) else {
            return Vec::new();
        };
        let known = |user: &&Identity| htpasswd.names().any(|name| user.matches(name));
        let unknown = self.grants.users().filter(|user| !known(user));
        unknown.map(ToString::to_string).collect()
    }

    /// The CAs whose certificates authenticate clients.
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// A summary in one line.
    pub fn summary(&self) -> String {
        let mut ways = Vec::new();
        if let Some(htpasswd) = &self.htpasswd {
            ways.push(format!("{} users with passwords", htpasswd.len()));
        }
        if self.certificates.is_some() {
            ways.push("clients with certificates".to_owned());
        }
        match (ways.is_empty(), self.grants.is_empty()) {
            (true, _) => "anyone may pull".to_owned(),
            (false, true) => format!("{}: each may pull everything", ways.join(", ")),
            (false, false) => {
                format!("{}: each may pull what [[clients.rule]] grants", ways.join(", "))
            }
        }
    }
}
