//! The arguments that choose the repositories of `trust inventory` and `trust export`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;

use super::super::{ConfigFile, replay, wrong};
use crate::app::{App, Keeping};
use crate::clock::Clock;
use crate::commands::content_trust::Scope;
use crate::gate::Gate;
use crate::trust::Anchor;

/// The repositories to list.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Repositories, as registry/repository, in addition to those that the trust memory contains and the rules name.
    #[arg(value_name = "REPOSITORY")]
    repositories: Vec<String>,
    /// Also list the repositories of these audit logs (JSON lines); `-` is standard input.
    #[arg(long = "from-audit", value_name = "LOG", num_args = 1..)]
    logs: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigFile,
}

/// The chosen repositories, and the gate that judges them.
pub(super) struct Chosen {
    pub(super) app: App,
    pub(super) scope: Scope,
}

impl Which {
    /// The inner error is an exit status; its message is already printed.
    pub(super) async fn choose(self) -> anyhow::Result<Result<Chosen, u8>> {
        let config = self.config.load()?;
        let app = App::new(&config, Clock::System, Keeping::OnlyRead)?;
        let gate = app.gate();
        if !gate.trust().anchors().any(Anchor::signs_names) {
            bail!(
                "{} has no anchor with scheme = \"notaryv1\", the scheme of Docker Content Trust",
                self.config.path().display()
            );
        }
        let mut scope = Scope::default();
        for name in &self.repositories {
            let last = name.rsplit('/').next().unwrap_or(name);
            if last.contains([':', '@']) {
                return Ok(Err(wrong(name, "name a repository, without a tag or a digest")));
            }
            match app.image(name) {
                Ok(image) => scope.add_named(&gate, &image.repository),
                Err(error) => return Ok(Err(wrong(name, error))),
            }
        }
        scope.add_rules(&gate);
        if !self.logs.is_empty() {
            match replay::read(&self.logs) {
                Ok((pulls, tally)) => scope.add_pulls(&gate, &pulls, tally),
                Err((log, error)) => return Ok(Err(wrong(&log, error))),
            }
        }
        let registries: Vec<_> =
            config.upstreams.iter().map(|upstream| upstream.registry.clone()).collect();
        scope.add_memory(&gate, &registries).await;
        Ok(Ok(Chosen { app, scope }))
    }
}

/// The anchors whose schemes sign content.
pub(super) fn others(gate: &Gate) -> Vec<Arc<str>> {
    let others = gate.trust().anchors().filter(|anchor| !anchor.signs_names());
    others.map(|anchor| anchor.name().clone()).collect()
}
