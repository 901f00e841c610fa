//! The limit on open files (`RLIMIT_NOFILE`; each connection is one), and how many the configuration needs.

use std::fmt;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use crate::config::Config;
use crate::server::Limits;

use super::MAX_ADMIN_CONNECTIONS;

/// Files beside those of connections and downloads: the store's database and mapped files, trust memory while it
/// is written, configuration, logs, and the runtime's own.
const OTHERS: usize = 256;
/// The most connections to one trust server.
const OF_ANCHOR: usize = 32;
/// The fewest client connections with which the gate starts if the limit is too low.
const LEAST: usize = 16;

/// A limit on open files that is lower than the configuration needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    limit: usize,
    needed: usize,
    /// The connections that fit for each listener.
    fit: usize,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, needed, fit } = self;
        write!(
            f,
            "the process may open {limit} files, and `server.max_connections` and `max_requests` of the \
             upstreams need {needed}: the gate accepts {fit} connections on a listener; raise the hard limit \
             (`ulimit -Hn`, LimitNOFILE= of systemd) or lower them"
        )
    }
}

/// Raises the soft limit on open files to the hard limit. A failure is logged: the gate then runs with
/// the soft limit.
pub fn raise_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(why) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        warn!(%why, "cannot raise the limit on open files to the hard limit");
    }
}

/// The shortage of `config` if the soft limit is raised to the hard limit.
pub fn shortage(config: &Config) -> Option<Shortage> {
    compare(config, getrlimit(Resource::Nofile).maximum)
}

/// The limits of the listeners for clients, with fewer connections if the process may not open enough files.
pub(super) fn within_limit(config: &Config) -> Limits {
    let mut limits = config.server.limits.clone();
    if let Some(shortage) = compare(config, getrlimit(Resource::Nofile).current) {
        warn!("{shortage}");
        limits.max_connections = shortage.fit;
    }
    limits
}

fn compare(config: &Config, limit: Option<u64>) -> Option<Shortage> {
    let limit = usize::try_from(limit?).unwrap_or(usize::MAX);
    let listeners = 1 + usize::from(config.mirror.is_some());
    let wanted = config.server.limits.max_connections;
    // Each request to an upstream may have a connection and a file that it is written to.
    let upstreams = config.upstreams.iter().map(|upstream| upstream.max_requests.saturating_mul(2));
    let others = upstreams
        .chain([OF_ANCHOR.saturating_mul(config.anchors.len()), MAX_ADMIN_CONNECTIONS, OTHERS])
        .fold(0, usize::saturating_add);
    let needed = wanted.saturating_mul(listeners).saturating_add(others);
    let fit = (limit.saturating_sub(others) / listeners).max(LEAST);
    (limit < needed && fit < wanted).then_some(Shortage { limit, needed, fit })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::toml_reader::Document;

    fn config(lines: &str) -> Config {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nmax_connections = 1000\n{lines}\n[store]\npath = \"s\"\n\
             [[upstream]]\nregistry = \"r.example.com\"\nmax_requests = 100\n"
        );
        let document = Document::from_text(Path::new("/nowhere/countersign.toml"), text);
        Config::read(&document).unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[test]
    fn connections_and_other_files_must_fit_into_the_limit() {
        let one = config("");
        let needed = 1000 + 200 + 64 + 256;
        assert_eq!(compare(&one, Some(needed)), None);
        assert_eq!(compare(&one, None), None);
        let missing = compare(&one, Some(needed - 1)).unwrap();
        assert_eq!((missing.needed, missing.fit), (1520, 999));
        assert_eq!(compare(&one, Some(100)).unwrap().fit, LEAST);
        let two = config("[mirror]\nlisten = \"127.0.0.1:0\"");
        assert_eq!(compare(&two, Some(needed)).unwrap().fit, 500);
    }
}
