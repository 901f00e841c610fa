//! What was found on a client machine: each way around the gate, and what to do about it. Knows no file
//! format.

use std::fmt;

use serde::Serialize;

use crate::oci::docker_hub;

/// Whose files say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Client {
    Docker,
    Containerd,
    K3s,
    Podman,
    /// The machine itself, whatever program asks.
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

/// Whether a way around the gate is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Open,
    /// It could not be looked at.
    Undecided,
    /// The files leave it open; where it leads could not be reached from this machine.
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

/// Which trap it is. Programs may rely on these words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trap {
    /// All is as it should be.
    None,
    /// It could not be read, or not wholly.
    Unread,
    /// Nothing leads there: the registry itself is asked.
    NotLed,
    /// The registry itself is asked after an error of the gate.
    Fallback,
    /// Another place is asked than the gate.
    OtherPlace,
    /// A file that is broken is passed over, and the registry itself is asked.
    Broken,
    /// `server` without a `[host]`, which older containerd takes for broken.
    ServerAlone,
    /// `server` below a `[host]`, where it means nothing.
    MisplacedServer,
    /// Tags are looked up elsewhere.
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
    /// Tags (or digests) are never asked of the mirror.
    ByDigestOnly,
    /// An entry with a longer prefix.
    Reopened,
    /// Short names are looked up at a registry that does not lead to the gate.
    SearchedElsewhere,
    /// The registry can be reached from this machine.
    Egress,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub state: State,
    pub client: Client,
    pub trap: Trap,
    pub file: Option<String>,
    pub line: Option<usize>,
    /// What it means.
    pub meaning: String,
    /// What to do about it; empty where there is nothing to do.
    pub remedy: String,
    /// The server that the way leads to, `host[:port]`; none where it leads through the gate's own name.
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

/// The server that is asked for images of a registry.
pub(super) fn server_of(registry: &str) -> &str {
    if registry == docker_hub::DOCKER_HUB { docker_hub::SERVER } else { registry }
}
