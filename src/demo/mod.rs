//! `countersign demo`: a registry and a Notary server in this process, with signed and unsigned images,
//! and the real gate before them. No configuration, no network, no root. The servers serve the tests
//! too; nothing here is for production.

mod exhibits;
mod image;
mod notary;
mod page;
mod publisher;
mod registry;
mod visit;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
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
use crate::settings::Document;

use exhibits::{Exhibition, REGISTRY};
use visit::Visitor;

pub use notary::MemoryNotary;
pub use page::Style;
pub use publisher::{Publisher, Signed, SigningError, Statement, TrustFiles};
pub use registry::MemoryRegistry;

/// Where the gate listens if nothing else does: the port of the example configuration.
const PORT: u16 = 5050;

/// Shows the demo until Ctrl-C.
pub async fn show(style: Style, out: &mut (impl Write + Send)) -> anyhow::Result<()> {
    let preferred = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let free = TcpListener::bind(preferred).await.is_ok();
    let demo = Demo::start(if free { PORT } else { 0 }).await?;
    let (gate, exhibits) = (demo.gate.url(), &demo.exhibition.exhibits);
    let addresses = [
        ("gate", gate.as_str(), "pull from here"),
        ("registry", demo.registry.as_str(), "the same images, unguarded"),
        ("notary", demo.notary.as_str(), "who signed what"),
    ];
    let addresses = addresses.map(|(name, url, about)| (name, url.trim_end_matches('/'), about));
    out.write_all(page::welcome(style, &addresses, exhibits).as_bytes())?;
    write!(out, "\n{}", page::try_it(style, &gate, exhibits))?;
    out.flush()?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    demo.stop().await;
    Ok(())
}

/// Pulls every exhibit through the gate and writes what it said; whether all of it was expected.
pub async fn once(style: Style, out: &mut (impl Write + Send)) -> anyhow::Result<bool> {
    let demo = Demo::start(0).await?;
    let visitor = Visitor::new(Url::parse(&demo.gate.url())?)?;
    let mut visited = Vec::new();
    for exhibit in &demo.exhibition.exhibits {
        let seen = visitor.pull(exhibit).await;
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
    servers: [JoinHandle<io::Result<()>>; 2],
    _folder: Folder,
}

impl Demo {
    /// Sets everything up, the gate on that port of this machine.
    async fn start(port: u16) -> anyhow::Result<Self> {
        let clock = Clock::System;
        let exhibition = Exhibition::set_up(clock.now())?;
        let (registry_listener, registry) = listener().await?;
        let (notary_listener, notary) = listener().await?;
        let servers = [
            tokio::spawn(Arc::clone(&exhibition.registry).serve(registry_listener)),
            tokio::spawn(Arc::clone(&exhibition.notary).serve(notary_listener)),
        ];
        let folder = Folder::new()?;
        let text = config(port, &folder.0, &registry, &notary, &exhibition);
        let document = Document::from_text(&folder.0.join("demo.toml"), text);
        let config = Config::read(&document).context("the demo's own configuration")?;
        let gate = App::start(&config, clock).await?;
        Ok(Self { exhibition, gate, registry, notary, servers, _folder: folder })
    }

    async fn stop(self) {
        self.gate.stop().await;
        for server in self.servers {
            server.abort();
        }
    }
}

/// The gate's configuration, as an operator would write it.
fn config(port: u16, store: &Path, registry: &Url, notary: &Url, demo: &Exhibition) -> String {
    let store = toml::Value::String(store.join("store").display().to_string());
    let root_key = demo.root_key_id;
    format!(
        r#"
        [server]
        listen = "127.0.0.1:{port}"

        [store]
        path = {store}

        [[upstream]]
        registry = "{REGISTRY}"
        url = "{registry}"
        default = true

        [[anchor]]
        name = "demo-publisher"
        scheme = "notaryv1"
        url = "{notary}"
        root_keys = ["{root_key}"]

        [[rule]]
        images = ["{REGISTRY}/**"]
        require = ["demo-publisher"]

        [[rule]]
        images = ["{REGISTRY}/sandbox/**"]
        mode = "allow"
        reason = "anything may be tried here"

        [[rule]]
        images = ["{REGISTRY}/retired/**"]
        mode = "deny"
        "#
    )
}

/// A free port of this machine, and its URL.
async fn listener() -> anyhow::Result<(TcpListener, Url)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = Url::parse(&format!("http://{}", listener.local_addr()?))?;
    Ok((listener, url))
}

/// A folder of its own, gone when the demo is.
struct Folder(PathBuf);

impl Folder {
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
            tracing::warn!(path = %self.0.display(), %error, "the demo's folder stays");
        }
    }
}
