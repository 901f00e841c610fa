//! `countersign demo`: a registry and a Notary server in this process, with images that are signed in every way
//! and images that are attacked, and the real gate in front of them. No configuration, no network, no root. The
//! servers serve the tests too; nothing here is for production.

mod authority;
mod config;
mod cosign;
mod exhibits;
mod image;
mod key;
mod notary;
mod notation;
mod page;
mod program;
mod publisher;
mod registry;
mod sigstore;
mod visit;

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use url::Url;

use crate::app::{App, Running};
use crate::clock::Clock;
use crate::config::Config;
use crate::toml_reader::Document;

use config::Ports;
use exhibits::Exhibition;
use page::Places;
use visit::Visitor;

pub use key::SigningError;
pub use notary::MemoryNotary;
pub use page::Style;
pub use publisher::{Publisher, Signed, Statement, TrustFiles};
#[cfg(feature = "test-support")]
pub use registry::Held;
pub use registry::MemoryRegistry;

/// Where the gate listens if these ports are free: as in the example configuration.
const PREFERRED: Ports = Ports { gate: 5050, admin: 5051 };

/// Shows the demo until Ctrl-C. `program` is the command that users type to start this program.
pub async fn show(
    program: &str,
    style: Style,
    out: &mut (impl Write + Send),
) -> anyhow::Result<()> {
    let ports = Ports { gate: free(PREFERRED.gate).await, admin: free(PREFERRED.admin).await };
    let demo = Demo::start(ports).await?;
    let exhibits = &demo.exhibition.exhibits;
    let places = Places {
        gate: demo.gate_url()?,
        admin: demo.admin_url()?,
        registry: demo.registry.clone(),
        notary: demo.notary.clone(),
        config: demo.config.display().to_string(),
        program: program.to_owned(),
    };
    out.write_all(page::welcome(style, &places, exhibits).as_bytes())?;
    out.write_all(page::try_it(style, &places, exhibits).as_bytes())?;
    out.flush()?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    demo.stop().await;
    Ok(())
}

/// Pulls every exhibit through the gate and writes what the gate said; whether all of it was expected.
pub async fn once(style: Style, out: &mut (impl Write + Send)) -> anyhow::Result<bool> {
    let demo = Demo::start(Ports::default()).await?;
    let visitor = Visitor::new(demo.gate_url()?, demo.admin_url()?)?;
    let mut visited = Vec::new();
    for exhibit in &demo.exhibition.exhibits {
        let seen = visitor.visit(exhibit).await;
        visited.push((exhibit.clone(), seen));
    }
    demo.stop().await;
    out.write_all(page::verdicts(style, &visited).as_bytes())?;
    out.flush()?;
    Ok(visited.iter().all(|(exhibit, seen)| seen.is(&exhibit.expected)))
}

/// Everything that runs.
struct Demo {
    exhibition: Exhibition,
    gate: Running,
    registry: Url,
    notary: Url,
    config: PathBuf,
    servers: [JoinHandle<io::Result<()>>; 2],
    _folder: Folder,
}

impl Demo {
    /// Sets everything up, the gate on these ports of this machine.
    async fn start(ports: Ports) -> anyhow::Result<Self> {
        let clock = Clock::System;
        let exhibition = Exhibition::set_up(clock.now())?;
        let (registry_listener, registry) = listener().await?;
        let (notary_listener, notary) = listener().await?;
        let servers = [
            tokio::spawn(Arc::clone(&exhibition.registry).serve(registry_listener)),
            tokio::spawn(Arc::clone(&exhibition.notary).serve(notary_listener)),
        ];
        let folder = Folder::new()?;
        let (path, text) = config::write(folder.path(), ports, &registry, &notary, &exhibition)?;
        let read = Config::read(&Document::from_text(&path, text));
        let gate = App::start(&read.context("the demo's own configuration")?, clock).await?;
        Ok(Self { exhibition, gate, registry, notary, config: path, servers, _folder: folder })
    }

    fn gate_url(&self) -> anyhow::Result<Url> {
        Ok(Url::parse(&self.gate.url())?)
    }

    fn admin_url(&self) -> anyhow::Result<Url> {
        let admin = self.gate.admin().context("the demo has no admin listener")?;
        Ok(Url::parse(&format!("http://{admin}"))?)
    }

    async fn stop(self) {
        self.gate.stop().await;
        for server in self.servers {
            server.abort();
        }
    }
}

/// The port if nothing listens on it, otherwise 0.
async fn free(port: u16) -> u16 {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.is_ok();
    if free { port } else { 0 }
}

/// A free port of this machine, and its URL.
async fn listener() -> anyhow::Result<(TcpListener, Url)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = Url::parse(&format!("http://{}", listener.local_addr()?))?;
    Ok((listener, url))
}

/// A temporary folder, removed with this value.
struct Folder(PathBuf);

impl Folder {
    fn path(&self) -> &Path {
        &self.0
    }

    fn new() -> io::Result<Self> {
        // A name that nobody can have made first, readable by nobody else.
        let mut random = [0_u8; 8];
        aws_lc_rs::rand::fill(&mut random).map_err(io::Error::other)?;
        let name = format!("countersign-demo-{}", hex::encode(random));
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove the demo's folder");
        }
    }
}
