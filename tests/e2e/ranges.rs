//! Ranges of a blob: the responses are the same for a cold, an arriving and a stored blob, over HTTP/1.1 and HTTP/2.
//! Also clients that resume a layer.

use std::thread;
use std::time::Duration;

use bytes::Bytes;

use crate::curl::{Received, Version, curl, plain};
use crate::engines::Client;
use crate::folder::Folder;
use crate::gate::{Clock, Gate};
use crate::line::Line;
use crate::notary::Keys;
use crate::process::wait_for;
use crate::quarantine::kept;
use crate::random::Random;
use crate::registry::digest_of;
use crate::site::{OpenSite, PROMPT, Site};
use crate::tls::Authority;

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        ranges_of_a_cold_arriving_and_stored_blob_are_the_same,
        concurrent_ranges_of_a_cold_blob_add_up_to_the_whole,
        a_client_whose_connection_breaks_resumes_the_layer,
    ]
}

/// Not a round number, and more than is read at once.
const LENGTH: usize = 300_007;
/// The part of the blob that has arrived while the rest is held back.
const ARRIVED: usize = 150_000;

/// A request and the expected response: the status, the first byte and the one after the last.
struct Case {
    arguments: &'static [&'static str],
    status: u16,
    part: (usize, usize),
}

const fn case(arguments: &'static [&'static str], status: u16, first: usize, end: usize) -> Case {
    Case { arguments, status, part: (first, end) }
}

/// `ETAG` is replaced by the correct one.
const CASES: &[Case] = &[
    case(&[], 200, 0, LENGTH),
    case(&["--range", "0-"], 206, 0, LENGTH),
    case(&["--range", "0-0"], 206, 0, 1),
    case(&["--range", "5-70000"], 206, 5, 70_001),
    case(&["--range", "100000-"], 206, 100_000, LENGTH),
    case(&["--range", "299000-400000"], 206, 299_000, LENGTH),
    case(&["--range", "-17"], 206, LENGTH - 17, LENGTH),
    case(&["--range", "-400000"], 206, 0, LENGTH),
    case(&["--range", "300007-"], 416, 0, 0),
    case(&["--range", "-0"], 416, 0, 0),
    case(&["--range", "0-1,5-6"], 200, 0, LENGTH),
    case(&["--range", "5-9", "--header", "If-Range: ETAG"], 206, 5, 10),
    case(&["--range", "5-9", "--header", "If-Range: \"sha256:0\""], 200, 0, LENGTH),
    case(&["--header", "If-None-Match: ETAG"], 304, 0, 0),
    case(&["--header", "If-None-Match: \"sha256:0\""], 200, 0, LENGTH),
    case(&["--range", "5-9", "--header", "If-None-Match: ETAG"], 304, 0, 0),
    case(&["--head"], 200, 0, 0),
];

impl Case {
    fn ask(&self, gate: &Gate, authority: &Authority, version: Version, digest: &str) -> Received {
        let etag = format!("\"{digest}\"");
        let arguments: Vec<_> =
            self.arguments.iter().map(|argument| argument.replace("ETAG", &etag)).collect();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        curl(&url(gate, digest), version, authority, &arguments)
    }

    fn is_answered_by(&self, answer: &Received, blob: &[u8], digest: &str) {
        let reported = || format!("{:?}: {answer:?}", self.arguments);
        let (first, end) = self.part;
        assert_eq!(answer.status, self.status, "{}", reported());
        if self.status == 416 {
            assert_eq!(
                answer.header("content-range"),
                format!("bytes */{LENGTH}"),
                "{}",
                reported()
            );
            return;
        }
        assert_eq!(answer.header("etag"), format!("\"{digest}\""), "{}", reported());
        assert_eq!(answer.header("docker-content-digest"), digest, "{}", reported());
        // Without a body, curl writes the head instead.
        if self.arguments != ["--head"] {
            assert!(answer.body == blob[first..end], "{}", reported());
        }
        let range = match self.status {
            206 => format!("bytes {first}-{}/{LENGTH}", end - 1),
            _ => String::new(),
        };
        assert_eq!(answer.header("content-range"), range, "{}", reported());
        let length = match self.status {
            304 => String::new(),
            _ if self.arguments == ["--head"] => LENGTH.to_string(),
            _ => (end - first).to_string(),
        };
        assert_eq!(answer.header("content-length"), length, "{}", reported());
        if self.status != 304 {
            assert_eq!(answer.header("accept-ranges"), "bytes", "{}", reported());
        }
    }

    /// Whether the requested part has arrived completely.
    fn has_arrived(&self) -> bool {
        self.part.1 <= ARRIVED - 40_000
    }
}

fn url(gate: &Gate, digest: &str) -> String {
    format!("https://{}/v2/library/app/blobs/{digest}", gate.name())
}

