//! The demo's registry on its own port, which can inject faults and records its requests. It runs until its value is
//! dropped.

#![allow(clippy::unwrap_used, reason = "a rig that fails is a test that fails")]
#![allow(unreachable_pub, reason = "reads the same wherever it is included")]
#![allow(dead_code, reason = "shared by tests that each use a part of it")]

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use bytes::Bytes;
use countersign::demo::MemoryRegistry;
use countersign::oci::{Repository, RepositoryRef};
use countersign::registry_client::{Config, Metrics, Upstream};
use futures_util::{StreamExt, stream};
use http::header::{CONTENT_LENGTH, HeaderName, LOCATION};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::rt::{Read, Write};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// The registry in the names of its images.
pub const REGISTRY: &str = "registry.example.com";

/// A repository of [`REGISTRY`].
pub fn hosted(name: Repository) -> RepositoryRef {
    RepositoryRef { registry: REGISTRY.parse().unwrap(), name }
}

/// Set in the environment of a test program whose gates have only bundles: see `carried.rs`.
pub const CARRIED: &str = "COUNTERSIGN_TEST_CARRIED";
/// The panic of a test that is about a server and not about its content, in such a program.
pub const ABOUT_A_SERVER: &str = "this test is about a server";

/// A fault that replaces a good response.
pub enum Fault {
    /// Sends this response instead.
    Respond(Response<Full<Bytes>>),
    /// The same, once the semaphore has a permit.
    RespondGated(Response<Full<Bytes>>, Arc<Semaphore>),
    /// No response, ever.
    Silence,
    /// The connection is closed without an answer.
    Drop,
    /// Sends this number of bytes of the good body, then breaks the connection.
    Truncate(usize),
    /// The same, without `Content-Length`.
    TruncateUnsized(usize),
    /// Sends this number of bytes of the good body, then nothing more.
    Stall(usize),
    /// The good answer with its last byte changed.
    Corrupt,
    /// The same, without `Content-Length`, and with the last byte in a separate piece.
    CorruptUnsized,
    /// The same, with an empty piece after the last byte.
    CorruptUnsizedThenEmpty,
    /// The good answer without `Content-Length`, in pieces of this length.
    Unsized(usize),
    /// The good answer in pieces of this length; [`FakeRegistry::sent`] counts the bytes sent.
    Counted(usize),
    /// The good answer in pieces of this length, each sent once there is a permit for it.
    Gated(usize, Arc<Semaphore>),
}

type Reply = Response<UnsyncBoxBody<Bytes, io::Error>>;
type Hook = Box<dyn Fn(&Asked) -> Option<Fault> + Send + Sync>;

/// One request, as it arrived.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub version: Version,
    /// The number of earlier requests with the same method, path and query.
    pub before: usize,
}

impl Asked {
    /// The text of a header; empty if there is none.
    pub fn header(&self, name: impl Into<HeaderName>) -> &str {
        self.headers.get(name.into()).map_or("", |value| value.to_str().unwrap())
    }
}

struct State {
    registry: Arc<MemoryRegistry>,
    hook: RwLock<Hook>,
    asked: Mutex<Vec<Asked>>,
    /// Notified whenever a stalled response is dropped.
    cancelled: Notify,
    sent: AtomicUsize,
}

