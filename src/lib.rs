//! Countersign: a pull-through registry proxy that serves only signed container images.
//!
//! The server parses a request into a name, the gate judges the name and returns a proof, and the server
//! turns the proof into a response: `Request → Route → Admitted → Response`. No module below the gate knows
//! how the server responds, and no module above it knows signatures.
//!
//! # Life of a request
//!
//! ```text
//!                     Generations::current     the parts built from one configuration
//!                              │
//! client ─► connection ─► Route::parse ─► Clients ─ ImageRef ─► Gate::admit ─ Admitted ─► respond ─ Body ─► client
//!                              │             │                      │
//!                        Malformed 400    401, 403      1 Policy::rule_for      the rule and its anchors
//!                                                       2 Trust::signed         what they signed: Endorsement
//!                                                       3 Required::judge       whether that meets the rule: Permit
//!                                                       4 PullThrough::manifest the content of that digest: Fetched
//!                                                       5 Admitted::new         compares permit and content
//!                                                                   │
//!                                                                Denial ─► denied ─┬ clients: 404 · 503
//!                                                                                  └ mirror clients: mirror
//! ```
//!
//! A request keeps the generation it started with, even if the configuration is reloaded meanwhile. The server records
//! the result of `Gate::admit` once, with the response (`server::audit`, [`audit`]): in the log, in memory, and in the
//! audit file.
//!
//! A client that uses the gate as a mirror asks another registry after an error. The mirror listener admits the same
//! images, but replaces each denial with a response that such a client accepts as final (`server::denied`,
//! `server::mirror`).
//!
//! Deny rules take precedence over everything, and are checked in two places: `Policy::rule_for` chooses a deny rule for
//! a name before any other rule, and `gate::denied` refuses a denied digest when it is resolved, fetched, and served.
//!
//! Trust comes first. Notary v1 signs names: the gate asks the upstream for the signed digest and never for the client's
//! tag. cosign and notation sign content: the gate resolves the tag once, and judges and serves that digest. The
//! restrictions of an anchor (`revoked`, `not_after`, `max_age`, …) exclude signatures that verify. Each arrow into a
//! proof is a constructor that only its own module can call:
//!
//! ```text
//! metadata ─ signed ─► Verified<Role> ─ chain ─► SignedRepository ─► Endorsement ─────────────────┐
//! signatures ─ cosign, notation ─► VerifiedSignature ─ findings ─► AnchorVerdict ─► Endorsement ──┴ policy ─► Permit ─┐
//! upstream's bytes ─ hash ─► Fetched ─────────────────────────────────────────────────────────────────────────────────┼ gate
//! manifests that it lists outside `manifests` ─ Gate ─► Outside ──────────────────────────────────────────────────────┘
//! gate ─► Admitted ─ server ─► Body
//! ```
//!
//! The signatures of a repository are trust facts: they expire, and the trust cache and its memory on disk keep them.
//! The content of a digest is a content fact: it never changes, and the store keeps it. Deleting the whole store
//! changes no verdict. The history of tags is a trust fact, too: it has its own database.
//!
//! # Life of a blob
//!
//! ```text
//! Gate::blob ─► PullThrough ─┬─ Store::content ── a mapped file, sliced ──────────────────┐
//!                            ├─ InFlight ─► Download ─► Ingest ─► StoredContent           ├─► BlobStream ─► OpenBlob ─► Body
//!                            │                 └─ Progress ─► Joined, one per client ─────┤
//!                            └─ Sharing ─► Window ─► Unstored, one per client ────────────┘
//! ```
//!
//! The gate treats a blob that a client could read as a manifest as a manifest (`pull_through::inspect`,
//! `oci::recognize`): it serves the blob only if it admits that manifest.
//!
//! # The layers
//!
//! Lowest first. A module uses only modules that are listed above it.
//!
//! - [`clock`]: time as a value.
//! - [`requester`]: the client for which work is done.
//! - [`text`]: makes untrusted text safe to show.
//! - [`telemetry`]: writes log events; the server drops events rather than wait.
//! - [`tasks`]: the long-lived tasks of the server; a task that ends is restarted, or ends the process.
//! - [`json`]: strict JSON parsing.
//! - [`glob`]: patterns with `*`.
//! - [`file_state`]: whether a file changed, from its metadata.
//! - [`queue_time`]: measures the wait for a server, without the time in Countersign's own queues.
//! - [`parsing`]: parses large texts, few at a time, within one memory budget.
//! - [`toml_reader`]: reads TOML key by key and reports every error.
//! - [`oci`]: the types of the OCI specifications: names, digests, manifests, errors.
//! - [`signing`]: signs statements about images for commands; the serving gate holds no private key.
//! - [`http_client`]: outgoing requests: one client per server, with size limits and deadlines.
//! - [`store`]: content facts on disk: the bytes of each digest, and the repositories that hold them.
//! - [`registry_client`]: requests to the upstream registry, and authentication there.
//! - [`pull_through`]: reads content from the store, otherwise from upstream; checks its digest and stores it.
//! - [`trust`]: finds and verifies signatures: who endorses which digest, and until when.
//! - [`bundle`]: images and trust data in one file: writes it, and reads it as a hostile registry.
//! - [`exemptions`]: digests that an operator exempted for a limited time.
//! - [`policy`]: the rules: which anchors an image needs, which images are denied, and the only permission to serve one.
//! - [`access`]: authenticates and authorizes clients.
//! - [`gate`]: admits or denies; the only module that combines endorsements and content.
//! - [`audit`]: records each decision: in the log, in memory, and in the audit file.
//! - [`server`]: the public listener: routes, responses, connections.
//! - [`config`]: combines and cross-checks the sections of the configuration.
//! - [`commands`]: the operations behind the command line: check a configuration, explain a decision (also for the admin
//!   listener), forget a tag, exempt a digest, replay recorded pulls, propose rules, attest images.
//! - [`admin`]: the private listener: liveness, readiness, metrics, `why`, `denials`.
//! - [`app`]: creates and connects the parts.
//! - [`demo`]: a registry and a Notary server in this process, with signatures of every scheme, and the gate in
//!   front of them.
//! - [`client_config`]: the configuration files that make a client pull through the gate.
//! - [`doctor`]: finds client settings that bypass the gate.
//! - [`systemd`]: notifications to the service manager.
//! - [`cli`]: the command line.
//!
//! The program uses `cli` alone. The feature `test-support` makes the other modules public for the tests, and adds what
//! only tests call; without it the compiler reports code that the program does not use.

