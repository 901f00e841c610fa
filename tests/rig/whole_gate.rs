//! The whole gate in this process, as an operator would run it: with a registry and a Notary server that can inject
//! faults, a manual clock, and an HTTP client.

#![allow(clippy::unwrap_used, reason = "a rig that fails is a test that fails")]
#![allow(unreachable_pub, reason = "reads the same wherever it is included")]
#![allow(dead_code, reason = "shared by tests that each use a part of it")]

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use countersign::app::{App, Keeping, Reloader, Running, Stopped};
use countersign::clock::{Clock, Timestamp};
use countersign::commands::why::{Explanation, explain};
use countersign::config::Config;
use countersign::oci::{Digest, MediaType, Repository};
use countersign::tasks::Supervisor;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

pub use crate::answer::Answer;
use crate::carried;
use crate::fake_notary::FakeNotary;
use crate::fake_registry::{FakeRegistry, REGISTRY};
use crate::folder::Folder;
use crate::notary_repository::{GUN, NotaryRepository, RELEASES};
pub use crate::setup::Setup;

/// The repository of [`GUN`] in the registry.
pub const APP: &str = "library/app";

/// The keys of the tests' anchor, except its name, server and pins.
pub const DEFAULTS: &str = r#"refresh = "5m"
max_stale = "24h""#;

pub struct World {
    pub registry: FakeRegistry,
    pub notary: FakeNotary,
    pub clock: Clock,
    /// Signs for [`GUN`]; its trust data counts only after [`World::publish`].
    pub signer: NotaryRepository,
    pub setup: Setup,
    gate: Option<Running>,
    client: Client<HttpConnector, Empty<Bytes>>,
    folder: Folder,
}

impl World {
    /// A gate for an empty registry, with one rule that requires the anchor for everything.
    pub async fn new() -> Self {
        Self::with(DEFAULTS, "").await
    }

    /// The same, with other lines in its `[[anchor]]`, and additional tables.
    pub async fn with(anchor: &str, rules: &str) -> Self {
        let tables = format!(
            r#"
            [[anchor]]
            name = "team"
            scheme = "notaryv1"
            url = "NOTARY"
            root_keys = ["PIN"]
            {anchor}

            [[rule]]
            images = ["{REGISTRY}/**"]
            require = ["team"]

            {rules}
            "#
        );
        Self::of(Setup::new(tables)).await
    }

    /// A gate with this configuration.
    pub async fn of(setup: Setup) -> Self {
        let mut signer = NotaryRepository::empty(GUN);
        signer.delegate(RELEASES, crate::notary_repository::Key::named(RELEASES));
        let mut world = Self {
            registry: FakeRegistry::start().await,
            notary: FakeNotary::start().await,
            clock: Clock::manual(Timestamp::from_unix(setup.now)),
            signer,
            setup,
            gate: None,
            client: Client::builder(TokioExecutor::new()).build_http(),
            folder: Folder::new("whole-gate"),
        };
        world.start().await;
        world
    }

    pub async fn start(&mut self) {
        self.carry();
        self.gate = Some(App::start(&self.config(), self.clock.clone()).await.unwrap());
    }

