//! Answers from this process instead of the network, for example from files. Callers of the client see no difference:
//! the same limits, deadlines and checks apply.
//!
//! A client with a local server either has no network at all ([`Client::local`]: it cannot open a connection), or
//! uses both ([`Client::beside`]): content that is named by its digest comes from the local server first; for
//! everything else the network decides, and the local server answers if the network does not.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout};
use url::Url;

use super::body::Body;
use super::client::{Client, Method};
use super::error::{NetError, Stage};

/// How long the network may take while the local server has an answer, with all attempts.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the local server answers at once after the network failed.
const OUTAGE: Duration = Duration::from_secs(30);

/// A server in this process. It blocks while it reads files.
pub trait LocalServer: fmt::Debug + Send + Sync {
    /// The answer to a request; status 404 if the server does not have the content. `url` is on the client's server.
    fn answer(
        &self,
        method: Method,
        url: &Url,
        headers: &HeaderMap,
    ) -> io::Result<Response<LocalBody>>;

    /// Whether `url` names content by its digest, so that the network would send the same content.
    fn is_by_digest(&self, url: &Url) -> bool;
}

/// An extension of an answer to a URL that names content by its digest: the bytes do not have this digest. The network may
/// have the right ones; its absence of the content does not make these bytes right.
#[derive(Clone, Copy, Debug)]
pub struct WrongContent;

/// The content of an answer, read piece by piece.
pub trait Pieces: fmt::Debug + Send + Sync {
    /// The next bytes; empty at the end. Blocks.
    fn next(&mut self) -> io::Result<Bytes>;
}

/// The body of a local answer.
#[derive(Debug)]
pub struct LocalBody {
    left: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Whole(Bytes),
    Idle(Box<dyn Pieces>),
    Reading(JoinHandle<(Box<dyn Pieces>, io::Result<Bytes>)>),
    Ended,
}

impl LocalBody {
    /// A body in memory.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { left: bytes.len() as u64, state: State::Whole(bytes) }
    }

    /// A body of `length` bytes. An end before that, or more bytes, is an error of its reader.
    pub fn pieces(length: u64, pieces: impl Pieces + 'static) -> Self {
        Self { left: length, state: State::Idle(Box::new(pieces)) }
    }

    /// The bytes that are still to come.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// The next bytes. Reads on a thread for blocking work.
    pub(super) fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            if self.left == 0 {
                self.state = State::Ended;
            }
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Poll::Ready(None),
                State::Whole(bytes) => {
                    self.left = 0;
                    return Poll::Ready(Some(Ok(bytes)));
                }
                State::Idle(mut pieces) => {
                    let read = move || {
                        let piece = pieces.next();
                        (pieces, piece)
                    };
                    self.state = State::Reading(spawn_blocking(read));
                }
                State::Reading(mut reading) => {
                    let Poll::Ready(read) = Pin::new(&mut reading).poll(context) else {
                        self.state = State::Reading(reading);
                        return Poll::Pending;
                    };
                    let (pieces, piece) = match read {
                        Ok(read) => read,
                        Err(panicked) => return Poll::Ready(Some(Err(io::Error::other(panicked)))),
                    };
                    let piece = piece.and_then(|piece| self.count(piece));
                    if piece.is_ok() {
                        self.state = State::Idle(pieces);
                    }
                    return Poll::Ready(Some(piece));
                }
            }
        }
    }

    fn count(&mut self, piece: Bytes) -> io::Result<Bytes> {
        let left = self.left.checked_sub(piece.len() as u64).filter(|_| !piece.is_empty());
        self.left = left.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(piece)
    }
}

/// The local server of a client.
#[derive(Clone, Debug)]
pub(super) struct Local {
    server: Arc<dyn LocalServer>,
    /// When the network last failed beside a local answer; `None` since it last answered.
    failed: Arc<Mutex<Option<Instant>>>,
}

impl Local {
    pub(super) fn new(server: Arc<dyn LocalServer>) -> Self {
        Self { server, failed: Arc::default() }
    }

