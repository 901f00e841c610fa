//! Concurrent clients that only read, and the cost of their requests for the server.

use std::path::PathBuf;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::watched::{self, Memory};
use super::{plain, secure};

#[derive(clap::Args)]
pub(crate) struct Order {
    /// The name of the samples.
    name: String,
    /// The number of clients, each with its own connection.
    #[arg(long, default_value_t = 1)]
    clients: usize,
    /// How often each client requests every URL.
    #[arg(long, default_value_t = 1)]
    times: usize,
    /// The CA to trust: that of the benchmark.
    #[arg(long)]
    ca: Option<PathBuf>,
    /// HTTP/2 instead of HTTP/1.1; with a CA.
    #[arg(long, requires = "ca")]
    http2: bool,
    /// Also hash the answers, which must have this SHA-256. Prints nothing.
    #[arg(long)]
    sha256: Option<String>,
    /// The processes of the server.
    #[arg(long, value_delimiter = ',')]
    pid: Vec<u32>,
    /// The time limit in seconds.
    #[arg(long, default_value_t = 300)]
    within: u64,
    #[arg(required = true)]
    urls: Vec<Url>,
}

/// The answers that one client received.
#[derive(Default)]
pub(crate) struct Answers {
    bytes: usize,
    first_bytes: Vec<Duration>,
}

impl Answers {
    pub(crate) fn add(&mut self, bytes: usize, first_byte: Duration) {
        self.bytes += bytes;
        self.first_bytes.push(first_byte);
    }
}

/// The destination of the bytes: nowhere, or a hash.
pub(crate) struct Sink(Option<Sha256>);

impl Sink {
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        if let Some(hash) = &mut self.0 {
            hash.update(bytes);
        }
    }
}

impl Order {
    fn sink(&self) -> Sink {
        Sink(self.sha256.as_ref().map(|_| Sha256::new()))
    }

    fn check(&self, url: &Url, sink: Sink) {
        let got = sink.0.map(|hash| hex::encode(hash.finalize()));
        assert_eq!(got, self.sha256, "{url} served other content");
    }

    /// The URLs that one client requests, in order.
    fn asked(&self) -> impl Iterator<Item = &Url> {
        (0..self.times).flat_map(|_| &self.urls)
    }
}

pub(crate) fn read(order: Order) {
    let order = Arc::new(order);
    let within = Duration::from_secs(order.within);
    thread::spawn(move || {
        thread::sleep(within);
        eprintln!("not read within {within:?}");
        std::process::exit(1);
    });
    let memory = (!order.pid.is_empty()).then(|| Memory::watch(order.pid.clone()));
    let cpu = watched::cpu_seconds(&order.pid);
    let (answers, took) = match &order.ca {
        None => read_plain(&order),
        Some(ca) => read_secure(&order, &secure::Secure::new(ca, order.http2)),
    };
    let cpu = watched::cpu_seconds(&order.pid) - cpu;
    let peak = memory.map(Memory::peak);
    if order.sha256.is_none() {
        print(&order, answers, took, peak.map(|peak| (cpu, peak)));
    }
}

fn print(order: &Order, answers: Vec<Answers>, took: Duration, cost: Option<(f64, f64)>) {
    let name = &order.name;
    let bytes = answers.iter().map(|answers| answers.bytes).sum::<usize>() as f64;
    let mut first_bytes: Vec<_> =
        answers.into_iter().flat_map(|answers| answers.first_bytes).collect();
    first_bytes.sort();
    println!("{name}.throughput {:.1}", bytes / 1e6 / took.as_secs_f64());
    println!("{name}.seconds {:.4}", took.as_secs_f64());
    let first_byte = first_bytes[first_bytes.len() / 2];
    println!("{name}.first-byte {:.4}", first_byte.as_secs_f64() * 1e3);
    if let Some((cpu, peak)) = cost {
        println!("{name}.cpu {:.4}", cpu / (bytes / 1e9));
        println!("{name}.memory {peak:.2}");
    }
}

/// The time from when all clients are connected until the last one has read its last byte.
fn read_plain(order: &Order) -> (Vec<Answers>, Duration) {
    let connected = Barrier::new(order.clients + 1);
    thread::scope(|scope| {
        let client = || {
            let mut connection = plain::Connection::open(&order.urls[0]);
            let mut answers = Answers::default();
            connected.wait();
            for url in order.asked() {
                let mut sink = order.sink();
                connection.get(url, &mut sink, &mut answers);
                order.check(url, sink);
            }
            answers
        };
        let clients: Vec<_> = (0..order.clients).map(|_| scope.spawn(client)).collect();
        connected.wait();
        let began = Instant::now();
        let answers = clients.into_iter().map(|client| client.join().unwrap()).collect();
        (answers, began.elapsed())
    })
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn read_secure(order: &Arc<Order>, secure: &secure::Secure) -> (Vec<Answers>, Duration) {
    let open = |_| async { secure.open(&order.urls[0]).await };
    let connections = join_all((0..order.clients).map(open)).await;
    let began = Instant::now();
    let clients = connections.into_iter().map(|mut connection| {
        let order = Arc::clone(order);
        tokio::spawn(async move {
            let mut answers = Answers::default();
            for url in order.asked() {
                let mut sink = order.sink();
                connection.get(url, &mut sink, &mut answers).await;
                order.check(url, sink);
            }
            answers
        })
    });
    let answers = join_all(clients).await.into_iter().map(Result::unwrap).collect();
    (answers, began.elapsed())
}
