//! The tests' own Sigstore: a certificate authority, its certificate log, a signature log and a timestamp authority,
//! with keys created at run time; and the output of `cosign sign` with them. Independent of the verification code.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "shared by tests, each of which uses a part"
)]

mod artifact;
mod fulcio;
mod key;
mod rekor;
mod timestamp;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub use artifact::{Layer, bundle, pae, payload, statement};
pub use fulcio::{Authority, Certified, Leaf, Term, pem};
pub use key::{Key, Kind};
pub use rekor::Log;
pub use timestamp::{TimestampAuthority, response};

/// The signing time of all tests, in seconds: 2026-01-15.
pub const NOW: i64 = 1_768_435_200;
pub const HOUR: i64 = 3_600;
pub const DAY: i64 = 24 * HOUR;
pub const YEAR: i64 = 365 * DAY;

/// The services. [`Sigstore::shared`] is created once per test run.
pub struct Sigstore {
    pub fulcio: Authority,
    pub certificates: Key,
    pub rekor: Log,
    pub tsa: TimestampAuthority,
}

impl Sigstore {
    pub fn new() -> Self {
        Self {
            fulcio: Authority::new("fulcio", Term::years()),
            certificates: Key::new(Kind::P256),
            rekor: Log::new("rekor.test"),
            tsa: TimestampAuthority::new(),
        }
    }

    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Sigstore> = LazyLock::new(Sigstore::new);
        &SHARED
    }

    /// A certificate for `leaf`, logged like Fulcio's.
    pub fn certify(&self, leaf: &Leaf) -> Certified {
        self.fulcio.certify(leaf, Some(&self.certificates))
    }

    /// Its `trusted_root.json`.
    pub fn trusted_root(&self) -> Value {
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [self.rekor.trusted()],
            "certificateAuthorities": [self.fulcio.trusted()],
            "ctlogs": [trusted_log(&self.certificates, "https://ct.test")],
            "timestampAuthorities": [self.tsa.trusted()],
        })
    }
}

/// A log in a trusted root, identified by the hash of its key.
fn trusted_log(key: &Key, url: &str) -> Value {
    json!({
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": STANDARD.encode(key.spki()),
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "validFor": { "start": rfc3339(NOW - YEAR) },
        },
        "logId": { "keyId": STANDARD.encode(key.id()) },
    })
}

pub fn rfc3339(at: i64) -> String {
    OffsetDateTime::from_unix_timestamp(at).unwrap().format(&Rfc3339).unwrap()
}
