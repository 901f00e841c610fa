//! `countersign check`: what a configuration means.

use clap::Args;

use crate::config::Config;
use crate::policy::Policy;
use crate::server::DenialStatus;

use super::{ConfigFile, print};

/// Read and cross-check a configuration, and tell what it means. Opens and connects to nothing.
///
/// Exit status: 0; 2 with every error that was found, each with its file, line and key.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign check --config countersign.toml")]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigFile,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        print(&meaning(&self.config.load()?))?;
        Ok(0)
    }
}

/// What a configuration means, in a few lines.
fn meaning(config: &Config) -> String {
    let url = |tls: bool, address| format!("{}://{address}", if tls { "https" } else { "http" });
    let server = &config.server;
    let denied = match server.denial_status {
        DenialStatus::NotFound => "",
        DenialStatus::Forbidden => ", and denies with 403",
    };
    let mut lines = vec![format!("listens   {}{denied}", url(server.tls.is_some(), server.listen))];
    lines.extend(config.mirror.as_ref().map(|mirror| {
        let url = url(mirror.tls.is_some(), mirror.listen);
        format!("mirror    {url}: denies so that a client does not ask elsewhere, as far as it can")
    }));
    lines.extend(config.admin.map(|admin| format!("admin     http://{admin}")));
    let (path, mib) = (config.store.path.display(), config.store.max_size >> 20);
    lines.push(format!("store     {path}, at most {mib} MiB of content"));
    lines.push(format!("clients   {}", config.clients.told()));
    lines.extend(config.audit.as_ref().map(|audit| format!("audit     {}", audit.told())));
    for upstream in &config.upstreams {
        let default = if upstream.default { ", also for names without a registry" } else { "" };
        lines.push(format!("upstream  {} at {}{default}", upstream.registry, upstream.url));
    }
    for anchor in &config.anchors {
        lines.push(format!("anchor    {}", anchor.told()));
    }
    lines.extend(rules(&config.policy));
    lines.push("anything else is refused".to_owned());
    lines.join("\n") + "\n"
}

fn rules(policy: &Policy) -> impl Iterator<Item = String> {
    policy.told().map(|(images, meaning)| format!("rule      {images}: {meaning}"))
}
