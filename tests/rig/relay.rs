//! A TCP relay that can forget its connections, as a NAT or a firewall does: it forwards no more bytes on them, and closes
//! nothing.

#![allow(clippy::unwrap_used, reason = "a rig that fails is a test that fails")]
#![allow(unreachable_pub, reason = "reads the same wherever it is included")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub struct Relay {
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    forgotten: watch::Sender<usize>,
    task: JoinHandle<()>,
}

impl Relay {
    /// A relay to `target`.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (forgotten, watched) = watch::channel(0);
        let counter = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let number = counter.fetch_add(1, Ordering::SeqCst);
                let mut watched = watched.clone();
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(target).await.unwrap();
                    let is_forgotten = tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => false,
                        forgotten = watched.wait_for(|forgotten| number < *forgotten) => {
                            forgotten.is_ok()
                        }
                    };
                    if is_forgotten {
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Self { address, accepted, forgotten, task }
    }

    /// The number of connections so far.
    pub fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Forgets all connections so far; new ones are forwarded.
    pub fn forget(&self) {
        self.forgotten.send_replace(self.connections());
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}
