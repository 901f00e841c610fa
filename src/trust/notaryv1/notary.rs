//! The HTTP of a Notary server: one file at a time, read-only, with ceilings. Gives what the server
//! says; whether it is any good is not known here.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use url::{Host, Url};

use crate::net::{Client, Method, ReadError, Timeouts, TlsError};
use crate::trust::refusal::{Reason, Refusal};
use crate::upstream::{Authenticator, Credentials, Endpoint, Metrics, UpstreamError};

use super::gun::Gun;
use super::role::File;
use super::update::NotUpdated;

/// The most requests to one Notary server at once.
const MAX_REQUESTS: usize = 32;
/// How long one file may take, with every try: after that the server does not answer.
const MAX_SILENCE: Duration = Duration::from_secs(30);

/// A client of one Notary server.
#[derive(Clone, Debug)]
pub struct Notary {
    server: Authenticator,
}

impl Notary {
    /// A client of the server at `url`, which may be trusted by the roots in `ca` as well.
    pub fn new(
        url: &Url,
        ca: Option<&Path>,
        credentials: Option<Credentials>,
        token_realm: Option<Host<String>>,
        metrics: &Metrics,
    ) -> Result<Self, TlsError> {
        let timeouts = Timeouts { total: MAX_SILENCE, ..Timeouts::default() };
        let client = Client::new(url, ca, MAX_REQUESTS, timeouts)?;
        Ok(Self { server: Authenticator::new(client, credentials, token_realm, metrics.clone()) })
    }

    /// The file of `gun`, or `None` where the server says that it has none.
    ///
    /// # Errors
    ///
    /// `Unreachable` where the server does not answer: no connection, nothing in time, or anything
    /// but 200 and 404, redirects among it. `Refused` where it answers with what can be no metadata.
    pub async fn fetch(&self, gun: &Gun, file: &File) -> Result<Option<Bytes>, NotUpdated> {
        let mut url = self.server.client().base().clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}/v2/{gun}/_trust/tuf/{file}.json"));
        let host = url.host_str().unwrap_or_default().to_owned();
        let unreachable = |why: String| {
            NotUpdated::Unreachable(format!("the Notary server {host} does not answer: {why}"))
        };
        let scope = format!("repository:{gun}:pull");
        let response = self
            .server
            .send(Endpoint::Notary, Method::Get, &url, &HeaderMap::new(), &scope)
            .await
            .map_err(|error| match error {
                UpstreamError::Unreachable(outage) => unreachable(outage.to_string()),
                UpstreamError::Refused { status } => NotUpdated::Unreachable(format!(
                    "the Notary server {host} refused with {status}: look at `username` and `password_file`"
                )),
                UpstreamError::Absent { .. }
                | UpstreamError::Busy(_)
                | UpstreamError::Protocol(_)
                | UpstreamError::RangeUnsatisfiable { .. }
                | UpstreamError::TooManyRequests { .. } => unreachable(error.to_string()),
            })?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(unreachable(format!("it said {status} to {file}.json"))),
        }
        plain(response.headers(), file)?;
        let ceiling = usize::try_from(file.ceiling()).unwrap_or(usize::MAX);
        match response.into_body().read_whole(ceiling).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(ReadError::TooLong { ceiling }) => {
                let (reason, most) = match file {
                    File::Content { .. } => {
                        (Reason::MixAndMatch, "the length that its parent names")
                    }
                    File::Newest(_) | File::Root(_) => (Reason::Malformed, "the most that is read"),
                };
                let because = format!("{file}.json is longer than {ceiling} bytes, {most}");
                Err(Refusal::new(reason, because).into())
            }
            Err(ReadError::Interrupted(error)) => Err(unreachable(error.to_string())),
        }
    }
}

/// Refuses an answer that says that it is something else than metadata.
fn plain(headers: &HeaderMap, file: &File) -> Result<(), Refusal> {
    let Some(content_type) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    match essence.trim() {
        "" | "application/json" | "application/octet-stream" | "text/plain" => Ok(()),
        other => Err(Refusal::new(Reason::Malformed, format!("{file}.json came as {other:?}"))),
    }
}
