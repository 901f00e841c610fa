//! The configuration of a test's gate.

#![allow(unreachable_pub, reason = "reads the same wherever it is included")]
#![allow(dead_code, reason = "shared by tests that each use a part of it")]

use crate::notary_repository::NOW;

/// The configuration of a gate in addition to its upstream, and the files that it names.
#[derive(Clone)]
pub struct Setup {
    /// `NOTARY` is replaced by the Notary server's URL, and `PIN` by the key of [`World::signer`].
    pub tables: String,
    /// Additional lines of `[server]`.
    pub server: String,
    /// More lines of `[store]`.
    pub store: String,
    pub listen: &'static str,
    pub files: Vec<(String, Vec<u8>)>,
    /// Whether the upstream has bundles in `incoming`, and if so, whether it also has its `url`.
    pub bundles: Option<bool>,
    pub now: i64,
}

impl Setup {
    pub fn new(tables: impl Into<String>) -> Self {
        let (server, store, files) = (String::new(), String::new(), Vec::new());
        Self {
            tables: tables.into(),
            server,
            store,
            listen: "127.0.0.1:0",
            files,
            bundles: None,
            now: NOW,
        }
    }

    /// Adds a file next to the configuration.
    pub fn file(mut self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.files.push((name.to_owned(), content.as_ref().to_vec()));
        self
    }

    /// Adds lines about the public listener.
    pub fn server(self, lines: &str) -> Self {
        Self { server: lines.to_owned(), ..self }
    }

    /// Adds lines to `[store]`.
    pub fn store(self, lines: &str) -> Self {
        Self { store: lines.to_owned(), ..self }
    }

    /// Sets the address of the public listener.
    pub fn listen(self, listen: &'static str) -> Self {
        Self { listen, ..self }
    }

    /// Sets the start time of the test, in seconds.
    pub fn at(self, now: i64) -> Self {
        Self { now, ..self }
    }
}
