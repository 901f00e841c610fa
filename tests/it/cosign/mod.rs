//! The verification of cosign signatures, with the tests' own Sigstore: valid signatures, and one test for each known
//! failure of other verifiers. No network, no clock.

#![expect(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "what tests share is no part of a test's body"
)]

mod bench;

mod bounds;
mod config;
mod entries;
mod keyless;
mod keys;
mod kinds;
mod logged;
mod patterns;
mod pki;
mod recorded;
mod restrictions;
mod signing;
mod timestamps;
