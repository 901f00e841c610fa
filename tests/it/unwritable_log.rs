//! A standard error that cannot be written: the log disk is full, or its reader is gone or does not read. The program
//! keeps serving, and reports that events were lost.

use std::fs::OpenOptions;
use std::io::{PipeReader, Read as _, Write as _, pipe};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use countersign::oci::{Digest, MediaType};

use crate::fake_registry::{FakeRegistry, REGISTRY};
use crate::folder::Folder;
use crate::whole_gate::{APP, app};

const PATIENCE: Duration = Duration::from_secs(30);
const LOST: &str = "countersign_log_events_lost_total ";

struct Gate {
    manager: UnixDatagram,
    process: Child,
    public: String,
    admin: String,
    _folder: Folder,
}

impl Gate {
    fn start(registry: &FakeRegistry, stderr: Stdio) -> Self {
        let folder = Folder::new("unwritable-log");
        let socket = folder.join("notify");
        let manager = UnixDatagram::bind(&socket).unwrap();
        manager.set_read_timeout(Some(PATIENCE)).unwrap();
        let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let config = format!(
            r#"
            [server]
            listen = "127.0.0.1:0"
            drain_timeout = "5s"

            [admin]
            listen = "{admin}"

            [store]
            path = "store"

            [[upstream]]
            registry = "{REGISTRY}"
            url = "{}"
            default = true

            [[rule]]
            images = ["{REGISTRY}/**"]
            mode = "allow"
            reason = "the log is tested, not trust"
            "#,
            registry.url("127.0.0.1")
        );
        let config = folder.write("countersign.toml", config);
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.arg("serve").arg("--config").arg(config).env("NOTIFY_SOCKET", &socket);
        // Many events for each pull, so that buffers fill quickly.
        command.env("RUST_LOG", "trace").stdin(Stdio::null()).stderr(stderr);
        let process = command.spawn().unwrap();
        let mut gate = Self { manager, process, public: String::new(), admin, _folder: folder };
        let ready = gate.summary();
        let status =
            ready.lines().find_map(|line| line.strip_prefix("STATUS=listening on http://"));
        gate.public = status.unwrap_or_else(|| panic!("{ready}")).to_owned();
        gate
    }

    /// The gate's next message to the service manager.
    fn summary(&self) -> String {
        let mut reported = [0; 1024];
        let length = self.manager.recv(&mut reported).unwrap();
        String::from_utf8(reported[..length].to_vec()).unwrap()
    }

    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
    }

    fn lost(&self) -> u64 {
        let metrics = get(&self.admin, "/metrics");
        let value = metrics.lines().find_map(|line| line.strip_prefix(LOST));
        value.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
    }

    fn pull(&self, digest: &Digest) {
        let answer = get(&self.public, &format!("/v2/{APP}/manifests/{digest}"));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }

    fn ends(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "the gate does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

async fn serves_on(stderr: Stdio) {
    let registry = FakeRegistry::start().await;
    let layers = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#;
    let digest = Digest::of(layers.as_bytes());
    registry.registry().put_manifest(
        &app(),
        MediaType::OciImage.as_str(),
        layers.as_bytes().to_vec(),
    );
    let serves = move || {
        let mut gate = Gate::start(&registry, stderr);
        let pulls = (0..5_000).find(|_| {
            gate.pull(&digest);
            gate.lost() > 0
        });
        assert!(pulls.is_some(), "no event was lost");
        let ready = get(&gate.admin, "/readyz");
        assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
        assert!(ready.contains("\nlog events lost since the start: "), "{ready}");

        gate.signal("HUP");
        assert!(gate.summary().starts_with("RELOADING=1\n"));
        assert!(gate.summary().starts_with("READY=1\n"));
        gate.pull(&digest);

        gate.signal("TERM");
        assert!(gate.ends().success());
    };
    tokio::task::spawn_blocking(serves).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_log_on_a_full_disk_blocks_no_pull_and_no_reload() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    serves_on(full.into()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_log_without_a_reader_blocks_no_pull_and_no_reload() {
    let (_, writer) = pipe().unwrap();
    serves_on(writer.into()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_unread_log_blocks_no_pull_and_no_reload() {
    let (reader, writer): (PipeReader, _) = pipe().unwrap();
    serves_on(writer.into()).await;
    drop(reader);
}
