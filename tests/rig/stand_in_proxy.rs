//! An HTTP proxy that sends every request to one server, whatever host the request names.

#![allow(clippy::unwrap_used, reason = "a rig that fails is a test that fails")]
#![allow(unreachable_pub, reason = "reads the same wherever it is included")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How the proxy treats a request.
#[derive(Clone, Copy, Debug)]
pub enum Behavior {
    Forward,
    /// Forwards requests with these Basic credentials; otherwise 407.
    ForwardFor(&'static str),
    /// This response, as it is on the wire.
    Answer(&'static str),
    Silence,
    Close,
}

/// The proxy. It runs until its value is dropped.
pub struct StandInProxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl StandInProxy {
    /// A proxy in front of the server at `to`.
    pub async fn start(to: SocketAddr, behavior: Behavior) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let seen = heads.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, to, behavior, seen.clone()));
            }
        });
        Self { address, heads, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The head of the first request of each connection.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for StandInProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut client: TcpStream,
    to: SocketAddr,
    behavior: Behavior,
    seen: Arc<Mutex<Vec<String>>>,
) {
    let Some(head) = head(&mut client).await else { return };
    seen.lock().unwrap().push(head.clone());
    let authorization = head
        .lines()
        .find(|line| line.to_ascii_lowercase().starts_with("proxy-authorization:"))
        .and_then(|line| line.split_once(' '));
    match behavior {
        Behavior::Forward => forward(client, to, &head).await,
        Behavior::ForwardFor(wanted) if authorization.is_some_and(|(_, is)| is == wanted) => {
            forward(client, to, &head).await;
        }
        Behavior::ForwardFor(_) => {
            let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
            drop(client.write_all(answer.as_bytes()).await);
        }
        Behavior::Answer(answer) => drop(client.write_all(answer.as_bytes()).await),
        Behavior::Silence => std::future::pending().await,
        Behavior::Close => {}
    }
}

async fn forward(mut client: TcpStream, to: SocketAddr, head: &str) {
    let mut server = TcpStream::connect(to).await.unwrap();
    let (peer, first) = if head.starts_with("CONNECT ") {
        (&mut client, "HTTP/1.1 200 Connection established\r\n\r\n")
    } else {
        (&mut server, head)
    };
    peer.write_all(first.as_bytes()).await.unwrap();
    // Either end may close at any time.
    drop(copy_bidirectional(&mut client, &mut server).await);
}

/// The bytes up to the empty line; `None` if the client closes before it.
async fn head(client: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}
