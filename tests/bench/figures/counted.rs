//! Counts the instructions of the two hot paths, a warm manifest by tag and a stored blob, with valgrind's callgrind.
//! It counts only the gate as shipped: its servers and its client run in this process.
//!
//! Each path is counted twice, with fewer and with more requests; the difference excludes start and end.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use countersign::clock::Clock;
use countersign::demo::{MemoryNotary, MemoryRegistry, Publisher};
use countersign::oci::{Digest, MediaType, Repository};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::trust_data::{self, REGISTRY};

const NAME: &str = "library/app";
/// The blob length: the cost per request must not hide the cost per frame.
const BLOB: usize = 4 << 20;
const BUFFER: usize = 256 << 10;
/// The time for a gate to start, serve and end. Everything is slow under valgrind.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request, and how often it is sent.
struct HotPath {
    name: &'static str,
    path: String,
    digest: Digest,
    fewer: u64,
    more: u64,
}

/// Prints the instructions that one request of each path costs the program `gate`.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn count(gate: &Path) {
    let registry = Arc::new(MemoryRegistry::new());
    let notary = Arc::new(MemoryNotary::new());
    let publisher = Publisher::new().unwrap();
    let repository: Repository = NAME.parse().unwrap();
    let manifest = trust_data::manifest(NAME);
    registry.put_manifest(&repository, MediaType::OciImage.as_str(), manifest.clone());
    let blob = registry.put_blob(&repository, vec![b'x'; BLOB]);
    let now = Clock::System.now();
    let (gun, files) = trust_data::release(&publisher, NAME, &manifest, now);
    notary.publish(gun, files);
    let registry_url = serve(|listener| registry.serve(listener)).await;
    let notary_url = serve(|listener| notary.serve(listener)).await;
    let config = format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        [store]
        path = "store"
        [[upstream]]
        registry = "{REGISTRY}"
        url = "{registry_url}"
        default = true
        [[anchor]]
        name = "team"
        scheme = "notaryv1"
        url = "{notary_url}"
        root_keys = ["{}"]
        [[rule]]
        images = ["{REGISTRY}/**"]
        require = ["team"]
        "#,
        publisher.root_key_id()
    );
    let paths = [
        HotPath {
            name: "manifest",
            path: format!("/v2/{NAME}/manifests/v1.0"),
            digest: Digest::of(&manifest),
            fewer: 200,
            more: 1_200,
        },
        HotPath {
            name: "blob",
            path: format!("/v2/{NAME}/blobs/{blob}"),
            digest: blob,
            fewer: 2,
            more: 42,
        },
    ];
    for path in paths {
        let fewer = timeout(PATIENCE, path.counted(gate, &config, path.fewer)).await;
        let more = timeout(PATIENCE, path.counted(gate, &config, path.more)).await;
        let [fewer, more] =
            [fewer, more].map(|counted| counted.expect("the count did not end within a minute"));
        println!("{} {}", path.name, (more - fewer) / (path.more - path.fewer));
    }
}

async fn serve<F>(serve: impl FnOnce(TcpListener) -> F) -> String
where
    F: Future<Output: Send> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener));
    url
}

impl HotPath {
    /// The instructions of a gate that starts, serves `times` requests, and ends.
    async fn counted(&self, gate: &Path, config: &str, times: u64) -> u64 {
        let folder = Folder::new();
        let mut gate = Gate::start(gate, config, &folder).await;
        let mut client = Client::connect(&gate.address(&folder).await, &self.path).await;
        client.warm(self.digest).await;
        for _ in 0..times {
            client.ask().await;
        }
        drop(client);
        gate.stop().await;
        let counted = fs::read_to_string(folder.0.join("valgrind")).unwrap();
        let total = counted.lines().find_map(|line| line.split_once("Collected : "));
        total
            .unwrap_or_else(|| panic!("no instructions were counted: {counted}"))
            .1
            .trim()
            .parse()
            .unwrap()
    }
}

/// The gate under valgrind; dropping this ends it.
struct Gate(Child);

impl Gate {
    async fn start(gate: &Path, config: &str, folder: &Folder) -> Self {
        let file = folder.0.join("countersign.toml");
        File::create(&file).unwrap().write_all(config.as_bytes()).unwrap();
        let child = Command::new("valgrind")
            .arg("--tool=callgrind")
            .arg("--callgrind-out-file=/dev/null")
            .arg(format!("--log-file={}", folder.0.join("valgrind").display()))
            .arg(gate)
            .args(["serve", "--config"])
            .arg(file)
            // One thread for all tasks: the count must not depend on scheduling.
            .env("TOKIO_WORKER_THREADS", "1")
            .env("RUST_LOG", "warn")
            .stderr(File::create(folder.0.join("log")).unwrap())
            .stdout(Stdio::null())
            .spawn();
        Self(child.expect("`valgrind` is not installed: apt-get install valgrind"))
    }

    /// The address of the gate, once it listens.
    async fn address(&mut self, folder: &Folder) -> String {
        loop {
            let log = fs::read_to_string(folder.0.join("log")).unwrap();
            let at = log.split_once("\"http://").and_then(|(_, rest)| rest.split_once('"'));
            if let Some((address, _)) = at {
                return address.to_owned();
            }
            assert!(self.0.try_wait().unwrap().is_none(), "the gate ended: {log}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn stop(&mut self) {
        let reported = Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        assert!(reported.success());
        let status = loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                break status;
            }
            sleep(Duration::from_millis(20)).await;
        };
        assert!(status.success(), "the gate: {status}");
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // The gate may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Sends the same request repeatedly, and reads as many bytes as the first answer had.
struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
    length: usize,
}

impl Client {
    async fn connect(gate: &str, path: &str) -> Self {
        let stream = TcpStream::connect(gate).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: gate\r\naccept: */*\r\n\r\n");
        Self { stream, request: request.into_bytes(), buffer: vec![0; BUFFER], length: 0 }
    }

    /// Sends the request twice: the first answer fills the caches, and the second one is checked.
    async fn warm(&mut self, digest: Digest) {
        for _ in 0..2 {
            self.stream.write_all(&self.request).await.unwrap();
            let mut answer = Vec::new();
            let (end, length) = loop {
                assert!(self.stream.read_buf(&mut answer).await.unwrap() > 0, "no answer");
                if let Some(end) = answer.windows(4).position(|at| at == b"\r\n\r\n") {
                    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
                    assert!(head.starts_with("http/1.1 200"), "{head}");
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
                    break (end + 4, length.unwrap().trim().parse::<usize>().unwrap());
                }
            };
            while answer.len() < end + length {
                assert!(
                    self.stream.read_buf(&mut answer).await.unwrap() > 0,
                    "the answer is incomplete"
                );
            }
            assert_eq!(Digest::of(&answer[end..]), digest);
            self.length = answer.len();
        }
    }

    async fn ask(&mut self) {
        self.stream.write_all(&self.request).await.unwrap();
        let mut read = 0;
        while read < self.length {
            let got = self.stream.read(&mut self.buffer).await.unwrap();
            assert!(got > 0, "the connection ended");
            assert!(read > 0 || self.buffer.starts_with(b"HTTP/1.1 200"), "no longer served");
            read += got;
        }
        assert_eq!(read, self.length, "the answer differs from the first one");
    }
}

/// The gate's folder; dropping this removes it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("countersign-counted-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}
