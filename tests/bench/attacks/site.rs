//! The gate as a process, a registry and a Notary server that misbehave on purpose, and signed images.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use countersign::oci::{Digest, MediaType, Repository};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::attack;
use crate::bystander::timed;
use crate::fake_notary::FakeNotary;
use crate::fake_registry::{Asked, FakeRegistry, Fault, REGISTRY, respond};
use crate::folder::Folder;
use crate::notary_repository::{Certificate, GUN, Key, NotaryRepository, RELEASES, in_days};

const MIB: usize = 1 << 20;
/// The listeners have this many places.
pub(crate) const CONNECTIONS: usize = 512;
/// A blob that can be stored.
pub(crate) const STORED: usize = 16 * MIB;
/// A blob that cannot be stored.
pub(crate) const UNSTORED: usize = 40 * MIB;
/// Days in which a certificate of these tests is valid, and metadata does not expire, on any machine.
const LONG: i64 = 7300;

pub(crate) struct Site {
    pub(crate) registry: FakeRegistry,
    _notary: FakeNotary,
    process: Child,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    _folder: Folder,
}

/// The layer of the image for attack `number`.
pub(crate) fn cold_layer(number: usize) -> Vec<u8> {
    vec![b'a' + u8::try_from(number).unwrap(); MIB]
}

impl Site {
    pub(crate) async fn start(program: &str) -> Self {
        let (registry, notary) = (FakeRegistry::start().await, FakeNotary::start().await);
        let mut signer = NotaryRepository::empty(GUN);
        let root = Certificate { from: -LONG, until: LONG, ..Certificate::named(GUN) };
        *signer.keys_mut("root") = vec![root.of(&Key::named("root"))];
        signer.delegate(RELEASES, Key::named(RELEASES));
        for role in ["root", "targets", "snapshot", "timestamp", RELEASES] {
            signer.role_mut(role).expires = in_days(LONG);
        }
        let pin = signer.role("root").keys[0].canonical_id();
        signer.tag(RELEASES, "v1", &put_image(&registry, b"kept"));
        for number in 0..=attack::ALL.len() {
            let manifest = put_image(&registry, &cold_layer(number));
            signer.tag(RELEASES, &format!("cold-{number}"), &manifest);
        }
        notary.publish(GUN, signer.publish());
        notary.hook(|asked| asked.path.contains("/random/").then_some(Fault::Silence));
        let open: Repository = "open/app".parse().unwrap();
        registry.registry().put_blob(&open, vec![b's'; STORED]);
        registry.registry().put_blob(&open, vec![b'u'; UNSTORED]);
        let (list, referrers, manifest) = (tags(5_000), referrers(), large_manifest());
        let million = tags(1_000_000);
        registry.hook(move |asked| fault(asked, &list, &million, &referrers, &manifest));

        let folder = Folder::new("attacks");
        let socket = folder.join("notify");
        let manager = UnixDatagram::bind(&socket).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = config(&registry, &notary, &pin, admin, hints().await);
        let config = folder.write("countersign.toml", config);
        let mut command = Command::new(program);
        command.arg("serve").arg("--config").arg(config).env("NOTIFY_SOCKET", &socket);
        // Nobody reads the log, which is an attack, too.
        command.env("RUST_LOG", "debug").stdin(Stdio::null()).stderr(Stdio::piped());
        let process = command.spawn().unwrap();
        let mut reported = [0; 1024];
        let length = manager.recv(&mut reported).unwrap();
        let ready = String::from_utf8(reported[..length].to_vec()).unwrap();
        let status =
            ready.lines().find_map(|line| line.strip_prefix("STATUS=listening on http://"));
        let public = status.unwrap_or_else(|| panic!("{ready}")).parse().unwrap();
        let site = Self { registry, _notary: notary, process, public, admin, _folder: folder };
        site.keep(&signer).await
    }

    /// Pulls what is kept, and lets the gate know the images whose layers are cold.
    async fn keep(self, signer: &NotaryRepository) -> Self {
        let tags: Vec<String> = signer.role(RELEASES).tags.keys().cloned().collect();
        let public = self.public;
        let stored = format!("/v2/open/app/blobs/{}", Digest::of(&vec![b's'; STORED]));
        let pulls = move || {
            for tag in tags {
                let (_, answer) = timed(public, &format!("/v2/library/app/manifests/{tag}"));
                let text = String::from_utf8_lossy(&answer);
                assert!(text.starts_with("HTTP/1.1 200 "), "{tag}: {text}");
            }
            let (_, answer) = timed(public, &stored);
            assert!(answer.len() > STORED);
        };
        tokio::task::spawn_blocking(pulls).await.unwrap();
        self
    }

    /// The resident memory of the gate, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// The connections of the public listener, and the bytes that the kernel buffers for their clients.
    pub(crate) fn connections(&self) -> (u64, u64) {
        let local = format!(":{:04X}", self.public.port());
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let (mut connections, mut unsent) = (0, 0);
        for line in table.lines().skip(1) {
            let columns: Vec<_> = line.split_whitespace().collect();
            // Established, or closed by the client only.
            if columns[1].ends_with(&local) && ["01", "08"].contains(&columns[3]) {
                connections += 1;
                let (queued, _) = columns[4].split_once(':').unwrap();
                unsent += u64::from_str_radix(queued, 16).unwrap();
            }
        }
        (connections, unsent)
    }

