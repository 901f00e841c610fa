//! A client that attacks nothing: it pulls a kept manifest again and again, and a cold blob once. Its address is not that
//! of the attackers: clients of one address share their limits.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::site::{Site, cold_layer};

/// The attackers use 127.0.0.1.
const ADDRESS: [u8; 4] = [127, 0, 0, 2];
/// The longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// The pause between two pulls.
const PAUSE: Duration = Duration::from_millis(4);
/// The number of pulls for each health check.
const CHECK_EVERY: usize = 10;

pub(crate) struct Bystander {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Pulls>,
}

/// What the bystander saw.
#[derive(Default)]
pub(crate) struct Pulls {
    took: Vec<Duration>,
    pub(crate) failed: usize,
    pub(crate) slowest_check: Duration,
}

impl Bystander {
    pub(crate) fn start(site: &Site) -> Self {
        let (public, admin, stop) = (site.public, site.admin, Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut pulls = Pulls::default();
            while !stopped.load(Ordering::Relaxed) {
                if pulls.took.len() % CHECK_EVERY == 0 {
                    let (took, _) = timed(admin, "/livez");
                    pulls.slowest_check = pulls.slowest_check.max(took);
                }
                let (took, answer) = timed(public, "/v2/library/app/manifests/v1");
                pulls.failed += usize::from(!is_ok(&answer));
                pulls.took.push(took);
                thread::sleep(PAUSE);
            }
            pulls.took.sort();
            pulls
        });
        Self { stop, thread }
    }

    pub(crate) fn stop(self) -> Pulls {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

impl Pulls {
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let at = (self.took.len() * percent / 100).min(self.took.len().saturating_sub(1));
        self.took.get(at).copied().unwrap_or(PATIENCE)
    }

    pub(crate) fn count(&self) -> usize {
        self.took.len()
    }
}

/// How long the blob of the image of attack `number` takes, which nobody requested before.
pub(crate) fn cold_blob(site: &Site, number: usize) -> Duration {
    let layer = cold_layer(number);
    let path = format!("/v2/library/app/blobs/{}", countersign::oci::Digest::of(&layer));
    let (took, answer) = timed(site.public, &path);
    if !is_ok(&answer) || !answer.ends_with(&layer) {
        eprintln!("cold blob: {}", String::from_utf8_lossy(&answer[..answer.len().min(300)]));
        return Duration::MAX;
    }
    took
}

fn is_ok(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.1 200 ")
}

/// The answer, over a new connection, and how long it took; an incomplete answer if the connection fails.
pub(crate) fn timed(address: SocketAddr, path: &str) -> (Duration, Vec<u8>) {
    let start = Instant::now();
    let mut answer = Vec::new();
    let mut asked = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((ADDRESS, 0)).into())?;
        socket.connect_timeout(&address.into(), PATIENCE)?;
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        let accept = "application/vnd.oci.image.manifest.v1+json";
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: gate\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        stream.read_to_end(&mut answer)
    };
    if let Err(error) = asked() {
        eprintln!("{path}: {error}");
        answer.clear();
    }
    (start.elapsed(), answer)
}
