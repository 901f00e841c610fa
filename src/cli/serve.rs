//! `countersign serve`: runs the gate until a signal stops it.

use std::io;

use anyhow::bail;
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::{App, Reloader, Running, Stopped, open_files};
use crate::clock::Clock;
use crate::config::Config;
use crate::systemd;
use crate::telemetry;

use super::ConfigFile;

/// Run the gate until SIGTERM or SIGINT, then finish the requests in progress.
///
/// The gate reloads the configuration on SIGHUP and when the file, or a file that it names, changes. If the new
/// configuration is invalid, the gate logs the errors and keeps the previous one. Changes of addresses, the store
/// and the limits of listeners take effect at the next start. Logs go to standard error, filtered by RUST_LOG.
/// Exit status: 0; 2 invalid configuration; 1 any other error.
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
        let signals = Signals::listen()?;
        let running = App::start(&config, Clock::System).await?;
        serve(running, config, signals).await
    }
}

/// The signals that this process handles.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Serves until a signal arrives, or until an essential task ends.
async fn serve(running: Running, config: Config, signals: Signals) -> anyhow::Result<u8> {
    let Signals { mut terminate, mut interrupt, hangup } = signals;
    let admin = running.admin().map(|admin| format!("http://{admin}"));
    let (address, mirror) = (running.url(), running.mirror_url());
    let status = format!("listening on {address}");
    tracing::info!(target: telemetry::ALWAYS, address, mirror, admin, "listening");
    systemd::ready(&status);
    running.reload_by(reload(running.reloader(config), hangup, status));
    let failed = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        task = running.supervisor().failed() => Some(task),
    };
    systemd::stopping();
    tracing::info!("stopping: refusing new connections, finishing requests in progress");
    match (running.stop().await, failed) {
        (Stopped::Whole, None) => Ok(0),
        (Stopped::Unfinished, None) => bail!(
            "the disk did not respond in time: the last audit records and changes of the tag history may \
             be missing"
        ),
        (_, Some(task)) => bail!(
            "the task {} ended, and the gate cannot run without it: this is a bug; see the log for the \
             cause, and restart the gate",
            task.name()
        ),
    }
}

/// Reloads the configuration on SIGHUP and after each change of a file.
async fn reload(mut reloader: Reloader, mut hangup: Signal, status: String) {
    loop {
        tokio::select! {
            _ = hangup.recv() => {}
            () = reloader.changed() => {}
        }
        systemd::reloading();
        // The errors were logged, and the previous configuration stays in use.
        let _ = reloader.reload().await;
        systemd::ready(&status);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::tasks::Task;

    #[tokio::test]
    async fn the_end_of_an_essential_task_ends_the_process_with_an_error() {
        for task in [Task::TagHistory, Task::Reload] {
            let name = format!("countersign-serve-{}-{}", task.name(), std::process::id());
            let folder = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&folder).unwrap();
            let file = folder.join("countersign.toml");
            let text = "[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"store\"\n\
                        [[upstream]]\nregistry = \"registry.example.com\"\n";
            std::fs::File::create(&file).unwrap().write_all(text.as_bytes()).unwrap();
            let config = Config::load(&file).unwrap();
            let running = App::start(&config, Clock::System).await.unwrap();
            running.supervisor().kill(task);
            let served = serve(running, config, Signals::listen().unwrap());
            let served = tokio::time::timeout(std::time::Duration::from_secs(30), served).await;
            let error = served.unwrap().unwrap_err().to_string();
            assert!(error.starts_with(&format!("the task {} ended", task.name())), "{error}");
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
}
