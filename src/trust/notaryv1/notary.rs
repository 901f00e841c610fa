//! The HTTP client of a Notary server: reads one file at a time, each with a size limit. Verifies nothing.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use url::{Host, Url};

use crate::http_client::{Client, Method, Proxies, ReadError, Timeouts, TlsError};
use crate::registry_client::{Authenticator, Credentials, Endpoint, Metrics, UpstreamError};
use crate::trust::refusal::{Reason, Refusal};

use super::gun::Gun;
use super::role::File;
use super::update::NotUpdated;

/// The most concurrent updates of known repositories at one Notary server. Unknown names have their own limit.
const MAX_KNOWN: usize = 32;
/// The most concurrent updates of unknown repositories.
const MAX_UNKNOWN: usize = 16;
/// The number of concurrent requests that are reserved for files relayed to clients.
const MAX_RELAYED: usize = 16;
/// The most concurrent requests to one Notary server. An update makes one at a time, plus one for a token.
const MAX_REQUESTS: usize = 2 * (MAX_KNOWN + MAX_UNKNOWN + MAX_RELAYED);
/// The longest time for one file with all retries. After that, the server counts as unreachable.
const MAX_SILENCE: Duration = Duration::from_secs(30);

/// A client of one Notary server.
#[derive(Clone, Debug)]
pub struct Notary {
    server: Authenticator,
    known: Arc<Semaphore>,
    unknown: Arc<Semaphore>,
    unanswered: Unanswered,
}

/// The updates of known repositories that wait for the server. Without one, the server is not silent: nothing asks it.
#[derive(Clone, Debug, Default)]
struct Unanswered(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    /// The updates that sent a request.
    updates: usize,
    /// The start of the oldest request since the last answer.
    since: Option<Instant>,
}

/// The right to make one update. Released when dropped.
pub(super) struct Turn {
    repute: Repute,
    unanswered: Unanswered,
    has_sent: AtomicBool,
    _permit: OwnedSemaphorePermit,
}

/// Whether the gate has ever verified trust data of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repute {
    Known,
    Unknown,
}

impl Notary {
    /// A client of the server at `url`. Trusts the root certificates in `ca` besides the system's.
    pub fn new(
        url: &Url,
        ca: Option<&Path>,
        credentials: Option<Credentials>,
        token_realm: Option<Host<String>>,
        proxies: &Proxies,
        metrics: &Metrics,
    ) -> Result<Self, TlsError> {
        let timeouts = Timeouts { total: MAX_SILENCE, ..Timeouts::default() };
        let client = Client::through(proxies, url, ca, MAX_REQUESTS, timeouts)?;
        Ok(Self {
            server: Authenticator::new(client, credentials, token_realm, metrics.clone()),
            known: Arc::new(Semaphore::new(MAX_KNOWN)),
            unknown: Arc::new(Semaphore::new(MAX_UNKNOWN)),
            unanswered: Unanswered::default(),
        })
    }

    /// Waits in the gate's own queue for the right to make one update. Never `None`, because the queue is never closed.
    pub(super) async fn turn(&self, repute: Repute) -> Option<Turn> {
        let turns = match repute {
            Repute::Known => &self.known,
            Repute::Unknown => &self.unknown,
        };
        let permit = turns.clone().acquire_owned().await.ok()?;
        let (unanswered, has_sent) = (self.unanswered.clone(), AtomicBool::new(false));
        Some(Turn { repute, unanswered, has_sent, _permit: permit })
    }

    /// Whether the server has answered no request about known repositories for at least `duration`.
    pub(super) fn is_silent(&self, duration: Duration) -> bool {
        self.unanswered.locked().since.is_some_and(|since| since.elapsed() >= duration)
    }