fn ranges_of_a_cold_arriving_and_stored_blob_are_the_same() {
    let (site, authority) = (OpenSite::new(), Authority::new());
    let line = Line::to(site.registry.port);
    let tls = format!(
        "tls_cert = \"{}\"\ntls_key = \"{}\"\n",
        authority.server_certificate().display(),
        authority.server_key().display()
    );
    let config = site.config().replace(&site.registry.url(), &line.url());
    let gate = Gate::start(0, &tls, &config, Clock::Machine);
    let mut random = Random::new(11);
    let mut new_blob = || {
        let blob = random.content(LENGTH);
        (site.registry.put_blob("library/app", blob.clone()), blob)
    };
    for (version, name) in [(Version::Http11, "HTTP/1.1"), (Version::Http2, "HTTP/2")] {
        let ask = |case: &Case, digest: &str, blob: &Bytes| {
            let answer = case.ask(&gate, &authority, version, digest);
            assert_eq!(answer.version, name);
            case.is_answered_by(&answer, blob, digest);
        };
        for case in CASES {
            let (digest, blob) = new_blob();
            ask(case, &digest, &blob);
        }
        for case in CASES {
            let (digest, blob) = new_blob();
            line.hold_after(ARRIVED as u64);
            let before = gate.sent();
            thread::scope(|scope| {
                let whole = scope.spawn(|| ask(&CASES[0], &digest, &blob));
                wait_for("the blob to arrive", Duration::from_secs(10), || {
                    (gate.sent() - before >= ARRIVED as u64 - 40_000).then_some(())
                });
                if case.has_arrived() {
                    ask(case, &digest, &blob);
                    line.open();
                } else {
                    let late = scope.spawn(|| ask(case, &digest, &blob));
                    thread::sleep(Duration::from_millis(50));
                    line.open();
                    late.join().unwrap();
                }
                whole.join().unwrap();
            });
            assert_eq!(site.registry.asked("GET", &path(&digest)), 1, "{:?}", case.arguments);
        }
        let (digest, blob) = new_blob();
        ask(&CASES[0], &digest, &blob);
        for case in CASES {
            ask(case, &digest, &blob);
        }
        assert_eq!(site.registry.asked("GET", &path(&digest)), 1);
    }
}

fn path(digest: &str) -> String {
    format!("/v2/library/app/blobs/{digest}")
}

/// As containerd 2 requests, if configured.
fn concurrent_ranges_of_a_cold_blob_add_up_to_the_whole() {
    const PARTS: usize = 8;
    const PART: usize = 5_000_000;
    let site = OpenSite::new();
    let blob = Random::new(12).content(PARTS * PART - 3);
    let digest = site.registry.put_blob("library/app", blob.clone());
    let gate = site.gate("");
    let url = gate.url(&path(&digest));
    let all_parts_at_once = || {
        thread::scope(|scope| {
            for part in 0..PARTS {
                let (url, blob) = (&url, &blob);
                scope.spawn(move || {
                    let folder = Folder::new("part");
                    let (first, end) = (part * PART, ((part + 1) * PART).min(blob.len()));
                    let range = format!("{first}-{}", end - 1);
                    let into = folder.join("part").display().to_string();
                    let said = plain(&["--fail", "--range", &range, "--output", &into, url]);
                    assert!(said.ok(), "{range}: {}", said.all());
                    let part = std::fs::read(into).unwrap();
                    assert!(part == blob[first..end], "{range}: {} bytes", part.len());
                });
            }
        });
        site.registry.asked("GET", &path(&digest))
    };
    all_parts_at_once();
    kept(&gate, &digest);
    assert_eq!(all_parts_at_once(), all_parts_at_once());
}

/// The two clients that resume by themselves; the connection to the gate breaks.
fn a_client_whose_connection_breaks_resumes_the_layer() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    // Compressed, it is still half as long.
    let text = hex::encode(Random::new(13).content(12 << 20));
    let digest = signer.push(&site.image("library/app:1"), &text);
    let gate = site.gate(&signer, PROMPT);
    let line = Line::to(gate.port);
    let image = format!("{}/library/app:1", line.name());
    let resumed = || gate.metric("countersign_requests_total{route=\"blob\",status=\"206\"}");
    for client in &Client::all()[..2] {
        let before = resumed();
        line.break_after(7 << 20);
        let said = client.pull(&image);
        assert!(said.ok(), "{}: {}", client.name(), said.all());
        assert_eq!(client.digest(&image), digest, "{}", client.name());
        client.forget(&image);
        assert_eq!(resumed() - before, 1, "{}", client.name());
    }
    // A client whose user requests the rest.
    let blob = Random::new(14).content(12 << 20);
    let digest = site.registry.put_blob("library/app", blob.clone());
    let folder = Folder::new("resumed");
    let file = folder.join("blob").display().to_string();
    let url = format!("{}{}", line.url(), path(&digest));
    line.break_after(7 << 20);
    let said = plain(&["--output", &file, &url]);
    assert!(!said.ok() && said.all().contains("closed"), "{}", said.all());
    let said = plain(&["--continue-at", "-", "--output", &file, &url]);
    assert!(said.ok(), "{}", said.all());
    assert_eq!(digest_of(&std::fs::read(file).unwrap()), digest);
}
