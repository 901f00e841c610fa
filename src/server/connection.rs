//! One connection, from its handshake to its end. Knows HTTP versions and limits, not requests or responses.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{Request, Response, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::access::ClientCertificate;

use super::connections::Seat;
use super::exchange::{Exchange, Reported};
use super::idle_timeout::{Activity, Silence};
use super::limits::{Limits, Versions};
use super::load::{Load, Reached};
use super::objection::{self, Objection};
use super::streams::{self, Streams};
use super::tls::Tls;
use super::write_timeout::WriteTimeout;

/// How long a connection that is closed to make room may take to say goodbye.
const FAREWELL: Duration = Duration::from_millis(100);

/// The state that all connections of one listener share.
pub(super) struct Listener<S> {
    http: Builder<Streams>,
    limits: Limits,
    load: Load,
    tls: Option<Arc<Tls>>,
    service: S,
}

impl<S, F, B> Listener<S>
where
    S: Fn(SocketAddr, Request<Incoming>) -> F,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
{
    pub(super) fn new(limits: Limits, load: Load, tls: Option<Arc<Tls>>, service: S) -> Self {
        let streams = Streams { write_timeout: limits.write_timeout, load: load.clone() };
        let mut http = Builder::new(streams);
        let header_bytes = limits.max_header_bytes.max(Limits::MIN_HEADER_BYTES);
        http.http1()
            .timer(TokioTimer::new())
            // `Activity` distinguishes slow headers from idle connections; hyper does not.
            .header_read_timeout(None)
            .max_buf_size(usize::try_from(header_bytes).unwrap_or(usize::MAX));
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.max_streams)
            .max_header_list_size(header_bytes)
            .keep_alive_interval(limits.ping_interval)
            .keep_alive_timeout(limits.ping_interval);
        if limits.versions == Versions::OnlyHttp1 {
            http = http.http1_only();
        }
        Self { http, limits, load, tls, service }
    }

    /// Serves `stream` until it ends, is silent for too long, or is closed to make room. On `shutdown`, finishes the
    /// responses in progress.
    pub(super) async fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        activity: Arc<Activity>,
        seat: &Seat,
        shutdown: &CancellationToken,
    ) {
        let socket = WriteTimeout::new(stream, Arc::clone(&activity), self.limits.write_timeout);
        let Some(tls) = &self.tls else {
            return self.talk(socket, &activity, peer, None, seat, shutdown).await;
        };
        let handshake = tls.acceptor(self.limits.versions).accept(socket);
        let handshake = tokio::time::timeout(self.limits.handshake_timeout, handshake);
        let shaken = tokio::select! {
            shaken = handshake => shaken,
            () = seat.leave() => return,
        };
        match shaken {
            Ok(Ok(secured)) => {
                activity.shaken();
                let shown = secured.get_ref().1.peer_certificates();
                let certificate = shown.and_then(ClientCertificate::of);
                self.talk(secured, &activity, peer, certificate, seat, shutdown).await;
            }
            Ok(Err(why)) => debug!(client.address = %peer, %why, "TLS handshake failed"),
            Err(_) => debug!(client.address = %peer, "TLS handshake timed out"),
        }
    }

    async fn talk(
        &self,
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        activity: &Arc<Activity>,
        peer: SocketAddr,
        certificate: Option<ClientCertificate>,
        seat: &Seat,
        shutdown: &CancellationToken,
    ) {
        let service = service_fn(|request: Request<Incoming>| {
            let http2 = request.version() == Version::HTTP_2;
            let place = self.load.admit_request(activity.open());
            let (mut head, body) = request.into_parts();
            let busy = place.is_none().then_some(Objection::Busy);
            if let Some(objection) = objection::to_host(&head).or(busy) {
                head.extensions.insert(objection);
            }
            if let Some(certificate) = &certificate {
                head.extensions.insert(certificate.clone());
            }
            let exchange = Exchange::begin(activity, http2, place);
            // Not an async block, which would store the whole response twice.
            let answer = (self.service)(peer, Request::from_parts(head, body));
            answer.map(|answer| {
                streams::belongs_to(&exchange);
                Ok::<_, Infallible>(answer.map(|body| Reported::new(body, exchange)))
            })
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(io), service));
        let mut silence = pin!(activity.silence(&self.limits));
        let mut closing = false;
        let end = loop {
            tokio::select! {
                end = connection.as_mut() => break end,
                () = shutdown.cancelled(), if !closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = seat.leave() => {
                    debug!(client.address = %peer, "closing a connection to make room");
                    connection.as_mut().graceful_shutdown();
                    if tokio::time::timeout(FAREWELL, connection).await.is_err() {
                        activity.sever();
                    }
                    return;
                }
                silence = silence.as_mut() => {
                    debug!(client.address = %peer, ?silence, "the client was silent for too long");
                    match silence {
                        Silence::Idle => {}
                        Silence::Header => {
                            activity.sever();
                            return;
                        }
                        Silence::Reader => {
                            self.load.count(Reached::WriteTimeout);
                            activity.sever();
                            return;
                        }
                    }
                    // A request that is already on its way is still answered.
                    connection.as_mut().graceful_shutdown();
                    let rest = tokio::time::timeout(self.limits.write_timeout, connection);
                    match rest.await {
                        Ok(end) => break end,
                        Err(_) => return,
                    }
                }
            }
        };
        if let Err(why) = end {
            debug!(client.address = %peer, %why, "connection error");
        }
    }
}
