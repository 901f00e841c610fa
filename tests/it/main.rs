//! The in-process tests: only loopback, no root, no sleeping.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

#[path = "../rig/answer.rs"]
mod answer;
#[path = "../rig/attached.rs"]
mod attached;
#[path = "../rig/carried.rs"]
mod carried;
#[path = "../rig/blob_site.rs"]
mod blob_site;
#[path = "../rig/exporter.rs"]
mod exporter;
#[path = "../rig/fake_notary.rs"]
mod fake_notary;
#[path = "../rig/fake_registry.rs"]
mod fake_registry;
#[path = "../rig/folder.rs"]
#[allow(dead_code, reason = "shared with the e2e tests, which use all of it")]
mod folder;
#[path = "../rig/notation_authority.rs"]
mod notation_authority;
#[path = "../rig/notation_signer.rs"]
mod notation_signer;
#[path = "../rig/notary_repository/mod.rs"]
mod notary_repository;
#[path = "../rig/files.rs"]
mod files;
#[path = "../rig/relay.rs"]
mod relay;
#[path = "../rig/sigstore/mod.rs"]
mod sigstore;
#[path = "../rig/stand_in_proxy.rs"]
mod stand_in_proxy;
#[path = "../rig/tls_server.rs"]
mod tls_server;
#[path = "../rig/token_server.rs"]
mod token_server;
#[path = "../rig/twin.rs"]
mod twin;
#[path = "../rig/setup.rs"]
mod setup;
#[path = "../rig/whole_gate.rs"]
mod whole_gate;

mod admin;
mod anchor_warnings;
mod architecture;
mod archives;
mod attest;
mod audit;
mod audited;
mod blob;
mod blob_turns;
mod bundle_commands;
mod bundles;
mod clients;
mod client_machine;
mod commands;
mod dead_connections;
mod definite_answers;
mod config;
mod conformance;
mod connections;
mod file_formats;
mod findings;
mod first_pull;
mod frozen_anchor;
mod cosign;
mod crowds;
mod demo;
mod denied;
mod downloads;
mod exempt_command;
mod exempted;
mod disguised;
mod hanging_disk;
mod hostile;
mod hostile_content;
mod informational;
mod retention;
mod learned;
mod leaving;
mod loads;
mod manifest;
mod mirror;
mod mirror_config;
mod next_steps;
mod node_config;
mod notary_auth;
mod notation;
mod notaryv1_attacks;
mod offline;
mod outage;
mod outgoing_proxies;
mod overload;
mod discovery;
mod proxy;
mod publish;
mod pull_through;
mod docs;
mod referrers;
mod registries;
mod registry_quirks;
mod reload;
mod replay_command;
mod replayed;
mod routes;
mod rule_config;
mod second_repository;
mod several_anchors;
mod side_door;
mod store;
mod store_folder;
mod tls;
mod trust_cache;
mod trust_memory;
mod supervised;
mod systemd;
mod tag_lifetimes;
mod undecided;
mod unstored;
mod unwritable_log;
mod upstream;
mod upstream_auth;
mod upstream_config;
mod upstream_lists;
mod monitoring;
mod warnings;
mod why;
mod wire;
