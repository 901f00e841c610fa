//! The credentials for a server or a proxy. Read from a file; never in logs or errors.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use thiserror::Error;

/// The largest password file, in bytes.
const MAX_PASSWORD_FILE: u64 = 64 << 10;

/// A user name and a password, as one `Authorization: Basic` (RFC 7617).
#[derive(Clone)]
pub struct Credentials {
    username: String,
    basic: HeaderValue,
}

/// Why there are no credentials.
#[derive(Debug, Error)]
pub enum InvalidCredentials {
    #[error("`username` and `password_file` go together, and only one is given")]
    Half,
    #[error("a user name must not contain a colon or control characters")]
    Username,
    #[error("cannot read the password in {}: {error}", .path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{path:?} contains no password: it must be one line of text")]
    Password { path: PathBuf },
}

impl Credentials {
    /// The credentials of `username`, whose password is the only line of `password_file`; `None` if neither is given.
    pub fn read(
        username: Option<&str>,
        password_file: Option<&Path>,
    ) -> Result<Option<Self>, InvalidCredentials> {
        let (username, path) = match (username, password_file) {
            (Some(username), Some(path)) => (username, path),
            (None, None) => return Ok(None),
            (Some(_), None) | (None, Some(_)) => return Err(InvalidCredentials::Half),
        };
        let failed = |error| InvalidCredentials::Read { path: path.to_owned(), error };
        let invalid = || InvalidCredentials::Password { path: path.to_owned() };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(failed)?;
        file.take(MAX_PASSWORD_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MAX_PASSWORD_FILE {
            return Err(invalid());
        }
        let text = String::from_utf8(bytes).map_err(|_| invalid())?;
        let password = text.strip_suffix('\n').unwrap_or(&text);
        let password = password.strip_suffix('\r').unwrap_or(password);
        if password.is_empty() || password.contains(char::is_control) {
            return Err(invalid());
        }
        Self::new(username, password).map(Some)
    }

    /// The credentials of `username` with `password`, which must be one line of text.
    pub fn new(username: &str, password: &str) -> Result<Self, InvalidCredentials> {
        if username.is_empty() || username.contains(|c: char| c == ':' || c.is_control()) {
            return Err(InvalidCredentials::Username);
        }
        let encoded = STANDARD.encode(format!("{username}:{password}"));
        let mut basic = HeaderValue::try_from(format!("Basic {encoded}"))
            .map_err(|_| InvalidCredentials::Username)?;
        basic.set_sensitive(true);
        Ok(Self { username: username.to_owned(), basic })
    }

    pub(crate) fn username(&self) -> &str {
        &self.username
    }

    /// The value of `Authorization`.
    pub(crate) fn basic(&self) -> &HeaderValue {
        &self.basic
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn credentials_are_not_in_debug_output() {
        let credentials = Credentials::new("robot", "open sesame").unwrap();
        assert_eq!(credentials.basic(), "Basic cm9ib3Q6b3BlbiBzZXNhbWU=");
        let shown = format!("{credentials:?} {:?}", credentials.basic());
        assert!(!shown.contains("sesame") && !shown.contains("cm9ib3Q6"), "{shown}");
    }

    #[test]
    fn incomplete_credentials_or_an_invalid_name_are_an_error() {
        let file = Path::new("/dev/null");
        assert!(matches!(Credentials::read(None, None), Ok(None)));
        assert!(matches!(Credentials::read(Some("a"), None), Err(InvalidCredentials::Half)));
        assert!(matches!(Credentials::read(None, Some(file)), Err(InvalidCredentials::Half)));
        let empty = Credentials::read(Some("a"), Some(file));
        assert!(matches!(empty, Err(InvalidCredentials::Password { .. })));
        for name in ["", "a:b", "a\n", "a\r\nb"] {
            assert!(matches!(Credentials::new(name, "x"), Err(InvalidCredentials::Username)));
        }
    }

    #[test]
    fn a_password_is_the_only_line_of_its_file() {
        let path =
            std::env::temp_dir().join(format!("countersign-password-{}", std::process::id()));
        let read = |content: &[u8]| {
            File::create(&path).unwrap().write_all(content).unwrap();
            Credentials::read(Some("node"), Some(&path))
        };
        for content in ["s3cret", "s3cret\n", "s3cret\r\n"] {
            let credentials = read(content.as_bytes()).unwrap().unwrap();
            assert_eq!(credentials.basic(), "Basic bm9kZTpzM2NyZXQ=", "{content:?}");
        }
        let long = "x".repeat(MAX_PASSWORD_FILE as usize + 1);
        for content in ["", "\n", "x\ny", "x\0", long.as_str()] {
            let error = read(content.as_bytes()).unwrap_err();
            assert!(matches!(error, InvalidCredentials::Password { .. }), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
    }
}
