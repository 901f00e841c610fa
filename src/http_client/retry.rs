//! When to retry. Every request of this client may be sent twice. It does not retry a request that was answered or that
//! would fail again. Callers that can wait longer use [`patiently`].

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::time::Instant;

use super::error::NetError;

/// The most retries of a request.
const MAX_RETRIES: usize = 2;
const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(2);
/// The longest `Retry-After` for which the gate waits while its own client waits. The caller passes a longer one on.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(2);

/// The most retries of a request that the server did not process: it closed the connection in an orderly way (GOAWAY)
/// or refused the stream. Servers that close after a few requests do this to many requests at once.
const MAX_UNPROCESSED: usize = 32;
const UNPROCESSED_DELAY: Duration = Duration::from_millis(10);

/// The attempts that one request has left.
pub(super) struct Retries {
    delays: ExponentialBackoff,
    unprocessed: usize,
}

impl Retries {
    pub(super) fn new() -> Self {
        let delays = ExponentialBuilder::new()
            .with_jitter()
            .with_min_delay(FIRST_DELAY)
            .with_max_delay(LONGEST_DELAY)
            .with_max_times(MAX_RETRIES)
            .build();
        Self { delays, unprocessed: MAX_UNPROCESSED }
    }

    /// How long to wait before the request with this `outcome` is sent again; `None` if the outcome is final.
    pub(super) fn next_delay<B>(
        &mut self,
        outcome: &Result<Response<B>, NetError>,
    ) -> Option<Duration> {
        let response = match outcome {
            Err(error) if self.unprocessed > 0 && error.is_unprocessed() => {
                self.unprocessed -= 1;
                return Some(UNPROCESSED_DELAY);
            }
            Err(error) if error.is_passing() => return self.delays.next(),
            Err(_) => return None,
            Ok(response) => response,
        };
        let asked = retry_after(response.headers());
        match response.status() {
            StatusCode::TOO_MANY_REQUESTS => {
                let asked = asked.filter(|asked| *asked <= LONGEST_RETRY_AFTER)?;
                Some(self.delays.next()?.max(asked))
            }
            StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                let asked = asked.unwrap_or_default();
                if asked > LONGEST_RETRY_AFTER {
                    return None;
                }
                Some(self.delays.next()?.max(asked))
            }
            _ => None,
        }
    }
}

/// Retries for at most `most` while the error `is_passing`. Does not interrupt an attempt in progress at that time.
pub async fn patiently<T, E, F: Future<Output = Result<T, E>>>(
    most: Duration,
    is_passing: impl Fn(&E) -> bool,
    mut ask: impl FnMut() -> F,
) -> Result<T, E> {
    let deadline = Instant::now() + most;
    let delays = ExponentialBuilder::new().with_jitter().with_min_delay(FIRST_DELAY);
    let mut delays = delays.with_max_delay(LONGEST_DELAY).without_max_times().build();
    loop {
        let outcome = ask().await;
        let Err(error) = &outcome else { return outcome };
        let delay = delays.next().unwrap_or(LONGEST_DELAY);
        if !is_passing(error) || Instant::now() + delay > deadline {
            return outcome;
        }
        tokio::time::sleep(delay).await;
    }
}

/// The wait that the server asks for (RFC 9110, 10.2.3): seconds, or a date, which is relative to the server's own
/// `Date`.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = |text: &str| OffsetDateTime::parse(text, &Rfc2822).ok();
    let now = date(headers.get(DATE)?.to_str().ok()?.trim())?;
    Some((date(text)? - now).try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn response(status: StatusCode, wait: Option<&'static str>) -> Result<Response<()>, NetError> {
        let mut response = Response::new(());
        *response.status_mut() = status;
        if let Some(wait) = wait {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(wait));
        }
        Ok(response)
    }

    #[test]
    fn a_request_to_a_failing_server_is_sent_three_times() {
        let mut retries = Retries::new();
        for _ in 0..MAX_RETRIES {
            assert!(retries.next_delay(&response(StatusCode::BAD_GATEWAY, None)).is_some());
        }
        assert_eq!(retries.next_delay(&response(StatusCode::BAD_GATEWAY, None)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn patient_retries_end_at_an_answer_a_final_error_or_the_time_limit() {
        let most = Duration::from_secs(20);
        let begun = Instant::now();
        let mut asked = 0;
        let mut ask = |good| {
            asked += 1;
            std::future::ready(if asked >= good { Ok(asked) } else { Err(asked) })
        };
        assert_eq!(patiently(most, |_| true, || ask(4)).await, Ok(4));
        assert!(begun.elapsed() < most / 2);
        assert_eq!(patiently(most, |_| false, || ask(9)).await, Err(5));
        let begun = Instant::now();
        let error = patiently(most, |_| true, || ask(usize::MAX)).await.unwrap_err();
        assert!((10..100).contains(&error), "{error}");
        assert!(begun.elapsed() <= most && begun.elapsed() > most / 2);
    }

    #[test]
    fn an_answer_is_not_retried() {
        for status in [200, 206, 307, 400, 401, 403, 404, 416, 501] {
            let outcome = response(StatusCode::from_u16(status).unwrap(), None);
            assert_eq!(Retries::new().next_delay(&outcome), None, "{status}");
        }
    }

    #[test]
    fn the_gate_waits_for_a_short_retry_after_and_passes_a_long_one_on() {
        let busy = StatusCode::TOO_MANY_REQUESTS;
        let delay = Retries::new().next_delay(&response(busy, Some("1"))).unwrap();
        assert!(delay >= Duration::from_secs(1));
        for wait in [None, Some("60"), Some("soon"), Some("-1")] {
            assert_eq!(Retries::new().next_delay(&response(busy, wait)), None, "{wait:?}");
        }
        let down = StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(Retries::new().next_delay(&response(down, Some("60"))), None);
    }

    #[test]
    fn a_retry_after_date_is_relative_to_the_servers_date() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("Wed, 21 Oct 2026 07:28:30 GMT"));
        assert_eq!(retry_after(&headers), None);
        headers.insert(DATE, HeaderValue::from_static("Wed, 21 Oct 2026 07:28:00 GMT"));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(30)));
        headers.insert(DATE, HeaderValue::from_static("Wed, 21 Oct 2026 07:29:00 GMT"));
        assert_eq!(retry_after(&headers), Some(Duration::ZERO));
    }
}