    /// Waits until no client is connected and the gate does nothing; returns how long that took.
    pub(crate) fn until_calm(&self, limit: Duration) -> Duration {
        let start = Instant::now();
        while start.elapsed() < limit {
            let (before, begun) = (self.ticks(), start.elapsed());
            thread::sleep(Duration::from_millis(200));
            // A tick is 10 ms.
            if self.connections().0 == 0 && self.ticks() - before <= 4 {
                return begun;
            }
        }
        limit
    }

    /// The processor time of the gate so far, in clock ticks.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(self.proc("stat")).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<_> = fields.split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.process.id())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn config(
    registry: &FakeRegistry,
    notary: &FakeNotary,
    pin: &str,
    admin: SocketAddr,
    hints: SocketAddr,
) -> String {
    format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        max_connections = {CONNECTIONS}

        [admin]
        listen = "{admin}"

        [store]
        path = "store"
        max_size = "64MiB"

        [[upstream]]
        registry = "{REGISTRY}"
        url = "{}"
        default = true

        [[upstream]]
        registry = "hints.example.com"
        url = "http://{hints}"

        [[anchor]]
        name = "team"
        scheme = "notaryv1"
        url = "{}"
        root_keys = ["{pin}"]
        refresh = "5m"
        max_stale = "24h"
        max_timestamp_life = "36500d"

        [[rule]]
        images = ["{REGISTRY}/**"]
        require = ["team"]

        [[rule]]
        images = ["{REGISTRY}/open/**", "hints.example.com/**"]
        mode = "allow"
        reason = "load is tested, not trust"
        "#,
        registry.url("127.0.0.1"),
        notary.url(),
    )
}

/// A registry that sends informational responses without end.
async fn hints() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(100);
        while let Ok((mut connection, _)) = listener.accept().await {
            let hints = hints.clone();
            tokio::spawn(async move {
                let mut request = [0; 16];
                let _ = connection.read_exact(&mut request).await;
                while connection.write_all(hints.as_bytes()).await.is_ok() {}
            });
        }
    });
    address
}

fn fault(
    asked: &Asked,
    list: &Bytes,
    million: &Bytes,
    referrers: &Bytes,
    manifest: &Bytes,
) -> Option<Fault> {
    let path = &asked.path;
    let give = |body: &Bytes| Some(Fault::Respond(respond(200, body.clone())));
    match path {
        _ if path.contains("/silent/") => Some(Fault::Silence),
        _ if path.contains("/stalls/") && path.contains("/blobs/") => Some(Fault::Stall(1000)),
        _ if path.contains("/endless/") && path.contains("/blobs/") => Some(Fault::Unsized(70_000)),
        _ if path.contains("/million/") && path.ends_with("/tags/list") => give(million),
        _ if path.ends_with("/tags/list") => give(list),
        _ if path.contains("/referrers/") => {
            let index = http::HeaderValue::from_static("application/vnd.oci.image.index.v1+json");
            let mut answer = respond(200, referrers.clone());
            answer.headers_mut().insert(http::header::CONTENT_TYPE, index);
            Some(Fault::Respond(answer))
        }
        _ if path.contains("/large/") && path.contains("/manifests/") => give(manifest),
        _ => None,
    }
}

fn put_image(registry: &FakeRegistry, layer: &[u8]) -> Vec<u8> {
    let app: Repository = "library/app".parse().unwrap();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciImage.as_str(),
        "config": described("application/vnd.oci.image.config.v1+json", b"{}"),
        "layers": [described("application/vnd.oci.image.layer.v1.tar", layer)],
    });
    let manifest = manifest.to_string().into_bytes();
    registry.registry().put_blob(&app, b"{}".to_vec());
    registry.registry().put_blob(&app, layer.to_vec());
    registry.registry().put_manifest(&app, MediaType::OciImage.as_str(), manifest.clone());
    manifest
}

fn described(media_type: &str, content: &[u8]) -> Value {
    let digest = Digest::of(content).to_string();
    json!({ "mediaType": media_type, "digest": digest, "size": content.len() })
}

fn tags(count: usize) -> Bytes {
    let tags: Vec<String> = match count {
        ..10_000 => (0..count).map(|n| format!("{n:0>100}")).collect(),
        _ => (0..count).map(|n| format!("t{n}")).collect(),
    };
    json!({ "name": "open/app", "tags": tags }).to_string().into()
}

/// 10,000 referrers.
fn referrers() -> Bytes {
    let mut manifests: Vec<Value> = Vec::new();
    for n in 0..10_000_u32 {
        manifests.push(described(MediaType::OciImage.as_str(), &n.to_be_bytes()));
    }
    let index = json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(),
        "manifests": manifests });
    index.to_string().into()
}

/// A manifest of almost 4 MiB with 419,000 members.
fn large_manifest() -> Bytes {
    let config = described("application/vnd.oci.image.config.v1+json", b"{}");
    let mut text = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"x":["#);
    for n in 0..419_000_u32 {
        text.push_str(&format!(r#"{{"":{}}},"#, n % 10));
    }
    text.push_str("0]}");
    text.into()
}