    /// Whether the network failed a moment ago.
    fn is_network_down(&self) -> bool {
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|failed| failed.elapsed() < OUTAGE)
    }

    fn set_network_down(&self, down: bool) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        *failed = down.then(Instant::now);
    }

    /// The answer of the local server to a request of `client`.
    async fn answer(
        &self,
        client: &Client,
        method: Method,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<Response<LocalBody>, NetError> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let (server, url, headers) = (self.server.clone(), url.clone(), headers.clone());
        let asked = spawn_blocking(move || server.answer(method, &url, &headers));
        match timeout(client.timeouts().first_byte, asked).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(error))) => Err(NetError::Local { host, source: Arc::new(error) }),
            Ok(Err(panicked)) => Err(NetError::Local { host, source: Arc::new(panicked) }),
            Err(_) => Err(NetError::TimedOut { host, stage: Stage::FirstByte }),
        }
    }

    /// Answers a request to the server of `client`.
    pub(super) async fn send(
        &self,
        client: &Client,
        method: Method,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, NetError> {
        let answer = self.answer(client, method, url, headers).await;
        if !client.has_network() {
            return client.local_response(url, answer?).await;
        }
        let answer = match answer {
            Ok(answer) if answer.status() != StatusCode::NOT_FOUND => answer,
            // The network has everything that the files have.
            Ok(_) => return client.send_out(method, url, headers).await,
            Err(error) => {
                tracing::warn!(%error, "a local answer failed; asking the network");
                return client.send_out(method, url, headers).await;
            }
        };
        let is_by_digest = self.server.is_by_digest(url);
        if is_by_digest && answer.extensions().get::<WrongContent>().is_some() {
            let sent = client.send_out(method, url, headers).await?;
            return match sent.status() {
                StatusCode::NOT_FOUND => client.local_response(url, answer).await,
                _ => Ok(sent),
            };
        }
        if is_by_digest || self.is_network_down() {
            return client.local_response(url, answer).await;
        }
        // Waiting for a place says nothing about the network.
        let deadline = client.deadline();
        let place = client.place(url, deadline).await?;
        let sent = client.send_from((place, deadline), method, url, headers);
        let asked = timeout(PATIENCE, sent).await;
        match asked {
            Ok(Ok(response)) if !is_outage(response.status()) => {
                self.set_network_down(false);
                return Ok(response);
            }
            // The server named a target that is not permitted: an answer, but a bad one.
            Ok(Err(error @ NetError::Forbidden(_))) => return Err(error),
            Ok(Err(error @ NetError::TimedOut { stage: Stage::Place, .. })) => return Err(error),
            Ok(Ok(response)) => {
                tracing::warn!(%url, status = %response.status(), "using the local answer");
            }
            Ok(Err(error)) => tracing::warn!(%url, %error, "using the local answer"),
            Err(_) => tracing::warn!(%url, error = "no answer in time", "using the local answer"),
        }
        self.set_network_down(true);
        client.local_response(url, answer).await
    }
}

/// Whether a status means that the server is not available.
fn is_outage(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_client::{ReadError, Timeouts};

    /// Answers each request with pieces of three bytes, and announces the length in the path.
    #[derive(Debug)]
    struct Server;

    #[derive(Debug)]
    struct Threes(usize);

    impl Pieces for Threes {
        fn next(&mut self) -> io::Result<Bytes> {
            self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::Other)?;
            Ok(Bytes::from_static(b"abc"))
        }
    }

    impl LocalServer for Server {
        fn answer(
            &self,
            _method: Method,
            url: &Url,
            _headers: &HeaderMap,
        ) -> io::Result<Response<LocalBody>> {
            let announced = url.path().trim_start_matches('/').parse();
            let announced = announced.map_err(|_| io::Error::other("the files are gone"))?;
            Ok(Response::new(LocalBody::pieces(announced, Threes(2))))
        }

        fn is_by_digest(&self, _url: &Url) -> bool {
            false
        }
    }

    async fn asked(url: &str) -> Result<Response<Body>, NetError> {
        let base = "https://registry.example".parse().unwrap();
        let client = Client::local(&base, Arc::new(Server), 1, Timeouts::default());
        client.send(Method::Get, &url.parse().unwrap(), &HeaderMap::new()).await
    }

    #[tokio::test]
    async fn a_body_must_have_the_announced_length() {
        for (announced, is_whole) in [(6, true), (5, false), (7, false), (3, true)] {
            let response = asked(&format!("https://registry.example/{announced}")).await.unwrap();
            let read = response.into_body().read_whole(100).await;
            assert_eq!(read.is_ok(), is_whole, "{announced}: {read:?}");
        }
    }

    #[tokio::test]
    async fn the_limit_of_a_body_applies() {
        let response = asked("https://registry.example/6").await.unwrap();
        let read = response.into_body().read_whole(5).await;
        assert!(matches!(read, Err(ReadError::TooLong { ceiling: 5 })));
    }

    #[tokio::test]
    async fn a_client_without_a_network_opens_no_connection() {
        for url in ["https://other.example/6", "http://registry.example/6"] {
            let error = asked(url).await.unwrap_err();
            assert!(matches!(error, NetError::Offline { .. }), "{error}");
        }
        let error = asked("https://registry.example/gone").await.unwrap_err();
        assert!(error.to_string().contains("the files are gone"), "{error}");
    }
}