    /// Fetches a file of `gun`. `None` if the server answers that it does not exist.
    ///
    /// # Errors
    ///
    /// `Unreachable` if the server does not answer: no connection, a timeout, or a status other than 200 and 404.
    /// `Refused` if the answer cannot be metadata. `Busy` if the gate sent no request.
    pub async fn fetch(&self, gun: &Gun, file: &File) -> Result<Option<Bytes>, NotUpdated> {
        let mut url = self.server.client().base().clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}/v2/{gun}/_trust/tuf/{file}.json"));
        let host = url.host_str().unwrap_or_default().to_owned();
        let unreachable = |why: String| {
            NotUpdated::Unreachable(format!("the Notary server {host} does not answer: {why}"))
        };
        let scope = format!("repository:{gun}:pull");
        let headers = HeaderMap::new();
        let sent = self.server.send(Endpoint::Notary, Method::Get, &url, &headers, &scope);
        let response = Box::pin(sent).await.map_err(|error| match error {
            UpstreamError::Unreachable(outage) => unreachable(outage.to_string()),
            UpstreamError::Refused { status } => NotUpdated::Unreachable(format!(
                "the Notary server {host} answered {status}; check `username` and `password_file`"
            )),
            UpstreamError::Busy(_) => NotUpdated::Busy,
            UpstreamError::Absent { .. }
            | UpstreamError::Protocol(_)
            | UpstreamError::RangeUnsatisfiable { .. }
            | UpstreamError::TooManyRequests { .. } => unreachable(error.to_string()),
        })?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(unreachable(format!("status {status} for {file}.json"))),
        }
        check_content_type(response.headers(), file)?;
        let ceiling = usize::try_from(file.ceiling()).unwrap_or(usize::MAX);
        match response.into_body().read_whole(ceiling).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(ReadError::TooLong { .. }) => Err(too_long(file).into()),
            Err(ReadError::Interrupted(error)) => Err(unreachable(error.to_string())),
        }
    }
}

impl Unanswered {
    fn locked(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// To be called when a request is sent to the server.
    pub(super) fn request_sent(&self) {
        if self.repute == Repute::Known {
            let mut waiting = self.unanswered.locked();
            if !self.has_sent.swap(true, Ordering::Relaxed) {
                waiting.updates += 1;
            }
            waiting.since.get_or_insert_with(Instant::now);
        }
    }

    /// To be called when the server has answered, whatever the answer is.
    pub(super) fn answered(&self) {
        if self.repute == Repute::Known {
            self.unanswered.locked().since = None;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if *self.has_sent.get_mut() {
            let mut waiting = self.unanswered.locked();
            waiting.updates -= 1;
            if waiting.updates == 0 {
                waiting.since = None;
            }
        }
    }
}

/// The refusal of a file that is longer than its ceiling.
pub(super) fn too_long(file: &File) -> Refusal {
    let (reason, most) = match file {
        File::Content { .. } => (Reason::MixAndMatch, "the length that its parent names"),
        File::Newest(_) | File::Root(_) => (Reason::Malformed, "the size limit"),
    };
    let because = format!("{file}.json is longer than {} bytes, {most}", file.ceiling());
    Refusal::new(reason, because)
}

/// Refuses an answer whose content type is not one of metadata.
fn check_content_type(headers: &HeaderMap, file: &File) -> Result<(), Refusal> {
    let Some(content_type) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    match essence.trim() {
        "" | "application/json" | "application/octet-stream" | "text/plain" => Ok(()),
        other => Err(Refusal::new(
            Reason::Malformed,
            format!("{file}.json has the content type {other:?}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notary() -> Notary {
        let url = "http://127.0.0.1:1/".parse().unwrap();
        Notary::new(&url, None, None, None, &Proxies::none(), &Metrics::default()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_is_silent_only_while_an_update_waits_for_it() {
        let notary = notary();
        let [first, second] =
            [notary.turn(Repute::Known).await.unwrap(), notary.turn(Repute::Known).await.unwrap()];
        first.request_sent();
        second.request_sent();
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(notary.is_silent(Duration::from_secs(5)));
        drop(first);
        assert!(notary.is_silent(Duration::from_secs(5)), "the second update still waits");
        drop(second);
        assert!(!notary.is_silent(Duration::from_secs(5)));
        let third = notary.turn(Repute::Known).await.unwrap();
        third.request_sent();
        assert!(!notary.is_silent(Duration::from_secs(5)), "silence from before counts");
    }
}
