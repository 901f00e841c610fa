//! `countersign check`: validates a configuration and summarizes it.

use clap::Args;
use serde::Serialize;

use crate::app::open_files;
use crate::clock::{Clock, Timestamp};
use crate::commands::check;
use crate::config::Config;
use crate::oci::docker_hub::DOCKER_HUB;
use crate::policy::Policy;
use crate::registry_client;
use crate::server::DenialStatus;
use crate::toml_reader::Problem;

use super::{CONFIG_ERROR, ConfigFile, print};

/// Validate a configuration and summarize what it does.
///
/// Reads the certificates, keys, passwords and users that the configuration names, and reports settings that
/// cannot work or are unsafe as warnings. Opens no listener, no store and no connection.
/// Exit status: 0 valid, also with warnings; 2 invalid: prints every error with its file, line and key.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign check --config countersign.toml")]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigFile,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// The result of `--json`.
#[derive(Serialize)]
struct Checked {
    valid: bool,
    errors: Vec<InvalidKey>,
    warnings: Vec<String>,
}

/// One error of a configuration.
#[derive(Serialize)]
struct InvalidKey {
    file: String,
    line: usize,
    key: String,
    message: String,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let now = Clock::System.now();
        if !self.json {
            print(&meaning(&self.config.load()?, now))?;
            return Ok(0);
        }
        let (status, checked) = match self.config.load() {
            Ok(config) => {
                (0, Checked { valid: true, errors: Vec::new(), warnings: warnings(&config, now) })
            }
            Err(problems) => {
                let errors = problems.0.into_iter().map(InvalidKey::of).collect();
                (CONFIG_ERROR, Checked { valid: false, errors, warnings: Vec::new() })
            }
        };
        print(&(serde_json::to_string_pretty(&checked)? + "\n"))?;
        Ok(status)
    }
}

impl InvalidKey {
    fn of(problem: Problem) -> Self {
        let Problem { file, line, key, message } = problem;
        Self { file: file.display().to_string(), line, key, message }
    }
}

/// All warnings about `config`, also about the limits of this process.
fn warnings(config: &Config, now: Timestamp) -> Vec<String> {
    let mut warnings = check::warnings(config, now);
    warnings.extend(open_files::shortage(config).map(|shortage| shortage.to_string()));
    warnings
}

/// The summary of a configuration, in a few lines.
fn meaning(config: &Config, now: Timestamp) -> String {
    let url = |tls: bool, address| format!("{}://{address}", if tls { "https" } else { "http" });
    let server = &config.server;
    let denied = match server.denial_status {
        DenialStatus::NotFound => "",
        DenialStatus::Forbidden => ", and denies with 403",
    };
    let mut lines = vec![format!("listens   {}{denied}", url(server.tls.is_some(), server.listen))];
    lines.extend(config.mirror.as_ref().map(|mirror| {
        let url = url(mirror.tls.is_some(), mirror.listen);
        format!("mirror    {url}: denials keep clients from falling back to another registry, where they allow it")
    }));
    lines.extend(config.mirror.as_ref().and_then(|_| unnamed(&config.upstreams)));
    lines.extend(config.admin.map(|admin| format!("admin     http://{admin}")));
    let (path, mib) = (config.store.path.display(), config.store.max_size >> 20);
    lines.push(format!("store     {path}, at most {mib} MiB of content"));
    lines.push(format!("clients   {}", config.clients.summary()));
    lines.extend(config.audit.as_ref().map(|audit| format!("audit     {}", audit.summary())));
    for upstream in &config.upstreams {
        let default = if upstream.default { ", also for names without a registry" } else { "" };
        let (registry, url) = (&upstream.registry, &upstream.url);
        let proxy = upstream.proxy.summary(url);
        let from = match &upstream.bundles {
            None => format!("at {url}{proxy}"),
            Some(bundles) if upstream.is_offline => format!("only from the bundles {bundles}"),
            Some(bundles) => format!("at {url}{proxy}, and from the bundles {bundles}"),
        };
        lines.push(format!("upstream  {registry} {from}{default}"));
    }
    for anchor in &config.anchors {
        lines.push(format!("anchor    {}", anchor.summary()));
    }
    lines.extend(rules(&config.policy, now));
    lines.push("all other images are denied".to_owned());
    lines.extend(warnings(config, now).iter().map(|warning| format!("warning   {warning}")));
    lines.join("\n") + "\n"
}

/// docker asks a mirror for images of Docker Hub without naming the registry, so it gets images of the default
/// upstream. The line warns if that is another registry.
fn unnamed(upstreams: &[registry_client::Config]) -> Option<String> {
    let gets = match upstreams.iter().find(|upstream| upstream.default) {
        Some(default) if default.registry.as_str() == DOCKER_HUB => return None,
        Some(default) => format!("images of {}, the default upstream", default.registry),
        None => "nothing: there is no default upstream".to_owned(),
    };
    Some(format!(
        "          docker requests images of {DOCKER_HUB} without naming it, and gets {gets}"
    ))
}

fn rules(policy: &Policy, now: Timestamp) -> impl Iterator<Item = String> {
    policy.summary(now).map(|(images, meaning)| format!("rule      {images}: {meaning}"))
}
