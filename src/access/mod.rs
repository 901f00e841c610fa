//! Who may pull: everybody, or those with a password or a certificate; and of those, who may pull what.
//! Knows names and repositories, and nothing of trust: who may pull an image is still served only what is
//! signed.

pub mod certificate;
pub mod config;

mod any_certificate;
mod grants;
mod htpasswd;
mod passwords;
mod tokens;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::error::Unspecified;
use http::HeaderMap;

pub use certificate::{Certificates, ClientCertificate, Handshake};
pub use config::Config;
pub use htpasswd::Htpasswd;
pub use tokens::{LIFETIME, Token};

use crate::clock::Clock;
use crate::oci::{Registry, Repository};
use grants::Grants;
use passwords::Passwords;

/// Decides who a client is and what it may pull, by one reading of the configuration.
#[derive(Debug)]
pub struct Clients {
    passwords: Option<Passwords>,
    certificates: Option<Certificates>,
    grants: Grants,
    clock: Clock,
}

/// A client that was let in. Only [`Clients::identify`] makes one:
///
/// ```compile_fail,E0423
/// use countersign::access::Client;
/// fn anybody() -> Client {
///     Client(None)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client(Option<Arc<str>>);

/// Why a client is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unauthorized {
    /// It did not say who it is.
    Unknown,
    /// What it said does not hold.
    Wrong,
    /// Its token has expired, or this gate did not issue it.
    Token,
    /// It could not be found out in time: too many passwords are being looked at.
    Busy,
}

impl Client {
    /// The name of its user; none where everybody is let in.
    pub fn user(&self) -> Option<&Arc<str>> {
        self.0.as_ref()
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("anybody"))
    }
}

impl Clients {
    /// An error is the system's, which gives no random numbers.
    pub fn new(config: &Config, clock: Clock) -> Result<Self, Unspecified> {
        Ok(Self {
            passwords: config.htpasswd.clone().map(Passwords::new).transpose()?,
            certificates: config.certificates.clone(),
            grants: config.grants.clone(),
            clock,
        })
    }

    /// Those of another reading of the configuration: who was let in by a password is known to be, where the file
    /// of users still says so.
    pub fn renewed(&self, config: &Config) -> Result<Self, Unspecified> {
        let renewed = Self::new(config, self.clock.clone())?;
        let passwords = match (&self.passwords, &config.htpasswd) {
            (Some(before), Some(file)) => Some(before.renewed(file.clone())),
            (_, _) => renewed.passwords,
        };
        Ok(Self { passwords, ..renewed })
    }

    /// Everybody, and everything.
    pub fn open() -> Self {
        let (passwords, certificates, grants) = (None, None, Grants::default());
        Self { passwords, certificates, grants, clock: Clock::System }
    }

    /// Whether everybody may pull everything.
    pub fn is_open(&self) -> bool {
        self.passwords.is_none() && self.certificates.is_none()
    }

    /// Who sent these `headers` from there on a connection with that certificate, if it bore one.
    pub async fn identify(
        &self,
        headers: &HeaderMap,
        from: IpAddr,
        certificate: Option<&ClientCertificate>,
    ) -> Result<Client, Unauthorized> {
        if self.is_open() {
            return Ok(Client(None));
        }
        if let (Some(certificates), Some(certificate)) = (&self.certificates, certificate) {
            // Who bears a certificate is who it says, or nobody.
            let user = certificates.user(certificate, &self.clock).ok_or(Unauthorized::Wrong)?;
            return Ok(Client(Some(user)));
        }
        let Some(passwords) = &self.passwords else { return Err(Unauthorized::Unknown) };
        let user = match passwords.token_user(headers, self.clock.now()) {
            Some(user) => user?,
            None => Box::pin(passwords.user(headers, from)).await?,
        };
        Ok(Client(Some(user)))
    }

    /// A token for the user whose password is in `headers`. It stands for the password for [`LIFETIME`].
    pub async fn token(&self, headers: &HeaderMap, from: IpAddr) -> Result<Token, Unauthorized> {
        let passwords = self.passwords.as_ref().ok_or(Unauthorized::Unknown)?;
        let user = passwords.user(headers, from).await?;
        passwords.token(&user, self.clock.now()).ok_or(Unauthorized::Wrong)
    }

    /// Whether a client that says nothing of itself can be told to send a password.
    pub fn takes_passwords(&self) -> bool {
        self.passwords.is_some()
    }

    /// What a client that is not let in is to know.
    pub fn sentence(&self, why: Unauthorized) -> &'static str {
        match why {
            Unauthorized::Unknown | Unauthorized::Wrong | Unauthorized::Token
                if !self.takes_passwords() =>
            {
                "only clients with a certificate of the gate's own CA may pull"
            }
            Unauthorized::Unknown => "only users of the gate may pull: `docker login`",
            Unauthorized::Wrong => "the user's name or the password is wrong: `docker login`",
            Unauthorized::Token => {
                "the token has expired, or another gate issued it: repeat the request with a password"
            }
            Unauthorized::Busy => "too many passwords are being looked at: ask again",
        }
    }

    /// Whether `client` may have what is in that repository.
    pub fn may_pull(&self, client: &Client, registry: &Registry, repository: &Repository) -> bool {
        self.grants.cover(client.user().map(|user| &**user), registry, repository)
    }
}
