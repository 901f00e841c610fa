//! `countersign demo`: every verdict is the expected one, for every scheme, and the printed commands work.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use countersign::demo::{self, Style};

use crate::commands::countersign;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_has_the_expected_verdicts() {
    let mut page = Vec::new();
    let expected = demo::once(Style::Plain, &mut page).await.unwrap();
    let page = String::from_utf8(page).unwrap();
    assert!(expected, "{page}");
    for seen in ["admitted", "absent    digest_not_signed", "refused   content_mismatch"] {
        assert!(page.contains(seen), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_serves_and_denies_an_image_of_every_scheme() {
    let mut page = Vec::new();
    demo::once(Style::Plain, &mut page).await.unwrap();
    let page = String::from_utf8(page).unwrap();
    for (image, verdict) in [
        ("notary/app:v1", "admitted"),
        ("notary/expired:v1", "refused   expired"),
        ("cosign/app:v1", "admitted"),
        ("cosign/forged:v1", "refused   signature_invalid"),
        ("cosign/copied:v1", "absent    no_trust_data"),
        ("keyless/app:v1", "admitted"),
        ("keyless/mallory:v1", "refused   signature_invalid"),
        ("keyless/backdated:v1", "refused   signature_invalid"),
        ("notation/app:v1", "admitted"),
        ("notation/forged:v1", "refused   signature_invalid"),
        ("notation/copied:v1", "absent    no_trust_data"),
        ("retired/app:v1", "refused   denied_by_rule"),
        ("other/app:v1", "refused   no_rule"),
    ] {
        let row = page.lines().find(|line| line.contains(&format!(" {image} ")));
        assert!(row.is_some_and(|row| row.contains(verdict)), "{image}: {verdict}\n{page}");
    }
}

/// A demo that runs until it is stopped, and its output.
struct Running {
    demo: Child,
    page: String,
}

impl Running {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.arg("demo").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut demo = command.spawn().unwrap();
        let mut out = BufReader::new(demo.stdout.take().unwrap());
        let mut page = String::new();
        while !page.contains("Ctrl-C") {
            assert_ne!(out.read_line(&mut page).unwrap(), 0, "{page}");
        }
        Self { demo, page }
    }

    /// The commands on the page that contain this word, without their descriptions.
    fn commands(&self, word: &str) -> Vec<Vec<&str>> {
        let lines = self.page.lines().map(str::trim).filter(|line| line.contains(word));
        lines.map(|line| line.split("  ").next().unwrap().split(' ').collect()).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.demo.kill();
        let _ = self.demo.wait();
    }
}

#[test]
fn the_why_commands_that_the_demo_prints_work() {
    let mut demo = Running::start();
    let commands = demo.commands(" why ");
    assert_eq!(commands.len(), 4, "{}", demo.page);
    for (command, because) in commands.iter().zip([
        "expired",
        "signature_invalid",
        "mallory@evil.example",
        "Mallory's root",
    ]) {
        assert_eq!(command[0], env!("CARGO_BIN_EXE_countersign"));
        let why = countersign(&command[1..]);
        assert_eq!(why.status, Some(3), "{command:?}\n{}{}", why.stdout, why.stderr);
        assert!(why.stdout.contains(because), "{command:?}\n{}", why.stdout);
    }
    let config = demo.page.lines().find_map(|line| line.trim().strip_prefix("config ")).unwrap();
    let config = config.trim().split("  ").next().unwrap().to_owned();
    assert!(Path::new(&config).is_file(), "{config}");
    assert_eq!(countersign(&["check", "--config", &config]).status, Some(0));

    let id = demo.demo.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
    assert!(demo.demo.wait().unwrap().success());
    assert!(!Path::new(&config).exists(), "{config} was not removed");
}
