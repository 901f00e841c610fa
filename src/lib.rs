//! Countersign: a pull-through registry proxy that serves only signed container images.
//!
//! *A request is parsed into a name, the name is judged into a proof, the proof is turned into a
//! response*: `Request → Route → Admitted → Response`. Nothing below the gate knows how clients are
//! answered, and nothing above it knows signatures.
//!
//! # Life of a request
//!
//! ```text
//!                     Generations::current     what one reading of the configuration made
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
//!                                                                                  └ a mirror's: mirror
//! ```
//!
//! A request keeps the generation with which it began, also if the configuration is reloaded meanwhile. The result of
//! `Gate::admit` is recorded once, with the response (`server::audit`, [`audit`]): in the log, in memory, in the file.
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
//! restrictions of an anchor (`revoked`, `not_after`, `max_age`, …) leave out signatures that verify. Each arrow into a
//! proof is a constructor that only its own module can call:
//!
//! ```text
//! metadata ─ signed ─► Verified<Role> ─ chain ─► SignedRepository ─► Endorsement ──────────────────────────────┐
//! signatures ─ cosign, notation ─► VerifiedSignature ─ findings ─► Verdict ─► Endorsement ──┴ policy ─► Permit ─┤
//!                                                                                  gate ─► Admitted ─ server ─► Body
//! upstream's bytes ─ hash ─► Fetched ───────────────────────────────────────────────────────────────────────────┤
//! manifests that it points at outside `manifests` ─ Gate ─► Outside ────────────────────────────────────────────┘
//! ```
//!
//! What is known of a repository's signatures is a trust fact, expires, and is kept by the trust cache
//! and its memory on disk. What a digest stands for is a content fact, never changes, and is kept by the
//! store; deleting all of that changes no verdict. The history of tags is a trust fact, too: it has a database of
//! its own, apart from the store's.
//!
//! # Life of a blob
//!
//! ```text
//! Gate::blob ─► PullThrough ─┬─ Store::content ── a mapped file, sliced ──────────────────┐
//!                            ├─ InFlight ─► Download ─► Ingest ─► StoredContent           ├─► BlobStream ─► OpenBlob ─► Body
//!                            │                 └─ Progress ─► Joined, one for each client ┤
//!                            └─ Straight from upstream: what cannot be kept ──────────────┘
//! ```
//!
//! A blob whose bytes a client could read as a manifest is a manifest, wherever it is stored
//! (`pull_through::inspect`, `oci::recognize`): the gate serves it only if it admits it as one.
//!
//! # The layers
//!
//! Lowest first: a module uses only modules above it in this list.
//!
//! - [`clock`]: the time, as a value.
//! - [`requester`]: on whose behalf work is done.
//! - [`text`]: texts that others wrote, as people may see them.
//! - [`telemetry`]: where log events go; a process that serves loses them rather than wait.
//! - [`tasks`]: the long-lived tasks of a process that serves, each of which is started again or ends it.
//! - [`json`]: JSON read strictly, once.
//! - [`glob`]: patterns over names: one meaning of `*`.
//! - [`queue_time`]: how long a server is waited for, without the time in the gate's own queues.
//! - [`parsing`]: where large texts are parsed, few at a time, within one budget of memory.
//! - [`toml_reader`]: TOML read key by key, with every error.
//! - [`oci`]: the words of the registry's specifications: names, digests, manifests, errors.
//! - [`http_client`]: how we call out: one client for one server, with ceilings and deadlines.
//! - [`store`]: content facts on disk: which bytes a digest stands for, and which repository holds them.
//! - [`registry_client`]: the registry behind us, and how it lets us in.
//! - [`pull_through`]: content out of the store, else from upstream: held against its digest, and kept.
//! - [`trust`]: who vouches for which digest, until when.
//! - [`exemptions`]: digests let through for a while, because somebody said so.
//! - [`policy`]: the rules: which anchors an image needs, which images are denied, and the only permission to serve one.
//! - [`access`]: who may pull, and what.
//! - [`gate`]: admit or deny; the only place where an endorsement and content meet.
//! - [`audit`]: the record of each decision: the log event, the last ones, the file.
//! - [`server`]: the public listener: paths, answers, connections.
//! - [`config`]: the sections of the configuration, composed and cross-checked.
//! - [`commands`]: what the command line and the admin listener do alike: explain a decision, forget a tag, exempt a
//!   digest, replay recorded pulls, propose rules.
//! - [`admin`]: the private listener: alive, ready, metrics, why.
//! - [`app`]: the parts, made and joined.
//! - [`demo`]: a registry and a Notary server in this process, with signatures of every scheme, and the gate in
//!   front of them.
//! - [`client_config`]: the files that lead a client to the gate.
//! - [`doctor`]: the ways around the gate that a client's files leave open.
//! - [`systemd`]: what the service manager is told.
//! - [`cli`]: the commands.
//!
//! The program uses `cli` alone. The feature `test-support` makes the other modules public for the tests, and adds what
//! only tests call; without it the compiler reports code that the program does not use.

// What is public or reexported serves the tests, too.
#![cfg_attr(not(feature = "test-support"), allow(unused_imports, unreachable_pub))]

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
