//! `countersign denials`: lists the recent denials of a running gate.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::Args;
use serde::Deserialize;
use url::Url;

use crate::toml_reader;

use super::admin_client::{listener, page, parsed};
use super::{ConfigFile, print, wrong};

/// List the recent denials of a running gate.
///
/// Asks the admin listener of the gate for the denials that it remembers: the last 10,000 since its start, the newest
/// first, at most 1,000 at once. The audit file has older ones, if `[audit]` is set.
/// Exit status: 0; 2 invalid configuration or arguments; 1 the gate cannot be asked, or any other error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign denials --gate http://127.0.0.1:5051\n  \
    countersign denials --since 10m --json --config countersign.toml")]
pub(super) struct Denials {
    #[command(flatten)]
    config: ConfigFile,
    /// Admin listener of the gate. Without it, `[admin] listen` of the configuration.
    #[arg(long, value_name = "URL", value_parser = listener, conflicts_with = "file")]
    gate: Option<Url>,
    /// Only denials of this last period, such as 10m or 24h.
    #[arg(long, value_name = "TIME", default_value = "1h")]
    since: String,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// The answer of the gate.
#[derive(Deserialize)]
struct Listed {
    denials: Vec<Denied>,
    omitted: usize,
}

/// One denial: the members of its audit record that the text shows.
#[derive(Deserialize)]
struct Denied {
    timestamp: String,
    #[serde(rename = "image.registry")]
    registry: String,
    #[serde(rename = "image.repository")]
    repository: String,
    #[serde(rename = "image.reference")]
    reference: Option<String>,
    verdict: String,
    reason: Option<String>,
    because: Option<String>,
    #[serde(rename = "client.address")]
    client: String,
    #[serde(rename = "client.user")]
    user: Option<String>,
    request_id: String,
}

impl Denials {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        if let Err(error) = toml_reader::duration(&self.since) {
            return Ok(wrong("--since", error));
        }
        let gate = match self.gate {
            Some(gate) => gate,
            None => match self.config.load()?.admin {
                Some(listen) => Url::parse(&format!("http://{}", reachable(listen)))?,
                None => {
                    let file = self.config.path();
                    let error = "has no [admin] listener: add one, or write --gate URL";
                    return Ok(wrong(&file.display().to_string(), error));
                }
            },
        };
        let body = match page(&gate, "/denials", &[("since", &self.since)]).await? {
            Ok(body) => body,
            Err(error) => return Ok(wrong("--since", error)),
        };
        let listed: Listed = parsed(&gate, &body)?;
        if self.json {
            // The answer of the gate is this object.
            print(&String::from_utf8_lossy(&body))?;
        } else {
            print(&text(&listed, &self.since))?;
        }
        Ok(0)
    }
}

/// The address at which this machine reaches a listener.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => listen.ip(),
    };
    SocketAddr::new(ip, listen.port())
}

/// Two lines for each denial. Writing to a `String` cannot fail.
fn text(listed: &Listed, since: &str) -> String {
    if listed.denials.is_empty() {
        return format!("no denials in the last {since}\n");
    }
    let mut text = String::new();
    for one in &listed.denials {
        let before =
            if one.reference.as_ref().is_some_and(|it| it.contains(':')) { "@" } else { ":" };
        let reference = one.reference.as_ref().map(|it| format!("{before}{it}"));
        let reason = one.reason.as_ref().map(|reason| format!(" ({reason})"));
        let user = one.user.as_ref().map(|user| format!("{user} at "));
        let _ = writeln!(
            text,
            "{}  {}{}  {}/{}{}  client {}{}  request {}",
            one.timestamp,
            one.verdict,
            reason.unwrap_or_default(),
            one.registry,
            one.repository,
            reference.unwrap_or_default(),
            user.unwrap_or_default(),
            one.client,
            one.request_id
        );
        if let Some(because) = &one.because {
            let _ = writeln!(text, "  {because}");
        }
    }
    if listed.omitted > 0 {
        let _ = writeln!(
            text,
            "and {} older ones: use a shorter --since, or the audit file",
            listed.omitted
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listener_of_all_addresses_is_asked_on_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:5051", "127.0.0.1:5051"),
            ("[::]:5051", "[::1]:5051"),
            ("192.0.2.1:5051", "192.0.2.1:5051"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
