//! The user and password that a client sends to a gate with passwords.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

/// Why a user and a password cannot be sent.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum InvalidCredentials {
    #[error("the user name is empty, or contains `:` or a control character")]
    User,
    #[error("the password file must contain exactly one line")]
    Password,
}

/// A user and a password, as the value of the header `Authorization`. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(String);

impl Credentials {
    /// The credentials of `user`; `password` is the content of a file and may end with a line break.
    ///
    /// # Errors
    /// The user or the password cannot be sent.
    pub fn new(user: &str, password: &str) -> Result<Self, InvalidCredentials> {
        if user.is_empty() || user.contains(|c: char| c == ':' || c.is_control()) {
            return Err(InvalidCredentials::User);
        }
        let password = password.trim_end_matches(['\r', '\n']);
        if password.is_empty() || password.contains(char::is_control) {
            return Err(InvalidCredentials::Password);
        }
        Ok(Self(format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))))
    }

    /// The value of the header.
    pub(super) fn authorization(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}
