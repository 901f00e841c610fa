//! Single HTTP requests, for checks that no client program of the rig can do: statuses, headers, raw bytes.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::tls::Authority;

/// Every manifest media type that current clients send.
pub(crate) const ACCEPT: &str = "application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*";

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The reason code of a denial.
    pub(crate) fn reason(&self) -> String {
        let denial: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        denial["errors"][0]["detail"]["reason"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

pub(crate) fn get(url: &str) -> Answer {
    send(Method::GET, url, &[("accept", ACCEPT)], Bytes::new(), None).unwrap()
}

pub(crate) fn head(url: &str) -> Answer {
    send(Method::HEAD, url, &[("accept", ACCEPT)], Bytes::new(), None).unwrap()
}

pub(crate) fn put(url: &str, media_type: &str, body: Bytes) -> Answer {
    send(Method::PUT, url, &[("content-type", media_type)], body, None).unwrap()
}

/// Sends a request over TLS, trusting only `authority`.
pub(crate) fn get_over_tls(url: &str, authority: &Authority) -> Answer {
    send(Method::GET, url, &[("accept", ACCEPT)], Bytes::new(), Some(authority)).unwrap()
}

/// `Err` if no complete answer arrived.
pub(crate) fn send(
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: Bytes,
    authority: Option<&Authority>,
) -> Result<Answer, String> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(trusting(authority))
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let answer = client.request(request).await.map_err(|e| format!("{url}: {e:?}"))?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.map_err(|e| format!("{url}: {e:?}"))?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    })
}

fn trusting(authority: Option<&Authority>) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    if let Some(authority) = authority {
        let pem = authority.certificate.as_bytes();
        roots.add(CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}