// Without the feature, `pub` items and reexports that only tests use would be reported.
#![cfg_attr(not(feature = "test-support"), allow(unused_imports, unreachable_pub))]

// Written out, because rustfmt does not follow modules that a macro declares.
#[cfg(feature = "test-support")]
pub mod clock;
#[cfg(not(feature = "test-support"))]
mod clock;
#[cfg(feature = "test-support")]
pub mod requester;
#[cfg(not(feature = "test-support"))]
mod requester;
#[cfg(feature = "test-support")]
pub mod text;
#[cfg(not(feature = "test-support"))]
mod text;
#[cfg(feature = "test-support")]
pub mod telemetry;
#[cfg(not(feature = "test-support"))]
mod telemetry;
#[cfg(feature = "test-support")]
pub mod tasks;
#[cfg(not(feature = "test-support"))]
mod tasks;
#[cfg(feature = "test-support")]
pub mod json;
#[cfg(not(feature = "test-support"))]
mod json;
#[cfg(feature = "test-support")]
pub mod glob;
#[cfg(not(feature = "test-support"))]
mod glob;
#[cfg(feature = "test-support")]
pub mod file_state;
#[cfg(not(feature = "test-support"))]
mod file_state;
#[cfg(feature = "test-support")]
pub mod queue_time;
#[cfg(not(feature = "test-support"))]
mod queue_time;
#[cfg(feature = "test-support")]
pub mod parsing;
#[cfg(not(feature = "test-support"))]
mod parsing;
#[cfg(feature = "test-support")]
pub mod toml_reader;
#[cfg(not(feature = "test-support"))]
mod toml_reader;
#[cfg(feature = "test-support")]
pub mod oci;
#[cfg(not(feature = "test-support"))]
mod oci;
#[cfg(feature = "test-support")]
pub mod signing;
#[cfg(not(feature = "test-support"))]
mod signing;
#[cfg(feature = "test-support")]
pub mod http_client;
#[cfg(not(feature = "test-support"))]
mod http_client;
#[cfg(feature = "test-support")]
pub mod store;
#[cfg(not(feature = "test-support"))]
mod store;
#[cfg(feature = "test-support")]
pub mod registry_client;
#[cfg(not(feature = "test-support"))]
mod registry_client;
#[cfg(feature = "test-support")]
pub mod pull_through;
#[cfg(not(feature = "test-support"))]
mod pull_through;
#[cfg(feature = "test-support")]
pub mod trust;
#[cfg(not(feature = "test-support"))]
mod trust;
#[cfg(feature = "test-support")]
pub mod bundle;
#[cfg(not(feature = "test-support"))]
mod bundle;
#[cfg(feature = "test-support")]
pub mod exemptions;
#[cfg(not(feature = "test-support"))]
mod exemptions;
#[cfg(feature = "test-support")]
pub mod policy;
#[cfg(not(feature = "test-support"))]
mod policy;
#[cfg(feature = "test-support")]
pub mod access;
#[cfg(not(feature = "test-support"))]
mod access;
#[cfg(feature = "test-support")]
pub mod gate;
#[cfg(not(feature = "test-support"))]
mod gate;
#[cfg(feature = "test-support")]
pub mod audit;
#[cfg(not(feature = "test-support"))]
mod audit;
#[cfg(feature = "test-support")]
pub mod server;
#[cfg(not(feature = "test-support"))]
mod server;
#[cfg(feature = "test-support")]
pub mod config;
#[cfg(not(feature = "test-support"))]
mod config;
#[cfg(feature = "test-support")]
pub mod commands;
#[cfg(not(feature = "test-support"))]
mod commands;
#[cfg(feature = "test-support")]
pub mod admin;
#[cfg(not(feature = "test-support"))]
mod admin;
#[cfg(feature = "test-support")]
pub mod app;
#[cfg(not(feature = "test-support"))]
mod app;
#[cfg(feature = "test-support")]
pub mod demo;
#[cfg(not(feature = "test-support"))]
mod demo;
#[cfg(feature = "test-support")]
pub mod client_config;
#[cfg(not(feature = "test-support"))]
mod client_config;
#[cfg(feature = "test-support")]
pub mod doctor;
#[cfg(not(feature = "test-support"))]
mod doctor;
#[cfg(feature = "test-support")]
pub mod systemd;
#[cfg(not(feature = "test-support"))]
mod systemd;
pub mod cli;
