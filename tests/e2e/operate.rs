//! Operation: the admin listener, `why`, and stopping the gate.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;

use crate::folder::Folder;
use crate::notary::Keys;
use crate::process::wait_for;
use crate::registry::digest_of;
use crate::requests;
use crate::site::{PROMPT, Site};

pub(crate) fn tests() -> Vec<(&'static str, fn())> {
    crate::tests![
        the_admin_listener_reports_the_state_of_the_gate,
        an_invalid_configuration_stops_every_command_and_lists_the_errors,
        why_explains_each_verdict_and_exits_with_its_status,
        a_started_blob_is_completed_during_shutdown,
    ]
}

fn the_admin_listener_reports_the_state_of_the_gate() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    let digest = signer.push(&site.image("library/app:1"), "counted");
    let gate = site.gate(&signer, PROMPT);
    gate.comes_to("library/app", "1", Ok(&digest));
    gate.comes_to("library/app", "2", Err("tag_not_signed"));

    assert_eq!(requests::get(&gate.admin("/livez")).status, 200);
    assert_eq!(requests::get(&gate.admin("/readyz")).status, 200);
    assert_eq!(requests::get(&gate.admin("/v2/")).status, 404);
    let metrics = requests::get(&gate.admin("/metrics")).text();
    let counted = |verdict: &str, reason: &str| {
        metrics.lines().any(|line| {
            line.starts_with("countersign_verdicts_total{")
                && line.contains(&format!("verdict=\"{verdict}\""))
                && line.contains(&format!("reason=\"{reason}\""))
        })
    };
    assert!(metrics.contains("countersign_verdicts_total{"), "{metrics}");
    assert!(metrics.lines().any(|line| line.contains("verdict=\"admitted\"")), "{metrics}");
    assert!(counted("absent", "tag_not_signed"), "{metrics}");
    for name in
        ["countersign_requests_total", "countersign_trust_refresh_total", "countersign_build_info"]
    {
        assert!(metrics.contains(name), "no {name}: {metrics}");
    }
    assert!(metrics.trim_end().ends_with("# EOF"), "{metrics}");
    // The public listener has no metrics.
    assert_eq!(requests::get(&gate.url("/metrics")).status, 404);

    let log = gate.log();
    let verdict =
        log.lines().find(|line| line.contains("tag_not_signed")).expect("there is no audit event");
    let verdict: serde_json::Value =
        serde_json::from_str(verdict).expect("one JSON object per line");
    assert!(verdict.to_string().contains("library/app"), "{verdict}");
}

fn an_invalid_configuration_stops_every_command_and_lists_the_errors() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    signer.push(&site.image("library/app:1"), "configured");
    let gate = site.gate(&signer, PROMPT);
    let said = gate.command(&["check"], &gate.config());
    assert_eq!(said.status.code(), Some(0), "{}", said.all());

    let sound = std::fs::read_to_string(gate.config()).unwrap();
    let folder = Folder::new("config");
    let unpinned = sound.replace("root_keys", "no_such_key = 1\n# root_keys");
    let broken =
        folder.write("broken.toml", unpinned.replace("listen = \"127", "listen = \"nowhere"));
    for command in [&["check"][..], &["serve"], &["why", "localhost/library/app:1"]] {
        let said = gate.command(command, &broken);
        assert_eq!(said.status.code(), Some(2), "{command:?}: {}", said.all());
        for wrong in ["no_such_key", "root_keys", "listen", "broken.toml"] {
            assert!(said.stderr.contains(wrong), "{command:?}, {wrong}: {}", said.all());
        }
    }
}

fn why_explains_each_verdict_and_exits_with_its_status() {
    let mut site = Site::new(Keys::InServer);
    let signer = site.signer();
    let digest = signer.push(&site.image("library/app:1"), "explained");
    let unsigned = signer.push_unsigned(&site.image("library/app:unsigned"), "explained too");
    let gate = site.gate(&signer, PROMPT);

    for (image, status, words) in [
        ("library/app:1".to_owned(), 0, [digest.as_str(), "team"]),
        (format!("library/app@{digest}"), 0, [digest.as_str(), "team"]),
        ("library/app:unsigned".to_owned(), 3, ["tag_not_signed", "team"]),
        (format!("library/app@{unsigned}"), 3, ["digest_not_signed", "team"]),
        ("library/bare:1".to_owned(), 3, ["no_trust_data", "team"]),
    ] {
        let said = gate.why(&site.image(&image), &[]);
        assert_eq!(said.status.code(), Some(status), "{image}: {}", said.all());
        for word in words {
            assert!(said.stdout.contains(word), "{image}, {word}: {}", said.all());
        }
    }
    let json = gate.why(&site.image("library/app:1"), &["--json"]);
    let json: serde_json::Value =
        serde_json::from_str(&json.stdout).expect("standard output is not JSON");
    assert_eq!(json["verdict"], "admitted", "{json}");
    let said = gate.why("no.such.upstream/library/app:1", &[]);
    assert_ne!(said.status.code(), Some(0), "{}", said.all());

    site.notary.stop();
    let said = gate.why(&site.image("library/never-seen:1"), &[]);
    assert_eq!(said.status.code(), Some(4), "{}", said.all());
    assert!(said.stdout.contains("trust_unreachable"), "{}", said.all());
}

fn a_started_blob_is_completed_during_shutdown() {
    let site = Site::new(Keys::InServer);
    let signer = site.signer();
    signer.push(&site.image("library/app:1"), "beside a large blob");
    // More than all socket buffers on the way can hold.
    let blob = Bytes::from(vec![b'x'; 96 << 20]);
    let digest = site.registry.put_blob("library/app", blob.clone());
    let mut gate = site.gate(&signer, PROMPT);

    let mut client = TcpStream::connect(("127.0.0.1", gate.port)).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let ask = format!(
        "GET /v2/library/app/blobs/{digest} HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n"
    );
    client.write_all(ask.as_bytes()).unwrap();
    let mut received = vec![0; 64 << 10];
    let begun = client.read(&mut received).unwrap();
    received.truncate(begun);
    assert!(received.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&received));

    gate.terminate();
    wait_for("refused connections", Duration::from_secs(10), || {
        TcpStream::connect(("127.0.0.1", gate.port)).err()
    });
    assert!(
        gate.ended(Duration::from_millis(300)).is_none(),
        "the gate did not wait: {}",
        gate.log()
    );
    client.read_to_end(&mut received).unwrap();
    let head = received.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(received.len() - head, blob.len());
    assert_eq!(digest_of(&received[head..]), digest);
    let status = gate.ended(Duration::from_secs(10)).expect("the gate did not end");
    assert_eq!(status.code(), Some(0), "{}", gate.log());
}
