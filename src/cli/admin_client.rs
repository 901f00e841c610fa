//! Queries the admin listener of a running gate.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;

use crate::http_client::{Client, Method, Timeouts};

/// The largest answer that is read from a gate, in bytes.
const MAX_ANSWER: usize = 16 << 20;
/// How long a gate may take: two decisions and a margin.
const PATIENCE: Duration = Duration::from_secs(70);

/// The URL of an admin listener.
pub(super) fn listener(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| {
        "write the `listen` of the gate's [admin]: `http://127.0.0.1:5051`".to_owned()
    })
}

/// The content of a page.
pub(super) fn parsed<T: DeserializeOwned>(gate: &Url, body: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(body)
        .with_context(|| format!("{gate} is not an admin listener of this version of countersign"))
}

/// The body of a page, or the message of the gate if it rejects the query. Uses no proxy.
pub(super) async fn page(
    gate: &Url,
    path: &str,
    query: &[(&str, &str)],
) -> anyhow::Result<Result<Bytes, String>> {
    let timeouts = Timeouts { first_byte: PATIENCE, total: PATIENCE, ..Timeouts::default() };
    let client = Client::new(gate, None, 1, timeouts)?.without_via();
    let mut url = gate.join(path).context("--gate is not the URL of an admin listener")?;
    url.query_pairs_mut().extend_pairs(query);
    let response = client.send(Method::Get, &url, &HeaderMap::new()).await;
    let response = response.map_err(|error| {
        anyhow!("cannot ask {gate}: is it the `listen` of the gate's [admin]?: {error}")
    })?;
    let status = response.status();
    let body = response.into_body().read_whole(MAX_ANSWER).await?;
    if status != StatusCode::OK {
        let said = String::from_utf8_lossy(&body);
        if status == StatusCode::BAD_REQUEST {
            return Ok(Err(said.trim_end().to_owned()));
        }
        let other = match status {
            StatusCode::NOT_FOUND => "; is it the `listen` of the gate's [admin]?",
            _ => "",
        };
        bail!("{gate} answers {status}: {}{other}", said.trim_end());
    }
    Ok(Ok(body))
}