pub struct FakeRegistry {
    state: Arc<State>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl FakeRegistry {
    /// A registry over HTTP, without faults.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// A registry over HTTPS.
    pub async fn start_tls(acceptor: TlsAcceptor) -> Self {
        Self::start_with(Some(acceptor)).await
    }

    async fn start_with(acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            registry: Arc::new(MemoryRegistry::new()),
            hook: RwLock::new(Box::new(|_| None)),
            asked: Mutex::new(Vec::new()),
            cancelled: Notify::new(),
            sent: AtomicUsize::new(0),
        });
        let task = tokio::spawn(accept(listener, acceptor, Arc::clone(&state)));
        Self { state, address, task }
    }

    /// Its content.
    pub fn registry(&self) -> &MemoryRegistry {
        &self.state.registry
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, with this name or address of this machine.
    pub fn url(&self, host: &str) -> String {
        format!("http://{host}:{}", self.address.port())
    }

    /// Its upstream configuration, named [`REGISTRY`], with all defaults.
    pub fn config(&self) -> Config {
        Config::new(REGISTRY.parse().unwrap(), self.url("127.0.0.1").parse().unwrap())
    }

    /// The client of [`Self::config`].
    pub fn upstream(&self) -> Upstream {
        Upstream::new(&self.config(), &Metrics::default()).unwrap()
    }

    /// From now on, `hook` decides about each request.
    pub fn hook(&self, hook: impl Fn(&Asked) -> Option<Fault> + Send + Sync + 'static) {
        about_a_server();
        self.answer_with(hook);
    }

    /// The same for a server that is made of this one.
    pub fn answer_with(&self, hook: impl Fn(&Asked) -> Option<Fault> + Send + Sync + 'static) {
        *self.state.hook.write().unwrap() = Box::new(hook);
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Asked> {
        about_a_server();
        self.state.asked.lock().unwrap().clone()
    }

    /// The requests so far whose path ends in `end`.
    pub fn asked_for(&self, end: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.path.ends_with(end)).collect()
    }

    /// The number of bytes of [`Fault::Counted`] answers sent so far.
    pub fn sent(&self) -> usize {
        self.state.sent.load(Ordering::SeqCst)
    }

    /// Waits until a stalled answer is dropped because the client disconnected.
    pub async fn cancelled(&self) {
        self.state.cancelled.notified().await;
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Ends a test that is about the requests to a server, if there are none.
pub fn about_a_server() {
    assert!(std::env::var_os(CARRIED).is_none(), "{ABOUT_A_SERVER}");
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            match acceptor {
                None => serve(TokioIo::new(stream), state).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(TokioIo::new(stream), state).await;
                    }
                }
            }
        });
    }
}

