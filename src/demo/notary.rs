//! A Notary server over memory, for the demo and for tests: it returns what was published, and
//! requires no login.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;

use crate::trust::notaryv1::Gun;

use super::publisher::TrustFiles;

/// What Notary 0.7 answers where it has nothing.
const NOT_FOUND: &str = r#"{"errors":[{"code":"METADATA_NOT_FOUND","message":"You have requested metadata that does not exist.","detail":{}}]}"#;

/// The trust data of repositories, in memory.
#[derive(Debug, Default)]
pub struct MemoryNotary {
    repositories: RwLock<BTreeMap<Gun, TrustFiles>>,
}

impl MemoryNotary {
    /// A server with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces all that there is of `gun`.
    pub fn publish(&self, gun: Gun, files: TrustFiles) {
        self.repositories.write().unwrap_or_else(PoisonError::into_inner).insert(gun, files);
    }

    /// Removes all that there is of `gun`.
    #[cfg(feature = "test-support")]
    pub fn remove(&self, gun: &Gun) {
        self.repositories.write().unwrap_or_else(PoisonError::into_inner).remove(gun);
    }

    /// Answers one request as Notary 0.7 does.
    pub fn handle<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let (status, body) = match request.uri().path() {
            _ if request.method() != Method::GET => (StatusCode::NOT_FOUND, NOT_FOUND.into()),
            "/v2/" => (StatusCode::OK, Bytes::from_static(b"{}")),
            path => match self.file(path) {
                Some(file) => (StatusCode::OK, file),
                None => (StatusCode::NOT_FOUND, NOT_FOUND.into()),
            },
        };
        let length = HeaderValue::from(body.len());
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CONTENT_LENGTH, length);
        response
    }

    /// The file at `/v2/<gun>/_trust/tuf/<name>.json`.
    fn file(&self, path: &str) -> Option<Bytes> {
        let (gun, name) = path.strip_prefix("/v2/")?.split_once("/_trust/tuf/")?;
        let gun: Gun = gun.parse().ok()?;
        let repositories = self.repositories.read().unwrap_or_else(PoisonError::into_inner);
        repositories.get(&gun)?.get(name.strip_suffix(".json")?).cloned()
    }

    /// Serves the connections to `listener`, until it fails.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> io::Result<()> {
        loop {
            let (stream, peer) = listener.accept().await?;
            let notary = Arc::clone(&self);
            tokio::spawn(async move {
                let answer = service_fn(move |request| {
                    std::future::ready(Ok::<_, Infallible>(notary.handle(&request)))
                });
                let connection = Builder::new(TokioExecutor::new());
                let io = TokioIo::new(stream);
                if let Err(error) = connection.serve_connection(io, answer).await {
                    tracing::debug!(%error, %peer, "a connection to the demo Notary server broke");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_what_was_published_and_nothing_else() {
        let notary = MemoryNotary::new();
        let gun: Gun = "demo.example/app".parse().unwrap();
        notary.publish(gun.clone(), TrustFiles::from([("root".to_owned(), "r".into())]));
        let status = |method: Method, path: &str| {
            let request = Request::builder().method(method).uri(path).body(()).unwrap();
            notary.handle(&request).status()
        };
        assert_eq!(status(Method::GET, "/v2/"), StatusCode::OK);
        assert_eq!(
            status(Method::GET, "/v2/demo.example/app/_trust/tuf/root.json"),
            StatusCode::OK
        );
        for path in [
            "/v2/demo.example/app/_trust/tuf/root",
            "/v2/demo.example/app/_trust/tuf/timestamp.json",
            "/v2/demo.example/other/_trust/tuf/root.json",
            "/v2/demo.example/../_trust/tuf/root.json",
            "/",
        ] {
            assert_eq!(status(Method::GET, path), StatusCode::NOT_FOUND, "{path}");
        }
        let path = "/v2/demo.example/app/_trust/tuf/root.json";
        assert_eq!(status(Method::HEAD, path), StatusCode::NOT_FOUND);
        notary.remove(&gun);
        assert_eq!(status(Method::GET, path), StatusCode::NOT_FOUND);
    }
}
