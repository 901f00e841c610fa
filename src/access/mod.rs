//! Who may pull: everyone, or clients with a password or certificate; and which repositories each of them may pull.
//! Knows names and repositories, not trust: a client that may pull an image still receives it only if it is admitted.

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
use crate::oci::RepositoryRef;
use grants::Grants;
use passwords::Passwords;

/// Decides who a client is and what it may pull. Built from one version of the configuration.
#[derive(Debug)]
pub struct Clients {
    passwords: Option<Passwords>,
    certificates: Option<Certificates>,
    grants: Grants,
    clock: Clock,
}

/// A client that is authenticated, or that needs no authentication. Only [`Clients::identify`] creates one:
///
/// ```compile_fail,E0423
/// use countersign::access::Client;
/// fn anybody() -> Client {
///     Client(None)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client(Option<Arc<str>>);

/// Why a client is not authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unauthorized {
    /// It sent no credentials.
    Unknown,
    /// Its credentials are wrong.
    Wrong,
    /// Its token has expired, or this gate did not issue it.
    Token,
    /// Too many password checks are in progress.
    Busy,
}

impl Client {
    /// The user name; `None` where everyone may pull.
    pub fn user(&self) -> Option<&Arc<str>> {
        self.0.as_ref()
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("an anonymous client"))
    }
}

impl Clients {
    /// Fails if the system provides no random numbers.
    pub fn new(config: &Config, clock: Clock) -> Result<Self, Unspecified> {
        Ok(Self {
            passwords: config.htpasswd.clone().map(Passwords::new).transpose()?,
            certificates: config.certificates.clone(),
            grants: config.grants.clone(),
            clock,
        })
    }

    /// The clients of a new version of the configuration. Passwords that were verified before stay verified while the
    /// user's hash is the same.
    pub fn renewed(&self, config: &Config) -> Result<Self, Unspecified> {
        let renewed = Self::new(config, self.clock.clone())?;
        let passwords = match (&self.passwords, &config.htpasswd) {
            (Some(before), Some(file)) => Some(before.renewed(file.clone())),
            (_, _) => renewed.passwords,
        };
        Ok(Self { passwords, ..renewed })
    }

    /// Everyone may pull everything.
    #[cfg(feature = "test-support")]
    pub fn open() -> Self {
        let (passwords, certificates, grants) = (None, None, Grants::default());
        Self { passwords, certificates, grants, clock: Clock::System }
    }

    /// Whether everyone may pull everything.
    pub fn is_open(&self) -> bool {
        self.passwords.is_none() && self.certificates.is_none()
    }

    /// The client that sent `headers` from that address, on a connection with that certificate, if any.
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
            // A client with a certificate is authenticated by it, or not at all.
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

    /// A token for the user whose password is in `headers`. It replaces the password for [`LIFETIME`].
    pub async fn token(&self, headers: &HeaderMap, from: IpAddr) -> Result<Token, Unauthorized> {
        let passwords = self.passwords.as_ref().ok_or(Unauthorized::Unknown)?;
        let user = passwords.user(headers, from).await?;
        passwords.token(&user, self.clock.now()).ok_or(Unauthorized::Wrong)
    }

    /// Whether a client without credentials can be asked for a password.
    pub fn takes_passwords(&self) -> bool {
        self.passwords.is_some()
    }

    /// The message for a client that is not authenticated.
    pub fn sentence(&self, why: Unauthorized) -> &'static str {
        match why {
            Unauthorized::Unknown | Unauthorized::Wrong | Unauthorized::Token
                if !self.takes_passwords() =>
            {
                "only clients with a certificate from the gate's client CA may pull"
            }
            Unauthorized::Unknown => "only users of the gate may pull: run `docker login`",
            Unauthorized::Wrong => "wrong user name or password: run `docker login`",
            Unauthorized::Token => {
                "the token has expired, or another gate issued it: repeat the request with a password"
            }
            Unauthorized::Busy => "too many logins in progress; retry",
        }
    }

    /// Whether `client` may pull from that repository.
    pub fn may_pull(&self, client: &Client, repository: &RepositoryRef) -> bool {
        self.grants.cover(client.user().map(|user| &**user), repository)
    }
}
