//! `countersign replay` and `countersign learn` from a shell.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use countersign::oci::Digest;
use serde_json::{Value, json};

use crate::commands::{Said, countersign};
use crate::folder::Folder;

/// No server listens there: requests fail at once.
const CONFIG: &str = "[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"store\"\n\
    [[upstream]]\nregistry = \"r.example\"\nurl = \"http://127.0.0.1:9\"\n\
    [[rule]]\nimages = [\"r.example/**\"]\nmode = \"allow\"\nreason = \"x\"\n\
    [[rule]]\nimages = [\"r.example/shut/**\"]\nmode = \"deny\"\n";

struct Place {
    folder: Folder,
    config: PathBuf,
}

fn place() -> Place {
    let folder = Folder::new("replay");
    let config = folder.write("new.toml", CONFIG);
    Place { folder, config }
}

fn event(repository: &str, verdict: &str) -> String {
    let event = json!({
        "timestamp": "2026-11-23T06:00:00Z", "level": "INFO", "target": "countersign::audit",
        "message": "verdict", "image.registry": "r.example", "image.repository": repository,
        "image.reference": "v1", "manifest.digest": Digest::of(b"one").to_string(),
        "verdict": verdict, "client.address": "127.0.0.1:1", "request_id": "0", "duration_ms": 1,
    });
    format!("{event}\n")
}

impl Place {
    fn log(&self, name: &str, lines: &str) -> String {
        self.folder.write(name, lines).to_str().unwrap().to_owned()
    }

    fn replay(&self, arguments: &[&str]) -> Said {
        let config = ["--config", self.config.to_str().unwrap()];
        countersign(&[&["replay"], arguments, &config].concat())
    }

    /// Runs `check` on `text` with its blanks filled in.
    fn check(&self, text: &str) -> Said {
        let filled = text
            .replace("FILL-IN: the Notary server", "https://notary.example.com")
            .replace("FILL-IN: the id of the root key, 64 hex digits", &"0".repeat(64));
        let file = self.folder.write("proposed.toml", filled);
        countersign(&["check", "--config", file.to_str().unwrap()])
    }
}

#[test]
fn several_logs_are_combined_and_the_exit_status_reports_denials() {
    let place = place();
    let one = place.log("audit.log.1", &event("open/app", "admitted").repeat(3));
    let two = place.log("audit.log", &(event("shut/app", "admitted") + "not json\n"));
    let said = place.replay(&[&one, &two]);
    assert_eq!(said.status, Some(3), "{}", said.stderr);
    for words in [
        "would deny 1 of 4 served pulls: 1 of 2 images",
        "r.example/shut/app:v1\n  WOULD DENY, 1 pulls",
        "now       refused (denied_by_rule)",
        "1 lines could not be read",
    ] {
        assert!(said.stdout.contains(words), "{words}: {}", said.stdout);
    }
    let said = place.replay(&[&one, "--json"]);
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    let json: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&json["served"], &json["would_refuse"]), (&3.into(), &0.into()));
}

#[test]
fn a_log_is_read_from_standard_input() {
    let place = place();
    let mut child = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["replay", "-", "--config", place.config.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(event("shut/app", "admitted").as_bytes()).unwrap();
    let said = child.wait_with_output().unwrap();
    assert_eq!(said.status.code(), Some(3));
    assert!(String::from_utf8(said.stdout).unwrap().contains("would deny 1 of 1"));
}

#[test]
fn a_missing_log_or_invalid_configuration_is_an_error() {
    let place = place();
    let said = place.replay(&["/nowhere/audit.log"]);
    assert_eq!((said.status, said.stdout.as_str()), (Some(2), ""));
    assert!(said.stderr.contains("/nowhere/audit.log"), "{}", said.stderr);
    let log = place.log("audit.log", "");
    place.folder.write("new.toml", "[server]\n");
    let said = place.replay(&[&log]);
    assert_eq!((said.status, said.stdout.as_str()), (Some(2), ""));
    let learned = countersign(&["learn", &log, "--config", place.config.to_str().unwrap()]);
    assert_eq!((learned.status, learned.stdout.as_str()), (Some(2), ""));
}

#[test]
fn a_log_without_decisions_exits_with_4() {
    let place = place();
    let log = place.log("audit.log", "\n");
    let said = place.replay(&[&log]);
    assert_eq!(said.status, Some(4));
    let text = "would deny 0 of 0 served pulls: 0 of 0 images\nthe logs contain no decisions\n";
    assert_eq!(said.stdout, text);
}

#[test]
fn an_unreadable_log_does_not_prove_that_nothing_changes() {
    let place = place();
    let log = place.log("audit.log.gz", "\u{1f}\u{8b} not a line of it\n");
    let said = place.replay(&[&log]);
    assert_eq!((said.status, said.stdout.as_str()), (Some(2), ""), "{}", said.stderr);
}

#[test]
fn learned_rules_pass_check_after_the_blanks_are_filled_in() {
    let place = place();
    let signed = |repository| {
        let mut event: Value = serde_json::from_str(&event(repository, "admitted")).unwrap();
        (event["anchor"], event["scheme"]) = ("team".into(), "notaryv1".into());
        format!("{event}\n")
    };
    let lines = signed("team/a") + &signed("team/b") + &event("tools/x", "admitted");
    let log = place.log("audit.log", &lines);
    let said = countersign(&["learn", &log]);
    assert_eq!((said.status, said.stderr.as_str()), (Some(0), ""));
    assert_eq!(
        place.check(&said.stdout.replace("FILL-IN", "")).status,
        Some(2),
        "blanks are errors"
    );
    let checked = place.check(&said.stdout);
    assert_eq!(checked.status, Some(0), "{}\n{}", checked.stderr, said.stdout);
    assert!(checked.stdout.contains("r.example/team/**: needs team"), "{}", checked.stdout);
    assert!(!checked.stdout.contains("tools"), "{}", checked.stdout);
}

#[test]
fn learn_with_a_configuration_keeps_everything_except_its_rules() {
    let place = place();
    let log = place.log("audit.log", &event("open/x", "admitted"));
    let config = place.config.to_str().unwrap();
    let said = countersign(&["learn", &log, "--config", config]);
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    assert!(said.stdout.contains("url = \"http://127.0.0.1:9\""), "{}", said.stdout);
    assert!(said.stdout.contains("cannot search for"), "{}", said.stdout);
    let checked = place.check(&said.stdout);
    assert_eq!(checked.status, Some(0), "{}\n{}", checked.stderr, said.stdout);
    assert!(!checked.stdout.contains("\nrule "), "{}", checked.stdout);
    assert!(Path::new(config).exists());
}
