//! `countersign serve`: a gate until it is told to stop.

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{App, open_files};
use crate::clock::Clock;
use crate::systemd;
use crate::telemetry;

use super::ConfigFile;

/// Run the gate until SIGTERM or SIGINT, then let what is started finish.
///
/// SIGHUP, and a change of the configuration or of a file that it names, has it read again: what is wrong
/// with it is told, and then the old one stays in use. Addresses, the store and the limits of listeners are
/// read only at start. Logs go to standard error, filtered by RUST_LOG.
/// Exit status: 0; 2 for an error in the configuration; 1 for any other.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign serve --config countersign.toml")]
pub(super) struct Serve {
    #[command(flatten)]
    config: ConfigFile,
}

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        open_files::raise_limit();
        let config = self.config.load()?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let running = App::start(&config, Clock::System).await?;
        let admin = running.admin().map(|admin| format!("http://{admin}"));
        let (address, mirror) = (running.url(), running.mirror_url());
        let status = format!("listening on {address}");
        tracing::info!(target: telemetry::ALWAYS, address, mirror, admin, "listening");
        systemd::ready(&status);
        let mut reloader = running.reloader(config);
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => {}
                () = reloader.changed() => {}
            }
            systemd::reloading();
            // What is wrong with it was told, and what was read before stays in use.
            let _ = reloader.reload().await;
            systemd::ready(&status);
        }
        systemd::stopping();
        tracing::info!("stopping: new connections are refused, started answers finish");
        running.stop().await;
        Ok(0)
    }
}