async fn serve(io: impl Read + Write + Unpin + Send + 'static, state: Arc<State>) {
    let answer = service_fn(move |request| answer(Arc::clone(&state), request));
    // Many faults break the connection on purpose.
    drop(Builder::new(TokioExecutor::new()).serve_connection(io, answer).await);
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> io::Result<Reply> {
    let asked = state.remember(&request);
    let fault = state.hook.read().unwrap()(&asked);
    let good = || state.registry.handle(&request);
    let broken = || io::Error::other("broken by the test");
    match fault {
        None => Ok(good().map(boxed)),
        Some(Fault::Respond(response)) => Ok(response.map(boxed)),
        Some(Fault::RespondGated(response, gate)) => {
            gate.acquire_owned().await.unwrap().forget();
            Ok(response.map(boxed))
        }
        Some(Fault::Silence) => std::future::pending().await,
        Some(Fault::Drop) => Err(broken()),
        Some(Fault::Truncate(length)) => Ok(pieces(
            good(),
            true,
            move |body| vec![body.slice(..length.min(body.len()))],
            Ending::Break,
        )
        .await),
        Some(Fault::TruncateUnsized(length)) => Ok(pieces(
            good(),
            false,
            move |body| vec![body.slice(..length.min(body.len()))],
            Ending::Break,
        )
        .await),
        Some(Fault::Stall(length)) => {
            let ending = Ending::Stall(Arc::clone(&state));
            Ok(pieces(good(), true, move |body| vec![body.slice(..length.min(body.len()))], ending)
                .await)
        }
        Some(Fault::Corrupt) => {
            Ok(pieces(good(), true, |body| vec![corrupted(&body)], Ending::Good).await)
        }
        Some(Fault::CorruptUnsized) => {
            let split = |body: Bytes| {
                let mut body = corrupted(&body);
                let last = body.split_off(body.len() - 1);
                vec![body, last]
            };
            Ok(pieces(good(), false, split, Ending::Good).await)
        }
        Some(Fault::CorruptUnsizedThenEmpty) => {
            let split = |body: Bytes| vec![corrupted(&body), Bytes::new()];
            Ok(pieces(good(), false, split, Ending::Good).await)
        }
        Some(Fault::Counted(length)) => {
            let reply = pieces(good(), true, in_pieces_of(length), Ending::Good).await;
            let count = move |frame: Frame<Bytes>| {
                state.sent.fetch_add(frame.data_ref().map_or(0, Bytes::len), Ordering::SeqCst);
                frame
            };
            Ok(reply.map(|body| body.map_frame(count).boxed_unsync()))
        }
        Some(Fault::Gated(length, gate)) => {
            let (parts, body) =
                pieces(good(), true, in_pieces_of(length), Ending::Good).await.into_parts();
            let gated = body.into_data_stream().then(move |piece| {
                let gate = Arc::clone(&gate);
                async move {
                    gate.acquire_owned().await.unwrap().forget();
                    piece.map(Frame::data)
                }
            });
            Ok(Response::from_parts(parts, StreamBody::new(gated).boxed_unsync()))
        }
        Some(Fault::Unsized(length)) => {
            Ok(pieces(good(), false, in_pieces_of(length), Ending::Good).await)
        }
    }
}

impl State {
    fn remember(&self, request: &Request<Incoming>) -> Asked {
        let mut all = self.asked.lock().unwrap();
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let same =
            |other: &&Asked| (&other.method, &other.path, &other.query) == (&method, &path, &query);
        let before = all.iter().filter(same).count();
        let (headers, version) = (request.headers().clone(), request.version());
        let asked = Asked { method, path, query, headers, version, before };
        all.push(asked.clone());
        asked
    }
}

enum Ending {
    Good,
    Break,
    Stall(Arc<State>),
}

/// `response` with its body split into these pieces and this ending.
async fn pieces(
    response: Response<Full<Bytes>>,
    sized: bool,
    split: impl FnOnce(Bytes) -> Vec<Bytes>,
    ending: Ending,
) -> Reply {
    let (mut parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    if !sized {
        parts.headers.remove(CONTENT_LENGTH);
    }
    let pieces = stream::iter(split(body)).then(|piece| async {
        // Lets the earlier pieces be sent first.
        tokio::task::yield_now().await;
        Ok(Frame::data(piece))
    });
    let ending = stream::once(async move {
        tokio::task::yield_now().await;
        match ending {
            Ending::Good => None,
            Ending::Break => Some(Err(io::Error::other("broken by the test"))),
            Ending::Stall(state) => {
                let _recorded = OnDrop(state);
                std::future::pending().await
            }
        }
    });
    let body = StreamBody::new(pieces.chain(ending.filter_map(std::future::ready)));
    Response::from_parts(parts, body.boxed_unsync())
}

struct OnDrop(Arc<State>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.cancelled.notify_one();
    }
}

fn in_pieces_of(length: usize) -> impl FnOnce(Bytes) -> Vec<Bytes> {
    move |body| body.chunks(length).map(|piece| body.slice_ref(piece)).collect()
}

fn corrupted(body: &Bytes) -> Bytes {
    let mut body = body.to_vec();
    *body.last_mut().unwrap() ^= 1;
    body.into()
}

fn boxed(body: Full<Bytes>) -> UnsyncBoxBody<Bytes, io::Error> {
    body.map_err(|never| match never {}).boxed_unsync()
}

/// An answer with this status and body.
pub fn respond(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// The same with one more header.
pub fn with(
    mut response: Response<Full<Bytes>>,
    name: impl Into<HeaderName>,
    value: impl AsRef<str>,
) -> Response<Full<Bytes>> {
    response.headers_mut().insert(name.into(), value.as_ref().parse().unwrap());
    response
}

/// A redirect to `location`.
pub fn redirect(location: impl AsRef<str>) -> Fault {
    Fault::Respond(with(respond(307, ""), LOCATION, location))
}
