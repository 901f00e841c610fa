//! The shutdown of Docker's own Notary server, for messages. Knows one host and one day, and decides nothing.

use url::Url;

use crate::clock::Timestamp;

use super::anchor::Config;

/// Docker's Notary server, which the docker CLI asks about images of Docker Hub.
pub const DOCKER_NOTARY: &str = "notary.docker.io";
/// The day on which Docker shuts it down (Docker's announcement of the retirement of Content Trust).
pub const SHUTDOWN_DAY: &str = "2026-12-08";
/// The same day, at 00:00 UTC.
const SHUTDOWN: Timestamp = Timestamp::from_unix(1_796_688_000);
/// The page that describes how to leave Content Trust.
pub const GUIDE: &str = "docs/leaving-content-trust.md";

impl Config {
    /// One clause about the shutdown, if the server of the anchor is Docker's.
    pub fn notice(&self, now: Timestamp) -> Option<String> {
        notice(self.url.as_ref()?, now)
    }
}

fn notice(server: &Url, now: Timestamp) -> Option<String> {
    if server.host_str() != Some(DOCKER_NOTARY) {
        return None;
    }
    let verb = if now < SHUTDOWN { "shuts" } else { "was shut" };
    Some(format!("{DOCKER_NOTARY} {verb} down on {SHUTDOWN_DAY}: see {GUIDE}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_dockers_own_server_has_a_notice() {
        let about = |url: &str, now| notice(&url.parse().unwrap(), now);
        let before = Timestamp::parse_rfc3339("2026-12-07T23:59:59Z").unwrap();
        assert_eq!(
            about("https://notary.docker.io", before).as_deref(),
            Some("notary.docker.io shuts down on 2026-12-08: see docs/leaving-content-trust.md")
        );
        let after = about("https://notary.docker.io:443/", before.plus(Duration::from_secs(1)));
        assert!(after.unwrap().starts_with("notary.docker.io was shut down on 2026-12-08"));
        for other in ["https://notary.example.com", "https://notary.docker.io.example.com"] {
            assert_eq!(about(other, before), None);
        }
    }
}
