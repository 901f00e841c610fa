//! The figures of the table, their comparisons, and their targets.
//!
//! Samples are named `<work>.<who>.<figure>`; `<who>` is `gate` or one of the peers.

/// One workload, and its figures.
pub(crate) struct Work {
    pub(crate) title: &'static str,
    pub(crate) name: &'static str,
    pub(crate) figures: &'static [Figure],
}

/// A unit, the name of its samples, and the comparison for the gate's samples.
pub(crate) struct Figure(
    pub(crate) &'static str,
    pub(crate) &'static str,
    pub(crate) Beside,
    pub(crate) Target,
);

#[derive(Clone, Copy)]
pub(crate) enum Beside {
    Nothing,
    /// Shown only; the target is for the gate's figure alone.
    Shown(&'static str),
    /// The gate's figure divided by the peer's in the same round.
    Ratio(&'static str),
    /// The gate's figure minus the peer's in the same round.
    Added(&'static str),
}

#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// Measured, without a target.
    Open,
}

use Beside::{Added, Nothing, Ratio, Shown};
use Target::{AtLeast, AtMost, Open};

const NGINX: &str = "nginx";
const CACHE: &str = "cache";
const DIRECT: &str = "direct";

/// The name of a peer in the table.
pub(crate) fn called(peer: &str) -> &str {
    match peer {
        CACHE => "docker-registry as cache",
        DIRECT => "no gate",
        other => other,
    }
}

const BLOB_HIT: &[Figure] = &[
    Figure("MB/s", "throughput", Ratio(NGINX), AtLeast(1.2)),
    Figure("MB/s", "throughput", Ratio(CACHE), Open),
    Figure("CPU s per GB", "cpu", Ratio(NGINX), AtMost(1.0)),
    Figure("CPU s per GB", "cpu", Ratio(CACHE), AtMost(0.5)),
];

const MANIFEST_BESIDE_NGINX: &[Figure] = &[
    Figure("requests/s", "rate", Ratio(NGINX), Open),
    Figure("p99, ms", "p99", Ratio(NGINX), Open),
    Figure("CPU µs per request", "cpu", Ratio(NGINX), Open),
];

const BLOB_BESIDE_NGINX: &[Figure] = &[
    Figure("MB/s", "throughput", Ratio(NGINX), Open),
    Figure("CPU s per GB", "cpu", Ratio(NGINX), Open),
];

/// The table, from top to bottom.
pub(crate) const WORKS: &[Work] = &[
    Work {
        title: "signed manifest by tag, warm, 32 connections, no log",
        name: "manifest",
        figures: &[
            Figure("requests/s", "rate", Ratio(NGINX), AtLeast(1.5)),
            Figure("p99, ms", "p99", Ratio(NGINX), AtMost(1.0)),
            Figure("requests/s", "rate", Ratio(CACHE), AtLeast(300.0)),
            Figure("CPU µs per request", "cpu", Ratio(NGINX), Open),
        ],
    },
    Work {
        title: "the same, each with its log to a file",
        name: "manifest-logged",
        figures: MANIFEST_BESIDE_NGINX,
    },
    Work { title: "200 MB blob, hit, one client", name: "blob-hit-1", figures: BLOB_HIT },
    Work { title: "200 MB blob, hit, eight clients", name: "blob-hit-8", figures: BLOB_HIT },
    Work {
        title: "200 MB blob, miss, stored on the way",
        name: "blob-miss",
        figures: &[
            Figure("MB/s", "throughput", Ratio(NGINX), AtLeast(1.2)),
            Figure("MB/s", "throughput", Ratio(CACHE), Open),
            Figure("CPU s per GB", "cpu", Ratio(NGINX), Open),
        ],
    },
    Work {
        title: "1 MB blob, miss, time to first byte",
        name: "first-byte",
        figures: &[
            Figure("ms", "first-byte", Added(DIRECT), AtMost(1.0)),
            Figure("ms", "first-byte", Ratio(NGINX), Open),
        ],
    },
    Work {
        title: "200 clients at once on one cold 200 MB blob",
        name: "herd",
        figures: &[
            Figure("upstream requests", "requests", Shown(NGINX), AtMost(1.0)),
            Figure("upstream requests", "requests", Shown(CACHE), Open),
            Figure("anonymous MiB, peak", "memory", Shown(NGINX), AtMost(128.0)),
            Figure("anonymous MiB, peak", "memory", Shown(CACHE), Open),
            Figure("MB/s, all together", "throughput", Ratio(NGINX), Open),
            Figure("MB/s, all together", "throughput", Ratio(CACHE), Open),
        ],
    },
    Work {
        title: "`docker pull` of 500 MB, warm",
        name: "docker-pull",
        figures: &[
            Figure("s", "seconds", Ratio(DIRECT), AtMost(1.05)),
            Figure("s", "seconds", Ratio(NGINX), Open),
        ],
    },
    Work {
        title: "idle memory",
        name: "idle",
        figures: &[Figure("resident MiB", "memory", Nothing, AtMost(15.0))],
    },
    Work {
        title: "start to listening",
        name: "start",
        figures: &[Figure("ms", "milliseconds", Nothing, AtMost(50.0))],
    },
    Work {
        title: "binary, stripped",
        name: "binary",
        figures: &[Figure("MiB", "size", Nothing, AtMost(15.0))],
    },
    Work {
        title: "manifest over TLS, HTTP/1.1, 32 connections",
        name: "tls-1-manifest",
        figures: MANIFEST_BESIDE_NGINX,
    },
    Work {
        title: "manifest over TLS, HTTP/2, 32 connections",
        name: "tls-2-manifest",
        figures: MANIFEST_BESIDE_NGINX,
    },
    Work {
        title: "200 MB blob, hit, TLS, HTTP/1.1, one client",
        name: "tls-1-blob-1",
        figures: BLOB_BESIDE_NGINX,
    },
    Work {
        title: "200 MB blob, hit, TLS, HTTP/1.1, eight clients",
        name: "tls-1-blob-8",
        figures: BLOB_BESIDE_NGINX,
    },
    Work {
        title: "200 MB blob, hit, TLS, HTTP/2, one client",
        name: "tls-2-blob-1",
        figures: BLOB_BESIDE_NGINX,
    },
    Work {
        title: "200 MB blob, hit, TLS, HTTP/2, eight clients",
        name: "tls-2-blob-8",
        figures: BLOB_BESIDE_NGINX,
    },
    Work {
        title: "signed manifest, never seen before; Notary 0.7 over TLS",
        name: "cold",
        figures: &[Figure("ms", "milliseconds", Added(DIRECT), Open)],
    },
    Work {
        title: "the same again",
        name: "cold-again",
        figures: &[Figure("ms", "milliseconds", Nothing, Open)],
    },
    Work {
        title: "one full verification, 10 tags",
        name: "verification-10",
        figures: &[
            Figure("ms of CPU", "milliseconds", Nothing, Open),
            Figure("kB of metadata", "metadata", Nothing, Open),
        ],
    },
    Work {
        title: "one full verification, 10,000 tags",
        name: "verification-10000",
        figures: &[
            Figure("ms of CPU", "milliseconds", Nothing, Open),
            Figure("kB of metadata", "metadata", Nothing, Open),
        ],
    },
    Work {
        title: "1,000 repositories of 10 tags each, warm",
        name: "memory-repositories",
        figures: &[Figure("resident MiB", "memory", Nothing, Open)],
    },
    Work {
        title: "a repository of 10,000 tags, warm",
        name: "memory-tags",
        figures: &[Figure("resident MiB", "memory", Nothing, Open)],
    },
];
