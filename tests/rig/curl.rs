//! Debian's curl, one request at a time.

use std::process::Command;

use bytes::Bytes;

use crate::folder::Folder;
use crate::process::{Said, run, tool};
use crate::tls::Authority;

/// The versions of HTTP to use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Version {
    Http11,
    Http2,
}

/// The response.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) version: String,
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Bytes,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }
}

/// Sends one request over TLS with that HTTP version, trusting only `authority`.
pub(crate) fn curl(
    url: &str,
    version: Version,
    authority: &Authority,
    arguments: &[&str],
) -> Received {
    let folder = Folder::new("curl");
    let version = match version {
        Version::Http11 => "--http1.1",
        Version::Http2 => "--http2",
    };
    let mut command = silent();
    command.arg("--cacert").arg(authority.ca()).args([version, "--dump-header"]);
    command.arg(folder.join("head")).arg("--output").arg(folder.join("body"));
    let said = run(command.args(arguments).arg(url));
    assert!(said.ok(), "{url} {arguments:?}: {}", said.all());
    let head = std::fs::read_to_string(folder.join("head")).unwrap();
    let mut words = head.split_whitespace();
    let version = words.next().unwrap().to_owned();
    let status = words.next().unwrap().parse().unwrap();
    // curl creates no file without a body.
    let body = std::fs::read(folder.join("body")).unwrap_or_default().into();
    Received { version, status, head, body }
}

/// Runs curl as a user would, without a progress meter.
pub(crate) fn plain(arguments: &[&str]) -> Said {
    run(silent().args(arguments))
}

fn silent() -> Command {
    let mut command = tool("curl", "curl");
    command.args(["--silent", "--show-error"]);
    command
}
