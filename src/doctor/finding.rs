//! A finding on a client machine: a bypass of the gate, and how to fix it.

use std::fmt;

use serde::Serialize;

use crate::oci::docker_hub;

/// The client whose files cause a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Client {
    Docker,
    Containerd,
    K3s,
    Podman,
    /// The machine itself: any program.
    Machine,
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::K3s => "k3s",
            Self::Podman => "podman",
            Self::Machine => "machine",
        })
    }
}

/// Whether a bypass is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Open,
    /// It could not be checked.
    Undecided,
    /// The files leave it open, but its server is not reachable from this machine.
    Held,
    Closed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Open => "open",
            Self::Undecided => "undecided",
            Self::Held => "held",
            Self::Closed => "closed",
        })
    }
}

/// The kind of bypass. Programs may rely on these words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trap {
    /// No bypass.
    None,
    /// A file could not be read completely.
    Unread,
    /// No setting names the gate: the client uses the registry itself.
    NotLed,
    /// The client falls back to the registry after an error of the gate.
    Fallback,
    /// The client uses another server than the gate.
    OtherPlace,
    /// The client ignores an invalid file and uses the registry itself.
    Broken,
    /// `server` without a `[host]`, which older containerd rejects.
    ServerAlone,
    /// `server` below a `[host]`, where it has no effect.
    MisplacedServer,
    /// The client resolves tags elsewhere.
    NoResolve,
    /// A folder without a hosts.toml hides that of `_default`.
    HidesDefault,
    /// CRI does not read hosts.toml.
    NoConfigPath,
    /// `config_path` names several folders, of which CRI reads none.
    ConfigPathList,
    /// containerd's older `registry.mirrors`.
    LegacyMirrors,
    /// The gate's certificate is not verified, or there is none.
    Insecure,
    /// Docker Hub by another name.
    OtherName,
    /// The client never uses the mirror for tags (or digests).
    ByDigestOnly,
    /// An entry with a longer prefix.
    Reopened,
    /// The client searches short names in a registry that bypasses the gate.
    SearchedElsewhere,
    /// The registry is reachable from this machine.
    Egress,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub state: State,
    pub client: Client,
    pub trap: Trap,
    pub file: Option<String>,
    pub line: Option<usize>,
    /// What it means.
    pub meaning: String,
    /// How to fix it; empty if there is nothing to fix.
    pub remedy: String,
    /// The server that the client uses instead of the gate, `host[:port]`.
    pub leads_to: Option<String>,
}

impl Finding {
    fn new(state: State, client: Client, trap: Trap, meaning: String) -> Self {
        let (file, line, leads_to) = (None, None, None);
        Self { state, client, trap, file, line, meaning, remedy: String::new(), leads_to }
    }

    pub(super) fn open(client: Client, trap: Trap, meaning: impl Into<String>) -> Self {
        Self::new(State::Open, client, trap, meaning.into())
    }

    pub(super) fn undecided(client: Client, meaning: impl Into<String>) -> Self {
        Self::new(State::Undecided, client, Trap::Unread, meaning.into())
    }

    pub(super) fn closed(client: Client, meaning: impl Into<String>) -> Self {
        Self::new(State::Closed, client, Trap::None, meaning.into())
    }

    pub(super) fn at(self, file: &str, line: Option<usize>) -> Self {
        Self { file: Some(file.to_owned()), line, ..self }
    }

    pub(super) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: remedy.into(), ..self }
    }

    pub(super) fn leading_to(self, server: &str) -> Self {
        Self { leads_to: Some(server.to_owned()), ..self }
    }
}

/// The server that clients use for images of a registry.
pub(super) fn server_of(registry: &str) -> &str {
    if registry == docker_hub::DOCKER_HUB { docker_hub::SERVER } else { registry }
}
