//! The private listener: liveness, readiness, metrics and explanations. Read-only.

pub mod denials;
pub mod readiness;
pub mod why;

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::server::Objection;
use crate::telemetry;
pub use denials::Denials;
pub use readiness::{Part, Readiness};
pub use why::Why;

/// The type of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Answers every request to the private listener.
#[derive(Debug)]
pub struct Admin {
    readiness: Arc<Readiness>,
    registry: Registry,
    why: Why,
    denials: Denials,
}

/// The pages of the listener.
enum Page {
    Alive,
    Ready,
    Metrics,
    Why,
    Denials,
}

impl Admin {
    /// `registry` holds the metrics of every module.
    pub fn new(readiness: Arc<Readiness>, registry: Registry, why: Why, denials: Denials) -> Self {
        Self { readiness, registry, why, denials }
    }

    /// Answers `request`; ignores its body.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Full<Bytes>> {
        let (head, _) = request.into_parts();
        if let Some(objection) = head.extensions.get::<Objection>() {
            let status = match objection {
                Objection::Host(_) => StatusCode::BAD_REQUEST,
                Objection::Busy => StatusCode::SERVICE_UNAVAILABLE,
            };
            return answer(status, TEXT, format!("{}\n", objection.sentence()));
        }
        let page = match head.uri.path() {
            "/livez" => Page::Alive,
            "/readyz" => Page::Ready,
            "/metrics" => Page::Metrics,
            "/why" => Page::Why,
            "/denials" => Page::Denials,
            _ => {
                return answer(
                    StatusCode::NOT_FOUND,
                    TEXT,
                    "not found: use /livez, /readyz, /metrics, /why or /denials\n",
                );
            }
        };
        if head.method != Method::GET && head.method != Method::HEAD {
            let mut response = answer(
                StatusCode::METHOD_NOT_ALLOWED,
                TEXT,
                "method not allowed: use GET or HEAD\n",
            );
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match page {
            Page::Alive => answer(StatusCode::OK, TEXT, "alive\n"),
            Page::Ready => self.ready(),
            Page::Metrics => self.metrics(),
            Page::Denials => self.denials.answer(head.uri.query()),
            // On the heap: this future is large, and the other pages are requested often.
            Page::Why => Box::pin(self.why.answer(head.uri.query())).await,
        }
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        let missing = self.readiness.missing();
        if missing.is_empty() {
            // Clients are still served, so the gate stays ready.
            let mut body = "ready\n".to_owned();
            if let Some(failure) = self.readiness.memory_failure() {
                let _ = writeln!(
                    body,
                    "the trust memory cannot be written, so new trust data is not used: {failure}"
                );
            }
            let lost = telemetry::lost();
            if lost > 0 {
                let _ = writeln!(body, "log events lost since the start: {lost}");
            }
            return answer(StatusCode::OK, TEXT, body);
        }
        let body = format!("not ready: {}\n", missing.join(", "));
        answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, body)
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => answer(StatusCode::OK, OPEN_METRICS, text),
            Err(why) => answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{why}\n")),
        }
    }
}

fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
