//! The private listener: is the process alive, is it ready, what has it counted. Only reads, and
//! knows nothing of images or of trust.

pub mod readiness;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

pub use readiness::{Part, Readiness};

/// The type of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Answers every request to the private listener.
#[derive(Debug)]
pub struct Admin {
    readiness: Arc<Readiness>,
    registry: Registry,
}

impl Admin {
    /// `registry` holds the metrics of every module.
    pub fn new(readiness: Arc<Readiness>, registry: Registry) -> Self {
        Self { readiness, registry }
    }

    /// Answers `request`; its body is not read.
    pub fn handle<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let respond: fn(&Self) -> Response<Full<Bytes>> = match request.uri().path() {
            "/livez" => |_| answer(StatusCode::OK, TEXT, "alive\n"),
            "/readyz" => Self::ready,
            "/metrics" => Self::metrics,
            _ => return answer(StatusCode::NOT_FOUND, TEXT, "not found\n"),
        };
        if request.method() == Method::GET || request.method() == Method::HEAD {
            return respond(self);
        }
        let mut response = answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        response
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        let missing = self.readiness.missing();
        if missing.is_empty() {
            return answer(StatusCode::OK, TEXT, "ready\n");
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