    /// The configuration of the gate.
    pub fn config(&self) -> Config {
        Config::load(&self.write_config()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// Writes the files of the configuration.
    fn write_config(&self) -> PathBuf {
        let Setup { tables, server, store, listen, files, bundles, .. } = &self.setup;
        for (name, content) in files {
            self.folder.write(name, content);
        }
        let pin = self.signer.role("root").keys[0].canonical_id();
        let url = self.registry.url("127.0.0.1");
        let (source, tables) = carried::source(*bundles, &url, tables);
        std::fs::create_dir_all(self.incoming()).unwrap();
        let tables = tables.replace("NOTARY", &self.notary.url()).replace("PIN", &pin);
        let text = format!(
            r#"
            [server]
            listen = "{listen}"
            {server}

            [mirror]
            listen = "127.0.0.1:0"

            [admin]
            listen = "127.0.0.1:0"

            [store]
            path = "store"
            {store}

            [[upstream]]
            registry = "{REGISTRY}"
            {source}
            default = true

            {tables}
            "#
        );
        self.folder.write("countersign.toml", text)
    }

    /// The folder of the gate's bundles.
    pub fn incoming(&self) -> PathBuf {
        self.folder.join("incoming")
    }

    /// If the gates of this program have only bundles, packs what the servers hold now.
    fn carry(&self) {
        let registry = self.registry.registry();
        carried::pack(registry, || self.notary.published(), &self.incoming());
    }

    /// The reloader of the configuration.
    pub fn reloader(&self) -> Reloader {
        self.reloader_of(self.config())
    }

    /// The same for a gate that was started with `config`.
    pub fn reloader_of(&self, config: Config) -> Reloader {
        self.gate.as_ref().unwrap().reloader(config)
    }

    /// Writes another configuration.
    pub fn configure(&mut self, setup: Setup) {
        self.setup = setup;
        self.write_config();
    }

    /// The output of `countersign why` for an image of [`APP`], from a separate process.
    pub async fn why(&self, reference: impl std::fmt::Display) -> Explanation {
        self.carry();
        let app = App::new(&self.config(), self.clock.clone(), Keeping::OnlyRead).unwrap();
        let reference = reference.to_string();
        let before = if reference.contains(':') { '@' } else { ':' };
        let image = format!("{REGISTRY}/{APP}{before}{reference}").parse().unwrap();
        explain(&app.gate(), &image).await
    }

    /// The URL of its admin listener.
    pub fn admin(&self) -> String {
        format!("http://{}", self.gate.as_ref().unwrap().admin().unwrap())
    }

    /// The gate's metrics.
    pub async fn metrics(&self) -> String {
        let url = format!("{}/metrics", self.admin());
        let request = Request::get(url).body(Empty::new()).unwrap();
        let body = self.client.request(request).await.unwrap().into_body();
        String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    pub async fn stop(&mut self) {
        self.stopped().await;
    }

    /// Stops the gate, and returns the result.
    pub async fn stopped(&mut self) -> Stopped {
        self.gate.take().unwrap().stop().await
    }

    /// The response of the admin listener.
    pub async fn ask_admin(&self, path: &str) -> Answer {
        self.ask(Method::GET, &format!("{}{path}", self.admin()), &[]).await
    }

    /// Restarts the gate on the same store: it loses the state that was only in memory.
    pub async fn restart(&mut self) {
        self.gate.take().unwrap().stop().await;
        self.start().await;
    }

    /// The same with another configuration.
    pub async fn restart_with(&mut self, setup: Setup) {
        self.setup = setup;
        self.restart().await;
    }

    /// Restarts the gate with a new, empty store.
    pub async fn restart_afresh(&mut self) {
        self.gate.take().unwrap().stop().await;
        self.folder = Folder::new("whole-gate");
        self.start().await;
    }

    /// Restarts it with its trust memory but without any content.
    pub async fn restart_without_content(&mut self) {
        self.gate.take().unwrap().stop().await;
        std::fs::remove_dir_all(self.folder.join("store/content")).unwrap();
        std::fs::remove_file(self.folder.join("store/facts.redb")).unwrap();
        self.start().await;
    }

    /// The folder of the gate's store.
    pub fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// The files below the store whose names end in `end`.
    pub fn files(&self, end: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.join("store")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.to_str().unwrap().ends_with(end) {
                    found.push(path);
                }
            }
        }
        found
    }

    /// Overwrites a file, as a failing disk or an attacker would.
    pub fn break_file(&self, path: &Path, content: &[u8]) {
        std::fs::File::create(path).unwrap().write_all(content).unwrap();
    }

    pub fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Publishes the signer's new signatures.
    pub fn publish(&mut self) {
        self.notary.publish(GUN, self.signer.publish());
    }

    /// Pushes an image to [`APP`] and returns its manifest.
    pub fn push(&self, tag: &str, text: &str) -> Vec<u8> {
        let manifest = self.put_image(text);
        self.put_tag(tag, &manifest);
        manifest
    }

    /// Points `tag` to `manifest` upstream.
    pub fn put_tag(&self, tag: &str, manifest: &[u8]) {
        self.registry.registry().put_tag(&app(), tag.parse().unwrap(), Digest::of(manifest));
    }

    /// Pushes an image without a tag.
    pub fn put_image(&self, text: &str) -> Vec<u8> {
        let (config, layer) = (b"{}".to_vec(), text.as_bytes().to_vec());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OciImage.as_str(),
            "config": described("application/vnd.oci.image.config.v1+json", &config),
            "layers": [described("application/vnd.oci.image.layer.v1.tar", &layer)],
        });
        self.registry.registry().put_blob(&app(), config);
        self.registry.registry().put_blob(&app(), layer);
        self.put(MediaType::OciImage, &manifest)
    }

    /// Pushes an index of these manifests.
    pub fn put_index(&self, manifests: &[&[u8]]) -> Vec<u8> {
        let listed: Vec<Value> = manifests
            .iter()
            .map(|manifest| {
                let parsed: Value = serde_json::from_slice(manifest).unwrap();
                described(parsed["mediaType"].as_str().unwrap(), manifest)
            })
            .collect();
        let index = json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(),
            "manifests": listed });
        self.put(MediaType::OciIndex, &index)
    }

    /// Pushes a manifest to [`APP`].
    pub fn put(&self, media_type: MediaType, manifest: &Value) -> Vec<u8> {
        let bytes = manifest.to_string().into_bytes();
        self.registry.registry().put_manifest(&app(), media_type.as_str(), bytes.clone());
        bytes
    }

    /// Pushes an image, then signs and publishes it under its tag.
    pub fn push_signed(&mut self, tag: &str, text: &str) -> Vec<u8> {
        let manifest = self.push(tag, text);
        self.sign(tag, &manifest);
        manifest
    }

    /// Signs and publishes `manifest` as `tag`.
    pub fn sign(&mut self, tag: &str, manifest: &[u8]) {
        self.signer.tag(RELEASES, tag, manifest);
        self.publish();
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let url = self.gate.as_ref().unwrap().url();
        self.ask(method, &format!("{url}{path}"), headers).await
    }

    /// The same on the listener for clients that use the gate as a mirror.
    pub async fn as_mirror(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let url = self.gate.as_ref().unwrap().mirror_url().unwrap();
        self.ask(method, &format!("{url}{path}"), headers).await
    }

    /// The bytes that arrived, or an error if the response was interrupted.
    pub async fn try_mirror(&self, path: &str) -> Result<Bytes, hyper::Error> {
        let url = self.gate.as_ref().unwrap().mirror_url().unwrap();
        let request = Request::get(format!("{url}{path}")).body(Empty::new()).unwrap();
        let answer = self.client.request(request).await.unwrap();
        Ok(answer.into_body().collect().await?.to_bytes())
    }

    async fn ask(&self, method: Method, url: &str, headers: &[(&str, &str)]) -> Answer {
        self.carry();
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.client.request(request.body(Empty::new()).unwrap()).await.unwrap();
        Answer::of(answer).await
    }

    /// The supervisor of the gate's tasks.
    pub fn supervisor(&self) -> &Supervisor {
        self.gate.as_ref().unwrap().supervisor()
    }

    pub fn public(&self) -> SocketAddr {
        self.gate.as_ref().unwrap().public()
    }

    pub fn mirror_address(&self) -> SocketAddr {
        self.gate.as_ref().unwrap().mirror().unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[]).await
    }

    /// Pulls a manifest of [`APP`] by tag or digest.
    pub async fn pull(&self, reference: impl std::fmt::Display) -> Answer {
        self.get(&format!("/v2/{APP}/manifests/{reference}")).await
    }
}

/// [`APP`].
pub fn app() -> Repository {
    APP.parse().unwrap()
}

/// A descriptor of `content`.
pub fn described(media_type: &str, content: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(content).to_string(),
        "size": content.len() })
}
