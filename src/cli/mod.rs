//! The commands. Standard output is for results, standard error for logs and errors.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;

use crate::app::{App, Keeping};
use crate::clock::Clock;
use crate::config::Config;
use crate::demo::{self, Style};
use crate::explain::{exit_status, explain};
use crate::forget::Forgettable;
use crate::oci::ImageRef;
use crate::policy::Policy;
use crate::settings::Problems;
use crate::telemetry;

const CONFIG_ERROR: u8 = 2;
const OTHER_ERROR: u8 = 1;

/// A pull-through registry proxy that serves only signed container images.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gate until SIGTERM or SIGINT, then let what is started finish.
    ///
    /// SIGHUP reads the certificate again. Logs go to standard error, filtered by RUST_LOG.
    /// Exit status: 0; 2 for an error in the configuration; 1 for any other.
    Serve {
        /// The configuration; `config.example.toml` names every key.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Read and cross-check a configuration, and tell what it means. Opens and connects to nothing.
    ///
    /// Exit status: 0; 2 with every error that was found, each with its file, line and key.
    Check {
        /// The configuration; `config.example.toml` names every key.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Take the whole decision about one image, and explain it.
    ///
    /// Exit status: 0 admitted; 3 refused or absent; 4 undecided; 2 for an error in the configuration.
    Why {
        #[arg(help = "registry/repository[:tag][@digest]")]
        image: String,
        /// The configuration; `config.example.toml` names every key.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// One JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Forget what one tag had: the image that it was last served as, and how new its signature was.
    ///
    /// A gate that is running takes the tag as it is from then on, also where `on_rollback` refused it.
    /// To be run as the user that the gate runs as.
    /// Exit status: 0, also where nothing was remembered; 2 for an error in the configuration or the
    /// image; 1 for any other.
    #[command(after_help = "Example:\n  \
        countersign forget registry.example.com/library/app:v1 --config countersign.toml")]
    Forget {
        #[arg(help = "registry/repository[:tag]")]
        image: String,
        /// The configuration; `config.example.toml` names every key.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// A registry and a Notary server in this process, with signed and unsigned images, and the gate
    /// before them: no configuration, no network, no root.
    Demo {
        /// Pull each image through the gate, print the verdicts and stop. Exit status: 0 if every
        /// verdict is the expected one, 1 otherwise.
        #[arg(long)]
        once: bool,
    },
}

/// Runs the command that the arguments of this process name.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    // The page of verdicts tells it all.
    let quiet = matches!(arguments.command, Command::Demo { once: true });
    let least = if quiet { LevelFilter::OFF } else { LevelFilter::INFO };
    if let Err(error) = telemetry::init(least) {
        return failed(OTHER_ERROR, &error.to_string());
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(OTHER_ERROR, &format!("cannot start: {error}")),
    };
    let outcome = runtime.block_on(async {
        match arguments.command {
            Command::Serve { config } => serve(&config).await,
            Command::Check { config } => check(&config),
            Command::Why { image, config, json } => why(&image, &config, json).await,
            Command::Forget { image, config } => forget(&image, &config),
            Command::Demo { once } => show(once).await,
        }
    });
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => match error.downcast_ref::<Problems>() {
            Some(problems) => failed(CONFIG_ERROR, &problems.to_string()),
            None => failed(OTHER_ERROR, &format!("{error:#}")),
        },
    }
}

fn failed(code: u8, message: &str) -> ExitCode {
    // Where standard error is closed, the exit status is all that can be said.
    let _ = writeln!(io::stderr(), "countersign: {message}");
    ExitCode::from(code)
}

fn print(text: &str) -> anyhow::Result<()> {
    io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
}

async fn serve(file: &Path) -> anyhow::Result<u8> {
    let config = Config::load(file)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let running = App::start(&config, Clock::System).await?;
    let admin = running.admin().map(|admin| format!("http://{admin}"));
    tracing::info!(target: telemetry::ALWAYS, address = %running.url(), admin, "listening");
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => running.reload(),
        }
    }
    tracing::info!("stopping: new connections are refused, started answers finish");
    running.stop().await;
    Ok(0)
}

async fn show(once: bool) -> anyhow::Result<u8> {
    let mut out = io::stdout();
    let plain = !out.is_terminal() || std::env::var_os("NO_COLOR").is_some();
    let style = if plain { Style::Plain } else { Style::Coloured };
    if once {
        let expected = demo::once(style, &mut out).await?;
        return Ok(if expected { 0 } else { OTHER_ERROR });
    }
    demo::show(style, &mut out).await?;
    Ok(0)
}

fn check(file: &Path) -> anyhow::Result<u8> {
    let config = Config::load(file)?;
    print(&meaning(&config))?;
    Ok(0)
}

/// What a configuration means, in a few lines.
fn meaning(config: &Config) -> String {
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    let mut lines = vec![format!("listens   {scheme}://{}", config.server.listen)];
    lines.extend(config.admin.map(|admin| format!("admin     http://{admin}")));
    let (path, mib) = (config.store.path.display(), config.store.max_size >> 20);
    lines.push(format!("store     {path}, at most {mib} MiB of content"));
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

fn forget(image: &str, file: &Path) -> anyhow::Result<u8> {
    let config = Config::load(file)?;
    match Forgettable::parse(image, &config) {
        Ok(tag) => print(&tag.forget(&config, &Clock::System)?.to_string())?,
        Err(error) => {
            let _ = failed(CONFIG_ERROR, &format!("{image:?}: {error}"));
            return Ok(CONFIG_ERROR);
        }
    }
    Ok(0)
}

async fn why(image: &str, file: &Path, json: bool) -> anyhow::Result<u8> {
    let config = Config::load(file)?;
    let image: ImageRef = match image.parse() {
        Ok(image) => image,
        Err(error) => {
            let _ = failed(CONFIG_ERROR, &format!("{image:?}: {error}"));
            return Ok(CONFIG_ERROR);
        }
    };
    let app = App::new(&config, Clock::System, Keeping::OnlyRead)?;
    let explanation = explain(app.gate(), &image).await;
    if json {
        print(&(serde_json::to_string_pretty(&explanation)? + "\n"))?;
    } else {
        print(&explanation.to_text())?;
    }
    Ok(exit_status(&explanation))
}
